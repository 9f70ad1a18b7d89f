"""What every verb shares: flags, the two output streams, progress, tables."""

from __future__ import annotations

import json as jsonlib
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from mmud.errors import Finding, Severity

T = TypeVar("T")

JsonFlag = Annotated[bool, typer.Option("--json", help="Print the machine's result, and nothing else, on stdout.")]
QuietFlag = Annotated[bool, typer.Option("--quiet", "-q", help="Print no progress and no notes.")]
VerboseFlag = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print more; show a traceback for an internal error.")
]
DryRunFlag = Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and write nothing.")]
ForceFlag = Annotated[bool, typer.Option("--force", help="Replace the output if it exists.")]
WorkersOption = Annotated[int, typer.Option("--workers", min=1, help="Processes to work in.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="Stop after so many samples; the result is marked as partial.")
]
DatasetArgument = Annotated[Path, typer.Argument(metavar="DIR", help="A dataset folder, as `mmud build` makes it.")]
OutputOption = Annotated[Path, typer.Option("--output", "-o", metavar="PATH", help="Where to write.")]


class FailOn(StrEnum):
    """Findings of this severity or worse end in exit code 3."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"
    NEVER = "never"

    @property
    def threshold(self) -> Severity | None:
        return None if self is FailOn.NEVER else Severity[self.name]


class Console:
    """The two streams of a command: the result on stdout, everything said to a person on stderr.

    Args:
        json: the result is JSON.
        quiet: no notes and no progress.
        verbose: details as well.
    """

    def __init__(self, json: bool = False, quiet: bool = False, verbose: bool = False) -> None:
        self.json = json
        self.quiet = quiet
        self.verbose = verbose

    def result(self, value: Any, text: str) -> None:
        """The command's result: ``value`` as JSON, or ``text`` for a person."""
        if self.json:
            print(jsonlib.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))
        elif text:
            print(text)

    def note(self, text: str) -> None:
        """Something a person may want to know."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def detail(self, text: str) -> None:
        """Something a person asked for with --verbose."""
        if self.verbose:
            print(text, file=sys.stderr, flush=True)

    def findings(self, findings: Sequence[Finding], most: int = 20) -> None:
        """Findings as notes: the first of them, and how many more there are."""
        for finding in findings[:most]:
            self.note(f"{finding.severity.label}: {finding}")
        if len(findings) > most:
            self.note(f"… and {len(findings) - most} more findings.")

    @contextmanager
    def progress(self, label: str, total: int | None = None) -> Iterator[Progress]:
        """A progress bar on a terminal, a line now and then elsewhere, nothing when quiet."""
        bar = Progress(label, total, shown=not self.quiet, bar=sys.stderr.isatty())
        try:
            yield bar
        finally:
            bar.close()

    def track(self, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        """The items, with progress."""
        with self.progress(label, total) as bar:
            for item in items:
                yield item
                bar.advance()


class Progress:
    """Progress with rate and time left."""

    LINE_SECONDS = 10.0
    BAR_SECONDS = 0.1

    def __init__(self, label: str, total: int | None, shown: bool, bar: bool) -> None:
        self.label = label
        self.total = total
        self.done = 0
        self.remark = ""
        self._shown = shown
        self._bar = bar
        self._start = self._last = time.monotonic()
        self._drawn = False

    def advance(self, count: int = 1) -> None:
        self.done += count
        now = time.monotonic()
        if self._shown and now - self._last >= (self.BAR_SECONDS if self._bar else self.LINE_SECONDS):
            self._last = now
            self._draw(now)

    def spare(self, count: int) -> None:
        """So many of the total need no work: they count neither for the rate nor for the time left."""
        if self.total is not None:
            self.total -= count

    def _draw(self, now: float) -> None:
        elapsed = max(now - self._start, 1e-9)
        rate = self.done / elapsed
        text = f"{self.label}: {self.done:,}"
        if self.total:
            text += f"/{self.total:,} ({100 * self.done / self.total:.0f} %)"
        text += f", {rate:,.1f}/s" if rate < 100 else f", {rate:,.0f}/s"
        if self.total and rate > 0:
            text += f", {duration((self.total - self.done) / rate)} left"
        text += f", {self.remark}" if self.remark else ""
        if self._bar:
            print(f"\r\x1b[2K{text}", end="", file=sys.stderr, flush=True)
            self._drawn = True
        else:
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._bar and self._drawn:
            self._draw(time.monotonic())
            print(file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Seconds as a person reads them: ``42 s``, ``3 min 05 s``, ``2 h 10 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A plain-text table: numbers to the right, text to the left."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(text) for text in column) for column in zip(header, *cells, strict=True)]
    numeric = [bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in range(len(header))]

    def line(texts: Sequence[str]) -> str:
        parts = (
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(texts, widths, numeric, strict=True)
        )
        return "  ".join(parts).rstrip()

    return "\n".join([line(header), line(["-" * width for width in widths]), *(line(row) for row in cells)])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
