"""Ways in which copies of an image differ in practice, for the leakage audit's tests and its benchmark."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

from PIL import Image, ImageEnhance


def encoded(image: Image.Image, kind: str = "JPEG", quality: int = 85) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, quality=quality)
    return stream.getvalue()


def _resized(image: Image.Image, scale: float) -> bytes:
    size = (round(image.width * scale), round(image.height * scale))
    return encoded(image.resize(size, Image.Resampling.BICUBIC))


def _cropped(image: Image.Image, share: float, draw: random.Random) -> bytes:
    """A window at a random place; ``share`` of the width and of the height is cut off in all."""
    across, down = round(image.width * share), round(image.height * share)
    left, top = draw.randint(0, across), draw.randint(0, down)
    return encoded(image.crop((left, top, left + image.width - across, top + image.height - down)))


def _trimmed(image: Image.Image, share: float) -> bytes:
    """``share`` of the width and of the height is cut off on each side."""
    across, down = round(image.width * share), round(image.height * share)
    return encoded(image.crop((across, down, image.width - across, image.height - down)))


ALTERATIONS: dict[str, Callable[[Image.Image, random.Random], bytes]] = {
    "JPEG 50": lambda image, draw: encoded(image, quality=50),
    "JPEG 70": lambda image, draw: encoded(image, quality=70),
    "JPEG 90": lambda image, draw: encoded(image, quality=90),
    "resized 0.5": lambda image, draw: _resized(image, 0.5),
    "resized 0.75": lambda image, draw: _resized(image, 0.75),
    "resized 1.5": lambda image, draw: _resized(image, 1.5),
    "cropped 2 %": lambda image, draw: _cropped(image, 0.02, draw),
    "cropped 3 %": lambda image, draw: _cropped(image, 0.03, draw),
    "cropped 5 %": lambda image, draw: _cropped(image, 0.05, draw),
    "trimmed 2 % a side": lambda image, draw: _trimmed(image, 0.02),
    "trimmed 5 % a side": lambda image, draw: _trimmed(image, 0.05),
    "darker 0.8": lambda image, draw: encoded(ImageEnhance.Brightness(image).enhance(0.8)),
    "brighter 1.2": lambda image, draw: encoded(ImageEnhance.Brightness(image).enhance(1.2)),
    "grey": lambda image, draw: encoded(image.convert("L")),
}
"""Name -> the altered image's file."""
