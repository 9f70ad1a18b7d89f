"""Arrow arrays made of numpy arrays and texts, and read as numpy arrays, by their buffers.

``pyarrow.array`` and ``Array.to_numpy`` import pandas where it is installed, and most methods import ``pyarrow.compute``:
together half a second, a tenth of building a release. Nothing here does. For what is not a plain case `texts` and
`whole_numbers` still ask ``pyarrow.array``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_DTYPES: dict[pa.DataType, np.dtype[Any]] = {
    pa.int32(): np.dtype(np.int32),
    pa.int64(): np.dtype(np.int64),
    pa.float64(): np.dtype(np.float64),
    pa.bool_(): np.dtype(np.bool_),
}
_TEXT = frozenset({str})
_INT = frozenset({int})


def numbers(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """An array without nulls of a numeric type, from values of that very type."""
    buffer = pa.py_buffer(np.packbits(values, bitorder="little") if pa.types.is_boolean(kind) else values)
    return pa.Array.from_buffers(kind, len(values), [None, buffer])


def whole_numbers(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Python's whole numbers, or whatever else ``pyarrow.array`` takes, as an integer array."""
    if _INT.issuperset(map(type, values)):
        wide = np.array(values, dtype=np.int64)
        narrow = wide.astype(_DTYPES[kind])
        if np.array_equal(wide, narrow):
            return numbers(narrow, kind)
    return pa.array(values, kind)


def texts(values: Sequence[Any]) -> pa.Array:
    """Texts, or whatever else ``pyarrow.array`` takes, as a string array."""
    if not _TEXT.issuperset(map(type, values)):
        return pa.array(values, pa.string())
    joined = "".join(values)
    return encoded_texts(values, joined)


def encoded_texts(values: Sequence[str] | Sequence[bytes], joined: str | bytes) -> pa.Array:
    """A string array of texts, or of texts in UTF-8, whose concatenation is ``joined``."""
    if isinstance(joined, str) and not joined.isascii():
        values = [value.encode() for value in values if isinstance(value, str)]
        joined = b"".join(values)
    offsets = _offsets(np.fromiter(map(len, values), np.int64, len(values)))
    data = joined.encode() if isinstance(joined, str) else joined
    return pa.Array.from_buffers(pa.string(), len(values), [None, pa.py_buffer(offsets), pa.py_buffer(data)])


def lists(
    lengths: NDArray[np.int64], values: pa.Array, kind: pa.ListType, absent: NDArray[np.bool_] | None = None
) -> pa.ListArray:
    """Lists of these lengths, end to end in ``values``; those that are ``absent`` are null and have the length 0."""
    validity = None if absent is None else pa.py_buffer(np.packbits(~absent, bitorder="little"))
    buffers = [validity, pa.py_buffer(_offsets(lengths))]
    return pa.Array.from_buffers(kind, len(lengths), buffers, children=[values])


def struct(kind: pa.StructType, columns: Sequence[pa.Array]) -> pa.StructArray:
    """A struct array without nulls of its fields' arrays, in order."""
    return pa.Array.from_buffers(kind, len(columns[0]), [None], children=list(columns))


def _offsets(lengths: NDArray[np.int64]) -> NDArray[np.int32]:
    total = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=total[1:])
    if total[-1] > np.iinfo(np.int32).max:
        raise pa.ArrowInvalid(f"a column of {total[-1]:,} elements in one batch")
    return total.astype(np.int32)


def present(array: pa.Array) -> NDArray[np.bool_] | None:
    """Which elements are there; None where all are."""
    if not array.null_count:
        return None
    if pa.types.is_null(array.type):
        return np.zeros(len(array), dtype=bool)
    return _bits(array.buffers()[0], array)


def _bits(buffer: pa.Buffer, array: pa.Array) -> NDArray[np.bool_]:
    bits = np.unpackbits(np.frombuffer(buffer, np.uint8), bitorder="little")
    return bits[array.offset : array.offset + len(array)].astype(bool)


def values_of(array: pa.Array) -> NDArray[Any]:
    """The numbers or truth values that are there, of an array of fixed width."""
    kind, buffer = array.type, array.buffers()[1]
    if not len(array) or buffer is None:
        return np.zeros(0, _DTYPES[kind])
    if pa.types.is_boolean(kind):
        values: NDArray[Any] = _bits(buffer, array)
    else:
        dtype = _DTYPES[kind]
        values = np.frombuffer(buffer, dtype, len(array), array.offset * dtype.itemsize)
    there = present(array)
    return values if there is None else values[there]


def bounds_of(array: pa.Array) -> NDArray[np.int32]:
    """The n + 1 offsets of n lists or texts."""
    buffer = array.buffers()[1]
    if not len(array) or buffer is None:
        return np.zeros(1, dtype=np.int32)
    return np.frombuffer(buffer, np.int32, len(array) + 1, array.offset * 4)


def lengths_of(array: pa.Array, absent: int) -> NDArray[np.int32]:
    """The lengths of lists, or of texts in bytes; ``absent`` for null."""
    lengths = np.diff(bounds_of(array))
    there = present(array)
    if there is not None:
        lengths[~there] = absent
    return lengths


def elements_of(array: pa.ListArray) -> pa.Array:
    """The elements of all lists, end to end."""
    bounds = bounds_of(array)
    there = present(array)
    if there is not None and np.any(np.diff(bounds)[~there]):
        return array.flatten()  # something lies under a null
    return array.values.slice(int(bounds[0]), int(bounds[-1] - bounds[0]))


def strings_of(array: pa.Array) -> list[str]:
    """The texts of a string array, null as an empty one."""
    if array.null_count:
        return [text or "" for text in array.to_pylist()]
    data = bytes(text_of(array))
    ends = np.cumsum(lengths_of(array, 0)).tolist()
    return [data[start:end].decode() for start, end in zip([0, *ends], ends, strict=False)]


def containing(array: pa.Array, text: str) -> NDArray[np.bool_]:
    """Which texts of a string array contain this one; null does not."""
    bounds = bounds_of(array) - bounds_of(array)[0]
    data, needle = bytes(text_of(array)), text.encode()
    starts = []
    start = data.find(needle)
    while start >= 0:
        starts.append(start)
        # A match that runs from one text into the next must not hide another.
        start = data.find(needle, start + 1)
    found = np.zeros(len(array), dtype=bool)
    if starts:
        rows = np.searchsorted(bounds, starts, side="right") - 1
        found[rows[np.array(starts) + len(needle) <= bounds[rows + 1]]] = True
        there = present(array)
        if there is not None:
            found &= there
    return found


def text_of(array: pa.Array) -> memoryview:
    """The bytes of all texts of a string array end to end, with what may lie under its nulls."""
    data = array.buffers()[2]
    bounds = bounds_of(array)
    if data is None or bounds[0] == bounds[-1]:
        return memoryview(b"")
    return memoryview(data)[int(bounds[0]) : int(bounds[-1])]
