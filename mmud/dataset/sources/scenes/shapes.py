"""Outlines of the shapes, drawn with integers only.

A shape is asked "is this point inside?" at 4x4 points a pixel; the answers, counted, are its coverage of the pixel in
sixteenths. Everything is 64-bit integer arithmetic on literal tables (no sine, no square root, no drawing library), so
that the pixels are the same wherever numpy runs.

Coordinates: x to the right, y downwards, origin at the middle of the template, 32768 units a pixel (eight subpixel steps
times the 4096 of the rotation table). Tables below are in thousandths of the nominal radius.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Bool = npt.NDArray[np.bool_]
Int = npt.NDArray[np.int64]
Coverage = npt.NDArray[np.uint8]

_POLYGONS: Final[dict[str, tuple[tuple[int, int], ...]]] = {
    "square": ((-760, -760), (760, -760), (760, 760), (-760, 760)),
    "triangle": ((0, -1150), (1130, 808), (-1130, 808)),
    "star": (
        (0, -1260), (322, -444), (1198, -389), (521, 169), (741, 1019),
        (0, 548), (-741, 1019), (-521, 169), (-1198, -389), (-322, -444),
    ),
    "hexagon": ((470, -814), (940, 0), (470, 814), (-470, 814), (-940, 0), (-470, -814)),
    "diamond": ((0, -1300), (880, 0), (0, 1300), (-880, 0)),
    "cross": (
        (-360, -1060), (360, -1060), (360, -360), (1060, -360), (1060, 360), (360, 360),
        (360, 1060), (-360, 1060), (-360, 360), (-1060, 360), (-1060, -360), (-360, -360),
    ),
    "arrow": ((0, -1250), (1080, 0), (430, 0), (430, 1130), (-430, 1130), (-430, 0), (-1080, 0)),
}  # fmt: skip

#: (cosine, sine) in 1/4096 of the tilts in degrees.
_TILTS: Final[dict[int, tuple[int, int]]] = {
    0: (4096, 0),
    4: (4086, 286),
    8: (4056, 570),
    12: (4006, 852),
}
TILTS: Final = (-12, -8, -4, 0, 4, 8, 12)

#: Farthest that a shape reaches from its middle, in thousandths of the nominal radius; the template is that large.
_REACH: Final = 1320


class Template(NamedTuple):
    """A shape at one size and tilt, cut to the pixels that it touches.

    Attributes:
        coverage: (h, w) uint8, sixteenths of the pixel that the shape covers.
        rim: (h, w) uint8, sixteenths that its darker rim covers; never more than ``coverage``.
        mask: (h, w) bool, where at least half of the pixel is covered.
        area: Pixels of the mask.
    """

    coverage: Coverage
    rim: Coverage
    mask: Bool
    area: int


def _polygon(name: str) -> Callable[[Int, Int, int], Bool]:
    def inside(x: Int, y: Int, radius: int) -> Bool:
        corners = [(px * radius // 1000, py * radius // 1000) for px, py in _POLYGONS[name]]
        return _fill(corners, x, y)

    return inside


def _fill(corners: list[tuple[int, int]], x: Int, y: Int) -> Bool:
    """Even-odd rule: a point is inside when a ray to the right crosses an odd number of edges."""
    result = np.zeros(x.shape, dtype=np.bool_)
    for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
        if y1 == y2:
            continue
        if y1 > y2:
            x1, y1, x2, y2 = x2, y2, x1, y1
        beside = (y >= y1) & (y < y2)
        result ^= beside & ((x - x1) * (y2 - y1) < (x2 - x1) * (y - y1))
    return result


def _disc(x: Int, y: Int, radius: int, centre_x: int, centre_y: int, extent: int) -> Bool:
    """Points within ``extent`` of a centre; centre and extent in thousandths of the radius."""
    dx = x - centre_x * radius // 1000
    dy = y - centre_y * radius // 1000
    reach = extent * radius // 1000
    inside: Bool = dx * dx + dy * dy <= reach * reach
    return inside


def _circle(x: Int, y: Int, radius: int) -> Bool:
    return _disc(x, y, radius, 0, 0, 860)


def _ring(x: Int, y: Int, radius: int) -> Bool:
    return _disc(x, y, radius, 0, 0, 1050) & ~_disc(x, y, radius, 0, 0, 560)


def _crescent(x: Int, y: Int, radius: int) -> Bool:
    return _disc(x, y, radius, 150, 0, 1150) & ~_disc(x, y, radius, 690, 0, 900)


def _heart(x: Int, y: Int, radius: int) -> Bool:
    lobes = _disc(x, y, radius, -466, -314, 532) | _disc(x, y, radius, 466, -314, 532)
    point = [(px * radius // 1000, py * radius // 1000) for px, py in ((-886, 12), (0, -560), (886, 12), (0, 1026))]
    return lobes | _fill(point, x, y)


def _drop(x: Int, y: Int, radius: int) -> Bool:
    tip = [(px * radius // 1000, py * radius // 1000) for px, py in ((0, -1280), (632, 38), (0, 600), (-632, 38))]
    return _disc(x, y, radius, 0, 382, 720) | _fill(tip, x, y)


_INSIDE: Final[dict[str, Callable[[Int, Int, int], Bool]]] = {
    **{name: _polygon(name) for name in _POLYGONS},
    "circle": _circle,
    "ring": _ring,
    "crescent": _crescent,
    "heart": _heart,
    "drop": _drop,
}


def template(shape: str, diameter: int, tilt: int) -> Template:
    """The shape at a nominal diameter in pixels and a tilt in degrees (one of :data:`TILTS`).

    All shapes of one diameter cover about the same area, so that the size of an object is seen in its area.
    """
    return _cached(shape, diameter, tilt) if diameter <= 160 else _draw(shape, diameter, tilt)


@lru_cache(maxsize=2048)
def _cached(shape: str, diameter: int, tilt: int) -> Template:
    return _draw(shape, diameter, tilt)


def samples_a_side(diameter: int) -> int:
    """Points a side at which a pixel is sampled: fewer for large objects, whose edges are few beside their area."""
    return 4 if diameter <= 160 else 2 if diameter <= 480 else 1


def grid(side: int, samples: int) -> Int:
    """Positions of the sample points of ``side`` pixels about their middle, in eighths of a pixel; shape (side * samples,)."""
    step = 8 // samples
    return np.arange(side * samples, dtype=np.int64) * step + step // 2 - 4 * side


def count_samples(points: Bool, samples: int) -> Coverage:
    """Sample points that are set, counted per pixel and scaled to sixteenths; (h, w) uint8."""
    height, width = points.shape[0] // samples, points.shape[1] // samples
    blocks = points.reshape(height, samples, width, samples).sum(axis=(1, 3), dtype=np.uint8)
    scaled: Coverage = blocks * np.uint8(16 // (samples * samples))
    return scaled


def _draw(shape: str, diameter: int, tilt: int) -> Template:
    samples = samples_a_side(diameter)
    side = 2 * (diameter * _REACH // 2000 + 1)
    axis = grid(side, samples)
    cosine, sine = _TILTS[abs(tilt)]
    if tilt < 0:
        sine = -sine
    x = axis[None, :] * cosine + axis[:, None] * sine
    y = axis[:, None] * cosine - axis[None, :] * sine
    # The radius is diameter / 2 pixels = 4 * diameter eighths, in units of 1/4096.
    points = _INSIDE[shape](x, y, 4 * diameter * 4096)
    width = max(samples, samples * diameter // 28)
    core = _eroded(points, width)
    coverage = count_samples(points, samples)
    rim = count_samples(points & ~core, samples)
    rows, columns = np.flatnonzero(coverage.any(axis=1)), np.flatnonzero(coverage.any(axis=0))
    cut = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    mask = coverage[cut] >= 8
    return Template(np.ascontiguousarray(coverage[cut]), np.ascontiguousarray(rim[cut]), mask, int(mask.sum()))


def _eroded(points: Bool, width: int) -> Bool:
    """Points whose neighbours up to ``width`` away along rows, columns and diagonals are all set."""
    result = points.copy()
    for step in range(width):
        # Alternating the diamond and the square neighbourhood gives an octagon: about the same width on every side.
        padded = np.pad(result, 1)
        result = padded[1:-1, 1:-1] & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        if step % 2:
            result &= padded[:-2, :-2] & padded[:-2, 2:] & padded[2:, :-2] & padded[2:, 2:]
    return result
