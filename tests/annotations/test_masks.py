"""Masks against pycocotools, the reference implementation, on real objects and generated ones."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from mmud.annotations.masks import Mask, areas, intersections_and_unions
from mmud.annotations.runs import compress_runs, decode_runs
from mmud.errors import MmudError

ARRAYS = hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.integers(0, 1))


def special_arrays() -> dict[str, np.ndarray]:
    def blank(height: int, width: int) -> np.ndarray:
        return np.zeros((height, width), np.uint8)

    one_pixel, column, hole, wide = blank(9, 7), blank(9, 7), blank(9, 7), blank(3, 4000)
    one_pixel[4, 3] = 1
    column[:, 2] = 1
    hole[1:8, 1:6] = 1
    hole[3:5, 3] = 0
    wide[1, 5:3990] = 1
    return {
        "empty": blank(9, 7),
        "full": blank(9, 7) + 1,
        "one_pixel": one_pixel,
        "one_column": column,
        "hole": hole,
        "tiny_off": blank(1, 1),
        "tiny_on": blank(1, 1) + 1,
        "wide": wide,
    }


@pytest.mark.parametrize("name", special_arrays())
def test_special_shapes_equal_pycocotools_and_survive_every_form(name: str) -> None:
    array = special_arrays()[name]
    mask = Mask.from_array(array)
    reference = coco.encode(np.asfortranarray(array))
    assert mask.counts == reference["counts"]
    assert mask.area == coco.area(reference) == array.sum()
    assert list(mask.bbox) == list(coco.toBbox(reference))
    height, width = array.shape
    for form in (
        {"size": [height, width], "counts": mask.runs},
        mask.to_json(),
        mask.to_coco(),
        [mask.to_json()],
    ):
        assert Mask.from_coco(form, height, width) == mask
    assert np.array_equal(mask.decode(), array)
    assert Mask.from_coco(json.loads(json.dumps(mask.to_json())), height, width) == mask
    assert pickle.loads(pickle.dumps(mask)) == mask


@given(ARRAYS)
def test_runs_are_those_of_pycocotools(array: np.ndarray) -> None:
    compressed = coco.encode(np.asfortranarray(array))["counts"]
    flat = array.flatten(order="F")
    changes = np.flatnonzero(np.diff(np.concatenate(([0], flat)))) if flat.size else []
    expected = np.diff(np.concatenate(([0], changes, [flat.size]))).tolist()
    assert decode_runs([compressed], [flat.size]).runs.tolist() == expected
    assert compress_runs(expected) == compressed


@given(st.lists(ARRAYS, max_size=8))
def test_decoding_many_at_once_equals_one_by_one(arrays: list[np.ndarray]) -> None:
    counts = [coco.encode(np.asfortranarray(array))["counts"] for array in arrays]
    batch = decode_runs(counts, [array.size for array in arrays])
    assert not batch.problems
    for index, (text, array) in enumerate(zip(counts, arrays, strict=True)):
        assert batch.of(index).tolist() == decode_runs([text], [array.size]).runs.tolist()


@given(st.lists(st.tuples(st.binary(max_size=12), st.integers(-1, 5), st.integers(0, 5)), max_size=8))
def test_many_counts_are_checked_as_one_by_one(rows: list[tuple[bytes, int, int]]) -> None:
    found = Mask.from_many_counts([row[0] for row in rows], [row[1:] for row in rows])
    for mask, (counts, height, width) in zip(found, rows, strict=True):
        try:
            assert mask == Mask.from_counts(counts, height, width)
        except MmudError as error:
            assert isinstance(mask, MmudError)
            assert mask.code == error.code


@given(st.binary(max_size=40), st.integers(1, 9), st.integers(1, 9))
def test_arbitrary_counts_are_read_as_pycocotools_does_or_refused(counts: bytes, height: int, width: int) -> None:
    try:
        mask = Mask.from_counts(counts, height, width)
    except MmudError as error:
        assert error.code.id == "MM201"
        return
    assert sum(mask.runs) == height * width
    assert mask == Mask.from_array(mask.decode())
    assert np.array_equal(mask.decode(), coco.decode({"size": [height, width], "counts": counts}))


@given(st.data())
@settings(max_examples=60)
def test_pairs_equal_decoded_counting(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 30), st.integers(1, 30)))
    bits = hnp.arrays(np.uint8, shape, elements=st.integers(0, 1))
    first, second = data.draw(st.lists(bits, min_size=1, max_size=4)), data.draw(bits)
    seconds = [second] * len(first)
    shared, joined = intersections_and_unions(
        [Mask.from_array(a) for a in first], [Mask.from_array(b) for b in seconds]
    )
    assert shared.tolist() == [int((a & b).sum()) for a, b in zip(first, seconds, strict=True)]
    assert joined.tolist() == [int((a | b).sum()) for a, b in zip(first, seconds, strict=True)]
    every = [Mask.from_array(array) for array in [*first, second]]
    assert np.array_equal(Mask.union(every).decode(), np.bitwise_or.reduce([*first, second]))
    assert np.array_equal(Mask.intersection(every).decode(), np.bitwise_and.reduce([*first, second]))


def test_areas_of_more_than_255_masks() -> None:
    masks = [Mask.from_array(np.ones((2, 1 + n % 5), np.uint8)) for n in range(600)]
    assert areas(masks).tolist() == [2 * (1 + n % 5) for n in range(600)]


@pytest.mark.data
@pytest.mark.parametrize("split", ["train2017", "val2017"])
def test_every_object_of_coco_equals_pycocotools(shared_data: Path, split: str) -> None:
    data = json.loads((shared_data / "coco_mini/annotations" / f"instances_{split}.json").read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in data["images"]}
    assert len(data["annotations"]) > 500
    for annotation in data["annotations"]:
        height, width = sizes[annotation["image_id"]]
        segmentation = annotation["segmentation"]
        if isinstance(segmentation, list):
            reference = coco.merge(coco.frPyObjects(segmentation, height, width))
        elif isinstance(segmentation["counts"], list):
            reference = coco.frPyObjects(segmentation, height, width)
        else:
            reference = segmentation
        mask = Mask.from_coco(segmentation, height, width)
        assert mask.counts == reference["counts"]
        assert mask.area == coco.area(reference)
        assert list(mask.bbox) == list(coco.toBbox(reference))
        assert Mask.from_coco(mask.to_json(), height, width) == mask
        assert Mask.from_counts(mask.runs, height, width) == mask


@pytest.mark.parametrize(
    ("segmentation", "code"),
    [
        ([[1, 2, 3, 4]], "MM203"),
        ([[1, 2, 3, 4, 5]], "MM203"),
        ([[1, 2, 3, 4, 5, 6, 7]], "MM203"),
        ([[1, 2, 3, float("nan"), 5, 6]], "MM203"),
        ([[1, 2, 3, 1e12, 5, 6]], "MM203"),
        ([["a", 2, 3, 4, 5, 6]], "MM203"),
        ([1, 2, 3, 4, 5, 6, "x"], "MM205"),
        ("abc", "MM205"),
        (7, "MM205"),
        (None, "MM205"),
        ({"size": [10, 20], "counts": [50, 20]}, "MM201"),
        ({"size": [10, 20], "counts": [50, -20, 170]}, "MM201"),
        ({"size": [10, 20], "counts": [10.5, 189.5]}, "MM201"),
        ({"size": [10, 20], "counts": "PPYo"}, "MM201"),
        ({"size": [10, 20], "counts": "é"}, "MM201"),
        ({"size": [10, 20], "counts": None}, "MM201"),
        ({"size": [10], "counts": "0"}, "MM201"),
        ({"counts": "0"}, "MM201"),
        ({"size": [20, 10], "counts": [200]}, "MM202"),
        ({"size": [0, 10], "counts": [0]}, "MM202"),
        ({"size": [-1, 10], "counts": [0]}, "MM202"),
        ({"size": [10**9, 10**9], "counts": "0"}, "MM202"),
    ],
)
def test_broken_segmentations_are_refused_with_a_code(segmentation: object, code: str) -> None:
    with pytest.raises(MmudError) as caught:
        Mask.from_coco(segmentation, 10, 20)
    assert caught.value.code.id == code


def test_overlapping_parts_are_joined_not_cancelled() -> None:
    square = [0, 0, 6, 0, 6, 6, 0, 6]
    shifted = [3, 3, 9, 3, 9, 9, 3, 9]
    both = Mask.from_polygons([square, shifted], 10, 10)
    assert both.decode()[4, 4] == 1
    # Inclusion and exclusion: what union means, whatever the rasteriser.
    one, two = Mask.from_polygons([square], 10, 10), Mask.from_polygons([shifted], 10, 10)
    assert both.area == one.area + two.area - Mask.intersection([one, two]).area


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12).filter(lambda runs: sum(runs) > 0))
def test_runs_of_length_zero_are_joined(runs: list[int]) -> None:
    # pycocotools' merge ends at a run of length zero; encoding the decoded pixels is what equal masks agree on.
    width = sum(runs)
    mask = Mask.from_counts(runs, 1, width)
    pixels = np.repeat(np.arange(len(runs)) % 2, runs).astype(np.uint8)[None, :]
    assert np.array_equal(mask.decode(), pixels)
    assert mask == Mask.from_array(pixels) == Mask.union([mask, mask])


@given(ARRAYS, st.data())
def test_encodings_with_more_characters_than_needed_become_the_shortest(array: np.ndarray, data: st.DataObject) -> None:
    mask = Mask.from_array(array)
    # Each run ends at a character below 48 + 32; any may be followed by a group that only repeats its sign.
    ends = [position for position, code in enumerate(mask.counts) if code < 80]
    longer = bytearray(mask.counts)
    position = data.draw(st.sampled_from(ends))
    sign = bool((longer[position] - 48) & 0x10)
    longer[position] += 32
    longer.insert(position + 1, 48 + (0x1F if sign else 0))
    assert bytes(longer) != mask.counts
    assert np.array_equal(coco.decode({"size": list(mask.size), "counts": bytes(longer)}), array)
    assert Mask.from_counts(bytes(longer), *mask.size) == mask
