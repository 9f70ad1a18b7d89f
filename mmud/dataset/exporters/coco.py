"""COCO: instances and captions, as ``pycocotools.coco.COCO`` and everything built on it reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from mmud.dataset.exporters.base import Exporter, Item
from mmud.dataset.exporters.ids import id_tables
from mmud.dataset.exporters.instances import COCO_LOSSES, Instances
from mmud.dataset.exporters.streams import json_table

_TEXT = "COCO has instances and captions and no place for it"


class CocoExporter(Exporter):
    """``annotations/instances_SPLIT.json``, ``annotations/captions_SPLIT.json`` and ``images/``."""

    name: ClassVar[str] = "coco"
    title: ClassVar[str] = "COCO instances and captions, one json a split"
    reads_masks: ClassVar[bool] = True
    cannot_hold: ClassVar[Mapping[str, str]] = {
        "questions": _TEXT,
        "answers": _TEXT,
        "tags": _TEXT,
        "phrases": _TEXT,
        "ref ids": _TEXT,
        "provenance": _TEXT,
        **COCO_LOSSES,
    }

    def begin(self) -> None:
        ids = id_tables(self.job.dataset)
        self._categories = ids.categories
        self._instances = Instances(self.job, ids)
        self._captions = 0

    def write_split(self, split: str, items: Iterator[Item]) -> None:
        stem = self.job.split_stem(split)
        folder = self.job.folder / "annotations"
        info = {
            "description": f"{self.job.dataset.name}, {split}: exported from MMUD",
            "version": self.job.dataset.fingerprint,
        }
        with (
            json_table(folder / f"instances_{stem}.json", {"info": info}, ("images", "annotations")) as instances,
            json_table(folder / f"captions_{stem}.json", {"info": info}, ("images", "annotations")) as captions,
        ):
            for item in items:
                name = self.job.image_name(item, "images", original=True)
                self.job.save_image(item, f"images/{name}", split)
                image = self._instances.image(item.sample, name)
                instances.add("images", image)
                captions.add("images", image)
                for number in range(1, len(item.sample.objects) + 1):
                    instances.add("annotations", self._instances.annotation(item, number, image["id"]))
                if item.sample.caption:
                    self._captions += 1
                    row = {"id": self._captions, "image_id": image["id"], "caption": item.sample.caption}
                    captions.add("annotations", row)
                self.job.counts["image rows"] += 1
                self.job.counts["annotations"] += len(item.sample.objects)
                self.job.counts["captions"] += bool(item.sample.caption)
            instances.tail = {"categories": self._categories.rows(), "licenses": self._instances.licenses.rows()}
            captions.tail = {"licenses": self._instances.licenses.rows()}
