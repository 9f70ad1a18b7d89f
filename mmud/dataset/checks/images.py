"""MM5xx: image files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath, PureWindowsPath

from mmud import codes as common
from mmud.dataset.checks.base import Check, Row, printable
from mmud.dataset.checks.batch import SampleContext
from mmud.dataset.checks.codes import images as codes
from mmud.dataset.checks.codes import structure
from mmud.dataset.checks.image_reading import COMMON_FORMATS, PLAIN_MODES, ImageFacts
from mmud.errors import Code, Finding

TINY_SIDE = 32
"""An image whose shorter side has fewer pixels is tiny."""

_FORMAT_OF_SUFFIX = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".pgm": "PPM",
    ".ppm": "PPM",
}
_FAMILY = {"MPO": "JPEG"}
"""Formats whose files are named as those of another: several JPEG pictures in one file."""


class ImageCheck(Check):
    """Image files: there, whole, as large as the sample says, and of a kind that every tool reads alike."""

    codes = (
        common.IMAGE_MISSING,
        common.IMAGE_UNREADABLE,
        common.IMAGE_TOO_LARGE,
        codes.IMAGE_SIZE,
        codes.IMAGE_TRUNCATED,
        codes.IMAGE_FORMAT,
        codes.IMAGE_EXTENSION,
        codes.IMAGE_ROTATED,
        codes.IMAGE_MODE,
        codes.IMAGE_ABSENT,
        codes.IMAGE_ANIMATED,
        codes.IMAGE_BLANK,
        codes.IMAGE_TINY,
        structure.STORAGE_DIFFERS,
    )
    needs_images = True

    def check(self, row: Row, context: SampleContext) -> Iterator[Finding]:
        facts = context.image
        place = context.place(field="image")
        if facts.problem is not None:
            yield Finding(facts.problem[0], place, facts.problem[1])
        for code, message in _problems(facts, row):
            yield Finding(code, place, message)
        mode = self.scope.manifest.images
        if facts.embedded != (mode == "embed") and (facts.embedded or facts.path is not None):
            stored = "embedded" if facts.embedded else "linked"
            yield Finding(structure.STORAGE_DIFFERS, place, f"the image is {stored}, the manifest says {mode}")


def _problems(facts: ImageFacts, row: Row) -> Iterator[tuple[Code, str]]:
    if not facts.format or (facts.problem is not None and facts.problem[0] is common.IMAGE_TOO_LARGE):
        return
    width, height = facts.size
    if None not in (row["width"], row["height"]) and facts.size != (row["width"], row["height"]):
        message = f"the image is {width} x {height}, the sample {row['width']} x {row['height']} (width x height)"
        yield codes.IMAGE_SIZE, message
    if facts.format not in COMMON_FORMATS:
        yield codes.IMAGE_FORMAT, f"the format is {facts.format}"
    elif facts.animated:
        yield codes.IMAGE_ANIMATED, f"the {facts.format} file has several frames"
    if facts.path is not None:
        # A name may come from either kind of system.
        suffix = PurePosixPath(PureWindowsPath(facts.path).name).suffix.lower()
        expected = _FORMAT_OF_SUFFIX.get(suffix)
        if expected is not None and expected != _FAMILY.get(facts.format, facts.format):
            yield codes.IMAGE_EXTENSION, f"{printable(facts.path)} holds {facts.format}"
    if facts.orientation != 1:
        yield codes.IMAGE_ROTATED, f"the EXIF orientation is {facts.orientation}"
    if facts.mode not in PLAIN_MODES:
        yield codes.IMAGE_MODE, f"the mode is {facts.mode}"
    if facts.blank:
        yield codes.IMAGE_BLANK, "all pixels are alike"
    if min(facts.size) < TINY_SIDE:
        yield codes.IMAGE_TINY, f"the image is {width} x {height} pixels"
