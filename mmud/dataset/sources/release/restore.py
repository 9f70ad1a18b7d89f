"""From a sample back to the official release's record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmud.dataset.sources.enriched_text import USUAL_FRAME
from mmud.dataset.sources.image_files import file_name_of
from mmud.dataset.sources.release.form import FIELDS, FIELDS_WITHOUT_LENGTHS
from mmud.records import MaskedObject, Sample


def restore_record(sample: Sample) -> tuple[Any, ...]:
    """The 12-tuple (or the 10-tuple) that a sample was read from.

    Args:
        sample: from the official source, or any other: what the release's form needs and the sample lacks is filled as well as it
            can be (no token counts: a 10-tuple).

    Returns:
        Fields in the order of `FIELDS`. Numbers of polygons and boxes are floats.
    """
    official = sample.provenance.get("official", {})
    raw = official.get("raw", {})
    head, middle, tail = official.get("frame", USUAL_FRAME)
    parts = official.get("parts", {})
    masks = [_restored_mask(item, parts.get(str(number))) for number, item in enumerate(sample.objects, start=1)]
    name = file_name_of(sample.image.path) if sample.image.path else sample.sample_id
    values: dict[str, Any] = {
        "image_path": official.get("path", name),
        "caption": sample.caption,
        "enriched_text": official.get("enriched_text", head + sample.question + middle + sample.answer + tail),
        "sample_texts": [list(item.phrases) for item in sample.objects],
        "sample_masks": masks,
        "sample_boxs": [list(item.bbox) for item in sample.objects],
        "sample_height": sample.height,
        "sample_width": sample.width,
        "sample_category": [item.category_id for item in sample.objects],
        "sample_category_text": [item.category for item in sample.objects],
    }
    for field in FIELDS[FIELDS_WITHOUT_LENGTHS:]:
        if field in official or field in raw:
            values[field] = official.get(field)
    return tuple(raw.get(field, values[field]) for field in FIELDS if field in values)


def _restored_mask(item: MaskedObject, parts: Sequence[str] | None) -> list[Any]:
    if item.polygons is not None:
        return list(item.polygons[0]) if len(item.polygons) == 1 else [list(polygon) for polygon in item.polygons]
    if item.segmentation is None:
        return []
    size = list(item.segmentation.size)
    return [{"size": list(size), "counts": counts.encode()} for counts in parts or [item.segmentation.counts]]
