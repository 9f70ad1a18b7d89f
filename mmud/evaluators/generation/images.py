"""The images of a folder, and the two resizings that FID is computed with. Files are read by ``mmud.images``."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmud.errors import MmudError, Place
from mmud.evaluators.generation import codes
from mmud.files import require
from mmud.images import SUFFIXES, Pixels


def resize_clean(pixels: Pixels, size: tuple[int, int] = (299, 299)) -> NDArray[np.float32]:
    """The antialiased resizing of clean FID (Parmar et al. 2022): bicubic in floating point, each channel by itself.

    Args:
        pixels: Shape (height, width, 3).
        size: Width and height of the result.

    Returns:
        Shape (height, width, 3), float32, cut to 0..255 and not rounded.
    """
    channels = [
        np.asarray(Image.fromarray(pixels[:, :, channel].astype(np.float32)).resize(size, Image.Resampling.BICUBIC))
        for channel in range(3)
    ]
    return np.stack(channels, axis=2).clip(0, 255)


def resize_bilinear(pixels: Pixels, size: tuple[int, int] = (299, 299)) -> NDArray[np.float32]:
    """Bilinear without antialiasing at half-pixel centres, as ``torch.nn.functional.interpolate`` in pytorch-fid.

    It skips pixels when it shrinks an image, which is why clean FID exists; it is here to reproduce older figures.

    Args:
        pixels: Shape (height, width, 3).
        size: Width and height of the result.

    Returns:
        Shape (height, width, 3), float32, in 0..255.
    """
    rows, row_weight = _taps(pixels.shape[0], size[1])
    columns, column_weight = _taps(pixels.shape[1], size[0])
    values = pixels.astype(np.float32)
    upper, lower = values[rows[0]], values[rows[1]]
    tall = upper + (lower - upper) * row_weight[:, None, None]
    left, right = tall[:, columns[0]], tall[:, columns[1]]
    resized: NDArray[np.float32] = (left + (right - left) * column_weight[None, :, None]).clip(0, 255)
    return resized


def _taps(source: int, target: int) -> tuple[tuple[NDArray[np.intp], NDArray[np.intp]], NDArray[np.float32]]:
    """For each target pixel, the two source pixels beside its centre and the weight of the second.

    Centres are rounded to single precision after one fused step, as torch computes them: doubles would move some pixels by
    a hundredth of a grey level.
    """
    scale = float(np.float32(source / target))
    centres = np.maximum((np.arange(target) + 0.5) * scale - 0.5, 0).astype(np.float32)
    first = np.minimum(np.floor(centres).astype(np.intp), source - 1)
    return (first, np.minimum(first + 1, source - 1)), centres - first.astype(np.float32)


def list_images(folder: Path) -> list[Path]:
    """Every image file in a folder and its sub-folders, by suffix, in the order of their relative paths.

    Links to folders are not followed.

    Raises:
        MmudError: MM002 no such folder, MM870 when it holds no image.
    """
    folder = require(Path(folder), "folder")
    found = [
        Path(parent, name)
        for parent, _, names in os.walk(folder)
        for name in names
        if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
    ]
    if not found:
        raise MmudError(codes.NO_IMAGES, f"no image in {folder}", Place(file=str(folder)))
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())
