"""The review journal: one JSON object a line, appended and synced to disk before anyone is told that it is kept.

Nothing is ever changed in it: an undo is a line too. A kill can leave the last line cut short; it is passed over, and the next
entry begins on a line of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from mmud import codes as common
from mmud.annotations.review import codes
from mmud.errors import Finding, MmudError, Place

FORMAT_VERSION = 1
FIELDS = ("question", "answer", "caption")
"""The texts of a sample that a person edits."""

MAX_LINE_BYTES = 4 << 20
MAX_TEXT = 100_000
MAX_REASON = 2_000
MAX_NAME = 64


class Kind(StrEnum):
    """What an entry is."""

    VERDICT = "verdict"
    EDIT = "edit"
    UNDO = "undo"


class Verdict(StrEnum):
    """What a reviewer says of a sample."""

    ACCEPT = "accept"
    REJECT = "reject"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a journal.

    Attributes:
        id: unique over all journals.
        time: when it was decided, ISO 8601 in UTC.
        reviewer: who decided.
        dataset: the dataset's fingerprint.
        sample: the sample's id.
        labels: the hash of the labels that were seen; see `mmud.annotations.review.labels`.
        kind: which of the following fields count.
        verdict, reason: of a verdict; ``final`` where it settles a dispute.
        field, text: of an edit: the whole new text.
        undoes: of an undo: the id of the entry that no longer counts.
    """

    id: str
    time: str
    reviewer: str
    dataset: str
    sample: str
    labels: str
    kind: Kind
    verdict: Verdict | None = None
    reason: str = ""
    final: bool = False
    field: str = ""
    text: str = ""
    undoes: str = ""

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise MmudError(codes.DECISION_REFUSED, problem, Place(sample=self.sample or None))

    @classmethod
    def new(cls, **fields: Any) -> Self:
        """An entry made now, with an id of its own.

        Raises:
            MmudError: MM984 for a field that cannot be kept.
        """
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return cls(id=secrets.token_hex(8), time=time, **fields)

    def to_line(self) -> bytes:
        """The line, with its line feed; ASCII, so that no character of it can end a line."""
        values = {key: value for key, value in asdict(self).items() if value not in ("", None, False)}
        return json.dumps({"mmud_review": FORMAT_VERSION, **values}).encode("ascii") + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Read a line.

        Raises:
            ValueError: when it is no entry of this version.
            MmudError: MM984 for a field that cannot be kept.
        """
        values = json.loads(line)
        if not isinstance(values, dict) or values.pop("mmud_review", None) != FORMAT_VERSION:
            raise ValueError(f"no entry of format version {FORMAT_VERSION}")
        try:
            kind = Kind(values.pop("kind"))
            verdict = Verdict(values.pop("verdict")) if "verdict" in values else None
            return cls(kind=kind, verdict=verdict, **values)
        except (TypeError, KeyError) as error:
            raise ValueError(f"a field is missing or unknown: {error}") from error


_TEXTS = ("id", "time", "reviewer", "dataset", "sample", "labels", "reason", "field", "text", "undoes")


def _encodable(text: str) -> bool:
    """Whether the text has no half of a surrogate pair, which no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _problem(entry: Entry) -> str:
    """Why an entry cannot be kept; empty when it can."""
    for name in _TEXTS:
        value = getattr(entry, name)
        if not isinstance(value, str):
            return f"{name} is a text, not {type(value).__name__}"
        if not (value.isascii() or _encodable(value)):
            return f"{name} holds half a character"
    if not (entry.id and entry.time and entry.dataset and entry.sample and entry.labels):
        return "id, time, dataset, sample or labels is missing"
    name_is_good = entry.reviewer == entry.reviewer.strip() and entry.reviewer.isprintable()
    if not entry.reviewer or len(entry.reviewer) > MAX_NAME or not name_is_good:
        return f"a reviewer's name has 1 to {MAX_NAME} printable characters, not {entry.reviewer[:MAX_NAME]!r}"
    if len(entry.reason) > MAX_REASON:
        return f"a reason has at most {MAX_REASON:,} characters"
    if len(entry.text) > MAX_TEXT:
        return f"a text has at most {MAX_TEXT:,} characters"
    if not isinstance(entry.final, bool):
        return "final is true or false"
    if entry.kind is Kind.VERDICT and entry.verdict is None:
        return "a verdict is accept, reject or skip"
    if entry.kind is Kind.VERDICT and entry.final and entry.verdict is Verdict.SKIP:
        return "a dispute is settled by accepting or rejecting"
    if entry.kind is Kind.EDIT and entry.field not in FIELDS:
        return f"an edit changes one of {', '.join(FIELDS)}, not {entry.field!r}"
    if entry.kind is Kind.UNDO and not entry.undoes:
        return "an undo names the entry that it undoes"
    return ""


