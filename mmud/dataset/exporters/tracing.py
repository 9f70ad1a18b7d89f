"""Masks traced to polygons whose points are pixel centres, without loss.

The polygons are those of readers that fill with OpenCV (LISA's ReasonSeg among them): points are pixels, and the outline belongs
to the shape. Each 8-connected region becomes one polygon. Holes cannot be drawn by such readers, so a hole is cut open: from the
pixel above the hole a seam runs straight up, through the mask, to the next outline, and back. Filling by the even-odd rule then
leaves the hole empty, and the seam lies on pixels that are set anyway.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmud.annotations.masks import Mask

Point = tuple[int, int]
"""x, y of a pixel."""

# A crack is the edge between a set pixel and its unset neighbour, walked with the pixel on the right: along a pixel's top to the
# east, down its right side to the south, along its bottom to the west, up its left side to the north.
_EAST, _SOUTH, _WEST, _NORTH = range(4)


def trace(mask: Mask) -> list[list[Point]]:
    """The mask's regions as closed polygons, top region first.

    Returns:
        For each region its corner points (x, y), the first one not repeated; one or two points for a region of one pixel
        or a straight line. Drawn with outline and filled by the even-odd rule, they give the mask again, pixel for pixel.
    """
    x, y, width, height = (int(side) for side in mask.bbox)
    if not width or not height:
        return []
    pixels = mask.decode()[y : y + height, x : x + width].astype(bool)
    return [_corners(walk, x, y) for walk in _Outlines(pixels).walks()]


class _Outlines:
    """The outlines of a binary array, as closed walks over cracks.

    Args:
        pixels: shape (height, width).
    """

    def __init__(self, pixels: NDArray[np.bool_]) -> None:
        self._stride = pixels.shape[1] + 2
        padded = np.pad(pixels, 1)
        self._set = padded.ravel()
        self._find_cracks(padded)
        self._find_loops()

    def _find_cracks(self, padded: NDArray[np.bool_]) -> None:
        """Number all cracks; ``owner`` is the flat index of a crack's pixel, ``follows`` the crack that comes next."""
        stride = self._stride
        flat = padded.ravel()
        owners = np.flatnonzero(flat)
        # Index of the unset neighbour that makes a side a crack, in the order east, south, west, north.
        beyond = (-stride, 1, stride, -1)
        owner, number = [], np.full((4, flat.size), -1, dtype=np.int64)
        total = 0
        for direction in range(4):
            mine = owners[~flat[owners + beyond[direction]]]
            number[direction, mine] = np.arange(total, total + len(mine))
            owner.append(mine)
            total += len(mine)
        self.owner = np.concatenate(owner)
        self.direction = np.repeat(np.arange(4), [len(part) for part in owner])
        self.number = number
        self.follows = self._followers(flat, number)

    def _followers(self, flat: NDArray[np.bool_], number: NDArray[np.int64]) -> NDArray[np.int64]:
        """The walk turns left where it can, so that pixels that touch at a corner belong to one outline (8-connected)."""
        ahead = np.array([1, self._stride, -1, -self._stride])[self.direction]
        left = np.array([-self._stride, 1, self._stride, -1])[self.direction]
        diagonal, straight = self.owner + ahead + left, self.owner + ahead
        turns_left, goes_on = flat[diagonal], flat[straight]
        pixel = np.where(turns_left, diagonal, np.where(goes_on, straight, self.owner))
        turn = np.where(turns_left, -1, np.where(goes_on, 0, 1))
        return number[(self.direction + turn) % 4, pixel]

    def _find_loops(self) -> None:
        """``loops`` holds the cracks of each closed walk."""
        self._next: list[int] = self.follows.tolist()
        seen = [False] * len(self._next)
        self.loops: list[list[int]] = []
        for start in range(len(self._next)):
            if seen[start]:
                continue
            walk = []
            crack = start
            while not seen[crack]:
                seen[crack] = True
                walk.append(crack)
                crack = self._next[crack]
            self.loops.append(walk)

    def _tops(self) -> list[int]:
        """For each walk the horizontal crack that lies highest, and of those the leftmost."""
        # A pixel's bottom lies where the top of the pixel below does.
        level = self.owner + np.array([0, self._set.size, self._stride, self._set.size])[self.direction]
        return [loop[int(np.argmin(level[loop]))] for loop in self.loops]

    def walks(self) -> list[list[Point]]:
        """One closed walk over pixels for each region, with its holes cut open."""
        tops = self._tops()
        seams: dict[int, list[int]] = {}
        for crack in tops:
            # The top of an outer outline is walked to the east, the top of a hole to the west.
            if self.direction[crack] == _WEST:
                seams.setdefault(self._above(crack), []).append(crack)
        owner: list[int] = self.owner.tolist()
        outer = [crack for crack in tops if self.direction[crack] == _EAST]
        return [
            [(at % self._stride - 1, at // self._stride - 1) for at in self._walk(crack, seams, owner)]
            for crack in sorted(outer, key=owner.__getitem__)
        ]

    def _above(self, crack: int) -> int:
        """The top crack of the set pixels that stand in one column above (and with) the crack's pixel."""
        at = int(self.owner[crack])
        while self._set[at - self._stride]:
            at -= self._stride
        return int(self.number[_EAST, at])

    def _walk(self, start: int, seams: dict[int, list[int]], owner: list[int]) -> list[int]:
        """Pixels from ``start`` around its outline, with a detour along each seam and around the hole at its end."""
        path = [owner[start]]
        # Each level is an outline under way: the crack it began with, the next one, and the seams still to walk from here.
        stack: list[tuple[int, int, list[int]]] = [(start, start, list(seams.get(start, ())))]
        while stack:
            begin, crack, waiting = stack.pop()
            if waiting:
                hole = waiting[-1]
                stack.append((begin, crack, waiting[:-1]))
                stack.append((hole, hole, list(seams.get(hole, ()))))
                path.append(owner[hole])
                continue
            crack = self._next[crack]
            if crack == begin:
                # Home again; on the level below, the walk goes back up the seam.
                path.append(owner[begin])
                if stack:
                    path.append(owner[stack[-1][1]])
                continue
            path.append(owner[crack])
            stack.append((begin, crack, list(seams.get(crack, ()))))
        return path


def _corners(walk: list[Point], x: int, y: int) -> list[Point]:
    """The walk's turning points, moved by (x, y): repeated pixels and those inside a straight stretch are left out."""
    points = np.asarray(walk, dtype=np.int64)
    points = points[np.append(True, (np.diff(points, axis=0) != 0).any(axis=1))]
    if len(points) > 1 and (points[0] == points[-1]).all():
        points = points[:-1]
    if len(points) > 2:
        # Steps go to one of eight neighbours, or straight up or down a seam: equal signs are one direction.
        step = np.sign(np.roll(points, -1, axis=0) - points)
        points = points[(step != np.roll(step, 1, axis=0)).any(axis=1)]
    return [(int(px) + x, int(py) + y) for px, py in points]
