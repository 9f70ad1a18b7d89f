"""The perceptual hash: what it survives, and that its search finds exactly the pairs that a plain double loop finds."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmud.dataset import joining
from mmud.dataset.image_hash import difference_hash, distances, grey, near_pairs


def _picture(seed: int) -> Image.Image:
    """A smooth random picture: noise at 6 x 5 scaled up, as a photograph's large shapes are."""
    noise = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((320, 240), Image.Resampling.BICUBIC)


def _encoded(image: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream)


def test_a_ramp_has_the_known_hash() -> None:
    ramp = Image.fromarray(np.tile(np.arange(0, 252, 7, dtype=np.uint8), (30, 1)))
    assert difference_hash(ramp) == 2**64 - 1
    assert difference_hash(ramp.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) == 0


def test_equal_to_imagehash() -> None:
    reference = pytest.importorskip("imagehash", reason="the reference implementation is not installed")
    for seed in range(20):
        image = _picture(seed).convert("L")
        assert f"{difference_hash(image):016x}" == str(reference.dhash(image))


@pytest.mark.parametrize("seed", range(8))
def test_survives_encoding_and_resizing(seed: int) -> None:
    image = _picture(seed)
    original = difference_hash(grey(np.asarray(image)))
    for changed in (_encoded(image, 50), image.resize((161, 119)), _encoded(image.resize((480, 360)), 70)):
        assert (difference_hash(changed.convert("L")) ^ original).bit_count() <= 4
    other = difference_hash(_picture(seed + 100).convert("L"))
    assert (other ^ original).bit_count() > 12


def test_a_margin_meets_a_crop() -> None:
    image = _picture(3).convert("L")
    cropped = image.crop((16, 12, 304, 228))
    assert (difference_hash(cropped) ^ difference_hash(image, margin=0.05)).bit_count() <= 2


hash_lists = st.lists(st.integers(0, 2**64 - 1), min_size=0, max_size=12)


@settings(max_examples=150, deadline=None)
@given(hash_lists, hash_lists, st.integers(0, 11), st.integers(0, 2**20))
def test_the_search_is_exact(first: list[int], second: list[int], most: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    # Plant neighbours: each of the first list with a few bits flipped.
    for value in first:
        flips = generator.choice(64, size=int(generator.integers(0, 14)), replace=False)
        second = [*second, value ^ sum(1 << int(bit) for bit in flips)]
    expected = {
        (i, j): (a ^ b).bit_count()
        for i, a in enumerate(first)
        for j, b in enumerate(second)
        if (a ^ b).bit_count() <= most
    }
    left, right = np.array(first, dtype=np.uint64), np.array(second, dtype=np.uint64)
    for block in (1, 5, 1 << 21):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(joining, "BLOCK_PAIRS", block)
            found = [
                ((int(i), int(j)), int(d))
                for part in near_pairs(left, right, most)
                for i, j, d in zip(*part, strict=True)
            ]
            turned = {(int(j), int(i)) for part in near_pairs(right, left, most) for i, j, _ in zip(*part, strict=True)}
        assert len(found) == len(expected)
        assert dict(found) == expected
        assert turned == set(expected)


def test_distances_without_the_compiled_count(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(0, 2**64, 50, dtype=np.uint64)
    expected = [[(int(a) ^ int(b)).bit_count() for b in values] for a in values]
    assert distances(values[:, None], values[None]).tolist() == expected
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert distances(values[:, None], values[None]).tolist() == expected
