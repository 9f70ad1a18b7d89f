"""JSON and pickle files written record by record, so that no dataset is ever held in memory. The bytes never vary."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal

from mmud.files import atomic_write

# Characters that some readers take for the end of a line, as JSON escapes.
_LINE_ENDS = {"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def to_json(value: Any) -> bytes:
    """A value as one line of UTF-8 JSON: no NaN, no character that a reader takes for a line's end."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(", ", ": "))
    for character, escape in _LINE_ENDS.items():
        if character in text:
            text = text.replace(character, escape)
    # Half a surrogate pair is no UTF-8; Python's escape of it is JSON's as well.
    return text.encode("utf-8", "backslashreplace")


def write_line(stream: IO[bytes], value: Any) -> None:
    """Write a value as a line of a JSON Lines file."""
    stream.write(to_json(value) + b"\n")


class JsonArray:
    """A JSON array being written, one item a line."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.items = 0
        stream.write(b"[")

    def add(self, value: Any) -> None:
        self._stream.write((b",\n" if self.items else b"\n") + to_json(value))
        self.items += 1

    def close(self) -> None:
        self._stream.write(b"\n]" if self.items else b"]")


@contextlib.contextmanager
def json_list(path: Path) -> Iterator[JsonArray]:
    """A file that is one JSON array."""
    with atomic_write(path) as stream:
        array = JsonArray(stream)
        yield array
        array.close()
        stream.write(b"\n")


class JsonTable:
    """A JSON object of arrays that grow side by side: the first on the spot, the others in spools until the end.

    Args:
        stream: the file.
        head: values written before the arrays.
        first: the first array's name.
        spools: a temporary file for each further array.
    """

    def __init__(self, stream: IO[bytes], head: Mapping[str, Any], first: str, spools: Mapping[str, IO[bytes]]) -> None:
        self._stream = stream
        self._spools = spools
        self.tail: dict[str, Any] = {}
        """Values written after the arrays; set them before the block ends."""
        stream.write(b"{\n")
        for name, value in head.items():
            stream.write(to_json(name) + b": " + to_json(value) + b",\n")
        stream.write(to_json(first) + b": ")
        self._arrays = {first: JsonArray(stream), **{name: JsonArray(spool) for name, spool in spools.items()}}

    def add(self, array: str, value: Any) -> None:
        self._arrays[array].add(value)

    def close(self) -> None:
        for array in self._arrays.values():
            array.close()
        for name, spool in self._spools.items():
            self._stream.write(b",\n" + to_json(name) + b": ")
            spool.seek(0)
            shutil.copyfileobj(spool, self._stream)
        for name, value in self.tail.items():
            self._stream.write(b",\n" + to_json(name) + b": " + to_json(value))
        self._stream.write(b"\n}\n")


@contextlib.contextmanager
def json_table(path: Path, head: Mapping[str, Any], arrays: tuple[str, ...]) -> Iterator[JsonTable]:
    """A file that is one JSON object: ``head``, then the arrays, then the table's ``tail``."""
    with atomic_write(path) as stream, contextlib.ExitStack() as stack:
        spools = {name: stack.enter_context(tempfile.TemporaryFile(dir=path.parent)) for name in arrays[1:]}
        table = JsonTable(stream, head, arrays[0], spools)
        yield table
        table.close()


class PickledList:
    """A pickle of one list of plain values, written item by item.

    Args:
        stream: the file.
        protocol: 2, which Python 2 reads as well, or 3, where values hold bytes, which protocol 2 can only spell as a call.

    A pickle is a program for a stack machine: an empty list, then batches of items between a mark and ``APPENDS``, then the
    end. Each item is pickled by itself without its frame and without memo, so that the pieces fit together, and so that the
    bytes depend on the values alone and not on which of them happen to be one object.
    """

    BATCH = 1000

    def __init__(self, stream: IO[bytes], protocol: Literal[2, 3] = 2) -> None:
        self._stream = stream
        self._protocol = protocol
        self.items = 0
        stream.write(pickle.PROTO + bytes([protocol]) + pickle.EMPTY_LIST)

    def add(self, value: Any) -> None:
        if self.items % self.BATCH == 0:
            self._stream.write((pickle.APPENDS if self.items else b"") + pickle.MARK)
        buffer = io.BytesIO()
        pickler = pickle.Pickler(buffer, protocol=self._protocol)
        pickler.fast = True
        pickler.dump(value)
        self._stream.write(buffer.getvalue()[2:-1])
        self.items += 1

    def close(self) -> None:
        self._stream.write((pickle.APPENDS if self.items else b"") + pickle.STOP)


@contextlib.contextmanager
def pickled_list(path: Path, protocol: Literal[2, 3] = 2) -> Iterator[PickledList]:
    """A file that is the pickle of one list."""
    with atomic_write(path) as stream:
        pickled = PickledList(stream, protocol)
        yield pickled
        pickled.close()
