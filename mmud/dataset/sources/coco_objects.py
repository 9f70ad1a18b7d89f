"""Masked objects from COCO annotations: what COCO, RefCOCO and their kin have in common."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmud.dataset.sources import codes
from mmud.dataset.sources.coco_files import whole
from mmud.dataset.sources.construct import construct
from mmud.dataset.sources.object_masks import (
    Box,
    ObjectMask,
    areas_disagree,
    boxes_disagree,
    object_masks,
    usable_box,
)
from mmud.dataset.sources.plain_json import shown
from mmud.errors import Code, Finding, Place
from mmud.records import MaskedObject


@dataclass(frozen=True, slots=True)
class Labelled:
    """An object before its mask is drawn.

    Attributes:
        annotation: as COCO's file holds it; None where there is none.
        place: for findings.
        phrases: that mean it.
        ref_id, ann_id: its ids.
        box: where the annotation has none.
        category_id: where the annotation has none.
    """

    annotation: Mapping[str, Any] | None
    place: Place
    phrases: tuple[str, ...] = ()
    ref_id: int | None = None
    ann_id: int | None = None
    box: Any = None
    category_id: int | None = None


def masked_objects(
    labelled: Sequence[Labelled], height: int, width: int, categories: Mapping[int, str], findings: list[Finding]
) -> tuple[MaskedObject, ...]:
    """Draw the masks of one image's objects and check them.

    Args:
        labelled: the objects.
        height, width: of the image, in pixels.
        categories: id -> name.
        findings: takes what is odd.

    Returns:
        One object for each, in order.
    """
    segmentations = [(item.annotation or {}).get("segmentation") for item in labelled]
    masks = object_masks(segmentations, height, width)
    return tuple(
        _masked_object(item, mask, (height, width), categories, findings)
        for item, mask in zip(labelled, masks, strict=True)
    )


def _masked_object(
    item: Labelled, mask: ObjectMask, size: tuple[int, int], categories: Mapping[int, str], findings: list[Finding]
) -> MaskedObject:
    def note(code: Code, message: str) -> None:
        findings.append(Finding(code, item.place, message))

    annotation = item.annotation or {}
    for problem in mask.problems:
        note(codes.MASK_UNUSABLE, problem)
    if mask.counts is None and not mask.problems:
        boxed = annotation.get("bbox", item.box) is not None
        note(codes.MASK_MISSING, "a box and no mask" if boxed else "neither a box nor a mask")
    category_id = whole(annotation.get("category_id"))
    if category_id is None:
        category_id = item.category_id
    if category_id is not None and categories and category_id not in categories:
        note(codes.REFERENCE_BROKEN, f"category {category_id} is not in the file's list")
    box = _box(annotation.get("bbox", item.box), mask, note)
    return construct(
        MaskedObject,
        {
            "phrases": item.phrases,
            "segmentation": mask.segmentation(size),
            "polygons": mask.polygons,
            "bbox": box,
            "area": _area(annotation.get("area"), box, mask, note),
            "category": categories.get(category_id, "") if category_id is not None else "",
            "category_id": category_id,
            "iscrowd": annotation.get("iscrowd") in (1, True, "1"),
            "ref_id": item.ref_id,
            "ann_id": item.ann_id,
        },
    )


def _box(value: Any, mask: ObjectMask, note: Any) -> Box:
    box = usable_box(value)
    if box is None:
        if value is not None:
            note(codes.BOX_UNUSABLE, f"box {shown(value)}")
        return mask.box or (0.0, 0.0, 0.0, 0.0)
    if mask.box is not None and boxes_disagree(box, mask.box):
        note(codes.BOX_DISAGREES, f"box {list(box)}, mask within {[round(side, 2) for side in mask.box]}")
    return box


def _area(value: Any, box: Box, mask: ObjectMask, note: Any) -> float:
    """The source's area; where it has none that can be used, the mask's, or the box's where there is no mask."""
    own = float(mask.area) if mask.counts is not None else box[2] * box[3]
    if value is None:
        return own
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e12 or math.isnan(value):
        note(codes.JSON_ENTRY, f"area {shown(value)}: the mask's own was taken")
        return own
    if mask.counts is not None and areas_disagree(value, mask.area):
        note(codes.AREA_DISAGREES, f"area {value}, mask {mask.area} pixels")
    return float(value)
