"""Reading images from anyone.

Nothing is decoded before its bytes, format and pixel count are checked. Every image becomes 8-bit RGB:

- transparency is composited on white (clean-fid and torch-fidelity drop the alpha channel, which shows whatever colour the
  writer left under it);
- 16-bit grey is scaled to 8 bits (Pillow's own conversion cuts it off at 255);
- EXIF orientation is not applied unless asked for: no FID code applies it, and COCO's boxes and masks refer to the stored
  pixels;
- of an animation the first frame counts.
"""

from __future__ import annotations

import io
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mmud import codes
from mmud.errors import MmudError, Place
from mmud.files import require

Pixels = NDArray[np.uint8]
"""An image: shape (height, width, 3), RGB."""

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
_WHITE = 255

SHOWN_SIDE = 720
"""Images are shown to people at most so large, in pixels on their longer side."""

_SMALL_PIXELS = 300 * 300
_JPEG_QUALITY = 85


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What is refused before it is decoded.

    Attributes:
        max_bytes: Of the file.
        max_pixels: Width times height.
        formats: Pillow's names of the formats that are opened.
        exif_orientation: Whether to turn the image as its EXIF tag says.
    """

    max_bytes: int = 64 << 20
    max_pixels: int = 64_000_000
    formats: tuple[str, ...] = FORMATS
    exif_orientation: bool = False


DEFAULT_LIMITS = ImageLimits()


def read_image_bytes(path: Path, limits: ImageLimits = DEFAULT_LIMITS) -> bytes:
    """The file's bytes, within the bound.

    Raises:
        MmudError: MM002 no such file, MM502 not a regular file or unreadable, MM503 above the bound.
    """
    path = require(Path(path), "image")
    place = Place(file=str(path))
    if not path.is_file():
        raise MmudError(codes.IMAGE_UNREADABLE, "not a file", place)
    try:
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > limits.max_bytes:
                raise MmudError(codes.IMAGE_TOO_LARGE, f"{size} bytes; the bound is {limits.max_bytes}", place)
            data = stream.read(limits.max_bytes + 1)
    except OSError as error:
        raise MmudError(codes.IMAGE_UNREADABLE, f"cannot read: {error}", place) from error
    _check_bytes(data, limits, place)
    return data


def _check_bytes(data: bytes, limits: ImageLimits, place: Place) -> None:
    if len(data) > limits.max_bytes:
        raise MmudError(codes.IMAGE_TOO_LARGE, f"more than {limits.max_bytes} bytes", place)


def decode_image(data: bytes, limits: ImageLimits = DEFAULT_LIMITS, place: Place | None = None) -> Pixels:
    """Decode an image file held in memory to RGB.

    Args:
        data: The file's bytes.
        limits: What is refused.
        place: Where the bytes come from, for messages.

    Raises:
        MmudError: MM502 for what is no image of an allowed format or is damaged, MM503 for too many bytes or pixels.
    """
    place = place or Place()
    _check_bytes(data, limits, place)
    try:
        # Pillow's own bounds on pixels are process-wide settings; ours is checked below, before any pixel is decoded.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=list(limits.formats))
    except Image.DecompressionBombError as error:
        raise MmudError(codes.IMAGE_TOO_LARGE, str(error), place) from error
    except Exception as error:  # decoders fail on hostile bytes in many ways
        raise MmudError(codes.IMAGE_UNREADABLE, f"not an image of {', '.join(limits.formats)}", place) from error
    with image:
        width, height = image.size
        if width * height > limits.max_pixels:
            message = f"{width}x{height} pixels; the bound is {limits.max_pixels}"
            raise MmudError(codes.IMAGE_TOO_LARGE, message, place)
        try:
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image) if limits.exif_orientation else image)
        except Exception as error:
            raise MmudError(codes.IMAGE_UNREADABLE, f"damaged: {type(error).__name__}: {error}", place) from error


def load_image(path: Path, limits: ImageLimits = DEFAULT_LIMITS) -> Pixels:
    """Read and decode one image file.

    Raises:
        MmudError: as ``read_image_bytes`` and ``decode_image``.
    """
    return decode_image(read_image_bytes(path, limits), limits, Place(file=str(path)))


def shown_file(pixels: Pixels, longest: int = SHOWN_SIDE) -> tuple[str, bytes]:
    """A new image file for people to look at; nothing of the file that the pixels came from is in it but them.

    Args:
        pixels: shape (height, width, 3).
        longest: the longer side is brought down to so many pixels.

    Returns:
        "png" or "jpeg", and the file's bytes.
    """
    picture = Image.fromarray(pixels)
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    # Small images are drawings and icons more often than photographs: keep their edges.
    kind = "png" if picture.width * picture.height <= _SMALL_PIXELS else "jpeg"
    picture.save(buffer, kind.upper(), **({"quality": _JPEG_QUALITY} if kind == "jpeg" else {}))
    return kind, buffer.getvalue()


def _to_rgb(image: Image.Image) -> Pixels:
    if image.mode.startswith("I"):
        return _deep_grey(image)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        # La and RGBa hold colours multiplied by alpha; Pillow undoes that on the way to LA and RGBA
        straight = {"La": "LA", "RGBa": "RGBA"}.get(image.mode)
        layered = (image.convert(straight) if straight else image).convert("RGBA")
        page = Image.new("RGBA", layered.size, (_WHITE, _WHITE, _WHITE, _WHITE))
        image = Image.alpha_composite(page, layered)
    return np.array(image.convert("RGB"), dtype=np.uint8)


def _deep_grey(image: Image.Image) -> Pixels:
    """16-bit grey: 0..65535 to 0..255 by rounding; the value named transparent becomes white."""
    values = np.asarray(image).astype(np.int64)
    grey = np.clip((values + 128) // 257, 0, 255).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = _WHITE
    return np.repeat(grey[:, :, None], 3, axis=2)
