"""Polygons rasterised many at once: to the byte what pycocotools makes of each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import _mask as coco

from mmud.annotations.outlines import FEWEST, FURTHEST, draw, rasterise

# Whole and half pixels and the fine grid's own steps bring passages that fall right on a step of the walk.
GRID = st.integers(0, 200).map(lambda number: number / 2) | st.integers(0, 500).map(lambda number: number / 5)
COORDINATE = GRID | st.floats(0, 100) | st.integers(0, 10_000).map(lambda number: number / 100)
FAR = COORDINATE | st.floats(0, FURTHEST) | st.just(FURTHEST)


def polygons(coordinate: st.SearchStrategy[float]) -> st.SearchStrategy[list[list[float]]]:
    points = st.tuples(coordinate, coordinate)
    few = st.lists(points, min_size=1, max_size=4)  # so that points and edges come again
    outline = st.lists(points, min_size=3, max_size=12) | few.flatmap(
        lambda some: st.lists(st.sampled_from(some), min_size=3, max_size=8)
    )
    return st.lists(outline.map(lambda listed: [side for point in listed for side in point]), min_size=1, max_size=6)


def check(listed: list[np.ndarray], height: int, width: int) -> None:
    drawn = draw(np.concatenate(listed), np.cumsum([len(one) for one in listed]), height, width)
    expected = coco.frPoly(listed, height, width)
    assert drawn.counts == [rle["counts"] for rle in expected]
    assert drawn.areas.tolist() == coco.area(expected).tolist()


@given(polygons(COORDINATE), st.integers(1, 110), st.integers(1, 110))
@settings(max_examples=600, deadline=None)
def test_any_polygons(listed: list[list[float]], height: int, width: int) -> None:
    check([np.array(one, dtype=np.float64) for one in listed], height, width)


@given(polygons(FAR), st.integers(1, 700), st.integers(1, 700))
@settings(max_examples=60, deadline=None)
def test_polygons_that_leave_the_image(listed: list[list[float]], height: int, width: int) -> None:
    check([np.array(one, dtype=np.float64) for one in listed], height, width)


@pytest.mark.parametrize("seed", range(4))
def test_outlines_as_people_draw_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for height, width in ((480, 640), (640, 427), (1, 1), (3, 700)):
        listed = []
        for _ in range(40):
            angles = np.sort(rng.random(int(rng.integers(3, 60)))) * 2 * np.pi
            radius = rng.uniform(1, 200) * (1 + 0.3 * rng.random(len(angles)))
            points = rng.uniform(0, 600, 2) + radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
            listed.append(np.abs(points.ravel()).round(int(rng.integers(0, 3))))
        check(listed, height, width)


def test_either_way_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    listed = [rng.uniform(-20, 120, 2 * int(rng.integers(3, 9))) for _ in range(FEWEST)]
    for some, positive in ((listed, False), ([np.abs(one) for one in listed], True), (listed[:3], False)):
        expected = coco.frPoly(some, 90, 100)
        found = rasterise(some, 90, 100, positive)
        assert found.counts == [rle["counts"] for rle in expected]
        assert found.areas.tolist() == coco.area(expected).tolist()
    # An image so large that places in several would not fit 32 bits.
    far = [np.abs(one) * 300 for one in listed]
    expected = coco.frPoly(far, 30_000, 40_000)
    assert rasterise(far, 30_000, 40_000, True).counts == [rle["counts"] for rle in expected]


def test_polygons_of_coco(shared_data: Path) -> None:
    file = shared_data / "mini_refcoco" / "instances.json"
    if not file.exists():
        pytest.skip("no instances.json in mini_refcoco")
    data = json.loads(file.read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in data["images"]}
    by_size: dict[tuple[int, int], list[np.ndarray]] = {}
    for annotation in data["annotations"]:
        if isinstance(annotation["segmentation"], list):
            for polygon in annotation["segmentation"]:
                if min(polygon) >= 0:
                    by_size.setdefault(sizes[annotation["image_id"]], []).append(np.array(polygon, dtype=np.float64))
    assert by_size
    for (height, width), listed in by_size.items():
        check(listed, height, width)
