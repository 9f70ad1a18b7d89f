"""What each column holds, in the words that the card and the Croissant metadata show; docs/format.md says more."""

from __future__ import annotations

COLUMN_NOTES: dict[str, str] = {
    "sample_id": "The sample's id, unique in the dataset.",
    "image": "The encoded image and its file name.",
    "width": "The image's width in pixels.",
    "height": "The image's height in pixels.",
    "source": "The source that the sample comes from.",
    "source_image_id": "The image's id in its source; empty where there is none.",
    "caption": "A long description of the image; empty where there is none.",
    "question": "A question that needs reasoning over the image; empty where there is none.",
    "answer": "Its answer; an inline tag <LCL-i> points at the i-th object, counting from 1.",
    "objects": "The masked objects, in the order that tags count.",
    "license": "The image's licence, as the source names it.",
    "provenance": "JSON: who or what made each label; empty where that is not recorded.",
}
"""Column -> one sentence, for every column of the schema, in its order."""

OBJECT_NOTES: dict[str, str] = {
    "phrases": "Short expressions, each of which singles the object out.",
    "segmentation": "The mask: COCO's compressed run-length encoding {size: [height, width], counts}.",
    "polygons": "The source's own polygons, x1, y1, x2, y2, … in pixels; null where it had none.",
    "bbox": "The source's box [x, y, width, height] in pixels.",
    "area": "The source's area in pixels.",
    "category": "The source set's category.",
    "category_id": "Its number in the source set; null where there is none.",
    "iscrowd": "Whether the mask covers a group (COCO).",
    "ref_id": "The id in the RefCOCO family; null where there is none.",
    "ann_id": "The id in COCO; null where there is none.",
}
"""Field of an object -> one sentence, for every field, in the schema's order."""
