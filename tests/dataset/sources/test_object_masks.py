"""Masks of an image's objects in one go: what `Mask.from_coco`, which pycocotools is tested against, makes of them one by one."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from mmud.annotations.masks import Mask
from mmud.dataset.sources.object_masks import (
    areas_disagree,
    boxes_disagree,
    canonical,
    object_masks,
    usable_box,
)
from mmud.errors import MmudError

HEIGHT, WIDTH = 30, 40
SQUARE = [2.0, 3.0, 12.0, 3.0, 12.0, 9.0, 2.0, 9.0]
OTHER = [8.0, 5.0, 20.0, 5.0, 20.0, 15.0, 8.0, 15.0]


def rle_of(polygon: list[float], height: int = HEIGHT, width: int = WIDTH) -> dict[str, Any]:
    return coco.frPyObjects([polygon], height, width)[0]


@pytest.mark.parametrize("split", ["train", "val"])
def test_every_object_of_coco_equals_pycocotools(shared_data: Path, split: str) -> None:
    data = json.loads((shared_data / "coco_mini" / "annotations" / f"instances_{split}2017.json").read_text())
    by_image: dict[int, list[dict[str, Any]]] = {}
    for annotation in data["annotations"]:
        by_image.setdefault(annotation["image_id"], []).append(annotation)
    for image in data["images"]:
        height, width = image["height"], image["width"]
        annotations = by_image.get(image["id"], [])
        masks = object_masks([annotation["segmentation"] for annotation in annotations], height, width)
        for annotation, mask in zip(annotations, masks, strict=True):
            form = annotation["segmentation"]
            rle = coco.frPyObjects(form, height, width)
            whole = coco.merge(rle) if isinstance(form, list) else rle
            assert mask.counts == whole["counts"].decode()
            assert mask.area == coco.area(whole)
            assert not mask.problems
            if isinstance(form, list):
                assert mask.polygons == tuple(tuple(polygon) for polygon in form)
                assert mask.overlapping == (sum(map(coco.area, rle)) > coco.area(whole))
            else:
                assert mask.polygons is None
                assert mask.box == tuple(coco.toBbox(whole).tolist())


def test_every_form_of_one_object() -> None:
    compressed = rle_of(SQUARE)
    runs = Mask.from_coco(compressed, HEIGHT, WIDTH).runs
    text = {"size": [HEIGHT, WIDTH], "counts": compressed["counts"].decode()}
    forms = [[SQUARE], SQUARE, compressed, text, [compressed], {"size": [HEIGHT, WIDTH], "counts": runs}]
    masks = object_masks(forms, HEIGHT, WIDTH)
    assert {mask.counts for mask in masks} == {compressed["counts"].decode()}
    assert {mask.area for mask in masks} == {int(coco.area(compressed))}
    assert not any(mask.problems for mask in masks)


def test_parts_are_joined_and_their_overlap_seen() -> None:
    far = [25.0, 20.0, 35.0, 20.0, 35.0, 28.0, 25.0, 28.0]
    for parts, overlapping in (([SQUARE, OTHER], True), ([SQUARE, far], False)):
        rles = [rle_of(part) for part in parts]
        union = coco.merge(rles)["counts"].decode()
        from_polygons, from_rles = object_masks([parts, rles], HEIGHT, WIDTH)
        assert from_polygons.counts == from_rles.counts == union
        assert from_polygons.overlapping is from_rles.overlapping is overlapping
        assert from_rles.parts == tuple(rle["counts"].decode() for rle in rles)


def test_more_parts_and_objects_than_pycocotools_takes_at_once() -> None:
    small = [
        [float(x), float(y), x + 2.0, float(y), x + 2.0, y + 2.0] for x in range(0, 36, 3) for y in range(0, 27, 3)
    ]
    many = [[polygon] for polygon in small * 3]
    assert len(many) > 255
    masks = object_masks([*many, small * 3], HEIGHT, WIDTH)
    for form, mask in zip([*many, small * 3], masks, strict=True):
        assert mask.counts == coco.merge(coco.frPyObjects(form, HEIGHT, WIDTH))["counts"].decode()
    assert masks[-1].overlapping


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ([[1.0, 2.0, 3.0, 4.0]], "4 numbers"),
        ([[1.0, 2.0]], "2 numbers"),
        ([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]], "7 numbers"),
        ([[]], "0 numbers"),
        ([[1.0, 2.0, math.nan, 4.0, 5.0, 6.0]], "not finite"),
        ([[1.0, 2.0, math.inf, 4.0, 5.0, 6.0]], "not finite"),
        ([[1.0, 2.0, 1e9, 4.0, 5.0, 6.0]], "further out"),
        ([[1, 10**400, 3, 4, 5, 6]], "further out"),
        ([[1.0, 2.0, "3", 4.0, 5.0, 6.0]], "not a number"),
        ([[True, 2.0, 3.0, 4.0, 5.0, 6.0]], "not a number"),
        ({"size": [HEIGHT, WIDTH], "counts": "!!"}, "character"),
        ({"size": [HEIGHT, WIDTH], "counts": b"\xff\xfe"}, "character"),
        ({"size": [HEIGHT, WIDTH], "counts": "é"}, "character"),
        ({"size": [HEIGHT, WIDTH], "counts": [1, 2]}, "cover"),
        ({"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH * 2]}, "run"),
        ({"size": [HEIGHT, WIDTH], "counts": "0"}, "cover"),
        ({"size": [WIDTH, HEIGHT], "counts": "0"}, "mask is 40 x 30"),
        ({"size": [HEIGHT, WIDTH]}, "counts"),
        ({"counts": "0"}, "size"),
        ("a text", "form"),
        (7, "form"),
        ([{"size": [HEIGHT, WIDTH], "counts": "0"}, "a text"], "form"),
    ],
)
def test_what_cannot_be_used_is_named(form: Any, problem: str) -> None:
    (mask, good) = object_masks([form, [SQUARE]], HEIGHT, WIDTH)
    assert problem in " ".join(mask.problems)
    assert mask.counts is None
    assert good.counts == rle_of(SQUARE)["counts"].decode()


@pytest.mark.parametrize("form", [None, [], ()])
def test_nothing_is_no_problem(form: Any) -> None:
    (mask,) = object_masks([form], HEIGHT, WIDTH)
    assert (mask.counts, mask.polygons, mask.problems, mask.box) == (None, None, (), None)


def test_the_usable_part_of_a_mask_is_kept() -> None:
    (mask,) = object_masks([[SQUARE, [1.0, 2.0]]], HEIGHT, WIDTH)
    assert mask.counts == rle_of(SQUARE)["counts"].decode()
    assert mask.polygons == (tuple(SQUARE),)
    assert len(mask.problems) == 1


RUNS = st.lists(st.integers(0, 30), min_size=1, max_size=30)


@given(RUNS)
def test_canonical_counts_are_those_of_pycocotools(runs: list[int]) -> None:
    pixels = sum(runs)
    if not pixels:
        return
    text = coco.frPyObjects({"size": [pixels, 1], "counts": runs}, pixels, 1)["counts"]
    assert canonical(text, pixels) == (0 not in runs[1:])
    assert not canonical(text, pixels + 1)


@given(
    st.binary(max_size=30) | st.text("0123456789:;<=>?@PQRopqKLMNO", max_size=30).map(str.encode), st.integers(1, 4000)
)
def test_canonical_counts_are_readable(text: bytes, pixels: int) -> None:
    if canonical(text, pixels):
        mask = Mask.from_counts(text, pixels, 1)
        assert mask.counts == text
        assert sum(mask.runs) == pixels


NUMBER = st.floats(-50, 90) | st.integers(-50, 90) | st.just(math.nan) | st.none() | st.text(max_size=2)
FORM = (
    st.none()
    | st.lists(st.lists(NUMBER, max_size=10), max_size=4)
    | st.lists(st.floats(-50, 90), max_size=12)
    | st.fixed_dictionaries(
        {"size": st.just([HEIGHT, WIDTH]), "counts": st.text(max_size=9) | RUNS | st.binary(max_size=9)}
    )
    | st.recursive(
        NUMBER, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    )
)


@given(st.lists(FORM, max_size=5))
def test_no_form_is_fatal_and_each_equals_the_mask_alone(forms: list[Any]) -> None:
    for form, mask in zip(forms, object_masks(forms, HEIGHT, WIDTH), strict=True):
        try:
            alone = Mask.from_coco(form, HEIGHT, WIDTH)
        except MmudError:
            assert mask.problems or form in (None, (), [])
            continue
        if mask.problems:
            continue
        if mask.counts is None:
            assert alone.area == 0
        else:
            assert mask.counts == alone.counts.decode()
            assert mask.area == alone.area


def test_the_extent_of_polygons_is_that_of_their_pixels() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        polygon = rng.uniform(-10, 50, 12).tolist()
        (mask,) = object_masks([[polygon]], HEIGHT, WIDTH)
        if mask.box is not None:
            own = coco.toBbox(rle_of(polygon)).tolist()
            assert not boxes_disagree(mask.box, tuple(own))


@pytest.mark.parametrize(
    ("value", "box"),
    [
        ([1, 2, 3, 4], (1.0, 2.0, 3.0, 4.0)),
        ((1.5, -2.0, 0, 0.0), (1.5, -2.0, 0.0, 0.0)),
        ([1, 2, 3], None),
        ([1, 2, 3, -4], None),
        ([1, 2, 3, math.nan], None),
        ([1, math.inf, 3, 4], None),
        ([1, 2, 3, 10**400], None),
        ([1, 2, 3, "4"], None),
        ([1, 2, 3, True], None),
        (None, None),
        ("1234", None),
        ({0: 1, 1: 2, 2: 3, 3: 4}, None),
    ],
)
def test_boxes(value: Any, box: Any) -> None:
    assert usable_box(value) == box


def test_when_boxes_and_areas_disagree() -> None:
    assert not boxes_disagree((10.0, 10.0, 50.0, 50.0), (14.9, 10.0, 50.0, 50.0))
    assert boxes_disagree((10.0, 10.0, 50.0, 50.0), (15.1, 10.0, 50.0, 50.0))
    # 5 % of a box 400 pixels wide.
    assert not boxes_disagree((0.0, 0.0, 400.0, 50.0), (19.0, 0.0, 381.0, 50.0))
    assert boxes_disagree((0.0, 0.0, 400.0, 50.0), (0.0, 0.0, 400.0, 56.0))
    assert not areas_disagree(100.0, 149)
    assert not areas_disagree(1000.0, 1099)
    # The crowd of mini_refcoco that its README names.
    assert areas_disagree(45562.0, 40661)
