"""Sizes of images that no annotation file tells."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmud.dataset.sources import codes
from mmud.dataset.sources.coco_files import side
from mmud.dataset.sources.json_files import load_json
from mmud.dataset.sources.object_masks import usable_box
from mmud.dataset.sources.plain_json import shown
from mmud.dataset.sources.tally import Tally
from mmud.errors import MmudError, Place

FROM_BOXES = "boxes"
ASSUMED = "assumed"
ASSUMPTIONS = (FROM_BOXES, ASSUMED)
"""Values of the option ``sizes``: the smallest size that holds an image's boxes; and, beyond that, COCO's largest where there is
no box. Without its true size an image's expressions could not be read at all; every such sample says so.
"""

COCO_SIDE = 640
"""The longest side of COCO's images, in pixels."""


class ImageSizes:
    """A JSON object of sizes: image id or file name -> [width, height].

    Args:
        path: the file; None for no sizes.
        tally: takes findings: MM717 for an entry that is no size.

    Raises:
        MmudError: MM71x when the file cannot be read, MM714 when it is no object.
    """

    def __init__(self, path: Path | None, tally: Tally) -> None:
        self._sizes: dict[str, tuple[int, int]] = {}
        if path is None:
            return
        table = load_json(path, tally)
        place = Place(file=str(path))
        if not isinstance(table, dict):
            raise MmudError(
                codes.JSON_SHAPE, "an object of image id or file name -> [width, height] is expected", place
            )
        for key, value in table.items():
            sides = [side(number) for number in value] if isinstance(value, list) and len(value) == 2 else []
            width, height = sides if len(sides) == 2 else (None, None)
            if width is None or height is None:
                tally.note(codes.JSON_ENTRY, f"size of {shown(key)} is {shown(value)}", place)
            else:
                self._sizes[key] = width, height

    def of(self, image_id: int, name: str | None) -> tuple[int, int] | None:
        """(width, height), or None."""
        return self._sizes.get(str(image_id)) or (self._sizes.get(name) if name else None)


def assumed_size(boxes: Iterable[Any], assumption: str) -> tuple[tuple[int, int] | None, str]:
    """(width, height) under an assumption, None where even that gives none; and the assumption in words."""
    size = size_of_boxes(boxes)
    if size is None and assumption == ASSUMED:
        return (COCO_SIDE, COCO_SIDE), "the largest of COCO"
    return size, "the smallest that holds the boxes"


def size_of_boxes(boxes: Iterable[Any]) -> tuple[int, int] | None:
    """The smallest (width, height) that holds the boxes; None when there is no usable one that covers anything."""
    usable = [box for box in map(usable_box, boxes) if box is not None and box[2] > 0 and box[3] > 0]
    width = side(max((math.ceil(x + w) for x, _, w, _ in usable), default=0))
    height = side(max((math.ceil(y + h) for _, y, _, h in usable), default=0))
    return (width, height) if width is not None and height is not None else None
