"""COCO's numbers in file names."""

from __future__ import annotations

import re

# COCO_train2014_000000573125.jpg; with the annotation's number that refer files add; or the bare number of 12 digits.
_COCO_NAME = re.compile(r"(?:COCO_[a-z]+\d{4}_)?(\d{12})(?:_\d+)?\.(?:jpg|jpeg|png)", re.IGNORECASE)
_WITH_ANNOTATION = re.compile(r"(COCO_[a-z]+\d{4}_\d{12})_\d+(\.\w+)", re.IGNORECASE)


def coco_number(name: str) -> int | None:
    """The image's number, where a file's name is one of COCO's; None for any other name."""
    match = _COCO_NAME.fullmatch(name)
    return int(match[1]) if match else None


def without_annotation(name: str) -> str:
    """The image's own file name: the refer files add the number of an annotation, as in ``…_000000573125_3.jpg``."""
    match = _WITH_ANNOTATION.fullmatch(name)
    return match[1] + match[2] if match else name


def train2014_name(number: int) -> str:
    """The file name of a COCO train2014 image."""
    return f"COCO_train2014_{number:012d}.jpg"
