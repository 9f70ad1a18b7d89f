"""The size of an official record's image: from the record, or from elsewhere where the record's cannot be right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mmud.annotations.masks import MAX_SIDE
from mmud.dataset.sources import codes
from mmud.dataset.sources.coco_files import side
from mmud.dataset.sources.object_masks import Box, Size
from mmud.dataset.sources.plain_json import shown
from mmud.dataset.sources.release.notes import RecordNotes
from mmud.errors import MmudError

HeaderSize = Callable[[], tuple[int, int] | None]
"""Gives (width, height) of the image file, or None."""


def read_size(record: Sequence[Any], boxes: Sequence[Box | None], notes: RecordNotes, header_size: HeaderSize) -> Size:
    """The (height, width) of a record's image, in pixels.

    Args:
        record: the record.
        boxes: of its objects, None for those that cannot be used.
        notes: take what is odd.
        header_size: asked for the image's size where the record's own cannot be right.

    Raises:
        MmudError: MM720 when the size is not known.
    """
    sides = [_side(record, 6, notes), _side(record, 7, notes)]
    height, width = sides
    if height is None or width is None:
        size = _size_elsewhere(record, header_size)
        if size is None:
            message = f"height {shown(record[6])}, width {shown(record[7])}: the image's size is not known"
            raise MmudError(codes.RECORD_SHAPE, message, notes.place)
        return size
    if height != width and _looks_swapped(record, boxes, height, width):
        known = _size_elsewhere(record, header_size)
        if known == (width, height):
            notes.raw["sample_height"], notes.raw["sample_width"] = height, width
            notes.note(codes.SIZE_SWAPPED, f"height {height} and width {width} are those of the image, swapped")
            return width, height
    return height, width


def _side(record: Sequence[Any], field: int, notes: RecordNotes) -> int | None:
    value = record[field]
    if isinstance(value, float) and value.is_integer() and 0 < value <= MAX_SIDE:
        notes.keep(field, f"{shown(value)} instead of a whole number")
        return int(value)
    if type(value) is not int or not 0 < value <= MAX_SIDE:
        notes.keep(field, f"{shown(value)} instead of a number of pixels")
        return None
    return value


def _looks_swapped(record: Sequence[Any], boxes: Sequence[Box | None], height: int, width: int) -> bool:
    """Whether a box or mask fits the image only with its sides swapped: then it is worth asking."""
    for rle in _rles(record):
        if rle.get("size") in ([width, height], (width, height)):
            return True
    return any(box is not None and (box[0] + box[2] > width + 1 or box[1] + box[3] > height + 1) for box in boxes)


def _size_elsewhere(record: Sequence[Any], header_size: HeaderSize) -> Size | None:
    """(height, width) of the image file or of the first mask that has one."""
    header = header_size()
    if header is not None:
        return header[1], header[0]
    for rle in _rles(record):
        size = rle.get("size")
        if isinstance(size, list | tuple) and len(size) == 2 and all(side(number) for number in size):
            return size[0], size[1]
    return None


def _rles(record: Sequence[Any]) -> list[dict[str, Any]]:
    masks = record[4]
    if not isinstance(masks, list | tuple):
        return []
    found = [part for mask in masks if isinstance(mask, list | tuple) for part in mask[:1]]
    return [part for part in found if isinstance(part, dict)]
