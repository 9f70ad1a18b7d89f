"""ReasonSeg, as LISA and its successors read it: one image and one json a question, the mask as polygons.

Their reader fills polygons with OpenCV after cutting every coordinate to a whole number, which moves COCO's polygons by up to a
pixel. All masks are therefore traced anew at pixel centres (`mmud.dataset.exporters.tracing`): what that reader draws is then the
dataset's mask, pixel for pixel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from mmud.annotations import tags
from mmud.annotations.masks import Mask
from mmud.dataset.exporters.base import Exporter, Item
from mmud.dataset.exporters.streams import json_list, to_json
from mmud.dataset.exporters.tracing import trace
from mmud.records import Sample, Task

_TEXT = "a ReasonSeg json has a text, shapes, and no place for it"
_NO_QUESTION = "samples without a question and a tagged mask"
_NO_TARGET = "objects without a phrase and a mask"
_UNTAGGED = "objects that the answer does not tag"
_PHRASES_OFF = "phrases of a reasoning export"
_SPLITS = {"valid": "val", "validation": "val"}


class ReasonSegExporter(Exporter):
    """``SPLIT/NAME.jpg`` with ``SPLIT/NAME.json``, and ``explanatory/SPLIT.json`` with the answers."""

    name: ClassVar[str] = "reasonseg"
    title: ClassVar[str] = "ReasonSeg (LISA): one jpg and one json a question"
    reads_masks: ClassVar[bool] = True
    cannot_hold: ClassVar[Mapping[str, str]] = {
        "captions": _TEXT,
        "tags": "an image has one mask: what the tags point at is joined, and the tags are taken out of the answer",
        "polygons": "masks are traced at pixel centres, which is what ReasonSeg's readers draw exactly",
        "boxes": _TEXT,
        "areas": _TEXT,
        "category ids": _TEXT,
        "ref ids": _TEXT,
        "annotation ids": _TEXT,
        "source image ids": _TEXT,
        "licences": _TEXT,
        "provenance": _TEXT,
        _NO_QUESTION: "there is nothing to ask, or no mask to answer with; they are left out",
        _NO_TARGET: "there is nothing to say or to show; they are left out",
        _UNTAGGED: "the mask of a question is that of its answer's tags",
        _PHRASES_OFF: "a question stands alone; --tasks referring_segmentation writes one entry an object from them",
    }
    tasks: ClassVar[tuple[Task, ...]] = (Task.REASONING_SEGMENTATION, Task.REFERRING_SEGMENTATION)
    default_tasks: ClassVar[tuple[Task, ...]] = (Task.REASONING_SEGMENTATION,)

    def losses(self, sample: Sample) -> Iterator[tuple[str, int]]:
        if Task.REASONING_SEGMENTATION in self.job.tasks and not self._targets(sample):
            yield _NO_QUESTION, 1
        if Task.REFERRING_SEGMENTATION in self.job.tasks:
            lacking = [item for item in sample.objects if not item.phrases or item.segmentation is None]
            yield _NO_TARGET, len(lacking)
        else:
            yield _UNTAGGED, len(sample.objects) - len(self._targets(sample))
            yield _PHRASES_OFF, sum(len(item.phrases) for item in sample.objects)

    def write_split(self, split: str, items: Iterator[Item]) -> None:
        folder = self.job.split_stem(_SPLITS.get(split, split))
        (self.job.folder / folder).mkdir(exist_ok=True)
        with json_list(self.job.folder / "explanatory" / f"{folder}.json") as explanations:
            for item in items:
                sample = item.sample
                targets = self._targets(sample)
                if Task.REASONING_SEGMENTATION in self.job.tasks and targets:
                    name = self._entry(item, folder, split, targets, [sample.question], is_sentence=True)
                    outputs = tags.remove(sample.answer)
                    explanations.add({"image": name, "query": sample.question, "outputs": outputs})
                if Task.REFERRING_SEGMENTATION in self.job.tasks:
                    for number, masked in enumerate(sample.objects, start=1):
                        if masked.phrases and masked.segmentation is not None:
                            self._entry(item, folder, split, [number], list(masked.phrases), is_sentence=False)

    @staticmethod
    def _targets(sample: Sample) -> list[int]:
        """The objects that the answer tags and that have a mask; none where there is no question."""
        if not sample.question:
            return []
        numbers = [number for number in tags.indices(sample.answer) if 1 <= number <= len(sample.objects)]
        return [number for number in numbers if sample.objects[number - 1].segmentation is not None]

    def _entry(
        self, item: Item, folder: str, split: str, targets: Sequence[int], text: list[str], is_sentence: bool
    ) -> str:
        """Write one image with its json; returns the image's name."""
        # The readers look for *.jpg and find the json by that ending; they tell the format from the bytes.
        suffix = "" if is_sentence else f"_object{targets[0]}"
        name = self.job.entry_name(item.sample.sample_id + suffix, "jpg")
        if item.image is not None and item.image.format != "jpeg":
            self.job.counts["images of another format under the name .jpg"] += 1
        self.job.save_image(item, f"{folder}/{name}", split)
        shapes = _shapes(item, targets, name)
        content = {"text": text, "is_sentence": is_sentence, "shapes": shapes}
        (self.job.folder / folder / f"{name.removesuffix('.jpg')}.json").write_bytes(to_json(content) + b"\n")
        self.job.counts["questions" if is_sentence else "expressions"] += 1
        self.job.counts["shapes"] += len(shapes)
        return name


def _shapes(item: Item, targets: Sequence[int], image_name: str) -> list[dict[str, Any]]:
    """The targets' regions, and as ``ignore`` the crowds of their categories that are no target themselves.

    COCO's evaluation leaves a crowd region of the category in question out of the count; so do readers of ReasonSeg with
    pixels marked ``ignore``.
    """
    sample = item.sample
    masks = {number: mask for number in targets if (mask := item.mask(number)) is not None}
    shapes = [
        _shape("target", sample.objects[number - 1].category, number, points, image_name)
        for number, mask in masks.items()
        for points in trace(mask)
    ]
    categories = {sample.objects[number - 1].category for number in masks} - {""}
    taken = Mask.union(list(masks.values())).decode().astype(bool)
    for number, other in enumerate(sample.objects, start=1):
        crowd = item.mask(number) if other.iscrowd and number not in masks else None
        if crowd is not None and other.category in categories:
            free = Mask.from_array(crowd.decode().astype(bool) & ~taken)
            shapes += [_shape("ignore", other.category, number, points, image_name) for points in trace(free)]
    return shapes


def _shape(
    label: str, category: str, number: int, points: Sequence[tuple[int, int]], image_name: str
) -> dict[str, Any]:
    # Drawing programs want three points of a polygon; OpenCV draws a repeated one once.
    full = list(points) + [points[-1]] * max(0, 3 - len(points))
    return {
        "label": label,
        "labels": [category] if category else [],
        "shape_type": "polygon",
        "image_name": image_name,
        "points": [list(point) for point in full],
        "group_id": number,
        "group_ids": [number],
        "flags": {},
    }
