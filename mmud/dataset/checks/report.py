"""What validation found: counts in memory, findings on disk, so that a bad dataset takes no more memory than a good one."""

from __future__ import annotations

import json
import shutil
import tempfile
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mmud.errors import Code, Finding, Place, Severity

_PLACE = tuple(field.name for field in fields(Place))


@dataclass(slots=True)
class Tally:
    """What was looked at."""

    samples: int = 0
    objects: int = 0
    shards: int = 0


class Report:
    """The findings of one validation, in the order of the dataset: shard by shard, row by row, then those of the whole.

    It keeps findings in a temporary folder until it is closed or thrown away.

    Attributes:
        folder: the dataset's folder.
        codes: every code that may be reported, by id.
        name, fingerprint: of the manifest; None where it could not be read.
        partial: whether only some of the rows were looked at.
        images: whether images were read.
        tally: what was looked at.
        counts: findings by code.
    """

    def __init__(self, folder: Path, codes: Mapping[str, Code]) -> None:
        self.folder = folder
        self.codes = dict(codes)
        self.name: str | None = None
        self.fingerprint: str | None = None
        self.partial = False
        self.images = True
        self.tally = Tally()
        self.counts: Counter[str] = Counter()
        self.spool = Path(tempfile.mkdtemp(prefix="mmud-validate-"))
        self._remove = weakref.finalize(self, shutil.rmtree, self.spool, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the findings from disk; the counts stay."""
        self._remove()

    def part(self, number: int) -> Path:
        """The file of the findings of one shard, or, after the last, of the whole dataset."""
        return self.spool / f"{number:08d}.jsonl"

    def add(self, number: int, findings: Iterable[Finding]) -> None:
        """Write the findings of a part from this process."""
        self.counts.update(write_findings(self.part(number), findings))

    def findings(self) -> Iterator[Finding]:
        """Every finding, in order."""
        for file in sorted(self.spool.glob("*.jsonl")):
            with open(file, encoding="utf-8") as lines:
                for line in lines:
                    code, place, message = json.loads(line)
                    yield Finding(self.codes[code], Place(*place), message)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def by_severity(self) -> dict[Severity, int]:
        """The number of findings of each severity, the worst first."""
        found = dict.fromkeys(sorted(Severity, reverse=True), 0)
        for code, count in self.counts.items():
            found[self.codes[code].severity] += count
        return found

    def found_codes(self) -> list[Code]:
        """The codes that were found: the worst first, then by id."""
        return sorted((self.codes[id] for id in self.counts), key=lambda code: (-code.severity, code.id))

    def fails(self, threshold: Severity | None) -> bool:
        """Whether anything was found at or above a severity; None is above all."""
        return threshold is not None and any(self.codes[id].severity >= threshold for id in self.counts)

    def summary(self) -> dict[str, Any]:
        """Everything but the findings, JSON-compatible."""
        return {
            "dataset": {"path": str(self.folder), "name": self.name, "fingerprint": self.fingerprint},
            "partial": self.partial,
            "images": self.images,
            "checked": {"samples": self.tally.samples, "objects": self.tally.objects, "shards": self.tally.shards},
            "counts": {severity.label: count for severity, count in self.by_severity().items()},
            "codes": [
                {
                    "code": code.id,
                    "title": code.title,
                    "severity": code.severity.label,
                    "count": self.counts[code.id],
                    "fixable": code.fixable,
                    "remedy": code.remedy,
                }
                for code in self.found_codes()
            ],
        }


def write_findings(path: Path, findings: Iterable[Finding]) -> Counter[str]:
    """Write findings as JSON lines; returns how many of each code there are."""
    counts: Counter[str] = Counter()
    with open(path, "w", encoding="utf-8") as stream:
        for finding in findings:
            counts[finding.code.id] += 1
            line = [finding.code.id, [getattr(finding.place, name) for name in _PLACE], finding.message]
            stream.write(json.dumps(line) + "\n")
    return counts
