"""Nearness of images by a few pixels, and of captions by their words; exact, so that every machine finds the same neighbour."""

from __future__ import annotations

import io
import re
from array import array
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmud.images import Pixels

SIDE = 12
"""Pixels along each side of a descriptor."""

_BLOCK = 4096
_WORD = re.compile(r"\w+")


def descriptor(pixels: Pixels) -> NDArray[np.uint8]:
    """An image's 12 x 12 RGB means, shape (432,)."""
    small = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.uint8).reshape(-1)


def nearest(queries: NDArray[np.uint8], known: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The known descriptor nearest to each query by Euclidean distance; the first of equally near ones.

    Args:
        queries: shape (q, d).
        known: shape (n, d), n at least 1.

    Returns:
        Positions in ``known``, shape (q,).
    """
    asked = queries.astype(np.float64)
    best = np.full(len(queries), np.inf)
    found = np.zeros(len(queries), dtype=np.int64)
    for start in range(0, len(known), _BLOCK):
        # Sums of products of bytes are whole numbers far below 2**53: doubles hold them exactly, in any order of adding.
        block = known[start : start + _BLOCK].astype(np.float64)
        distance = (block**2).sum(axis=1)[None, :] - 2.0 * (asked @ block.T)
        position = distance.argmin(axis=1)
        value = distance[np.arange(len(queries)), position]
        nearer = value < best
        best[nearer], found[nearer] = value[nearer], position[nearer] + start
    return found


def thumbnail(data: bytes, pixels: Pixels, side: int) -> bytes:
    """The image's own bytes where it is small enough; else a JPEG whose longest side is ``side`` pixels."""
    height, width = pixels.shape[:2]
    longest = max(height, width)
    if longest <= side:
        return data
    size = max(1, round(width * side / longest)), max(1, round(height * side / longest))
    stream = io.BytesIO()
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def words_of(text: str) -> frozenset[str]:
    """The text's words, lower case, each once."""
    return frozenset(_WORD.findall(text.lower()))


class TextIndex:
    """Captions by their words.

    Args:
        texts: at least one.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._postings: dict[str, array[int]] = defaultdict(lambda: array("l"))
        for number, text in enumerate(texts):
            for word in words_of(text):
                self._postings[word].append(number)
        total = len(texts)
        self._weights = {word: float(np.log1p(total / len(where))) for word, where in self._postings.items()}
        squares = np.zeros(total)
        for word in sorted(self._postings):
            squares[np.asarray(self._postings[word])] += self._weights[word] ** 2
        self._norms = np.sqrt(np.maximum(squares, 1e-12))

    def nearest(self, text: str) -> int:
        """The number of the nearest text: the largest sum of squared weights of shared words over the text's own norm."""
        scores = np.zeros(len(self._norms))
        for word in sorted(words_of(text) & self._postings.keys()):
            scores[np.asarray(self._postings[word])] += self._weights[word] ** 2
        return int((scores / self._norms).argmax())
