"""Objects as COCO's annotations, for every format of that family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmud.annotations.masks import Mask
from mmud.dataset.exporters.base import Item, Job
from mmud.dataset.exporters.ids import IdTables, Licenses, whole_number
from mmud.errors import MmudError
from mmud.records import Sample

NEW_IMAGE_IDS = "image ids"
NEW_ANNOTATION_IDS = "repeated annotation ids"
NEW_CATEGORY_IDS = "ambiguous category ids"
POLYGONS_DIFFER = "polygons that differ from their mask"

COCO_LOSSES: Mapping[str, str] = {
    NEW_IMAGE_IDS: "an id is a whole number that occurs once: these are none, and the images were given a new one",
    NEW_ANNOTATION_IDS: "an id occurs once: the first object of each kept it, these were given a new one",
    NEW_CATEGORY_IDS: "one id means one name: the first name kept it, objects of the others were given a new one",
    POLYGONS_DIFFER: "their mask is not what these polygons draw; the mask is written, as an RLE",
}
"""What every format of COCO's family can lose while it is written."""


def polygons_of(item: Item, number: int) -> list[list[float]] | None:
    """The source's polygons of object ``number``, where it had them and they draw the mask; None otherwise."""
    polygons = item.sample.objects[number - 1].polygons
    mask = item.mask(number)
    if not polygons:
        return None
    try:
        drawn = Mask.from_polygons(polygons, item.sample.height, item.sample.width)
    except MmudError:
        # Malformed polygons: the caller counts them, and the mask speaks for itself.
        return None
    return [list(polygon) for polygon in polygons] if mask is None or drawn == mask else None


class Instances:
    """Makes the rows of ``images`` and ``annotations`` and counts what could not be kept.

    Args:
        job: where losses are counted.
        ids: of the whole dataset.
        rle_as_list: write an RLE as a list of one, as the REFER layout does; its readers look at the first element.
    """

    def __init__(self, job: Job, ids: IdTables, rle_as_list: bool = False) -> None:
        self._job = job
        self._ids = ids
        self._rle_as_list = rle_as_list
        self.licenses = Licenses()

    def image(self, sample: Sample, file_name: str) -> dict[str, Any]:
        """A row of ``images``. Keys of ours beside COCO's say which sample it is; readers ignore them."""
        number, kept = self._ids.images.take(whole_number(sample.source_image_id))
        self._job.losses[NEW_IMAGE_IDS] += bool(sample.source_image_id) and not kept
        row: dict[str, Any] = {
            "id": number,
            "file_name": file_name,
            "width": sample.width,
            "height": sample.height,
            "sample_id": sample.sample_id,
            "source": sample.source,
            "source_image_id": sample.source_image_id,
        }
        if sample.license:
            row["license"] = self.licenses.id_of(sample.license)
        return row

    def annotation(self, item: Item, number: int, image_id: int) -> dict[str, Any]:
        """A row of ``annotations`` for the sample's object ``number``, which counts from 1."""
        masked = item.sample.objects[number - 1]
        own, kept = self._ids.annotations.take(masked.ann_id)
        self._job.losses[NEW_ANNOTATION_IDS] += masked.ann_id is not None and not kept
        category, kept = self._ids.categories.id_of(masked.category_id, masked.category)
        self._job.losses[NEW_CATEGORY_IDS] += not kept
        return {
            "id": own,
            "image_id": image_id,
            "category_id": category,
            "bbox": list(masked.bbox),
            "area": masked.area,
            "iscrowd": int(masked.iscrowd),
            "segmentation": self._segmentation(item, number),
        }

    def _segmentation(self, item: Item, number: int) -> Any:
        masked = item.sample.objects[number - 1]
        polygons = polygons_of(item, number)
        if polygons is not None:
            return polygons
        self._job.losses[POLYGONS_DIFFER] += bool(masked.polygons)
        mask = item.mask(number)
        if mask is None:
            return []
        rle = mask.to_json()
        if self._rle_as_list:
            return [rle]
        # COCO's own files spell crowds out run by run; its readers take both.
        return {"size": rle["size"], "counts": mask.runs} if masked.iscrowd else rle
