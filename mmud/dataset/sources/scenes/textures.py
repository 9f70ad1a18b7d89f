"""Patterns of objects and backgrounds, in integers: how much of a second tone each pixel gets, in sixteenths."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from mmud.dataset.sources.scenes.shapes import Bool, Coverage, Int, count_samples, grid, samples_a_side

_U64 = np.uint64


def object_texture(texture: str, diameter: int, height: int, width: int, turn: int) -> Coverage | None:
    """The second tone of an object's texture, centred on its template; (height, width) uint8, None for a plain one.

    Bands, dots and cells grow with the object, so that a small one shows as many of them as a large one.

    Args:
        turn: 0 or 1; 1 turns stripes from level to slanted.
    """
    if texture == "plain":
        return None
    if diameter <= 160:
        return _cached_texture(texture, diameter, height, width, turn)
    return _draw_texture(texture, diameter, height, width, turn)


@lru_cache(maxsize=4096)
def _cached_texture(texture: str, diameter: int, height: int, width: int, turn: int) -> Coverage:
    return _draw_texture(texture, diameter, height, width, turn)


def _draw_texture(texture: str, diameter: int, height: int, width: int, turn: int) -> Coverage:
    samples = samples_a_side(diameter)
    x, y = grid(width, samples)[None, :], grid(height, samples)[:, None]
    if texture == "striped":
        points = _stripes(x, y, diameter, turn)
    elif texture == "dotted":
        points = _dots(x, y, diameter)
    else:
        points = _checks(x, y, diameter)
    return count_samples(points, samples)


def _stripes(x: Int, y: Int, diameter: int, turn: int) -> Bool:
    # Band width in eighths of a pixel; a slanted band is 7/5 as wide along the axis.
    band = max(16, 8 * diameter // 9) if turn == 0 else max(20, 8 * diameter * 7 // 45)
    along = y + band // 2 + (x if turn else 0 * x)
    stripes: Bool = (along // band) % 2 == 1
    return stripes


def _dots(x: Int, y: Int, diameter: int) -> Bool:
    pitch = max(36, 8 * diameter // 4)
    row = (y + pitch // 2) // pitch
    # Every other row moves by half a pitch, as spots on a scarf.
    dx = (x + pitch // 2 + (row % 2) * (pitch // 2)) % pitch - pitch // 2
    dy = (y + pitch // 2) % pitch - pitch // 2
    radius = pitch * 3 // 10
    dots: Bool = dx * dx + dy * dy <= radius * radius
    return dots


def _checks(x: Int, y: Int, diameter: int) -> Bool:
    cell = max(20, 8 * diameter // 6)
    checks: Bool = (x // cell + y // cell) % 2 == 1
    return checks


def background_pattern(pattern: str, height: int, width: int, phase: int, turn: int) -> npt.NDArray[np.int32]:
    """The second tone of a background in 1/256; (height, width) int32, 0 to 256.

    Args:
        phase: A number of 64 bits: where the pattern starts, and what the noise is.
        turn: 0 or 1: level or upright stripes and gradients.
    """
    unit = max(2, min(height, width) // 16)
    x = np.arange(width, dtype=np.int32)[None, :]
    y = np.arange(height, dtype=np.int32)[:, None]
    along, across = (y, x) if turn == 0 else (x, y)
    start = phase % (4 * unit)
    if pattern == "gradient":
        extent = max(1, (height if turn == 0 else width) - 1)
        return (along * 256 // extent + 0 * across).astype(np.int32)
    if pattern == "noisy":
        return _noise(height, width, phase, max(1, unit // 4))
    if pattern == "striped":
        points = ((along + start) // unit) % 2 == 1
    elif pattern == "checkered":
        points = ((x + start) // (unit * 2) + (y + start) // (unit * 2)) % 2 == 1
    elif pattern == "gridded":
        line = max(1, unit // 5)
        points = ((x + start) % (unit * 2) < line) | ((y + start) % (unit * 2) < line)
    elif pattern == "zigzag":
        teeth = abs((across + start) % (unit * 4) - unit * 2)
        points = ((along + teeth + start) // unit) % 3 == 0
    elif pattern == "dotted":
        points = _background_dots(x + start, y + start, unit)
    else:
        points = np.zeros((1, 1), dtype=np.bool_)
    return np.broadcast_to(points, (height, width)).astype(np.int32) * 256


def _background_dots(x: npt.NDArray[np.int32], y: npt.NDArray[np.int32], unit: int) -> Bool:
    pitch = unit * 2
    dx = x % pitch * 2 - pitch + 1
    dy = (y % pitch) * 2 - pitch + 1
    dots: Bool = dx * dx + dy * dy <= unit * unit
    return dots


def _noise(height: int, width: int, phase: int, grain: int) -> npt.NDArray[np.int32]:
    """One of 257 levels for each grain of ``grain`` pixels a side: splitmix64's finaliser on the grain's number."""
    rows, columns = -(-height // grain), -(-width // grain)
    numbers = np.arange(rows * columns, dtype=np.uint64) * _U64(0x9E3779B97F4A7C15) + _U64(phase)
    mixed = (numbers ^ (numbers >> _U64(30))) * _U64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> _U64(27))) * _U64(0x94D049BB133111EB)
    levels = ((mixed ^ (mixed >> _U64(31))) % _U64(257)).astype(np.int32).reshape(rows, columns)
    if grain == 1:
        return levels
    return np.repeat(np.repeat(levels, grain, axis=0), grain, axis=1)[:height, :width]
