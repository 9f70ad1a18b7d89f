"""WebDataset: tar shards in which files of one stem are one sample."""

from __future__ import annotations

import io
import itertools
import tarfile
from collections.abc import Iterator
from typing import ClassVar

from mmud.dataset.exporters.base import Exporter, Item
from mmud.dataset.exporters.streams import to_json
from mmud.files import atomic_write


class WebDatasetExporter(Exporter):
    """``SPLIT-000000.tar`` …: for each sample ``KEY.jpg`` (or what the image is) and ``KEY.json`` with every field."""

    name: ClassVar[str] = "webdataset"
    title: ClassVar[str] = "WebDataset tar shards, image and json"
    default_shard_size: ClassVar[int | None] = 1000

    def write_split(self, split: str, items: Iterator[Item]) -> None:
        stem = self.job.split_stem(split)
        for shard in itertools.count():
            chunk = itertools.islice(items, self.job.shard_size)
            first = next(chunk, None)
            if first is None:
                return
            path = self.job.folder / f"{stem}-{shard:06d}.tar"
            with (
                atomic_write(path) as stream,
                tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar,
            ):
                for item in itertools.chain([first], chunk):
                    self._add_sample(tar, item, path.name, split)
            self.job.counts["shards"] += 1

    def _add_sample(self, tar: tarfile.TarFile, item: Item, shard: str, split: str) -> None:
        # A sample's key ends at the first dot of its files' names.
        key = self.job.entry_name(item.sample.sample_id, dots=False)
        row = item.sample.to_row()
        row["image"] = {"path": row["image"]["path"]}
        if item.image is not None:
            _add(tar, f"{key}.{item.image.extension.lower()}", item.image.data)
            self.job.counts["images"] += 1
        _add(tar, f"{key}.json", to_json({**row, "split": split}))
        self.job.map_name(item, f"{shard}/{key}", split)
        self.job.counts["samples"] += 1


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a member that carries no clock, no user and no machine: the same samples give the same bytes."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    member.mode = 0o644
    tar.addfile(member, io.BytesIO(data))
