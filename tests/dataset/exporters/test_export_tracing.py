"""Tracing masks to polygons: what an even-odd filler with outlines draws from them is the mask."""

from __future__ import annotations

import numpy as np
import pytest
from exporter_samples import ring
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmud.annotations.masks import Mask
from mmud.dataset.exporters.tracing import trace


def fill(polygons: list[list[tuple[int, int]]], height: int, width: int) -> np.ndarray:
    """Draw polygons over one another, by definition: outline pixels, and pixels with an odd count of edges to their left.

    Exact for outlines that run along rows, columns and diagonals.
    """
    drawn = np.zeros((height, width), dtype=bool)
    for points in polygons:
        odd = np.zeros((height, width), dtype=bool)
        for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
            assert x0 == x1 or y0 == y1 or abs(x1 - x0) == abs(y1 - y0)
            steps = max(abs(x1 - x0), abs(y1 - y0))
            for k in range(steps + 1):
                share = k / steps if steps else 0
                drawn[round(y0 + share * (y1 - y0)), round(x0 + share * (x1 - x0))] = True
            if y0 > y1:
                x0, y0, x1, y1 = x1, y1, x0, y0
            for y in range(y0, y1):
                x = x0 + (x1 - x0) * (y - y0) // max(1, y1 - y0)
                odd[y, x + 1 :] ^= True
        drawn |= odd
    return drawn


masks = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@settings(max_examples=400, deadline=None)
@given(masks)
def test_any_mask_is_drawn_again(array: np.ndarray) -> None:
    polygons = trace(Mask.from_array(array))
    assert (fill(polygons, *array.shape) == array).all()


@settings(max_examples=150, deadline=None)
@given(masks, st.integers(1, 4), st.integers(1, 4))
def test_opencv_draws_any_mask_again(array: np.ndarray, tall: int, wide: int) -> None:
    cv2 = pytest.importorskip("cv2", reason="opencv-python-headless, the reader's own filler, is not installed")
    array = np.kron(array, np.ones((tall, wide), dtype=bool))
    drawn = np.zeros(array.shape, dtype=np.uint8)
    polygons = trace(Mask.from_array(array))
    for points in polygons:
        at = np.array([points], dtype=np.int32)
        cv2.polylines(drawn, at, True, 1, 1)
        cv2.fillPoly(drawn, at, 1)
    assert (drawn.astype(bool) == array).all()
    regions, _ = cv2.connectedComponents(array.astype(np.uint8), connectivity=8)
    assert len(polygons) == regions - 1


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 4), dtype=bool),
        np.ones((1, 1), dtype=bool),
        np.ones((1, 9), dtype=bool),
        np.ones((9, 1), dtype=bool),
        np.eye(7, dtype=bool),
        ring(24, 32),
        # A lattice: many holes that hang on one another.
        np.add.outer(np.arange(41) % 2, np.arange(31) % 2) < 1,
        np.add.outer(np.arange(41) % 2, np.arange(31) % 2) > 0,
    ],
)
def test_shapes_with_a_catch(array: np.ndarray) -> None:
    assert (fill(trace(Mask.from_array(array)), *array.shape) == array).all()


def test_straight_stretches_are_two_points() -> None:
    array = np.zeros((50, 60), dtype=bool)
    array[10:40, 5:55] = True
    assert trace(Mask.from_array(array)) == [[(5, 10), (54, 10), (54, 39), (5, 39)]]
