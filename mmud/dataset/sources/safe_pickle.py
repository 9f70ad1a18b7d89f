"""Reading pickles from strangers: plain data or an error, never code.

A pickle is a program for a small machine, and Python's own loader runs it with the power to import and call anything. The reader
behind these functions makes lists, tuples, dictionaries, numbers, text and bytes, and turns numeric numpy arrays into lists;
anything else is refused by its opcode before it could be built. See `mmud.dataset.sources.pickles.machine` for why it is an
interpreter of its own.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from mmud import codes as common_codes
from mmud.dataset.sources import codes
from mmud.dataset.sources.pickles.arrays import ALLOWED, to_plain
from mmud.dataset.sources.pickles.machine import run_elements, run_whole
from mmud.dataset.sources.pickles.state import GlobalName, Limits, State
from mmud.dataset.sources.pickles.window import fetched_slots
from mmud.errors import MmudError, Place

WHOLE = Limits(file_bytes=1 << 30, held_bytes=256 << 20, held_objects=12_000_000)
"""For a value that is loaded whole; RefCOCOg's expressions take about 60 MB and 3 million objects."""

STREAM = Limits(file_bytes=1 << 37, held_bytes=64 << 20, held_objects=2_000_000)
"""For a list that is handed out in batches; a batch of the official release takes about 4 MB and 50,000 objects."""


def load(path: Path, limits: Limits = WHOLE) -> Any:
    """The value that a pickle file holds.

    Args:
        path: the file.
        limits: bounds of size and memory.

    Raises:
        MmudError: MM002 missing, MM701 more than plain data, MM702 malformed, MM703 beyond the bounds.
    """
    with _opened(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        return _whole(stream, size, limits, Place(file=str(path)))


def loads(data: bytes, limits: Limits = WHOLE, where: Place | None = None) -> Any:
    """The value that a pickle in memory holds; see `load`."""
    return _whole(io.BytesIO(data), len(data), limits, where or Place())


def stream(path: Path, limits: Limits = STREAM, packed: bool = False) -> Iterator[Any]:
    """The elements of the list that a pickle file holds, one by one, in memory that does not grow with the file.

    Args:
        path: the file, which is read twice: first for the memo slots that it comes back to.
        limits: bounds of size and memory.
        packed: whether lists of floats may come as `mmud.dataset.sources.pickles.floats.PackedFloats`.

    Raises:
        MmudError: as `load`, and MM704 when the file holds no list; elements before the fault have been handed out by then.
    """
    place = Place(file=str(path))
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        _check_size(size, limits, place)
        wanted = fetched_slots(file, size)
        file.seek(0)
        state = State(file, size, limits, ALLOWED, wanted=wanted, packed=packed)
        for batch in run_elements(state, place):
            elements = to_plain(batch, place) if state.references else batch
            elements.reverse()
            while elements:
                # Each element is let go of before the next batch is read: less memory, and memory that is still in the cache.
                yield elements.pop()


def _whole(
    stream: BinaryIO,
    size: int,
    limits: Limits,
    place: Place,
    allowed: Mapping[GlobalName, Callable[..., Any]] = ALLOWED,
) -> Any:
    _check_size(size, limits, place)
    state = State(stream, size, limits, allowed)
    value = run_whole(state, place)
    return to_plain(value, place) if state.references else value


def _check_size(size: int, limits: Limits, place: Place) -> None:
    if size > limits.file_bytes:
        message = f"the file has {size:,} bytes, at most {limits.file_bytes:,} are read"
        raise MmudError(codes.PICKLE_TOO_LARGE, message, place)


def _opened(path: Path) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise MmudError(common_codes.FILE_MISSING, f"cannot open: {error}", Place(file=str(path))) from error
