"""Many polygons to run-length encodings at once, with numpy; each is to the byte what pycocotools makes of it.

COCO rasterises a polygon (``maskApi.c``, ``rleFrPoly``) by walking its edges pixel by pixel on a grid five times as fine, noting
where the walk passes the middle between two columns, and sorting what was noted. Only every fifth column counts, so here those
passages are calculated edge by edge, in the same floating-point operations, and nothing is walked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import _mask as coco

Int32 = NDArray[np.int32]
Float64 = NDArray[np.float64]

AT_ONCE = 100
"""Polygons for `rasterise`: many enough to be fast, and few enough for their pixels to stay in the processor's cache."""

FEWEST = 16
"""Below so many polygons pycocotools is as fast."""

FURTHEST = 100_000.0
"""Coordinates beyond are for others to refuse."""

_FINE = 5
_NEAR = 1e-6


@dataclass(frozen=True, slots=True)
class Outlines:
    """The masks of n polygons.

    Attributes:
        counts: compressed run lengths of each.
        areas: foreground pixels of each.
    """

    counts: list[bytes]
    areas: NDArray[np.int64]


def rasterise(polygons: Sequence[Float64], height: int, width: int, positive: bool) -> Outlines:
    """Rasterise polygons of one image size, by whichever way is faster.

    Args:
        polygons: at most `AT_ONCE`, each ``x1, y1, x2, y2, …`` in pixels, none further out than `FURTHEST`.
        height, width: of the image, in pixels.
        positive: whether no coordinate is negative.
    """
    # Places in all of the images are counted in 32 bits.
    if positive and FEWEST <= len(polygons) < 2**31 // (height * width + 1):
        return draw(np.concatenate(polygons), np.cumsum([len(polygon) for polygon in polygons]), height, width)
    rles = coco.frPoly(polygons, height, width)
    return Outlines([rle["counts"] for rle in rles], coco.area(rles).astype(np.int64))


def draw(values: Float64, ends: NDArray[np.int64], height: int, width: int) -> Outlines:
    """Rasterise polygons of one image size.

    Args:
        values: ``x1, y1, x2, y2, …`` of all polygons, in pixels, from 0 to `FURTHEST`.
        ends: where each polygon ends in ``values``, shape (n,); n times the image's pixels and one more fits 32 bits.
        height, width: of the image, in pixels.
    """
    stride = height * width + 1
    bases = np.arange(len(ends), dtype=np.int32) * np.int32(stride)
    # The end of the image closes each mask.
    closing = bases + np.int32(stride - 1)
    edges = _Edges.of(values, ends, bases, width)
    passages = np.concatenate([edges.flat(height), edges.steep(height), closing])
    # Each edge's passages are in order already: merging what is in order is faster than sorting anew.
    passages.sort(kind="stable")
    return _encoded(_without_pairs(passages, stride), closing, bases)


