"""Reading JSON from strangers: whole, or element by element where a file is large.

Strict where JSON is strict (syntax, with the line), tolerant where real files stray (a byte order mark, Latin-1, a key given
twice, NaN), and every such stray is a finding. What cannot be read is an error with its line, never a traceback.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from mmud import codes as common_codes
from mmud.dataset.sources import codes
from mmud.dataset.sources.tally import Tally
from mmud.errors import MmudError, Place

WHOLE_BYTES = 1 << 29
"""Longest file that is read whole."""

ELEMENT_BYTES = 1 << 26
"""Longest element of a file that is read element by element."""

CHUNK = 1 << 22
_LONGEST_EXPONENT_SIGN = 2
_SPACE = " \t\n\r"
_UTF8_MARK = b"\xef\xbb\xbf"
_OTHER_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


def open_file(path: Path) -> BinaryIO:
    """The file, opened to read bytes; MM002 when it cannot be."""
    try:
        return open(path, "rb")
    except OSError as error:
        raise MmudError(common_codes.FILE_MISSING, f"cannot open: {error}", Place(file=str(path))) from error


def load_json(path: Path, tally: Tally) -> Any:
    """The value of a JSON file.

    Args:
        path: the file.
        tally: takes the findings: MM711 encoding, MM712 a key twice, MM713 NaN or infinity (read as None).

    Raises:
        MmudError: MM002 missing, MM710 syntax, MM711 UTF-16 or UTF-32, MM715 too large or too deep.
    """
    place = Place(file=str(path))
    with open_file(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > WHOLE_BYTES:
            raise MmudError(codes.JSON_TOO_LARGE, f"{size:,} bytes, at most {WHOLE_BYTES:,} are read", place)
        return parse_json(stream.read(), place, tally.note)


Note = Callable[[Any, str, Place], None]


def parse_json(data: bytes, place: Place, note: Note, first_line: int = 1) -> Any:
    """The value of JSON in memory; see `load_json`.

    Args:
        data: the bytes.
        place: of the file, for findings and errors.
        note: takes a finding's code, message and place.
        first_line: the line of the file that the data begin on.
    """
    text = _decoded(data, place, note, first_line)

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(items)
        if len(made) < len(items):
            names = [name for name, _ in items]
            twice = next(name for name in names if names.count(name) > 1)
            note(codes.JSON_DUPLICATE_KEY, f"key {twice!r:.60} is given twice", _at(place, first_line))
        return made

    def constant(name: str) -> None:
        note(codes.JSON_NOT_FINITE, f"{name} stands for a number", _at(place, first_line))

    try:
        return json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise MmudError(codes.JSON_SYNTAX, f"{error.msg}, column {error.colno}", _at(place, line)) from error
    except RecursionError as error:
        raise MmudError(codes.JSON_TOO_LARGE, "nested too deeply", _at(place, first_line)) from error
    except ValueError as error:  # a whole number of thousands of digits
        raise MmudError(codes.JSON_SYNTAX, str(error)[:120], _at(place, first_line)) from error


def _at(place: Place, line: int) -> Place:
    return Place(place.sample, place.object, place.split, place.file, line, place.row, place.field)


def _decoded(data: bytes, place: Place, note: Note, first_line: int) -> str:
    if data.startswith(_OTHER_MARKS):
        raise MmudError(codes.JSON_ENCODING, "the file is UTF-16 or UTF-32", place)
    if data.startswith(_UTF8_MARK):
        note(codes.JSON_ENCODING, "the file begins with a byte order mark", place)
        data = data[len(_UTF8_MARK) :]
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = first_line + data.count(b"\n", 0, error.start)
        message = f"byte {data[error.start]:#04x} is not UTF-8: read as Latin-1"
        note(codes.JSON_ENCODING, message, _at(place, line))
        return data.decode("latin-1")


# -- element by element ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a top-level list, or one value of a top-level object that is no list.

    Attributes:
        key: of the top-level object; empty where the outermost value is a list.
        value: the element.
        start, length: its bytes in the file.
        line: its first line.
        listed: whether it stands in a list.
    """

    key: str
    value: Any
    start: int
    length: int
    line: int
    listed: bool


