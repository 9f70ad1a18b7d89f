"""Boundary IoU against the paper's definition, carried out on pixels with scipy's morphology."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from mmud.annotations.masks import Mask
from mmud.evaluators.segmentation.boundary import boundary_areas, boundary_pairs, boundary_width


def boundary(mask: np.ndarray) -> np.ndarray:
    """Pixels of the mask within d of its contour, d in the chessboard metric; outside the image is background."""
    d = max(1, round(0.02 * math.hypot(*mask.shape)))
    inside = np.pad(mask, 1)
    distance = ndimage.distance_transform_cdt(inside, metric="chessboard")[1:-1, 1:-1]
    return mask & (distance <= d)


def shape(generator: np.random.Generator, height: int, width: int, kind: int) -> np.ndarray:
    if kind == 0:
        return generator.random((height, width)) < 0.5
    if kind == 1:
        return np.ones((height, width), dtype=bool)
    if kind == 2:
        return np.zeros((height, width), dtype=bool)
    mask = np.zeros((height, width), dtype=bool)
    for _ in range(kind):
        top, left = int(generator.integers(height)), int(generator.integers(width))
        mask[top : top + int(generator.integers(1, 60)), left : left + int(generator.integers(1, 60))] = True
    return mask


@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    kinds=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=300, deadline=None)
def test_equals_the_paper(height: int, width: int, kinds: tuple[int, int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    first, second = (shape(generator, height, width, kind) for kind in kinds)
    a, b = boundary(first), boundary(second)
    shared, joined = boundary_pairs([Mask.from_array(first)], [Mask.from_array(second)])
    assert (int(shared[0]), int(joined[0])) == (int((a & b).sum()), int((a | b).sum()))
    assert int(boundary_areas([Mask.from_array(first)])[0]) == int(a.sum())


def test_iterated_erosion_is_the_same_as_one_by_a_larger_square() -> None:
    """The published code erodes d times by 3 x 3; scipy does the same here."""
    generator = np.random.default_rng(0)
    masks = [shape(generator, 240, 320, 4) for _ in range(20)]
    d = boundary_width(240, 320)
    for mask, area in zip(masks, boundary_areas([Mask.from_array(mask) for mask in masks]), strict=True):
        eroded = ndimage.binary_erosion(mask, np.ones((3, 3), dtype=bool), iterations=d, border_value=0)
        assert int(area) == int((mask & ~eroded).sum())


@pytest.mark.parametrize(("size", "expected"), [((480, 640), 16), ((10, 10), 1), ((1, 1), 1), ((1080, 1920), 44)])
def test_width_is_two_percent_of_the_diagonal(size: tuple[int, int], expected: int) -> None:
    assert boundary_width(*size) == expected


def test_many_pairs_of_different_sizes_at_once() -> None:
    generator = np.random.default_rng(1)
    firsts, seconds, expected = [], [], []
    for _ in range(200):
        height, width = (int(value) for value in generator.integers(1, 200, size=2))
        first = shape(generator, height, width, int(generator.integers(0, 5)))
        second = np.roll(first, 3, axis=1)
        firsts.append(Mask.from_array(first))
        seconds.append(Mask.from_array(second))
        expected.append(
            (int((boundary(first) & boundary(second)).sum()), int((boundary(first) | boundary(second)).sum()))
        )
    shared, joined = boundary_pairs(firsts, seconds)
    assert list(zip(shared.tolist(), joined.tolist(), strict=True)) == expected
