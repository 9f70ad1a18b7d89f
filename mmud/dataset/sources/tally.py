"""Collecting findings of a file: the first of each code in full, the rest counted."""

from __future__ import annotations

from collections import Counter

from mmud.errors import Code, Finding, Place

FIRST = 20


class Tally:
    """Findings that belong to a file rather than to a sample; a broken file may have a million of one code."""

    def __init__(self) -> None:
        self._findings: list[Finding] = []
        self._counts: Counter[str] = Counter()
        self._last: dict[str, Finding] = {}

    def note(self, code: Code, message: str, place: Place) -> None:
        """Add a finding; beyond the first 20 of its code it is only counted."""
        self._counts[code.id] += 1
        if self._counts[code.id] <= FIRST:
            self._findings.append(Finding(code, place, message))
        else:
            self._last[code.id] = Finding(code, place, message)

    def findings(self) -> list[Finding]:
        """The findings in order; then, for each code that had more, one that says how many."""
        more = []
        for code_id, last in self._last.items():
            rest = self._counts[code_id] - FIRST
            place = Place(file=last.place.file)
            more.append(Finding(last.code, place, f"and {rest:,} more of this code, the last: {last.message}"))
        return self._findings + more

    def extend(self, other: Tally) -> None:
        """Take in what another tally holds."""
        self._findings += other.findings()
