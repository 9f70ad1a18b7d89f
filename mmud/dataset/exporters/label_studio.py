"""Label Studio: tasks with regions, phrases and texts, and the labelling interface that shows them.

Region ``o2`` is the sample's object 2; further polygons of it are ``o2.2``, ``o2.3``. The whole row, ids and all, travels in each
task's data under ``mmud``, so that an import can put edited regions back where they came from and keep the rest to the bit.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar
from urllib.parse import quote
from xml.etree import ElementTree as ET

from mmud.annotations import tags
from mmud.dataset.exporters.base import Exporter, Item, Option
from mmud.dataset.exporters.brush import brush_rle
from mmud.dataset.exporters.ids import UNNAMED
from mmud.dataset.exporters.instances import POLYGONS_DIFFER, polygons_of
from mmud.dataset.exporters.streams import json_list
from mmud.files import write_text

_KINDS = {"brush": "BrushLabels", "polygon": "PolygonLabels", "box": "RectangleLabels"}
_TEXTS = {
    "caption": "Caption",
    "question": "Question",
    "answer": "Answer, with <LCL-i> after each mention of object i",
}
_AREA = {"toName": "image", "editable": "true"}
CONFIG_NAME = "label_config.xml"


def label_of(category: str) -> str:
    """A category as a label: one line, of characters that XML can hold."""
    return " ".join("".join(character for character in category if character.isprintable()).split()) or UNNAMED


class LabelStudioExporter(Exporter):
    """``tasks_SPLIT.json``, ``label_config.xml`` and ``images/``."""

    name: ClassVar[str] = "label-studio"
    title: ClassVar[str] = "Label Studio tasks with regions and texts, and the labelling interface"
    reads_masks: ClassVar[bool] = True
    cannot_hold: ClassVar[Mapping[str, str]] = {
        POLYGONS_DIFFER: "the region is the mask, as a brush; the polygons stay in the task's data alone",
    }
    options: ClassVar[Mapping[str, Option]] = {
        "as": Option(
            "whether labels arrive as annotations or as predictions to start from",
            "annotations",
            ("annotations", "predictions"),
        ),
        "image_prefix": Option(
            "what stands before an image's file name; local files under the output's parent folder when empty", ""
        ),
    }

    def begin(self) -> None:
        local = f"/data/local-files/?d={quote(self.job.output.name)}/images/"
        self._prefix = self.job.options["image_prefix"] or local
        self._labels: dict[str, None] = {UNNAMED: None}

    def write_split(self, split: str, items: Iterator[Item]) -> None:
        with json_list(self.job.folder / f"tasks_{self.job.split_stem(split)}.json") as array:
            for item in items:
                name = self.job.image_name(item, "images")
                self.job.save_image(item, f"images/{name}", split)
                array.add(self._task(item, self._prefix + quote(name), split))
                self.job.counts["tasks"] += 1

    def _task(self, item: Item, image: str, split: str) -> dict[str, Any]:
        sample = item.sample
        row = sample.to_row()
        data = {"image": image, "sample_id": sample.sample_id, "split": split}
        result = [region for number in range(1, len(sample.objects) + 1) for region in self._regions(item, number)]
        for field in _TEXTS:
            text = getattr(sample, field)
            data[field] = text
            if text:
                result.append(_result(field, field, "textarea", {"text": [text]}))
        self.job.counts["results"] += len(result)
        labelled: dict[str, Any] = {"result": result}
        if self.job.options["as"] == "predictions":
            labelled["model_version"] = self.job.dataset.name
        row.pop("image")
        return {"data": {**data, "mmud": row}, self.job.options["as"]: [labelled]}

    def _regions(self, item: Item, number: int) -> Iterator[dict[str, Any]]:
        """The object's regions: its polygons, or a brush, or a box; and its phrases, tied to the first of them."""
        sample, masked = item.sample, item.sample.objects[number - 1]
        label = label_of(masked.category)
        self._labels[label] = None
        size = {"original_width": sample.width, "original_height": sample.height, "image_rotation": 0}
        # Shown beside the region: the tag by which the answer means it.
        meta = {"meta": {"text": [tags.render(number)]}}
        first: dict[str, Any] | None = None
        for part, (name, value) in enumerate(self._values(item, number), start=1):
            kind = _KINDS[name].lower()
            identity = f"o{number}" if part == 1 else f"o{number}.{part}"
            region = _result(identity, name, kind, {**value, kind: [label]}, size, meta)
            first = first or region
            yield region
        if first is not None and masked.phrases:
            # Label Studio repeats a region's outline in what is tied to it; a brush's bytes need not be there twice.
            outline = {
                key: value for key, value in first["value"].items() if key not in (first["type"], "format", "rle")
            }
            yield _result(first["id"], "phrases", "textarea", {**outline, "text": list(masked.phrases)}, size)

    def _values(self, item: Item, number: int) -> Iterator[tuple[str, dict[str, Any]]]:
        sample, masked = item.sample, item.sample.objects[number - 1]
        polygons = polygons_of(item, number)
        if polygons is not None:
            for polygon in polygons:
                points = [
                    [100 * x / sample.width, 100 * y / sample.height]
                    for x, y in zip(polygon[::2], polygon[1::2], strict=True)
                ]
                yield "polygon", {"points": points, "closed": True}
            return
        self.job.losses[POLYGONS_DIFFER] += bool(masked.polygons)
        mask = item.mask(number)
        if mask is not None:
            yield "brush", {"format": "rle", "rle": brush_rle(mask)}
            return
        x, y, width, height = masked.bbox
        yield (
            "box",
            {
                "x": 100 * x / sample.width,
                "y": 100 * y / sample.height,
                "width": 100 * width / sample.width,
                "height": 100 * height / sample.height,
                "rotation": 0,
            },
        )

    def finish(self) -> None:
        write_text(self.job.folder / CONFIG_NAME, labelling_config(list(self._labels)))


def _result(
    identity: str,
    from_name: str,
    kind: str,
    value: dict[str, Any],
    size: Mapping[str, Any] | None = None,
    meta: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "id": identity,
        "from_name": from_name,
        "to_name": "image",
        "type": kind,
        "origin": "manual",
        **(size or {}),
        "value": value,
        **(meta or {}),
    }


def labelling_config(labels: list[str]) -> str:
    """The interface, as Label Studio's settings take it.

    Args:
        labels: the categories, each once.
    """
    view = ET.Element("View")
    ET.SubElement(view, "Image", name="image", value="$image", zoom="true", zoomControl="true")
    for name, element in _KINDS.items():
        group = ET.SubElement(view, element, name=name, toName="image", showInline="true")
        for index, label in enumerate(labels):
            ET.SubElement(group, "Label", value=label, background=_colour(index))
    per_region = {"perRegion": "true", "displayMode": "region-list", "placeholder": "a phrase that singles it out"}
    ET.SubElement(view, "TextArea", _AREA | {"name": "phrases", "rows": "1"} | per_region)
    for name, hint in _TEXTS.items():
        ET.SubElement(view, "Header", value=hint)
        ET.SubElement(view, "TextArea", _AREA | {"name": name, "rows": "4", "maxSubmissions": "1"})
    ET.indent(view)
    return ET.tostring(view, encoding="unicode") + "\n"


def _colour(index: int) -> str:
    """Colours far apart for neighbours, and the same on every run: steps of the golden angle around the wheel."""
    red, green, blue = colorsys.hsv_to_rgb(index * 0.6180339887 % 1.0, 0.75, 0.9)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
