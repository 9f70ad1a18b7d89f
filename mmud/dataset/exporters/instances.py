"""Objects as COCO's annotations, for every format of that family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmud.annotations.masks import Mask
from mmud.dataset.exporters.base import Job
from mmud.dataset.exporters.ids import IdTables, Licenses, whole_number
from mmud.errors import MmudError, Place
from mmud.records import MaskedObject, Sample

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


def mask_of(sample: Sample, number: int) -> Mask | None:
    """The checked mask of the sample's object ``number``, which counts from 1; None where it has only a box.

    Raises:
        MmudError: MM201 or MM202, naming the object.
    """
    segmentation = sample.objects[number - 1].segmentation
    if segmentation is None:
        return None
    try:
        return Mask.of(segmentation, sample.height, sample.width)
    except MmudError as error:
        hint = "`mmud validate` lists every such mask of the dataset."
        raise MmudError(error.code, error.message, Place(sample=sample.sample_id, object=number), hint) from error


def polygons_of(item: MaskedObject, mask: Mask | None, height: int, width: int) -> list[list[float]] | None:
    """The source's polygons, where it had them and they draw the mask; None otherwise."""
    if not item.polygons:
        return None
    try:
        drawn = Mask.from_polygons(item.polygons, height, width)
    except MmudError:
        # Malformed polygons: the caller counts them, and the mask speaks for itself.
        return None
    return [list(polygon) for polygon in item.polygons] if mask is None or drawn == mask else None


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

    def annotation(self, sample: Sample, number: int, image_id: int) -> dict[str, Any]:
        """A row of ``annotations`` for the sample's object ``number``, which counts from 1."""
        item = sample.objects[number - 1]
        own, kept = self._ids.annotations.take(item.ann_id)
        self._job.losses[NEW_ANNOTATION_IDS] += item.ann_id is not None and not kept
        category, kept = self._ids.categories.id_of(item.category_id, item.category)
        self._job.losses[NEW_CATEGORY_IDS] += not kept
        return {
            "id": own,
            "image_id": image_id,
            "category_id": category,
            "bbox": list(item.bbox),
            "area": item.area,
            "iscrowd": int(item.iscrowd),
            "segmentation": self._segmentation(sample, number),
        }

    def _segmentation(self, sample: Sample, number: int) -> Any:
        item = sample.objects[number - 1]
        mask = mask_of(sample, number)
        polygons = polygons_of(item, mask, sample.height, sample.width)
        if polygons is not None:
            return polygons
        self._job.losses[POLYGONS_DIFFER] += bool(item.polygons)
        if mask is None:
            return []
        rle = mask.to_json()
        if self._rle_as_list:
            return [rle]
        # COCO's own files spell crowds out run by run; its readers take both.
        return {"size": rle["size"], "counts": mask.runs} if item.iscrowd else rle
