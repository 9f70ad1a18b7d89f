"""Many polygons looked at together with numpy: their numbers, extent, crossings, retraced edges and enclosed area."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import _mask as coco

from mmud.annotations.masks import Mask
from mmud.dataset.checks.base import Row
from mmud.dataset.checks.batch import objects_of

Points = NDArray[np.float64]
"""Shape (n, 2): x, y."""

FAR = 100_000.0
"""A point further out than this is no point of an image; drawing refuses it too."""

MAX_POINTS = 2_000
"""A polygon with more points is not searched for crossings: the work grows with the square."""

_MAX_PAIRS = 1 << 22


class Outlines:
    """The polygons of a batch of rows.

    Attributes:
        malformed: (row, object, part) -> what is wrong with a polygon; all other dictionaries leave such polygons out.
        points: (row, object, part) -> its points.
        crossing, retraced: the polygons that cross themselves, and that walk an edge in both directions.
        enclosed: the area inside, in square pixels; meaningless for those that cross.
        extent: ``min x, min y, max x, max y``.
        length: the sum of the edges' lengths along x and y, in pixels.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.malformed: dict[tuple[int, int, int], str] = {}
        self.points: dict[tuple[int, int, int], Points] = {}
        for key, numbers in _polygons(rows):
            points = np.asarray(numbers, dtype=np.float64)
            problem = _malformed(points)
            if problem is not None:
                self.malformed[key] = problem
            else:
                self.points[key] = points.reshape(-1, 2)
        keys = list(self.points)
        self.crossing: set[tuple[int, int, int]] = set()
        self.retraced: set[tuple[int, int, int]] = set()
        self.enclosed: dict[tuple[int, int, int], float] = {}
        self.extent: dict[tuple[int, int, int], tuple[float, float, float, float]] = {}
        self.length: dict[tuple[int, int, int], float] = {}
        if not keys:
            return
        outlines = list(self.points.values())
        self._measure(keys, outlines)
        self.crossing = {keys[index] for index in crossing(outlines)}
        self.retraced = {keys[index] for index in retraced(outlines)}

    def _measure(self, keys: list[tuple[int, int, int]], outlines: list[Points]) -> None:
        points, starts, following = _joined(outlines)
        after = points[following]
        shoelace = points[:, 0] * after[:, 1] - after[:, 0] * points[:, 1]
        self.enclosed = dict(zip(keys, (np.abs(np.add.reduceat(shoelace, starts)) / 2).tolist(), strict=True))
        steps = np.abs(after - points).sum(axis=1)
        self.length = dict(zip(keys, np.add.reduceat(steps, starts).tolist(), strict=True))
        low = np.minimum.reduceat(points, starts, axis=0)
        high = np.maximum.reduceat(points, starts, axis=0)
        self.extent = dict(zip(keys, map(tuple, np.hstack([low, high]).tolist()), strict=True))


def _polygons(rows: Sequence[Row]) -> Iterator[tuple[tuple[int, int, int], list[Any]]]:
    for row_number, row in enumerate(rows):
        for object_number, item in enumerate(objects_of(row)):
            for part, polygon in enumerate((item["polygons"] if item else None) or ()):
                if polygon is not None:
                    yield (row_number, object_number, part), polygon


def _malformed(points: NDArray[np.float64]) -> str | None:
    if len(points) < 6 or len(points) % 2:
        return f"a polygon has {len(points)} numbers: an even count of at least six is needed"
    # One comparison catches NaN, infinities and points absurdly far out.
    if not (np.abs(points) <= FAR).all():
        return f"a polygon has a point that is not finite or further out than {FAR:.0f}"
    return None


def _joined(outlines: Sequence[Points]) -> tuple[Points, NDArray[np.int64], NDArray[np.int64]]:
    """All points end to end, where each outline starts, and the position of each point's successor."""
    lengths = np.array([len(outline) for outline in outlines])
    starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    following = np.arange(1, lengths.sum() + 1)
    following[starts + lengths - 1] = starts
    return np.concatenate(outlines), starts, following


