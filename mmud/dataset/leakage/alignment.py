"""Whether two small grey pictures show one photograph, though one of them may be cropped, brighter or sharper.

A hash alone cannot tell a crop from another picture. So a candidate pair is aligned: the window of one picture that looks most
like the other is searched by Gauss-Newton steps on scale and shift of each axis (Lucas and Kanade, "An Iterative Image
Registration Technique", 1981; here with the normalised cross-correlation as the measure, which brightness and contrast do not
change). Then the details of the two, without the broad light and shade that many pictures share, are correlated: that decides.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 32
"""Pixels of a thumbnail's sides."""

Pictures = NDArray[np.float32]
"""Shape (n, 32, 32)."""

_STEPS = 8
_SCALES = (0.85, 1.18)
"""Window sizes that are tried, relative to the picture: a crop of 5 % on each side is 0.9."""

_FARTHEST = 0.12
"""The window's largest shift, as a share of the side."""

_DAMPING = 1.0
_BROAD_PASSES = 8
_EARLY_STEP, _EARLY_BOUND = 3, 0.5
"""After so many steps a pair whose correlation is below this is given up; crops of 5 % are above 0.8 by then."""

_CENTRE = (SIDE - 1) / 2
_GRID = ((np.arange(SIDE) - _CENTRE) / SIDE).astype(np.float32)


def thumbnail(image: Image.Image) -> NDArray[np.uint8]:
    """A grey image shrunk to 32 x 32, whatever its shape."""
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS), dtype=np.uint8)


def similarities(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How well the details of each pair agree once aligned, whichever of the two is the crop.

    Args:
        first: n thumbnails, shape (n, 32, 32).
        second: n thumbnails; ``second[i]`` is compared with ``first[i]``.

    Returns:
        Shape (n,), from -1 to 1. Copies of photographs that were re-encoded, resized, brightened or cropped by up to 5 % a side
        reach 0.93 and more, different photographs stay below 0.5, synthetic scenes on like backgrounds below 0.8
        (docs/leakage.md).
    """
    a, b = _blurred(first.astype(np.float32)), _blurred(second.astype(np.float32))
    forth, back = _aligned(a, b), _aligned(b, a)
    return np.where(forth[0] >= back[0], forth[1], back[1])


def _aligned(pictures: Pictures, targets: Pictures) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The correlation that the best window of each picture reaches with its target, and that of their details."""
    best, windows = _best_window(pictures, _normalised(targets))
    return best, (_details(windows) * _details(targets)).mean(axis=(1, 2), dtype=np.float64)


def _details(pictures: Pictures) -> Pictures:
    """What is left of pictures without their broad light and shade, normalised."""
    broad = pictures
    for _ in range(_BROAD_PASSES):
        broad = _blurred(broad)
    return _normalised(pictures - broad)


def _blurred(pictures: Pictures) -> Pictures:
    """Smoothed by (1, 2, 1) / 4 along both axes: the steps need slopes, not edges."""
    padded = np.pad(pictures, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    return np.asarray((rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 4, dtype=np.float32)


def _normalised(pictures: Pictures) -> Pictures:
    centred = pictures - pictures.mean(axis=(1, 2), keepdims=True)
    return np.asarray(centred / np.sqrt((centred**2).mean(axis=(1, 2), keepdims=True) + 1e-6), dtype=np.float32)


def _interpolation(positions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Matrices that read a row of 32 values at other positions, linearly: (n, 32) -> (n, 32, 32)."""
    clipped = np.clip(positions, 0, SIDE - 1)
    left = np.minimum(clipped.astype(np.intp), SIDE - 2)
    share = (clipped - left).astype(np.float32)
    matrices = np.zeros((*positions.shape, SIDE), dtype=np.float32)
    which, row = np.arange(len(positions))[:, None], np.arange(SIDE)[None]
    matrices[which, row, left] = 1 - share
    matrices[which, row, left + 1] = share
    return matrices


def _windows(pictures: Pictures, scale: NDArray[np.float32], shift: NDArray[np.float32]) -> Pictures:
    """The window of each picture, read at 32 x 32; scale and shift have shape (n, 2): across, down."""
    across, down = ((scale[:, k, None] * _GRID + shift[:, k, None]) * SIDE + _CENTRE for k in (0, 1))
    return np.asarray(_interpolation(down) @ pictures @ _interpolation(across).transpose(0, 2, 1), dtype=np.float32)


def _best_window(pictures: Pictures, targets: Pictures) -> tuple[NDArray[np.float64], Pictures]:
    """The best correlation of each pair, and the window that reaches it."""
    count = len(pictures)
    best, found = np.full(count, -1.0), pictures.copy()
    scale, shift = np.ones((count, 2), dtype=np.float32), np.zeros((count, 2), dtype=np.float32)
    alive = np.arange(count)
    for step in range(_STEPS + 1):
        raw = _windows(pictures[alive], scale[alive], shift[alive])
        windows, goal = _normalised(raw), targets[alive]
        reached = (windows * goal).mean(axis=(1, 2), dtype=np.float64)
        better = reached > best[alive]
        found[alive[better]] = raw[better]
        best[alive] = np.maximum(best[alive], reached)
        if step == _STEPS:
            break
        if step == _EARLY_STEP:
            kept = best[alive] >= _EARLY_BOUND
            alive, windows, goal = alive[kept], windows[kept], goal[kept]
        if not len(alive):
            break
        change = _gauss_newton(windows, goal)
        scale[alive] = np.clip(scale[alive] + change[:, (0, 2)], *_SCALES)
        shift[alive] = np.clip(shift[alive] + change[:, (1, 3)], -_FARTHEST, _FARTHEST)
    return best, found


def _gauss_newton(windows: Pictures, targets: Pictures) -> NDArray[np.float32]:
    """The step (scale across, shift across, scale down, shift down) of each pair, shape (n, 4)."""
    slope_down, slope_across = (np.gradient(windows, axis=axis) * SIDE for axis in (1, 2))
    parts = (slope_across * _GRID[None, None], slope_across, slope_down * _GRID[None, :, None], slope_down)
    jacobian = np.stack(parts, axis=-1).reshape(len(windows), SIDE * SIDE, 4)
    jacobian -= jacobian.mean(axis=1, keepdims=True)
    transposed = jacobian.transpose(0, 2, 1)
    residual = (targets - windows).reshape(len(windows), SIDE * SIDE, 1)
    curvature = transposed @ jacobian + _DAMPING * np.eye(4, dtype=np.float32)
    return np.asarray(np.linalg.solve(curvature, transposed @ residual)[..., 0], dtype=np.float32)
