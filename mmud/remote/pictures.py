"""Images as a chat request holds them."""

from __future__ import annotations

import base64
import io

from PIL import Image

from mmud.errors import Place
from mmud.images import decode_image

JPEG_QUALITY = 92


def scaled(data: bytes, side: int, place: Place) -> Image.Image:
    """An image file as RGB, scaled down so that its longest side is at most ``side`` pixels; never scaled up.

    Raises:
        MmudError: MM502 or MM503 for what cannot be decoded.
    """
    image = Image.fromarray(decode_image(data, place=place))
    image.thumbnail((side, side), Image.Resampling.BICUBIC)
    return image


def jpeg_uri(image: Image.Image) -> str:
    """An image as a ``data:`` address of a JPEG, which drops what a camera wrote beside the pixels."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def data_uri(data: bytes, side: int, place: Place) -> str:
    """An image file as a ``data:`` address: a JPEG whose longest side is at most ``side`` pixels.

    Raises:
        MmudError: MM502 or MM503 for what cannot be decoded.
    """
    return jpeg_uri(scaled(data, side, place))
