"""Aligning thumbnails: what a crop, a change of light and a different picture do. The windows are cut by Pillow, not by us."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmud.dataset.leakage.alignment import SIDE, similarities, thumbnail


def picture(seed: int) -> Image.Image:
    """Grey noise at three scales, as photographs have large and small shapes."""
    generator = np.random.default_rng(seed)
    total = np.zeros((240, 320))
    for cells, weight in ((5, 1.0), (12, 0.6), (30, 0.4)):
        noise = Image.fromarray(generator.integers(0, 256, (cells, cells), dtype=np.uint8))
        total += weight * np.asarray(noise.resize((320, 240), Image.Resampling.BICUBIC), dtype=float)
    return Image.fromarray(np.clip(total / 2, 0, 255).astype(np.uint8))


def similarity(first: Image.Image, second: Image.Image) -> float:
    return float(similarities(thumbnail(first)[None], thumbnail(second)[None])[0])


def test_a_thumbnail_is_small_whatever_the_shape() -> None:
    for size in ((1, 1), (7, 900), (640, 480)):
        assert thumbnail(Image.new("L", size, 90)).shape == (SIDE, SIDE)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.tuples(*[st.floats(0, 0.05)] * 4),
    st.floats(0.6, 1.0),
    st.integers(0, 40),
    st.booleans(),
)
def test_a_cropped_and_darkened_copy_is_recognised(
    seed: int, sides: tuple[float, float, float, float], contrast: float, offset: int, turned: bool
) -> None:
    image = picture(seed)
    left, top, right, bottom = sides
    window = (image.width * left, image.height * top, image.width * (1 - right), image.height * (1 - bottom))
    cropped = image.resize((200, 150), Image.Resampling.BICUBIC, box=window)
    copy = Image.fromarray((np.asarray(cropped) * contrast + offset * (1 - contrast)).astype(np.uint8))
    assert (similarity(copy, image) if turned else similarity(image, copy)) > 0.85


def test_different_pictures_stay_apart() -> None:
    small = np.array([thumbnail(picture(seed)) for seed in range(80)])
    first, second = np.triu_indices(len(small), 1)
    assert similarities(small[first], small[second]).max() < 0.7


def test_the_same_light_is_not_the_same_picture() -> None:
    """Broad light and shade that two pictures share does not make them one."""
    light = np.tile(np.linspace(0, 200, 320), (240, 1))
    first, second = (Image.fromarray((light + np.asarray(picture(seed)) * 0.2).astype(np.uint8)) for seed in (1, 2))
    plain = np.corrcoef(thumbnail(first).ravel(), thumbnail(second).ravel())[0, 1]
    assert plain > 0.9
    assert similarity(first, second) < 0.5


@pytest.mark.parametrize("count", [0, 1, 5])
def test_any_number_of_pairs(count: int) -> None:
    small = np.array([thumbnail(picture(seed)) for seed in range(count)], dtype=np.uint8).reshape(count, SIDE, SIDE)
    found = similarities(small, small)
    assert found.shape == (count,)
    assert np.allclose(found, 1, atol=1e-4)


def test_flat_pictures_match_nothing() -> None:
    flat = np.full((2, SIDE, SIDE), 7, dtype=np.uint8)
    found = similarities(flat, np.array([thumbnail(picture(0))] * 2))
    assert np.isfinite(found).all()
    assert (np.abs(found) < 0.85).all()
