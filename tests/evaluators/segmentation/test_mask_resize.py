"""Resizing on run lengths equals Pillow's nearest neighbour on pixels, to the byte."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmud.annotations.masks import Mask
from mmud.annotations.runs import compress_runs, decode_runs
from mmud.evaluators.segmentation.resize import compress_many, resize_nearest, source_positions


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    side=st.integers(1, 60),
    density=st.sampled_from([0.0, 0.05, 0.5, 0.95, 1.0]),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=300, deadline=None)
def test_equals_pillow(height: int, width: int, side: int, density: float, seed: int) -> None:
    pixels = (np.random.default_rng(seed).random((height, width)) < density).astype(np.uint8)
    expected = np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST))
    (resized,) = resize_nearest([Mask.from_array(pixels)], side)
    assert resized == Mask.from_array(expected)


@pytest.mark.parametrize("side", [224, 480])
def test_a_batch_of_photographs_sizes(side: int) -> None:
    generator = np.random.default_rng(side)
    arrays = []
    for _ in range(60):
        height, width = (int(value) for value in generator.integers(100, 700, size=2))
        array = np.zeros((height, width), dtype=np.uint8)
        top, left = int(generator.integers(height)), int(generator.integers(width))
        array[top : top + int(generator.integers(1, 300)), left : left + int(generator.integers(1, 300))] = 1
        arrays.append(array ^ (generator.random(array.shape) < 0.001))
    resized = resize_nearest([Mask.from_array(array) for array in arrays], side)
    for array, mask in zip(arrays, resized, strict=True):
        expected = np.asarray(Image.fromarray(array).resize((side, side), Image.Resampling.NEAREST))
        assert mask == Mask.from_array(expected)


def test_source_positions_add_up_as_pillow_does() -> None:
    """Pillow adds the scale step by step; sizes where a product would round to another pixel are among these."""
    for source in range(1, 1500, 11):
        for target in (7, 100, 224, 480):
            row = Image.fromarray(np.arange(source, dtype=np.int32)[None])
            expected = np.asarray(row.resize((target, 1), Image.Resampling.NEAREST))[0]
            assert np.array_equal(source_positions(source, target), expected)


@given(st.lists(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=12), min_size=1, max_size=5))
@settings(max_examples=200, deadline=None)
def test_compressing_many_equals_compressing_each(runs: list[list[int]]) -> None:
    together = compress_many(np.array([run for one in runs for run in one]), np.array([len(one) for one in runs]))
    assert together == [compress_runs(one) for one in runs]
    batch = decode_runs(together, [sum(one) for one in runs])
    assert batch.runs.tolist() == [run for one in runs for run in one]
