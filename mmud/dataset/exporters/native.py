"""The dataset's own format: splits picked, shards of another size, images taken in or laid beside."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, cast

from mmud.dataset import codes
from mmud.dataset.card import CARD_NAME, render_card
from mmud.dataset.exporters.base import Exporter, Item, Job
from mmud.dataset.exporters.images import file_name_of
from mmud.dataset.exporters.names import safe_stem
from mmud.dataset.writer import SHARD_ROWS, DatasetWriter
from mmud.errors import MmudError, Place

_RECIPE = "the recipe"


class NativeExporter(Exporter):
    """A dataset folder, as ``mmud build`` makes it.

    ``--images embed`` takes the bytes into the shards; ``--images link`` stores paths: those that the dataset links to, or, where
    it has the bytes, files under ``images/`` of the new folder.
    """

    name: ClassVar[str] = "native"
    title: ClassVar[str] = "an MMUD dataset of some splits, re-sharded, images embedded or linked"
    cannot_hold: ClassVar[Mapping[str, str]] = {
        _RECIPE: "it would build the whole dataset, with its own shards; this is a part or a copy of it",
    }
    image_modes: ClassVar[tuple[str, ...]] = ("embed", "link")
    default_shard_size: ClassVar[int | None] = 0
    writes_report: ClassVar[bool] = False

    def reads_images(self) -> bool:
        return self.job.images == "embed" or self.job.dataset.manifest.images == "embed"

    def begin(self) -> None:
        """Start a writer of its own inside the folder; its content moves up at the end."""
        refuse_strange_splits(self.job)
        self._images: Literal["embed", "link"] = cast(Literal["embed", "link"], self.job.images)
        self._inner = self.job.folder / "dataset"
        self._writer = DatasetWriter(self._inner, {"export": self.job.dataset.fingerprint}, self._images)
        self._shards: dict[str, int] = {}

    def write_split(self, split: str, items: Iterator[Item]) -> None:
        size = self.job.shard_size or SHARD_ROWS[self._images]
        rows = (self._row(item, split) for item in items)
        for index, chunk in enumerate(chunks(rows, size)):
            self._writer.write_part(split, index, chunk)
            self._shards[split] = index + 1
        if split not in self._shards:
            self._writer.write_part(split, 0, [])
            self._shards[split] = 1

    def _row(self, item: Item, split: str) -> dict[str, Any]:
        row = item.sample.to_row()
        self.job.counts["samples"] += 1
        if self._images == "embed" and item.image is not None:
            # As a build does: the bytes, and the name alone of the file that they came from.
            own = file_name_of(item.sample) or f"{item.sample.sample_id}.{item.image.extension}"
            row["image"] = {"bytes": item.image.data, "path": own}
        elif item.image is not None:
            name = self.job.image_name(item, "images")
            self.job.save_image(item, f"images/{name}", split)
            row["image"]["path"] = str(self.job.output / "images" / name)
        return row

    def finish(self) -> None:
        manifest = self.job.dataset.manifest
        self._writer.finish(self._shards, manifest.sources, name=manifest.name)
        for child in sorted(self._inner.iterdir()):
            os.replace(child, self.job.folder / child.name)
        self._inner.rmdir()
        self.job.losses[_RECIPE] += manifest.recipe is not None
        self._note_card()

    def _note_card(self) -> None:
        """The writer has made a card for what was written; words that a person added to the dataset's own stay there."""
        card = self.job.dataset.path / CARD_NAME
        if card.exists() and card.read_text("utf-8", "replace") != render_card(self.job.dataset):
            self.job.note(
                f"{CARD_NAME} was written anew; changes made by hand in the dataset's own were not carried over."
            )


def refuse_strange_splits(job: Job) -> None:
    """A foreign manifest must not choose where files go: shards are named after their split.

    Raises:
        MmudError: MM103 when a split's name is no file name.
    """
    for split in job.splits:
        if safe_stem(split) != split:
            place = Place(file=str(job.dataset.path))
            raise MmudError(codes.MANIFEST_INVALID, f"a split is called {split!r}, which is no file name", place)


def chunks(rows: Iterator[dict[str, Any]], size: int) -> Iterator[Iterator[dict[str, Any]]]:
    """The rows in lazy pieces of ``size``, each to be read to its end before the next; no piece is empty."""
    for first in rows:

        def piece(first: dict[str, Any] = first) -> Iterator[dict[str, Any]]:
            yield first
            for _ in range(size - 1):
                row = next(rows, None)
                if row is None:
                    return
                yield row

        yield piece()
