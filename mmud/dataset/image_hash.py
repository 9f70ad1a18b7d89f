"""A 64-bit hash that near-duplicate images share, but for a few bits, and the search for hashes that are close.

The hash is the difference hash (Krawetz, "Kind of Like That", 2013): the image is shrunk to 9 x 8 grey pixels, and each bit
says whether a pixel is brighter than its left neighbour. Re-encoding, resizing and brightness change it by 0 to 7 bits of 64,
a crop of 5 % by up to 19, and unrelated photographs differ by 31 on average.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmud.dataset import joining

Hashes = NDArray[np.uint64]
Matches = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.uint8]]
"""Positions in the first and the second list, and the distances; three arrays of one length."""

BITS = 64
_COLUMNS, _ROWS = 8, 8
_BANDS = 4
_BAND_BITS = BITS // _BANDS
_WIDEST_RADIUS = 2
"""Beyond two flipped bits a band, looking up bands costs more than comparing everything."""


def grey(pixels: NDArray[np.uint8]) -> Image.Image:
    """An RGB array of shape (height, width, 3) as a grey image (ITU-R 601 luma)."""
    return Image.fromarray(pixels).convert("L")


def difference_hash(image: Image.Image, margin: float = 0.0) -> int:
    """The difference hash of a grey image, an integer under 2**64.

    Args:
        image: of mode "L".
        margin: the share of each side to leave out, which matches the hash of an image cropped by about as much.
    """
    left, top = image.width * margin, image.height * margin
    box = (left, top, image.width - left, image.height - top)
    small = np.asarray(image.resize((_COLUMNS + 1, _ROWS), Image.Resampling.LANCZOS, box=box))
    bits = small[:, 1:] > small[:, :-1]
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _popcounts(values: Hashes) -> NDArray[np.uint8]:
    if hasattr(np, "bitwise_count"):
        return np.asarray(np.bitwise_count(values), dtype=np.uint8)
    # numpy before 2.0
    halves = np.ascontiguousarray(values).view(np.uint16).reshape(*values.shape, 4)
    return np.asarray(_TABLE[halves].sum(axis=-1), dtype=np.uint8)


_TABLE = np.array([value.bit_count() for value in range(1 << 16)], dtype=np.uint8)


def distances(first: Hashes, second: Hashes) -> NDArray[np.uint8]:
    """How many bits differ, element by element, with numpy's broadcasting."""
    return _popcounts(np.bitwise_xor(first, second))


def near_pairs(first: Hashes, second: Hashes, most: int) -> Iterator[Matches]:
    """Every pair that differs by at most ``most`` bits, exactly, in blocks.

    Few bits: two hashes within ``most`` bits agree, but for ``most // 4`` bits, in one of four bands of 16 bits, so bands are
    looked up with so many bits flipped. Many bits: all pairs are compared, block by block.

    Args:
        first: n hashes.
        second: m hashes.
        most: 0 to 64.

    Yields:
        Matches, each pair once, in no promised order; memory is bounded whatever n and m are.
    """
    if not len(first) or not len(second):
        return
    radius = most // _BANDS
    if radius <= _WIDEST_RADIUS and len(first) * len(second) > joining.BLOCK_PAIRS:
        # Each of the shorter list is looked up in the longer one.
        if len(first) <= len(second):
            yield from _banded(first, second, most, radius)
        else:
            for j, i, found in _banded(second, first, most, radius):
                yield i, j, found
    else:
        yield from _compared(first, second, most)


def _compared(first: Hashes, second: Hashes, most: int) -> Iterator[Matches]:
    rows = max(1, joining.BLOCK_PAIRS // len(second))
    for start in range(0, len(first), rows):
        found = distances(first[start : start + rows, None], second[None])
        i, j = np.nonzero(found <= most)
        if len(i):
            yield i + start, j, found[i, j]


def _bands(values: Hashes) -> NDArray[np.uint16]:
    """Shape (4, n): the four 16-bit parts of each hash."""
    parts = [(values >> np.uint64(_BAND_BITS * band)).astype(np.uint16) for band in range(_BANDS)]
    return np.stack(parts)


def _banded(first: Hashes, second: Hashes, most: int, radius: int) -> Iterator[Matches]:
    first_bands, second_bands = _bands(first), _bands(second)
    flips = [
        sum(1 << bit for bit in bits) for size in range(radius + 1) for bits in combinations(range(_BAND_BITS), size)
    ]
    for band in range(_BANDS):
        order = np.argsort(second_bands[band], kind="stable")
        for flip in flips:
            wanted = first_bands[band] ^ np.uint16(flip)
            for i, j in joining.equal_pairs(wanted, second_bands[band], order):
                found = distances(first[i], second[j])
                close = np.flatnonzero(found <= most)
                # A pair may agree in several bands: the first of them reports it.
                before = np.bitwise_xor(first_bands[:band, i[close]], second_bands[:band, j[close]])
                fresh = close[(_TABLE[before] > radius).all(axis=0)]
                if len(fresh):
                    yield i[fresh], j[fresh], found[fresh]