def read_journal(path: Path) -> tuple[list[Entry], list[Finding]]:
    """Every entry of a journal in order, and a finding (MM980) for each line that is none.

    Raises:
        MmudError: MM002 when the file cannot be read.
    """
    entries: list[Entry] = []
    findings: list[Finding] = []
    try:
        with open(path, "rb") as stream:
            number = 0
            while line := stream.readline(MAX_LINE_BYTES):
                number += 1
                if line.isspace():
                    continue
                try:
                    entries.append(Entry.from_line(line))
                except (ValueError, RecursionError, MmudError) as error:
                    whole = line.endswith(b"\n")
                    message = f"no entry: {error}" if whole else "the line is cut short: the entry was never confirmed"
                    findings.append(Finding(codes.LINE_UNREADABLE, Place(file=str(path), line=number), message))
    except OSError as error:
        raise MmudError(common.FILE_MISSING, f"cannot read the journal: {error}", Place(file=str(path))) from error
    return entries, findings


def read_journals(paths: Iterable[Path]) -> tuple[list[Entry], list[Finding]]:
    """The entries of several journals in the order of their times, each id once; see `read_journal`.

    A single journal keeps its own order, whatever the clock did meanwhile.
    """
    known: dict[str, Entry] = {}
    findings: list[Finding] = []
    listed = list(paths)
    for path in listed:
        entries, found = read_journal(path)
        findings += found
        for entry in entries:
            known.setdefault(entry.id, entry)
    entries = list(known.values())
    return (sorted(entries, key=lambda entry: entry.time) if len(listed) > 1 else entries), findings


class Journal:
    """A journal that this process alone writes; use it as a context manager.

    Args:
        path: the file; made when it is not there.

    Attributes:
        entries: everything in it, in order, with what was appended since.
        findings: lines that could not be read.

    Raises:
        MmudError: MM985 when another process has it, MM008 when it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._guard = threading.Lock()
        place = Place(file=str(path))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = not path.exists()
            self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise MmudError(common.NOT_WRITABLE, f"cannot write the journal: {error}", place) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if fresh:
                _sync_folder(path.parent)
            self.entries, self.findings = read_journal(path)
            self._on_fresh_line = _ends_with_line_feed(self._descriptor)
        except BlockingIOError as error:
            os.close(self._descriptor)
            raise MmudError(codes.JOURNAL_IN_USE, f"another process writes {path}", place) from error
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back; closing twice is nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def append(self, entry: Entry) -> None:
        """Write an entry and wait until the disk has it.

        Raises:
            MmudError: MM008 when the disk refuses; the entry is then not in the journal.
        """
        with self._guard:
            line = entry.to_line()
            if len(line) > MAX_LINE_BYTES:
                raise MmudError(codes.DECISION_REFUSED, "the entry is too long", Place(sample=entry.sample))
            before = os.fstat(self._descriptor).st_size
            try:
                data = line if self._on_fresh_line else b"\n" + line
                while data:
                    data = data[os.write(self._descriptor, data) :]
                os.fsync(self._descriptor)
            except OSError as error:
                # Half an entry must not stay where the next one would follow it.
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, before)
                message = f"cannot write the journal: {error}"
                raise MmudError(common.NOT_WRITABLE, message, Place(file=str(self.path))) from error
            self._on_fresh_line = True
            self.entries.append(entry)


def _ends_with_line_feed(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"


def _sync_folder(folder: Path) -> None:
    """A new file's name is on disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