@dataclass(slots=True)
class _Edges:
    """The edges that pass a middle between columns, on the fine grid, each begun at its left end (flat) or its top (steep).

    Attributes:
        x, y: where it begins.
        slope: y a step to the right, or x a step down.
        first: the first column it passes.
        count: how many.
        base: of its polygon.
        is_flat: whether it is wider than tall.
    """

    x: Int32
    y: Int32
    slope: Float64
    first: Int32
    count: NDArray[np.int64]
    base: Int32
    is_flat: NDArray[np.bool_]

    @classmethod
    def of(cls, values: Float64, ends: NDArray[np.int64], bases: Int32, width: int) -> _Edges:
        fine = (_FINE * values + 0.5).astype(np.int32)
        x, y = fine[0::2], fine[1::2]
        last_points = ends // 2
        first_points = np.concatenate(([0], last_points[:-1]))
        following = np.arange(1, len(x) + 1)
        following[last_points - 1] = first_points
        x2, y2 = x[following], y[following]
        # Column n is passed between the fine columns 5 n + 2 and 5 n + 3.
        first = (np.minimum(x, x2) + 2) // _FINE
        count = np.minimum((np.maximum(x, x2) - 3) // _FINE, width - 1) - first + 1
        used = np.flatnonzero(count > 0)
        x, y, x2, y2 = x[used], y[used], x2[used], y2[used]
        across, down = np.abs(x2 - x), np.abs(y2 - y)
        flat = across >= down
        turned = np.where(flat, x > x2, y > y2)
        x, x2 = np.where(turned, x2, x), np.where(turned, x, x2)
        y, y2 = np.where(turned, y2, y), np.where(turned, y, y2)
        slope = np.where(flat, y2 - y, x2 - x) / np.maximum(across, down)
        base = np.repeat(bases, last_points - first_points)[used]
        return cls(x, y, slope, first[used], count[used].astype(np.int64), base, flat)

    def _columns(self, some: NDArray[np.intp]) -> tuple[NDArray[np.int64], Int32]:
        """How many columns each of some edges passes, and which, end to end."""
        count = self.count[some]
        ends = np.cumsum(count)
        total = int(ends[-1]) if len(ends) else 0
        shift = (self.first[some] - (ends - count)).astype(np.int32)
        return count, np.arange(total, dtype=np.int32) + np.repeat(shift, count)

    def flat(self, height: int) -> Int32:
        """The places that flat edges pass, column by column: polygon's base, plus column times height, plus row."""
        some = np.flatnonzero(self.is_flat)
        count, columns = self._columns(some)
        slope = self.slope[some]
        # Of the two points on either side of the middle the higher one counts: the second where the edge rises.
        steps = _FINE * columns + np.repeat(2 - self.x[some] + (slope < 0), count)
        rows = np.repeat(slope, count) * steps
        rows += np.repeat(self.y[some].astype(np.float64), count)
        rows += 0.5
        return self._places(some, count, columns, rows.astype(np.int32), height)

    def steep(self, height: int) -> Int32:
        """The same of steep edges, where the step at which a column is passed has to be found."""
        some = np.flatnonzero(~self.is_flat)
        count, columns = self._columns(some)
        slope, x = np.repeat(self.slope[some], count), np.repeat(self.x[some].astype(np.float64), count)
        right = _FINE * columns + 3
        where = right - 0.5
        where -= x
        where /= slope
        step = np.ceil(where)
        # Rounding decides where the passage falls right on a step: there the walk's own arithmetic is done.
        close = np.flatnonzero(np.abs(where - np.rint(where)) < _NEAR)
        near, slope, x, right = np.rint(where[close]), slope[close], x[close], right[close]
        passed = (x + slope * near + 0.5 >= right) == (slope > 0)
        before = (x + slope * (near - 1) + 0.5 >= right) == (slope > 0)
        step[close] = near + ~passed - before
        rows = step.astype(np.int32) + np.repeat(self.y[some] - 1, count)
        return self._places(some, count, columns, rows, height)

    def _places(
        self, some: NDArray[np.intp], count: NDArray[np.int64], columns: Int32, rows: Int32, height: int
    ) -> Int32:
        places = rows + np.int32(2)
        places //= np.int32(_FINE)
        np.minimum(places, height, out=places)
        places += columns * np.int32(height)
        places += np.repeat(self.base[some], count)
        return places


def _without_pairs(places: Int32, stride: int) -> Int32:
    """Places passed twice are not passed at all; but each image's end is there once."""
    same = np.flatnonzero(places[1:] == places[:-1])
    if not len(same):
        return places
    heads = np.flatnonzero(np.diff(same, prepend=-2) != 1)
    times = np.diff(heads, append=len(same)) + 1
    heads = same[heads]
    keep = np.ones(len(places), dtype=bool)
    keep[same] = keep[same + 1] = False
    keep[heads] = (times % 2 == 1) | ((places[heads] + 1) % stride == 0)
    return places[keep]


def _encoded(places: Int32, closing: Int32, bases: Int32) -> Outlines:
    """Compressed run lengths, as `mmud.annotations.runs` describes them."""
    ends = np.searchsorted(places, closing) + 1
    starts = np.concatenate(([0], ends[:-1]))
    lengths = ends - starts
    runs = np.diff(places, prepend=np.int32(0))
    runs[starts] = places[starts] - bases
    # From the fourth run on, the difference to the run two before is written.
    written = runs.copy()
    written[2:] -= runs[:-2]
    for member in range(3):
        at = starts[lengths > member] + member
        written[at] = runs[at]
    texts, offsets = _groups_of_five_bits(written)
    bounds = [*offsets[starts].tolist(), len(texts)]
    counts = [texts[start:end] for start, end in pairwise(bounds)]
    foreground = np.repeat((starts & 1).astype(np.int8), lengths)
    foreground[1::2] ^= 1
    return Outlines(counts, np.add.reduceat(runs * foreground, starts, dtype=np.int64))


def _groups_of_five_bits(numbers: Int32) -> tuple[bytes, NDArray[Any]]:
    """The characters of signed numbers, and where those of each number begin."""
    magnitude = numbers ^ (numbers >> 31)
    size = np.ones(len(numbers), dtype=np.int8)
    longer: list[NDArray[np.intp]] = []
    some = np.flatnonzero(magnitude >= 1 << 4)
    while len(some):
        longer.append(some)
        size[some] += 1
        some = some[magnitude[some] >= 1 << (4 + 5 * len(longer))]
    offsets = np.cumsum(size, dtype=np.int64) - size
    text = np.empty(int(offsets[-1]) + int(size[-1]), dtype=np.uint8)
    text[offsets] = _characters(numbers.astype(np.uint8), size > 1)
    for group, some in enumerate(longer, start=1):
        groups = (numbers[some] >> (5 * group)).astype(np.uint8)
        text[offsets[some] + group] = _characters(groups, size[some] > group + 1)
    return text.tobytes(), offsets


def _characters(groups: NDArray[np.uint8], more: NDArray[np.bool_]) -> NDArray[np.uint8]:
    characters = groups & np.uint8(31)
    characters |= more.view(np.uint8) << np.uint8(5)
    characters += np.uint8(48)
    return characters
