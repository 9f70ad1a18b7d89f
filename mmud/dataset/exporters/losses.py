"""What a sample holds, counted field by field: the basis on which each exporter says what its format loses."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mmud.annotations import tags
from mmud.records import MaskedObject, Sample


def _objects(holds: Callable[[MaskedObject], bool]) -> Callable[[Sample], int]:
    return lambda sample: sum(holds(item) for item in sample.objects)


FIELDS: Mapping[str, Callable[[Sample], int]] = {
    "sample ids": lambda sample: 1,
    "captions": lambda sample: bool(sample.caption),
    "questions": lambda sample: bool(sample.question),
    "answers": lambda sample: bool(sample.answer),
    "tags": lambda sample: len(tags.parse(sample.answer)),
    "objects": lambda sample: len(sample.objects),
    "phrases": lambda sample: sum(len(item.phrases) for item in sample.objects),
    "masks": _objects(lambda item: item.segmentation is not None),
    "polygons": _objects(lambda item: item.polygons is not None),
    "boxes": _objects(lambda item: any(item.bbox)),
    "areas": _objects(lambda item: bool(item.area)),
    "categories": _objects(lambda item: bool(item.category)),
    "category ids": _objects(lambda item: item.category_id is not None),
    "crowd flags": _objects(lambda item: item.iscrowd),
    "ref ids": _objects(lambda item: item.ref_id is not None),
    "annotation ids": _objects(lambda item: item.ann_id is not None),
    "sources": lambda sample: bool(sample.source),
    "source image ids": lambda sample: bool(sample.source_image_id),
    "licences": lambda sample: bool(sample.license),
    "provenance": lambda sample: bool(sample.provenance),
    "image paths": lambda sample: bool(sample.image.path),
}
"""Name of a loss -> how many of it a sample holds. An exporter's ``cannot_hold`` uses these names, or names of its own."""
