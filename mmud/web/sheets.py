"""Contact sheets: PNG pages of images with their masks, for a quick look or a report."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mmud.annotations.masks import Mask
from mmud.errors import MmudError
from mmud.files import atomic_write
from mmud.images import decode_image
from mmud.records import Sample, Segmentation

HUES = (
    (68, 119, 170),
    (238, 102, 119),
    (34, 136, 51),
    (204, 187, 68),
    (102, 204, 238),
    (170, 51, 119),
    (238, 136, 102),
)
"""The gallery's first colours (Paul Tol's "bright"), so that object i looks alike on a page and on a sheet."""

_CELL = 256
_CAPTION = 20
_GAP = 10
_PAPER = (250, 249, 246)


def write_sheets(folder: Path, samples: Iterable[Sample], columns: int = 5, rows: int = 4) -> list[Path]:
    """Write pages of ``columns`` by ``rows`` images with their masks and ids.

    Returns:
        The files, ``sheet-001.png`` and on.
    """
    written = []
    for number, page in enumerate(_pages(samples, columns * rows), start=1):
        path = folder / f"sheet-{number:03d}.png"
        buffer = io.BytesIO()
        _draw_page(page, columns).save(buffer, "PNG")
        with atomic_write(path) as stream:
            stream.write(buffer.getvalue())
        written.append(path)
    return written


def _pages(samples: Iterable[Sample], size: int) -> Iterator[list[Sample]]:
    iterator = iter(samples)
    while page := list(islice(iterator, size)):
        yield page


def _draw_page(page: list[Sample], columns: int) -> Image.Image:
    rows = -(-len(page) // columns)
    width = columns * (_CELL + _GAP) + _GAP
    height = rows * (_CELL + _CAPTION + _GAP) + _GAP
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default()
    for position, sample in enumerate(page):
        left = _GAP + position % columns * (_CELL + _GAP)
        top = _GAP + position // columns * (_CELL + _CAPTION + _GAP)
        try:
            tile = Image.fromarray(painted(sample))
            tile.thumbnail((_CELL, _CELL), Image.Resampling.LANCZOS)
            sheet.paste(tile, (left + (_CELL - tile.width) // 2, top + (_CELL - tile.height) // 2))
        except MmudError as error:
            draw.rectangle((left, top, left + _CELL, top + _CELL), outline=(170, 60, 50))
            draw.text((left + 8, top + 8), f"{error.code.id} {error.code.title}", fill=(170, 60, 50), font=font)
        # The built-in font has Latin letters only; an id in another script is shown by its code points.
        name = sample.sample_id.encode("ascii", "backslashreplace").decode("ascii")
        draw.text((left, top + _CELL + 3), f"{name[:32]}  ({len(sample.objects)})", fill=(60, 58, 52), font=font)
    return sheet


def painted(sample: Sample) -> NDArray[np.uint8]:
    """The image with each object's mask tinted and outlined; shape (height, width, 3).

    Raises:
        MmudError: when the image is missing or cannot be decoded, or a mask is invalid.
    """
    return tinted(decode_image(sample.image_bytes()), [item.segmentation for item in sample.objects])


def tinted(image: NDArray[np.uint8], masks: Sequence[Segmentation | None]) -> NDArray[np.uint8]:
    """An image with masks tinted and outlined, each in the colour of its place.

    Args:
        image: shape (height, width, 3).
        masks: None where there is none.

    Raises:
        MmudError: when a mask is invalid, or of another size.
    """
    pixels = image.astype(np.float64)
    for index, segmentation in enumerate(masks):
        if segmentation is None:
            continue
        mask = Mask.of(segmentation, *pixels.shape[:2]).decode().astype(bool)
        hue = np.array(HUES[index % len(HUES)], dtype=np.float64)
        inner = mask.copy()
        inner[1:-1, 1:-1] &= mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
        edge = mask & ~inner
        pixels[mask] = 0.65 * pixels[mask] + 0.35 * hue
        pixels[edge] = hue
    return pixels.round().astype(np.uint8)
