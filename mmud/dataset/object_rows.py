"""The column ``objects`` of rows, some of which have their objects as columns already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
import pyarrow as pa

from mmud.dataset.arrow_buffers import lists


class ObjectRows(Sequence[dict[str, Any]]):
    """The objects of one sample as a part of an array that holds those of many.

    They read as the dictionaries that they stand for; whoever makes columns takes the part as it is.

    Args:
        values: the column's objects, a struct array of the schema's type.
        first, last: the part, ``last`` excluded.
    """

    __slots__ = ("first", "last", "values")

    def __init__(self, values: pa.StructArray, first: int, last: int) -> None:
        self.values = values
        self.first = first
        self.last = last

    def __len__(self) -> int:
        return self.last - self.first

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[dict[str, Any]]: ...

    def __getitem__(self, index: int | slice) -> dict[str, Any] | Sequence[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.values.slice(self.first, len(self)).to_pylist()
        return rows[index]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        yield from self[:]


def objects_array(cells: Sequence[Any], kind: pa.ListType) -> pa.Array:
    """The column as an array.

    Args:
        cells: for each row `ObjectRows`, or whatever pyarrow takes for a list of objects.
        kind: the column's type.
    """
    if not any(type(cell) is ObjectRows for cell in cells):
        return pa.array(cells, kind)
    pieces: list[pa.Array] = []
    lengths: list[int] = []
    start = 0
    while start < len(cells):
        cell, end = cells[start], start + 1
        if type(cell) is ObjectRows:
            last = cell.last
            # Neighbours in the array they come from stay together.
            while end < len(cells) and _goes_on(cells[end], cell.values, last):
                last = cells[end].last
                end += 1
            pieces.append(cell.values.slice(cell.first, last - cell.first))
        else:
            if cell is None:
                return pa.array([None if one is None else list(one) for one in cells], kind)
            while end < len(cells) and cells[end] is not None and type(cells[end]) is not ObjectRows:
                end += 1
            pieces.append(pa.array([one for some in cells[start:end] for one in some], kind.value_type))
        lengths += map(len, cells[start:end])
        start = end
    values = pieces[0] if len(pieces) == 1 else pa.concat_arrays(pieces)
    return lists(np.array(lengths), values, kind)


def _goes_on(cell: Any, values: pa.StructArray, last: int) -> bool:
    return type(cell) is ObjectRows and cell.values is values and cell.first == last
