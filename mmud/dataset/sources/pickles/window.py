"""A file seen through a moving window of bytes; and which memo slots a pickle comes back to."""

from __future__ import annotations

import re
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mmud.dataset.sources import codes
from mmud.errors import Code

CHUNK = 1 << 20
MARGIN = 300
"""Bytes that are in the window beyond every opcode, so that the longest short form (1 + 1 + 255 bytes) needs no check."""

_GET_LINE = re.compile(rb"g(\d{1,10})\n")


class Refusal(Exception):
    """Why reading stopped, where the place is not known; the machine adds it."""

    def __init__(self, code: Code, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(message)


class Window:
    """Consecutive bytes of a stream.

    Attributes:
        data: the bytes; after the stream's end, `MARGIN` zero bytes follow (zero is no opcode).
        position: of the next byte to read, in ``data``.
        end: where the stream's own bytes end in ``data``.
        soft_end: up to here an opcode can be read without a check.
        base: the offset of ``data[0]`` in the stream.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._finished = False
        self.data = b""
        self.position = self.end = self.soft_end = self.base = 0

    @property
    def offset(self) -> int:
        """The position in the stream."""
        return self.base + min(self.position, self.end)

    def refill(self, needed: int = MARGIN) -> None:
        """Move on, so that ``needed`` bytes from the position on are there, or all that are left.

        Raises:
            Refusal: MM702 when none is left.
        """
        rest = self.data[self.position : self.end]
        if self._finished:
            if not rest or needed > len(rest) + MARGIN:
                raise Refusal(codes.PICKLE_MALFORMED, "the file ends before the pickle does")
            return
        pieces = [rest]
        have = len(rest)
        while have < needed or have == len(rest):
            piece = self._stream.read(max(CHUNK, needed - have))
            if not piece:
                self._finished = True
                pieces.append(bytes(MARGIN))
                break
            pieces.append(piece)
            have += len(piece)
        self.base += self.position
        self.data = b"".join(pieces)
        self.position, self.end = 0, have
        self.soft_end = have if self._finished else have - MARGIN
        if not have:
            raise Refusal(codes.PICKLE_MALFORMED, "the file ends before the pickle does")

    def take(self, count: int) -> bytes:
        """The next bytes.

        Raises:
            Refusal: MM702 when fewer are left.
        """
        if self.position + count > self.end:
            if not self._finished:
                self.refill(count)
            if self.position + count > self.end:
                raise Refusal(codes.PICKLE_MALFORMED, "the file ends before the pickle does")
        taken = self.data[self.position : self.position + count]
        self.position += count
        return taken

    def line(self, longest: int) -> bytes:
        """The bytes up to the next line feed, without it.

        Raises:
            Refusal: MM702 when there is none, MM703 when it is further away than ``longest``.
        """
        searched = 0
        while True:
            found = self.data.find(b"\n", self.position + searched, self.end)
            if found >= 0:
                taken = self.data[self.position : found]
                self.position = found + 1
                return taken
            searched = self.end - self.position
            if searched > longest:
                raise Refusal(codes.PICKLE_TOO_LARGE, f"a line of more than {longest:,} bytes")
            if self._finished:
                raise Refusal(codes.PICKLE_MALFORMED, "the file ends before the pickle does")
            self.refill(searched + CHUNK)


def fetched_slots(stream: BinaryIO, size: int) -> NDArray[np.int64]:
    """The memo slots from 256 on that a pickle may come back to: all that it does, and a few that it does not.

    Every place that reads like an opcode LONG_BINGET or GET counts, also within text and numbers; that needs no parsing, and the
    excess costs only a little memory. (BINGET reaches the slots below 256, which are kept anyway.)

    Args:
        stream: at the pickle's first byte.
        size: bytes; a pickle cannot have more slots.

    Returns:
        Slots, sorted.
    """
    found: list[NDArray[Any]] = []
    rest = b""
    text_protocol: bool | None = None
    while piece := stream.read(CHUNK):
        if text_protocol is None:
            # GET is written by protocol 0 alone, which has no header; the machine refuses it after a header.
            text_protocol = piece[:1] != b"\x80"
        window = rest + piece
        numbers = np.frombuffer(window, np.uint8)
        # The last byte is the highest: comparing it first leaves few places to look at.
        at = np.flatnonzero((numbers[:-4] == ord("j")) & (numbers[4:] <= min(size >> 24, 255)))
        slots = sum(numbers[at + 1 + byte].astype(np.int64) << (8 * byte) for byte in range(4))
        found.append(_distinct(np.asarray(slots)[np.asarray(slots) < size]))
        if text_protocol:
            found.append(np.array([int(match[1]) for match in _GET_LINE.finditer(window)], dtype=np.int64))
        rest = window[-16:]
    return _distinct(np.concatenate(found)) if found else np.empty(0, np.int64)


def _distinct(slots: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sorted, each once; ``numpy.unique`` imports ``numpy.ma`` for it."""
    slots = np.sort(slots)
    distinct: NDArray[np.int64] = slots[np.diff(slots, prepend=-1) != 0]
    return distinct