def crossing(outlines: Sequence[Points]) -> set[int]:
    """The outlines two of whose edges cross properly: each edge's ends lie on different sides of the other."""
    found: set[int] = set()
    buckets: dict[int, list[int]] = {}
    for index, outline in enumerate(outlines):
        if 4 <= len(outline) <= MAX_POINTS:
            buckets.setdefault((len(outline) - 1).bit_length(), []).append(index)
    for bits, members in buckets.items():
        width = 1 << bits
        at_once = max(_MAX_PAIRS // (width * width), 1)
        for low in range(0, len(members), at_once):
            part = members[low : low + at_once]
            found.update(part[position] for position in _crossing_alike([outlines[index] for index in part], width))
    return found


def _crossing_alike(outlines: Sequence[Points], width: int) -> set[int]:
    """`crossing` for outlines of at most ``width`` points."""
    start = np.full((len(outlines), width, 2), np.nan)
    end = np.full((len(outlines), width, 2), np.nan)
    for index, outline in enumerate(outlines):
        start[index, : len(outline)] = outline
        end[index, : len(outline) - 1] = outline[1:]
        end[index, len(outline) - 1] = outline[0]
    low, high = np.minimum(start, end), np.maximum(start, end)
    # Edges whose boxes are apart cannot cross; NaN, the padding, compares as apart.
    meet = low[:, :, None, 0] <= high[:, None, :, 0]
    meet &= meet.transpose(0, 2, 1)
    vertical = low[:, :, None, 1] <= high[:, None, :, 1]
    meet &= vertical
    meet &= vertical.transpose(0, 2, 1)
    meet &= np.triu(np.ones((width, width), dtype=bool), 2)[None]
    which, first, second = np.unravel_index(np.flatnonzero(meet), meet.shape)
    a, b, c, d = start[which, first], end[which, first], start[which, second], end[which, second]
    cross = (_sides(a, b, c) * _sides(a, b, d) < 0) & (_sides(c, d, a) * _sides(c, d, b) < 0)
    return set(which[cross].tolist())


def _sides(a: Points, b: Points, p: Points) -> NDArray[np.float64]:
    """On which side of the line from a to b each p lies: -1, 0 or 1; 0 also where rounding cannot tell."""
    along, across = b - a, p - a
    left, right = along[:, 0] * across[:, 1], along[:, 1] * across[:, 0]
    value = left - right
    return np.where(np.abs(value) <= 1e-9 * (np.abs(left) + np.abs(right)), 0.0, np.sign(value))


def retraced(outlines: Sequence[Points]) -> set[int]:
    """The outlines that walk an edge from a to b and, elsewhere, from b to a."""
    points, _, _ = _joined(outlines)
    owner = np.repeat(np.arange(len(outlines)), [len(outline) for outline in outlines])
    # An outline that walks an edge back visits a point twice: few outlines do, and only those are looked at closely.
    # One number a point: equal for equal points, and for others only by chance.
    keys = points[:, 0] * np.pi + points[:, 1] * 1e3 * np.e + owner * 1e9
    order = np.argsort(keys, kind="stable")
    again = keys[order[1:]] == keys[order[:-1]]
    visits = np.bincount(owner[order[1:]][again], minlength=len(outlines))
    return {index for index in np.flatnonzero(visits).tolist() if _retraces(outlines[index])}


def _retraces(outline: Points) -> bool:
    corners = [tuple(point) for point in outline.tolist()]
    edges = {(a, b) for a, b in zip(corners, corners[1:] + corners[:1], strict=True) if a != b}
    return any((b, a) in edges for a, b in edges)


def draw(outlines: Sequence[Points], height: int, width: int) -> list[Mask]:
    """The mask of each outline, drawn as COCO does; the outlines are known to be well-formed."""
    drawn = coco.frPoly([outline.ravel() for outline in outlines], height, width)
    return [Mask(height, width, rle["counts"]) for rle in drawn]
