"""Images as bytes: what format they are, without decoding them, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mmud.codes import IMAGE_MISSING
from mmud.dataset.exporters import codes
from mmud.errors import MmudError, Place
from mmud.records import Sample

MAX_BYTES = 1 << 28
"""A linked file larger than this is no photograph; it is not read."""

# The first name of each list is given where the source has none of them.
_NAMES = {
    "jpeg": ("jpg", "jpeg", "jpe", "jfif"),
    "png": ("png",),
    "gif": ("gif",),
    "bmp": ("bmp", "dib"),
    "webp": ("webp",),
    "tiff": ("tif", "tiff"),
    "avif": ("avif",),
    "jpeg2000": ("jp2",),
}
_MAGIC = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"BM", "bmp"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "jpeg2000"),
)


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An image's bytes as they are, their format, and the extension that fits it."""

    data: bytes
    format: str
    extension: str


def sniff(data: bytes) -> str | None:
    """The image format that the first bytes announce; None when they announce none."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return "avif"
    return next((name for magic, name in _MAGIC if data.startswith(magic)), None)


def file_name_of(sample: Sample) -> str:
    """The last part of the image's path, whichever system wrote it; empty where there is none."""
    return PurePosixPath((sample.image.path or "").replace("\\", "/")).name


def load_image(sample: Sample) -> EncodedImage:
    """The sample's image: embedded, or read from the file that it links to.

    Raises:
        MmudError: MM501 when there is none or it cannot be read, MM781 when it is no image.
    """
    place = Place(sample=sample.sample_id, file=sample.image.path if sample.image.bytes is None else None)
    if sample.image.bytes is None and sample.image.path is not None:
        _check_file(Path(sample.image.path), place)
    data = sample.image_bytes()
    kind = sniff(data)
    if kind is None:
        raise MmudError(codes.NOT_AN_IMAGE, f"{len(data)} bytes that begin with {data[:8]!r}", place)
    # The format decides; the source's own spelling of its extension stays where it fits.
    own = file_name_of(sample).rpartition(".")[2]
    return EncodedImage(data, kind, own if own.lower() in _NAMES[kind] else _NAMES[kind][0])


def _check_file(path: Path, place: Place) -> None:
    """A device or a pipe would never end; a path of a foreign dataset may name one."""
    try:
        regular, size = path.is_file(), path.stat().st_size
    except (OSError, ValueError) as error:
        raise MmudError(IMAGE_MISSING, f"cannot read the image: {error}", place) from error
    if not regular:
        raise MmudError(IMAGE_MISSING, "the image's path names no regular file", place)
    if size > MAX_BYTES:
        raise MmudError(codes.NOT_AN_IMAGE, f"a file of {size} bytes is no image", place)
