"""The file of answers: what a service said, kept before it is used, so that nothing is paid for twice.

An SQLite file to which rows are only added. A row is on the disk when `AnswerFile.add` returns, whatever happens to the process
or the machine afterwards; several threads that add at the same time share one write. Failures are never kept as answers; what
they cost is.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mmud import codes as general_codes
from mmud.annotations.drafting import codes
from mmud.annotations.drafting.base import Annotator, Draft, DraftTask
from mmud.annotations.drafting.budget import Usage
from mmud.annotations.provenance import now
from mmud.errors import MmudError, Place
from mmud.records import Sample

_FORMAT = 0x4D4D5544  # "MMUD"
_TABLES = """
create table if not exists answers (
    key blob primary key, task text not null, sample text not null, labels text not null, model text not null,
    prompt text not null, answer text not null, repaired integer not null, time text not null,
    requests integer not null, prompt_tokens integer not null, completion_tokens integer not null
) without rowid;
create table if not exists failures (
    task text not null, sample text not null, code text not null, time text not null,
    requests integer not null, prompt_tokens integer not null, completion_tokens integer not null
);
create trigger if not exists answers_stay before update on answers begin select raise(abort, 'answers stay'); end;
create trigger if not exists answers_last before delete on answers begin select raise(abort, 'answers stay'); end;
"""


def answer_key(annotator: Annotator, sample: Sample, task: DraftTask) -> bytes:
    """SHA-256 over all that a draft depends on: what is asked of whom and how, the image, and the objects."""
    asked = {
        "task": task.value,
        "by": annotator.identity(task),
        "size": [sample.width, sample.height],
        "image": hashlib.sha256(sample.image_bytes()).hexdigest() if annotator.reads_images else None,
        "objects": [
            [list(item.phrases), item.category, list(item.bbox), item.area, item.iscrowd] for item in sample.objects
        ],
    }
    text = json.dumps(asked, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).digest()


@dataclass(frozen=True, slots=True)
class Kept:
    """A draft as it is kept, and when it was made."""

    draft: Draft
    prompt: str
    time: str


@dataclass(slots=True)
class _Addition:
    statement: str
    values: tuple[Any, ...]
    done: bool = False
    error: Exception | None = None


class AnswerFile:
    """Opens the file, or makes it. One run at a time; safe to share between threads.

    Args:
        path: of the file.

    Raises:
        MmudError: MM966 when it is in use or no such file, MM008 when the disk refuses.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._using = threading.Lock()
        self._adding = threading.Lock()
        self._waiting: list[_Addition] = []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=0.2, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.OperationalError) as error:
            raise self._unwritable(error) from error
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._connection.close()
            raise MmudError(codes.ANSWERS_UNUSABLE, f"{path}: {error}", Place(file=str(path))) from error

    def _prepare(self) -> None:
        # Exclusive: two runs would each pay for what the other one asks.
        self._connection.execute("pragma locking_mode = exclusive").fetchall()
        found = self._connection.execute("pragma application_id").fetchone()[0]
        tables = self._connection.execute("select count(*) from sqlite_master").fetchone()[0]
        if tables and found != _FORMAT:
            raise sqlite3.DatabaseError("a database of another program")
        for pragma in ("journal_mode = wal", "synchronous = full"):
            self._connection.execute(f"pragma {pragma}").fetchall()
        self._connection.execute("begin exclusive")
        self._connection.execute(f"pragma application_id = {_FORMAT}")
        self._connection.execute("commit")
        self._connection.executescript(_TABLES)

    def _unwritable(self, error: Exception) -> MmudError:
        return MmudError(general_codes.NOT_WRITABLE, f"cannot write: {error}", Place(file=str(self.path)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def __contains__(self, key: object) -> bool:
        return bool(self._rows("select 1 from answers where key = ?", (key,)))

    def __len__(self) -> int:
        return int(self._rows("select count(*) from answers")[0][0])

    def _rows(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        try:
            with self._using:
                return self._connection.execute(query, values).fetchall()
        except sqlite3.DatabaseError as error:
            message = f"{self.path}: {error}"
            raise MmudError(codes.ANSWERS_UNUSABLE, message, Place(file=str(self.path))) from error

    def get(self, key: bytes) -> Kept | None:
        """The draft that is kept under a key."""
        rows = self._rows("select labels, model, answer, repaired, prompt, time from answers where key = ?", (key,))
        if not rows:
            return None
        labels, model, answer, repaired, prompt, time = rows[0]
        return Kept(Draft(json.loads(labels), model, answer, bool(repaired)), prompt, time)

    def add(self, key: bytes, task: DraftTask, sample: str, draft: Draft, prompt: str, usage: Usage) -> None:
        """Keep a draft; it is on the disk when this returns. A key that is there already stays as it is.

        Raises:
            MmudError: MM008 when the disk refuses.
        """
        labels = json.dumps(dict(draft.labels), ensure_ascii=False)
        values = (key, task.value, sample, labels, draft.model, prompt, draft.answer, draft.repaired, now())
        self._add(f"insert or ignore into answers values ({', '.join('?' * 12)})", (*values, *usage.to_dict().values()))

    def add_failure(self, task: DraftTask, sample: str, code: str, usage: Usage) -> None:
        """Note what was spent on a draft that was not made.

        Raises:
            MmudError: MM008 when the disk refuses.
        """
        values = (task.value, sample, code, now(), *usage.to_dict().values())
        self._add(f"insert into failures values ({', '.join('?' * 7)})", values)

    def spent(self) -> Usage:
        """All that was ever asked and paid for with this file."""
        columns = ", ".join(f"coalesce(sum({name}), 0)" for name in Usage().to_dict())
        total = Usage()
        for table in ("answers", "failures"):
            total += Usage(*self._rows(f"select {columns} from {table}")[0])
        return total

    def _add(self, statement: str, values: tuple[Any, ...]) -> None:
        """Add a row together with those that other threads wait to add: one write, and one wait for the disk, for all."""
        addition = _Addition(statement, values)
        with self._adding:
            self._waiting.append(addition)
        with self._using:
            if not addition.done:
                with self._adding:
                    batch, self._waiting = self._waiting, []
                self._write(batch)
        if addition.error is not None:
            raise self._unwritable(addition.error) from addition.error

    def _write(self, batch: list[_Addition]) -> None:
        problem: Exception | None = None
        try:
            self._connection.execute("begin immediate")
            for addition in batch:
                self._connection.execute(addition.statement, addition.values)
            self._connection.execute("commit")
        except sqlite3.Error as error:
            problem = error
            if self._connection.in_transaction:
                self._connection.execute("rollback")
        for addition in batch:
            addition.done, addition.error = True, problem
