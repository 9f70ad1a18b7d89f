"""The sufficient statistics of masks: a few whole numbers for each pair of a true and a predicted mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
ABSENT = -1
"""Stands for "there is none" in whole-number columns; null in rows."""

SIZES = ("small", "medium", "large")
SMALL_AREA = 32**2
LARGE_AREA = 96**2


@dataclass(frozen=True, slots=True)
class UnitTable:
    """Units as columns, each of shape (units,).

    Attributes:
        label: foreground pixels of the true mask; ABSENT for an extra mask that no object takes.
        predicted: foreground pixels of the predicted mask; ABSENT where the system gave none.
        intersection: pixels in both.
        no_target: whether the system says that nothing is meant.
        pixels: area of the object at the image's own size, for slices; ABSENT for an extra mask.
        boundary_intersection, boundary_union: pixels in both and in any boundary; ABSENT where they were not asked for.
        grefcoco: whether the sample comes from gRefCOCO, which one protocol treats on its own.
        tagged: whether the unit is a tag of an answer, true or predicted; it counts for grounding.
        words: of the expression that the object was asked for by; ABSENT where there is none.
        category: of the object; "" for an extra mask, "mixed" for an expression about several.
    """

    label: Int64
    predicted: Int64
    intersection: Int64
    no_target: NDArray[np.bool_]
    pixels: Int64
    boundary_intersection: Int64
    boundary_union: Int64
    grefcoco: NDArray[np.bool_]
    tagged: NDArray[np.bool_]
    words: Int64
    category: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.label)

    @classmethod
    def of(
        cls,
        label: Any,
        predicted: Any,
        intersection: Any,
        no_target: Any,
        **optional: Any,
    ) -> Self:
        """A table from the columns that every unit has; the others take values that mean "none"."""
        count = len(label)
        return cls(
            label=np.asarray(label, dtype=np.int64),
            predicted=np.asarray(predicted, dtype=np.int64),
            intersection=np.asarray(intersection, dtype=np.int64),
            no_target=np.asarray(no_target, dtype=bool),
            pixels=np.asarray(optional.get("pixels", label), dtype=np.int64),
            boundary_intersection=_numbers(optional.get("boundary_intersection"), count),
            boundary_union=_numbers(optional.get("boundary_union"), count),
            grefcoco=_flags(optional.get("grefcoco"), count),
            tagged=_flags(optional.get("tagged"), count),
            words=_numbers(optional.get("words"), count),
            category=_texts(optional.get("category"), count),
        )

    @classmethod
    def from_arrow(cls, units: pa.StructArray) -> Self:
        """From the units of rows, flattened."""
        columns: dict[str, Any] = {}
        for column in fields(cls):
            array = units.field(column.name)
            if pa.types.is_integer(array.type):
                columns[column.name] = _filled(array, ABSENT)
            elif pa.types.is_boolean(array.type):
                columns[column.name] = _filled(array, False)
            else:
                columns[column.name] = array.to_numpy(zero_copy_only=False)
        return cls(**columns)

    def sizes(self) -> NDArray[np.object_]:
        """COCO's small, medium or large, by area; "" for an extra mask."""
        names = np.array(["", *SIZES], dtype=object)
        number = 1 + (self.pixels >= SMALL_AREA).astype(np.int64) + (self.pixels >= LARGE_AREA)
        number[self.pixels == ABSENT] = 0
        chosen: NDArray[np.object_] = names[number]
        return chosen


def _filled(array: pa.Array, value: Any) -> NDArray[Any]:
    filled: NDArray[Any] = (array.fill_null(value) if array.null_count else array).to_numpy(zero_copy_only=False)
    return filled.astype(np.int64) if filled.dtype.kind == "i" else filled


def _numbers(values: Any, count: int) -> Int64:
    return np.full(count, ABSENT, dtype=np.int64) if values is None else np.asarray(values, dtype=np.int64)


def _flags(values: Any, count: int) -> NDArray[np.bool_]:
    return np.zeros(count, dtype=bool) if values is None else np.asarray(values, dtype=bool)


def _texts(values: Any, count: int) -> NDArray[np.object_]:
    found = np.full(count, "", dtype=object)
    if values is not None:
        found[:] = list(values)
    return found


@cache
def unit_type() -> pa.StructType:
    """A unit as rows hold it: where it belongs (``view``, ``unit``, ``object``, ``tag``), then the columns of `UnitTable`."""
    return pa.struct(
        [
            ("view", pa.string()),
            ("unit", pa.string()),
            ("object", pa.int32()),
            ("tag", pa.int32()),
            ("category", pa.string()),
            ("pixels", pa.int64()),
            ("label", pa.int64()),
            ("predicted", pa.int64()),
            ("intersection", pa.int64()),
            ("no_target", pa.bool_()),
            ("boundary_intersection", pa.int64()),
            ("boundary_union", pa.int64()),
            ("grefcoco", pa.bool_()),
            ("tagged", pa.bool_()),
            ("words", pa.int32()),
        ]
    )


def unit_rows(where: Sequence[Mapping[str, Any]], table: UnitTable) -> list[dict[str, Any]]:
    """Units as rows hold them: each entry of ``where`` (view, unit, object, tag) with the numbers at its position."""
    columns: dict[str, list[Any]] = {}
    for column in fields(UnitTable):
        values = getattr(table, column.name)
        listed = values.tolist()
        if values.dtype.kind == "i":
            listed = [None if value == ABSENT else value for value in listed]
        columns[column.name] = listed
    names = list(columns)
    return [
        {**place, **dict(zip(names, values, strict=True))}
        for place, values in zip(where, zip(*columns.values(), strict=True), strict=True)
    ]
