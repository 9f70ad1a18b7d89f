"""The PNG writer and its deflate: read back by zlib and Pillow, which we did not write."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmud.dataset.sources.scenes.config import ScenesConfig
from mmud.dataset.sources.scenes.deflate import code_lengths, compress
from mmud.dataset.sources.scenes.png import encode_png, filter_rows
from mmud.dataset.sources.scenes.world import generate

runs = st.lists(st.tuples(st.integers(0, 255), st.integers(1, 700)), min_size=1, max_size=30)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(min_size=1, max_size=3000), runs.map(lambda r: b"".join(bytes([v]) * n for v, n in r))))
def test_zlib_reads_what_we_write(data: bytes) -> None:
    assert zlib.decompress(compress(data)) == data


@pytest.mark.parametrize(
    "length", [1, 3, 4, 5, 258, 259, 260, 261, 262, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, 600_000]
)
def test_runs_and_blocks_of_every_length(length: int) -> None:
    random = np.random.default_rng(length)
    for data in (bytes(length), random.integers(0, 256, length, dtype=np.uint8).tobytes()):
        assert zlib.decompress(compress(data)) == data


def test_codes_stay_within_the_format_for_skewed_frequencies() -> None:
    # Fibonacci numbers give the longest Huffman codes: 40 symbols would need 39 bits.
    frequencies = [1, 1]
    while len(frequencies) < 40:
        frequencies.append(frequencies[-1] + frequencies[-2])
    for longest in (7, 15):
        lengths = code_lengths(frequencies, longest)
        assert max(lengths) <= longest
        # Kraft's equality: the code is complete.
        assert sum(2.0**-length for length in lengths) == 1.0
    data = b"".join(bytes([value]) * min(count, 3000) for value, count in enumerate(frequencies))
    shuffled = np.random.default_rng(0).permutation(np.frombuffer(data, dtype=np.uint8)).tobytes()
    assert zlib.decompress(compress(shuffled)) == shuffled


def test_pillow_reads_the_pixels_of_scenes() -> None:
    for index in range(10):
        image = generate(ScenesConfig(seed=2, width=100 + index, height=64), index).image
        with Image.open(io.BytesIO(encode_png(image))) as opened:
            opened.load()
            assert opened.mode == "RGB"
            assert (np.asarray(opened) == image).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_pillow_reads_any_pixels(height: int, width: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    with Image.open(io.BytesIO(encode_png(image))) as opened:
        assert (np.asarray(opened) == image).all()


def test_files_are_not_much_larger_than_zlib_makes_them() -> None:
    images = [generate(ScenesConfig(seed=2), index).image for index in range(40)]
    ours = sum(len(encode_png(image)) for image in images)
    theirs = sum(len(zlib.compress(filter_rows(image), 6)) for image in images)
    raw = sum(image.size for image in images)
    assert ours < 1.5 * theirs
    assert ours < raw / 5
