"""JSON Lines: one row a line, the dataset's own columns, images beside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from mmud.dataset.exporters.base import Exporter, Item
from mmud.dataset.exporters.streams import write_line
from mmud.files import atomic_write


class JsonlExporter(Exporter):
    """``SPLIT.jsonl`` and ``images/``; `mmud.records.Sample.from_row` reads a line once ``file_name`` is taken off."""

    name: ClassVar[str] = "jsonl"
    title: ClassVar[str] = "JSON Lines with every field, images beside"

    def write_split(self, split: str, items: Iterator[Item]) -> None:
        with atomic_write(self.job.folder / f"{self.job.split_stem(split)}.jsonl") as stream:
            for item in items:
                name = self.job.image_name(item, "images")
                self.job.save_image(item, f"images/{name}", split)
                row = item.sample.to_row()
                row["image"] = {"path": row["image"]["path"]}
                # Under this name Hugging Face's imagefolder and others find the image.
                write_line(stream, {"file_name": f"images/{name}" if item.image is not None else None, **row})
                self.job.counts["rows"] += 1