class JsonScanner:
    """Reads a JSON file in memory that does not grow with it.

    The file is parsed as Latin-1, in which bytes and characters count alike and JSON's own signs are what they are in UTF-8;
    an element that is not ASCII is parsed again in its true encoding.

    Args:
        path: the file.
        tally: takes findings; see `load_json`. (A key given twice is looked for in the outermost object alone.)

    Attributes:
        keys: of the outermost object, those met so far, each with its line.
    """

    def __init__(self, path: Path, tally: Tally) -> None:
        self._path = path
        self._tally = tally
        self._place = Place(file=str(path))
        self._constants: list[str] = []
        self._decoder = json.JSONDecoder(parse_constant=self._constants.append)
        self.keys: dict[str, int] = {}
        self._text = ""
        self._position = 0
        self._base = 0
        self._lines = 1
        self._counted = 0
        self._finished = False
        self._stream: BinaryIO | None = None

    def elements(self) -> Iterator[Element]:
        """Every element in order.

        Raises:
            MmudError: as `load_json`; elements before the fault have been handed out by then.
        """
        with open_file(self._path) as self._stream:
            mark = self._stream.read(4)
            if mark.startswith(_OTHER_MARKS):
                raise MmudError(codes.JSON_ENCODING, "the file is UTF-16 or UTF-32", self._place)
            self._base = 0
            if mark.startswith(_UTF8_MARK):
                self._tally.note(codes.JSON_ENCODING, "the file begins with a byte order mark", self._place)
                self._base = len(_UTF8_MARK)
            self._stream.seek(self._base)
            sign = self._peek()
            if sign == "[":
                yield from self._list("")
            elif sign == "{":
                yield from self._object()
            else:
                yield self._element("", listed=False)
            self._skip()
            if self._position < len(self._text):
                raise self._error("more follows after the end of the JSON value")

    def _object(self) -> Iterator[Element]:
        self._position += 1
        if self._peek() == "}":
            self._position += 1
            return
        while True:
            if self._peek() != '"':
                raise self._error("a key in double quotes is expected")
            name = self._element("", listed=False).value
            if name in self.keys:
                place = _at(self._place, self._line())
                self._tally.note(codes.JSON_DUPLICATE_KEY, f"key {name!r:.60} is given twice", place)
            self.keys.setdefault(name, self._line())
            self._expect(":")
            if self._peek() == "[":
                yield from self._list(name)
            else:
                yield self._element(name, listed=False)
            if self._next_sign("}") == "}":
                return

    def _list(self, key: str) -> Iterator[Element]:
        self._position += 1
        if self._peek() == "]":
            self._position += 1
            return
        while True:
            yield self._element(key, listed=True)
            if self._next_sign("]") == "]":
                return

    def _element(self, key: str, listed: bool) -> Element:
        self._skip()
        while True:
            start = self._position
            # An element that the window cuts off is begun again.
            self._constants.clear()
            try:
                value, end = self._decoder.raw_decode(self._text, start)
                # A number near the window's end may go on behind it, as 1 does in "1e+" and then "5".
                if len(self._text) - end > _LONGEST_EXPONENT_SIGN or self._finished:
                    break
            except json.JSONDecodeError as error:
                if self._finished or len(self._text) - start > ELEMENT_BYTES:
                    raise self._error(error.msg, error.pos) from error
            except RecursionError as error:
                raise MmudError(codes.JSON_TOO_LARGE, "nested too deeply", _at(self._place, self._line())) from error
            except ValueError as error:  # a whole number of thousands of digits
                raise self._error(str(error)[:120]) from error
            if len(self._text) - start > ELEMENT_BYTES:
                message = f"one element has more than {ELEMENT_BYTES:,} bytes"
                raise MmudError(codes.JSON_TOO_LARGE, message, _at(self._place, self._line()))
            self._refill()
        line = self._line()
        if not self._text.isascii() and not (raw := self._text[start:end]).isascii():
            value = parse_json(raw.encode("latin-1"), self._place, self._tally.note, line)
        else:
            for name in self._constants:
                self._tally.note(codes.JSON_NOT_FINITE, f"{name} stands for a number", _at(self._place, line))
        self._position = end
        return Element(key, value, self._base + start, end - start, line, listed)

    # -- the window ------------------------------------------------------------------------------------------------------

    def _refill(self) -> None:
        if self._stream is None or self._finished:
            return
        piece = self._stream.read(max(CHUNK, len(self._text) - self._position))
        self._finished = not piece
        self._line()
        self._text = self._text[self._position :] + piece.decode("latin-1")
        self._base += self._position
        self._position = self._counted = 0

    def _skip(self) -> None:
        while True:
            text, position = self._text, self._position
            while position < len(text) and text[position] in _SPACE:
                position += 1
            self._position = position
            if position < len(text) or self._finished:
                return
            self._refill()

    def _peek(self) -> str:
        self._skip()
        return self._text[self._position : self._position + 1]

    def _expect(self, sign: str) -> None:
        if self._peek() != sign:
            raise self._error(f"{sign!r} is expected")
        self._position += 1

    def _next_sign(self, closing: str) -> str:
        sign = self._peek()
        if sign not in (",", closing) or not sign:
            raise self._error(f"',' or {closing!r} is expected")
        self._position += 1
        return sign

    def _line(self) -> int:
        """The line of the position."""
        self._lines += self._text.count("\n", self._counted, self._position)
        self._counted = self._position
        return self._lines

    def _error(self, message: str, position: int | None = None) -> MmudError:
        at = self._position if position is None else position
        line = self._line() + self._text.count("\n", self._position, at)
        if at >= len(self._text):
            message += " (the file ends here)"
        return MmudError(codes.JSON_SYNTAX, message, _at(self._place, line))
