"""Label Studio's regions as objects: what nobody touched stays to the bit, what was edited is read anew."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmud.annotations.masks import Mask
from mmud.dataset.exporters.brush import brush_mask
from mmud.dataset.exporters.label_studio import label_of
from mmud.dataset.sources import codes
from mmud.errors import MmudError, Place
from mmud.records import MaskedObject, Polygon, Sample

REGION_KINDS = {"brushlabels": "brush", "polygonlabels": "polygon", "rectanglelabels": "box"}
"""Type of a result -> the control that makes it."""

SAME_PLACE = 1e-4
"""Points less than this apart, in pixels, are the same: Label Studio's own arithmetic moves untouched points by far less, a
person's hand by far more."""


@dataclass(slots=True)
class Region:
    """One region of a task.

    Attributes:
        id: its id in the annotation.
        polygon: ``x, y, …`` in pixels, where it is one.
        mask: of a brush.
        box: ``x, y, width, height`` in pixels, where it is a rectangle.
        label: the category that was chosen; None where none was.
        phrases: tied to it.
    """

    id: str
    polygon: Polygon | None = None
    mask: Mask | None = None
    box: tuple[float, float, float, float] | None = None
    label: str | None = None
    phrases: list[str] = field(default_factory=list)


def read_region(result: Mapping[str, Any], sample: Sample) -> Region:
    """A region of an annotation's ``result``.

    Raises:
        MmudError: MM792 when it is malformed, or was drawn on an image of another size or rotation.
    """
    kind, value = str(result["type"]), result.get("value")
    region = Region(str(result.get("id", "")))
    try:
        if not isinstance(value, Mapping):
            raise ValueError("it has no value")
        for name, own in (("original_width", sample.width), ("original_height", sample.height), ("image_rotation", 0)):
            if result.get(name, own) != own:
                raise ValueError(f"{name} is {result[name]!r:.40}, not {own}")
        if REGION_KINDS[kind] == "polygon":
            region.polygon = _polygon(value, sample)
        elif REGION_KINDS[kind] == "brush":
            region.mask = brush_mask(_bytes(value.get("rle")), sample.height, sample.width)
        else:
            region.box = _box(value, sample)
    except (ValueError, TypeError, OverflowError) as error:
        place = Place(sample=sample.sample_id)
        raise MmudError(codes.REGION_UNREADABLE, f"region {region.id!r:.40}: {error}", place) from error
    labels = value.get(kind)
    if isinstance(labels, list) and labels and isinstance(labels[0], str):
        region.label = labels[0]
    return region


def _percent(value: Any, side: int) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"a coordinate is {value!r:.40}")
    return float(value) * side / 100


def _polygon(value: Mapping[str, Any], sample: Sample) -> Polygon:
    points = value.get("points")
    if not isinstance(points, list) or not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise ValueError("its points are not pairs")
    return tuple(
        coordinate for x, y in points for coordinate in (_percent(x, sample.width), _percent(y, sample.height))
    )


def _bytes(rle: Any) -> bytes:
    if not isinstance(rle, list) or not all(type(byte) is int for byte in rle):
        raise ValueError("its rle is no list of bytes")
    return bytes(rle)


def _box(value: Mapping[str, Any], sample: Sample) -> tuple[float, float, float, float]:
    if value.get("rotation", 0):
        raise ValueError("a box that is rotated is no box of COCO's; draw a polygon")
    x, width = (_percent(value.get(name), sample.width) for name in ("x", "width"))
    y, height = (_percent(value.get(name), sample.height) for name in ("y", "height"))
    if width < 0 or height < 0:
        raise ValueError("its size is negative")
    return x, y, width, height


def _snapped(now: Sequence[float], old: Sequence[float]) -> Polygon:
    """Coordinates with their old numbers wherever nobody moved them."""
    if len(now) != len(old):
        return tuple(now)
    return tuple(b if abs(a - b) <= SAME_PLACE else a for a, b in zip(now, old, strict=True))


def revised_object(
    item: MaskedObject, regions: Sequence[Region], sample: Sample, category_ids: Mapping[str, int]
) -> tuple[MaskedObject, list[str]]:
    """An object as its regions have it now, and which parts of it changed: shape, category, phrases.

    Args:
        item: as it was exported.
        regions: its regions, at least one, in order.
        sample: the sample, for the image's size.
        category_ids: category -> id, of the whole dataset.

    Raises:
        MmudError: MM792 when its regions draw nothing.
    """
    values = _shape(item, regions, sample)
    changed = ["shape"] if values else []
    label = next((region.label for region in regions if region.label is not None), None)
    if label is not None and label != label_of(item.category):
        values |= {"category": label, "category_id": category_ids.get(label)}
        changed.append("category")
    phrases = tuple(phrase for region in regions for phrase in region.phrases)
    if phrases != item.phrases:
        values["phrases"] = phrases
        changed.append("phrases")
    return (item.model_copy(update=values) if values else item), changed


def new_object(region: Region, sample: Sample, category_ids: Mapping[str, int]) -> MaskedObject:
    """The object of a region that was drawn in Label Studio; see `revised_object`."""
    return revised_object(MaskedObject(), [region], sample, category_ids)[0]


def _shape(item: MaskedObject, regions: Sequence[Region], sample: Sample) -> dict[str, Any]:
    """The fields of a changed shape; empty where it is as it was."""
    polygons = [region.polygon for region in regions if region.polygon is not None]
    brushes = [region.mask for region in regions if region.mask is not None]
    boxes = [region.box for region in regions if region.box is not None]
    if not brushes and not polygons:
        left, top, width, height = _snapped(_around(boxes), item.bbox)
        box = (left, top, width, height)
        if item.segmentation is None and box == item.bbox:
            return {}
        return {"segmentation": None, "polygons": None, "bbox": box, "area": box[2] * box[3]}
    old = item.polygons or ()
    if not brushes:
        snapped = tuple(
            _snapped(polygon, old[place]) if place < len(old) else polygon for place, polygon in enumerate(polygons)
        )
        if snapped == old and not boxes:
            return {}
    try:
        drawn = [Mask.from_polygons([list(polygon)], sample.height, sample.width) for polygon in polygons]
    except MmudError as error:
        place = Place(sample=sample.sample_id)
        raise MmudError(codes.REGION_UNREADABLE, f"region {regions[0].id!r:.40}: {error.message}", place) from error
    mask = Mask.union([*drawn, *brushes])
    if not polygons and item.segmentation is not None and mask.to_record() == item.segmentation:
        return {}
    return {
        "segmentation": mask.to_record(),
        "polygons": snapped if not brushes else None,
        "bbox": mask.bbox,
        "area": float(mask.area),
    }


def _around(boxes: Sequence[tuple[float, float, float, float]]) -> tuple[float, float, float, float]:
    left, top = min(box[0] for box in boxes), min(box[1] for box in boxes)
    right, bottom = max(box[0] + box[2] for box in boxes), max(box[1] + box[3] for box in boxes)
    return (left, top, right - left, bottom - top) if len(boxes) > 1 else boxes[0]
