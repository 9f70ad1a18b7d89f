"""Reading one image file: how it is, without trusting anything in it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from mmud import codes as common
from mmud.dataset.checks.base import printable
from mmud.dataset.checks.codes import images as codes
from mmud.dataset.image_groups import content_digest
from mmud.dataset.image_hash import difference_hash
from mmud.errors import Code, MmudError
from mmud.images import DEFAULT_LIMITS, read_image_bytes

COMMON_FORMATS = ("JPEG", "PNG", "WEBP")
READ_FORMATS = (*COMMON_FORMATS, "BMP", "GIF", "TIFF", "PPM")
"""What is opened at all: formats whose decoders run no other program and follow no reference."""

PLAIN_MODES = ("RGB", "L")
_ORIENTATION = 0x0112
_UPRIGHT = 1
_DRAFT_SIDE = 64


@dataclass(slots=True)
class ImageFacts:
    """What an image file says of itself.

    Attributes:
        problem: what keeps it from being decoded: code and message.
        path: as the row gives it.
        embedded: whether the row holds the file's bytes.
        digest: the first 16 bytes of the file's SHA-256; empty where there is no file.
        format: Pillow's name of the format; empty where the header cannot be read.
        size: (width, height) of the header.
        mode: Pillow's mode of the stored pixels.
        orientation: of the EXIF data; 1 is upright.
        animated: whether there are several frames.
        blank: whether all pixels are alike.
        hash: the perceptual hash; None where there is none.
    """

    problem: tuple[Code, str] | None = None
    path: str | None = None
    embedded: bool = False
    digest: bytes = b""
    format: str = ""
    size: tuple[int, int] = (0, 0)
    mode: str = ""
    orientation: int = _UPRIGHT
    animated: bool = False
    blank: bool = False
    hash: int | None = None


def read_image(data: bytes | None, path: str | None, folder: Path) -> ImageFacts:
    """Read and decode an image.

    Args:
        data: the file's bytes, where the row holds them.
        path: the file's path, else its original name; a relative one counts from the current folder, then from the dataset's.
        folder: the dataset's folder.
    """
    facts = ImageFacts(path=path, embedded=data is not None)
    if data is None and path is None:
        facts.problem = codes.IMAGE_ABSENT, "the sample has neither image bytes nor a path"
        return facts
    try:
        content = data if data is not None else read_linked(path or "", folder)
        facts.digest = content_digest(content)
        if len(content) > DEFAULT_LIMITS.max_bytes:
            message = f"{len(content)} bytes; the bound is {DEFAULT_LIMITS.max_bytes}"
            raise MmudError(common.IMAGE_TOO_LARGE, message)
        _decode(content, facts)
    except MmudError as error:
        facts.problem = error.code, error.message
    return facts


def read_linked(path: str, folder: Path) -> bytes:
    """The bytes of an image that a row links to.

    Raises:
        MmudError: MM501 when there is no such file, MM502 or MM503 when it cannot be read or is too large.
    """
    try:
        file = Path(path)
        if not file.is_absolute() and not file.exists():
            file = folder / file
        return read_image_bytes(file)
    except (OSError, ValueError) as error:
        raise MmudError(common.IMAGE_MISSING, f"no image file can have the path {printable(path)}: {error}") from error
    except MmudError as error:
        if error.code is common.FILE_MISSING:
            raise MmudError(common.IMAGE_MISSING, f"there is no file {printable(path, 200)}") from error
        raise


def _decode(content: bytes, facts: ImageFacts) -> None:
    image = _open(content)
    with image:
        facts.format = image.format or ""
        facts.size = image.size
        facts.mode = image.mode
        pixels = image.width * image.height
        if pixels > DEFAULT_LIMITS.max_pixels:
            message = f"{image.width} x {image.height} pixels; the bound is {DEFAULT_LIMITS.max_pixels}"
            raise MmudError(common.IMAGE_TOO_LARGE, message)
        facts.orientation = _orientation(image)
        # All of a JPEG's data is read, in grey and at the smallest scale that the hash needs: half the time of decoding in full.
        image.draft("L", (_DRAFT_SIDE, _DRAFT_SIDE))
        try:
            facts.animated = bool(getattr(image, "is_animated", False))
            image.load()
        except Exception:  # a decoder may fail on the shortened way alone: the whole way decides
            _decode_whole(content)
            return
        grey = _grey(image)
        low, high = grey.getextrema()
        if low != high:
            facts.hash = difference_hash(grey)
        else:
            facts.blank = _is_blank(content)


def _grey(image: Image.Image) -> Image.Image:
    """8-bit grey, made smaller first where that is exact enough for a hash of 9 x 8 pixels."""
    if image.mode in ("L", "RGB"):
        factor = min(image.size) // _DRAFT_SIDE
        return (image.reduce(factor) if factor > 1 else image).convert("L")
    return image.convert("L")


def _open(content: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content), formats=READ_FORMATS)
    except Image.DecompressionBombError as error:
        raise MmudError(common.IMAGE_TOO_LARGE, str(error)) from error
    except Exception as error:  # decoders fail on hostile bytes in many ways
        message = f"not an image of {', '.join(READ_FORMATS)}; it begins with {content[:8]!r}"
        raise MmudError(common.IMAGE_UNREADABLE, message) from error


def _decode_whole(content: bytes) -> Image.Image:
    image = _open(content)
    try:
        image.load()
    except Exception as error:  # as above
        message = f"decoding fails: {type(error).__name__}: {printable(str(error))}"
        raise MmudError(codes.IMAGE_TRUNCATED, message) from error
    return image


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION, _UPRIGHT)
    except Exception:  # EXIF data that cannot be read turns no viewer's image
        return _UPRIGHT
    return value if isinstance(value, int) and 1 <= value <= 8 else _UPRIGHT


def _is_blank(content: bytes) -> bool:
    """Whether all pixels are alike; the small grey version has averaged fine patterns away."""
    with _decode_whole(content) as image:
        extremes = image.getextrema()
    bands = extremes if isinstance(extremes[0], tuple) else (extremes,)
    return all(low == high for low, high in bands)
