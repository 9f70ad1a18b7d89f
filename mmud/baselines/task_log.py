"""One task's predictions while they come in: a log of lines in any order, which ends as a file in the order of the split.

A line may end in a tab and two numbers, the tags that were wanted and said: JSON has no raw tab, and the file leaves them out.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mmud import codes
from mmud.errors import MmudError, Place
from mmud.evaluators.predictions import task_file
from mmud.files import atomic_write
from mmud.records import Task

_TAGS = re.compile(rb"(?:(\d+) (\d+))?")


def log_file(folder: Path, task: Task) -> Path:
    """Where a task's unfinished predictions lie."""
    return folder / f".{task_file(task)}.partial"


class TaskLog:
    """The log of one task: each line is on its way to the disk before the next one is made, so a kill loses none.

    Args:
        folder: of the predictions. A log that is there already is read; a last line that was cut off is dropped.
        task: whose log it is.

    Attributes:
        tags: wanted and said in all lines; None where some line does not tell.

    Raises:
        MmudError: MM008 when the disk refuses.
    """

    def __init__(self, folder: Path, task: Task) -> None:
        self._target = folder / task_file(task)
        self.path = log_file(folder, task)
        self._lines: dict[str, tuple[int, int]] = {}
        self._tags: dict[str, tuple[int, int]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self._end = self._recover()
        # Unbuffered: what failed to reach the disk is not tried again behind our back when the log is closed.
        self._stream = open(self.path, "ab", buffering=0)  # noqa: SIM115 - closed by __exit__

    def _recover(self) -> int:
        """Read the lines of an earlier process, cut the log after the last whole one, and return its length."""
        if not self.path.exists():
            return 0
        end = 0
        with open(self.path, "rb") as stream:
            for line in stream:
                row, _, counted = line.removesuffix(b"\n").partition(b"\t")
                found = _TAGS.fullmatch(counted) if line.endswith(b"\n") else None
                sample = _sample_of(row)
                if found is None or sample is None:
                    break
                self._lines[sample] = (end, len(row))
                if counted:
                    self._tags[sample] = (int(found[1]), int(found[2]))
                end += len(line)
        os.truncate(self.path, end)
        return end

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def __contains__(self, sample_id: object) -> bool:
        return sample_id in self._lines

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def tags(self) -> tuple[int, int] | None:
        if not self._tags or len(self._tags) < len(self._lines):
            return None
        return sum(wanted for wanted, _ in self._tags.values()), sum(said for _, said in self._tags.values())

    def append(self, row: dict[str, Any], tags: tuple[int, int] | None = None) -> None:
        """Add a line.

        Args:
            row: the prediction.
            tags: how many were wanted and said.

        Raises:
            MmudError: MM008 when the disk refuses; what was added before stays.
        """
        text = json.dumps(row, ensure_ascii=False, allow_nan=False).encode("utf-8")
        line = text + (b"" if tags is None else b"\t%d %d" % tags) + b"\n"
        try:
            written = 0
            while written < len(line):
                written += self._stream.write(line[written:])
        except OSError as error:
            raise MmudError(codes.NOT_WRITABLE, f"cannot write: {error}", Place(file=str(self.path))) from error
        self._lines[row["sample_id"]] = (self._end, len(text))
        if tags is not None:
            self._tags[row["sample_id"]] = tags
        self._end += len(line)

    def finish(self, order: Sequence[str]) -> None:
        """Write the task's file in this order, whole or not at all, and remove the log."""
        with atomic_write(self._target) as out, open(self.path, "rb") as lines:
            for sample in order:
                start, length = self._lines[sample]
                lines.seek(start)
                out.write(lines.read(length) + b"\n")
        self.path.unlink()


def _sample_of(row: bytes) -> str | None:
    """The sample of a row; None for one that was cut off."""
    try:
        sample = json.loads(row)["sample_id"]
    except (ValueError, KeyError, TypeError):
        return None
    return sample if isinstance(sample, str) else None


def remove_logs(folder: Path, tasks: Iterable[Task] = Task) -> None:
    """Remove what unfinished predictions left."""
    for task in tasks:
        log_file(folder, task).unlink(missing_ok=True)
