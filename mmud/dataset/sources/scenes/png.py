"""PNG files that are the same bytes on every machine (ISO/IEC 15948): fixed filters, our own deflate."""

from __future__ import annotations

import struct
import zlib
from typing import Final

import numpy as np
import numpy.typing as npt

from mmud.dataset.sources.scenes.deflate import compress

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
#: Filter types tried for each row: none, left, up, Paeth.
_FILTERS: Final = (0, 1, 2, 4)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def filter_rows(image: npt.NDArray[np.uint8]) -> bytes:
    """Each row with its filter's number in front; the filter is the one whose residuals, read as signed, sum up to least.

    Args:
        image: (H, W, 3) uint8.
    """
    height, width, channels = image.shape
    rows = image.reshape(height, width * channels).astype(np.int16)
    left, up, corner = np.zeros_like(rows), np.zeros_like(rows), np.zeros_like(rows)
    left[:, channels:] = rows[:, :-channels]
    up[1:] = rows[:-1]
    corner[1:, channels:] = rows[:-1, :-channels]
    by_left, by_up, by_corner = np.abs(up - corner), np.abs(left - corner), np.abs(left + up - 2 * corner)
    nearest_left = (by_left <= by_up) & (by_left <= by_corner)
    paeth = np.where(nearest_left, left, np.where(by_up <= by_corner, up, corner))
    residuals = np.stack([rows, rows - left, rows - up, rows - paeth]).astype(np.uint8)
    cost = np.abs(residuals.view(np.int8).astype(np.int16)).sum(axis=2, dtype=np.int64)
    best = cost.argmin(axis=0)
    filtered = np.empty((height, width * channels + 1), dtype=np.uint8)
    filtered[:, 0] = np.array(_FILTERS, dtype=np.uint8)[best]
    filtered[:, 1:] = residuals[best, np.arange(height)]
    return filtered.tobytes()


def encode_png(image: npt.NDArray[np.uint8]) -> bytes:
    """An RGB image, (H, W, 3) uint8, as a PNG file."""
    height, width, _ = image.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = compress(filter_rows(image))
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")
