"""MM2xx: masks, and the boxes and areas beside them.

Boxes and areas come from the source, masks from drawing its polygons on pixels, so the two never agree exactly. Each
tolerance below is above what drawing causes on any of COCO's own objects, crowds apart
(``tests/dataset/checks/test_validate_real.py`` measures it).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from pycocotools import _mask as coco

from mmud.annotations import codes as annotation_codes
from mmud.dataset.checks.base import Check, Row
from mmud.dataset.checks.batch import ObjectMask, SampleContext, objects_of, whole_size
from mmud.dataset.checks.codes import masks as codes
from mmud.errors import Code, Finding

FREE_PIXELS = 4
"""A difference of so many pixels is never reported."""

BOX_SHARE = 0.02
"""A box may differ from the mask's by this share of the image's longer side: slivers thinner than a pixel are not drawn."""

OUTLINE_PIXELS = 0.5
"""The area may differ by so many pixels for each pixel of the perimeter of the mask's box."""

OUTSIDE_PIXELS = 1.0
"""A box or polygon may reach so far outside the image: sources count pixels from corners or from centres."""

NEAR_IOU = 0.9
"""Masks with this intersection over union are nearly one."""

MOST_COMPARED = 1_000
"""So many different masks of one sample are compared with each other: the work grows with the square."""

TINY_PIXELS = 10
"""A mask with fewer pixels is tiny."""

Box = tuple[float, float, float, float]
Problem = tuple[Code, str | None, str]
"""Code, field of the object, message."""


def box_of(item: dict[str, Any]) -> Box | None:
    """An object's box where it has four finite numbers."""
    box = item["bbox"]
    if box is None or len(box) != 4 or None in box or not all(map(math.isfinite, box)):
        return None
    return box[0], box[1], box[2], box[3]


def box_absent(item: dict[str, Any]) -> bool:
    """Whether an object's box is null or all zero."""
    box = item["bbox"]
    return box is None or (len(box) == 4 and not any(box) and None not in box)


def area_absent(item: dict[str, Any]) -> bool:
    """Whether an object's area is null or zero."""
    return not item["area"] if item["area"] is not None else True


def perimeter(box: Box) -> float:
    """Of a box ``x, y, width, height``."""
    return 2 * (box[2] + box[3])


class MaskCheck(Check):
    """Masks against their image, their box and area, and each other."""

    codes = (
        annotation_codes.RLE_INVALID,
        annotation_codes.MASK_SIZE,
        codes.MASK_EMPTY,
        codes.MASK_FULL,
        codes.RLE_NOT_CANONICAL,
        codes.GEOMETRY_MISSING,
        codes.BOX_OUTSIDE,
        codes.BOX_DISAGREES,
        codes.AREA_DISAGREES,
        codes.BOX_ABSENT,
        codes.AREA_ABSENT,
        codes.MASK_SHARED,
        codes.MASK_NEARLY_SHARED,
        codes.MASK_TINY,
        codes.MASK_MISSING,
        codes.BOX_DEGENERATE,
    )

    def check(self, row: Row, context: SampleContext) -> Iterator[Finding]:
        size = whole_size(row)
        masks = context.masks
        for number, (item, mask) in enumerate(zip(objects_of(row), masks, strict=True), start=1):
            if item is None:
                continue
            for code, field, message in _object_problems(item, mask, size):
                yield Finding(code, context.place(number, field), message)
        if context.wants(codes.MASK_SHARED, codes.MASK_NEARLY_SHARED):
            for first, second, iou in _alike(masks):
                code = codes.MASK_SHARED if iou == 1 else codes.MASK_NEARLY_SHARED
                share = "the same mask" if iou == 1 else f"masks with an IoU of {iou:.3f}"
                yield Finding(code, context.place(second), f"objects {first} and {second} have {share}")


def _object_problems(item: dict[str, Any], mask: ObjectMask | None, size: tuple[int, int] | None) -> Iterator[Problem]:
    absent = box_absent(item)
    if item["segmentation"] is None:
        if absent:
            yield codes.GEOMETRY_MISSING, None, "the object has neither mask nor box"
        else:
            yield codes.MASK_MISSING, "segmentation", "the object has a box and no mask"
    elif mask is not None:
        yield from _mask_problems(mask, size)
    box = box_of(item)
    if box is not None and not absent:
        if box[2] <= 0 or box[3] <= 0:
            yield codes.BOX_DEGENERATE, "bbox", f"the box is {box[2]:g} wide and {box[3]:g} high"
        else:
            yield from _box_problems(box, mask, size)
    if mask is not None and mask.usable:
        if absent:
            yield codes.BOX_ABSENT, "bbox", "the box is absent, the mask has pixels"
        yield from _area_problems(item, mask)


