"""Arrays made of buffers and read by them: what pyarrow's own functions make and read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmud.dataset import arrow_buffers as buffers
from mmud.dataset.object_rows import ObjectRows, objects_array
from mmud.dataset.schema import OBJECT

WORDS = st.sampled_from(["", "a", "<LCL-", "<LCL-1> <LCL-2>", "<L", "CL-", "ß<LCL-", "\U0001f600"])
TEXTS = st.lists(st.none() | WORDS, max_size=9)
CUTS = st.tuples(st.integers(0, 4), st.integers(0, 9))


@given(TEXTS, CUTS)
@settings(deadline=None)  # the first example imports pandas
def test_texts(values: list[str | None], cut: tuple[int, int]) -> None:
    made = buffers.texts(values)
    assert made.equals(pa.array(values, pa.string()))
    made.validate(full=True)
    part = made.slice(*cut)
    assert buffers.lengths_of(part, -1).tolist() == pc.fill_null(pc.binary_length(part), -1).to_pylist()
    assert buffers.strings_of(part) == pc.fill_null(part, "").to_pylist()
    assert (
        buffers.containing(part, "<LCL-").tolist() == pc.fill_null(pc.match_substring(part, "<LCL-"), False).to_pylist()
    )
    assert bytes(buffers.text_of(part)) == "".join(text or "" for text in part.to_pylist()).encode()


@pytest.mark.parametrize("kind", [pa.int32(), pa.int64(), pa.float64(), pa.bool_()])
@given(st.lists(st.none() | st.integers(0, 1), max_size=20), CUTS)
@settings(deadline=None)  # the first example imports pandas
def test_numbers(kind: pa.DataType, values: list[int | None], cut: tuple[int, int]) -> None:
    array = pa.array([None if value is None else bool(value) for value in values], pa.bool_()).cast(kind)
    part = array.slice(*cut)
    assert buffers.values_of(part).tolist() == part.drop_null().to_pylist()
    there = buffers.present(part)
    assert (np.ones(len(part), bool) if there is None else there).tolist() == part.is_valid().to_pylist()
    whole = buffers.values_of(array)
    assert buffers.numbers(whole, kind).equals(array.drop_null())


@given(st.lists(st.none() | st.lists(st.integers(0, 9), max_size=3), max_size=9), CUTS)
@settings(deadline=None)  # the first example imports pandas
def test_lists(values: list[list[int] | None], cut: tuple[int, int]) -> None:
    kind = pa.list_(pa.int64())
    array = pa.array(values, kind)
    absent = np.array([value is None for value in values], dtype=bool)
    lengths = np.array([len(value or ()) for value in values], dtype=np.int64)
    flat = np.array([number for value in values for number in value or ()], dtype=np.int64)
    made = buffers.lists(lengths, buffers.numbers(flat, pa.int64()), kind, absent)
    assert made.equals(array)
    made.validate(full=True)
    part = array.slice(*cut)
    assert buffers.lengths_of(part, -1).tolist() == pc.fill_null(pc.list_value_length(part), -1).to_pylist()
    assert buffers.elements_of(part).equals(part.flatten())


def test_what_lies_under_a_null_is_no_element() -> None:
    offsets, values = pa.array([0, 2, 3], pa.int32()), pa.array([1, 2, 3])
    array = pa.ListArray.from_arrays(offsets, values, mask=pa.array([True, False]))
    assert buffers.elements_of(array).to_pylist() == [3]


@pytest.mark.parametrize("values", [[1, 2**31], ["x"]])
def test_numbers_that_do_not_fit_are_refused(values: list[Any]) -> None:
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError)):
        buffers.whole_numbers(values, pa.int32())


OBJECTS = st.fixed_dictionaries(
    {
        "phrases": st.lists(WORDS, max_size=2),
        "segmentation": st.none() | st.fixed_dictionaries({"size": st.just([3, 4]), "counts": WORDS}),
        "polygons": st.none() | st.lists(st.lists(st.floats(0, 9), max_size=3), max_size=2),
        "bbox": st.just([0.0, 1.0, 2.0, 3.0]),
        "area": st.floats(0, 9),
        "category": WORDS,
        "category_id": st.none() | st.integers(0, 9),
        "iscrowd": st.booleans(),
        "ref_id": st.none(),
        "ann_id": st.none() | st.integers(0, 9),
    }
)


@given(st.lists(st.lists(OBJECTS, max_size=3), max_size=6), st.data())
@settings(deadline=None)  # the first example imports pandas
def test_objects_that_are_columns_already(rows: list[list[dict[str, Any]]], data: st.DataObject) -> None:
    kind = pa.list_(OBJECT)
    values = pa.array([one for row in rows for one in row], OBJECT)
    ends = np.cumsum([0, *map(len, rows)]).tolist()
    cells = [
        ObjectRows(values, ends[number], ends[number + 1]) if data.draw(st.booleans()) else row
        for number, row in enumerate(rows)
        if data.draw(st.integers(0, 4))  # some rows of the array are left out
    ]
    assert [list(cell) for cell in cells] == [cell[:] for cell in cells]
    found = objects_array(cells, kind)
    found.validate(full=True)
    assert found.equals(pa.array([list(cell) for cell in cells], kind))
    holed = [*cells, None]
    assert objects_array(holed, kind).equals(pa.array([None if c is None else list(c) for c in holed], kind))