def _mask_problems(mask: ObjectMask, size: tuple[int, int] | None) -> Iterator[Problem]:
    field = "segmentation"
    if mask.problem is not None:
        yield mask.problem.code, field, mask.problem.message
        return
    if mask.mask is None:
        return
    if mask.stored != mask.mask.counts:
        message = f"{len(mask.stored)} characters say what {len(mask.mask.counts)} can"
        yield codes.RLE_NOT_CANONICAL, field, message
    if size is not None and mask.mask.size != size:
        height, width = mask.mask.size
        message = f"the mask is {height} x {width}, the image {size[0]} x {size[1]} (height x width)"
        yield annotation_codes.MASK_SIZE, field, message
    if mask.area == 0:
        yield codes.MASK_EMPTY, field, "the mask has no pixel"
    elif mask.area == mask.mask.height * mask.mask.width:
        yield codes.MASK_FULL, field, f"all {mask.area} pixels of the image are in the mask"
    elif mask.area < TINY_PIXELS:
        yield codes.MASK_TINY, field, f"the mask has {mask.area} pixel{'s' * (mask.area > 1)}"


def _box_problems(box: Box, mask: ObjectMask | None, size: tuple[int, int] | None) -> Iterator[Problem]:
    if size is None:
        return
    height, width = size
    beyond = max(-box[0], -box[1], box[0] + box[2] - width, box[1] + box[3] - height)
    if beyond > OUTSIDE_PIXELS:
        yield codes.BOX_OUTSIDE, "bbox", f"the box reaches {beyond:.6g} pixels outside the image"
    elif mask is not None and mask.usable:
        own = mask.bbox
        off = max(
            abs(box[0] - own[0]),
            abs(box[1] - own[1]),
            abs(box[0] + box[2] - own[0] - own[2]),
            abs(box[1] + box[3] - own[1] - own[3]),
        )
        if off > max(FREE_PIXELS, BOX_SHARE * max(size)):
            yield codes.BOX_DISAGREES, "bbox", f"a side of the box is {off:.6g} pixels from the mask's"


def _area_problems(item: dict[str, Any], mask: ObjectMask) -> Iterator[Problem]:
    if area_absent(item):
        yield codes.AREA_ABSENT, "area", f"the area is absent, the mask has {mask.area} pixels"
        return
    area = item["area"]
    if 0 < area < math.inf and abs(area - mask.area) > FREE_PIXELS + OUTLINE_PIXELS * perimeter(mask.bbox):
        yield codes.AREA_DISAGREES, "area", f"the area is {area:.10g}, the mask has {mask.area} pixels"


def _alike(masks: list[ObjectMask | None]) -> Iterator[tuple[int, int, float]]:
    """Pairs of objects (from 1) whose masks are the same or nearly so, with their intersection over union."""
    pairs: list[tuple[int, int, float]] = []
    different: dict[bytes, tuple[int, ObjectMask]] = {}
    for number, entry in enumerate(masks, start=1):
        if entry is None or entry.mask is None or not entry.usable:
            continue
        first, same = different.setdefault(entry.mask.counts, (number, entry))
        if same is not entry:
            pairs.append((first, number, 1.0))
    by_area = sorted(different.values(), key=lambda numbered: (numbered[1].area, numbered[0]))[:MOST_COMPARED]
    for position, (number, entry) in enumerate(by_area):
        for other_number, other in by_area[position + 1 :]:
            # Sorted by area: no later mask can reach the IoU either.
            if entry.area < NEAR_IOU * other.area:
                break
            iou = _iou(entry, other)
            if iou >= NEAR_IOU:
                pairs.append((min(number, other_number), max(number, other_number), iou))
    yield from sorted(pairs)


def _iou(first: ObjectMask, second: ObjectMask) -> float:
    """Intersection over union, or 0 where the boxes show that it is far from `NEAR_IOU`."""
    if first.mask is None or second.mask is None or _box_iou(first.bbox, second.bbox) < NEAR_IOU / 2:
        return 0.0
    return float(coco.iou([first.mask.to_coco()], [second.mask.to_coco()], [0])[0, 0])


def _box_iou(first: Box, second: Box) -> float:
    width = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    height = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (first[2] * first[3] + second[2] * second[3] - shared)
