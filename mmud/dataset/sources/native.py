"""An MMUD dataset as a source: to merge datasets, or to split one anew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import pyarrow as pa

from mmud.dataset import codes as dataset_codes
from mmud.dataset.image_groups import image_key
from mmud.dataset.schema import COLUMNS
from mmud.dataset.sources.base import Converted, Item, Source
from mmud.dataset.sources.options import Options, path_options
from mmud.dataset.store import Dataset, open_shard
from mmud.errors import MmudError, Place
from mmud.records import Sample

LISTED_COLUMNS = ("sample_id", "source", "source_image_id", "provenance")


@dataclass(frozen=True, slots=True)
class Payload:
    """A row's place: its shard's file within the folder, and its number there."""

    file: str
    row: int


class NativeSource(Source):
    """Options: ``path``, the folder of the dataset; ``splits``, to take some of them only."""

    name: ClassVar[str] = "mmud"

    def __init__(self, path: Path, splits: tuple[str, ...] = ()) -> None:
        self._path = path
        self._dataset = Dataset(path)
        self._splits = splits
        self._rows: tuple[str, int, int, list[dict[str, Any]]] = ("", 0, 0, [])
        for split in splits:
            self._dataset.length(split)

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> Self:
        """See `Source.from_options`; also MM102, MM103 when the folder is no dataset, MM108 for a split that it lacks."""
        read = Options(cls.name, options, ("path", "splits"))
        splits = read.texts("splits") if options.get("splits") is not None else ()
        return cls(read.path("path", "folder"), splits)

    def options(self) -> dict[str, Any]:
        return {**path_options(path=self._path), **({"splits": list(self._splits)} if self._splits else {})}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_rows": ("", 0, 0, [])}

    def items(self) -> Iterator[Item]:
        for split in self._splits or self._dataset.splits:
            for batch in self._dataset.batches(split, LISTED_COLUMNS, rows=4096):
                for offset, row in enumerate(batch.table.to_pylist()):
                    payload = Payload(batch.file, batch.row + offset)
                    yield Item(row["sample_id"], split, _group(row), payload)

    def convert(self, item: Item) -> Converted:
        payload: Payload = item.payload
        row = self._row(payload)
        sample = Sample.from_row(row, Place(sample=item.key, split=item.split, file=payload.file, row=payload.row))
        return Converted(sample)

    def _row(self, payload: Payload) -> dict[str, Any]:
        """A row with its image; its row group is kept, because items are mostly asked for in order."""
        file, first, last, rows = self._rows
        if file != payload.file or not first <= payload.row < last:
            first, rows = self._read_group(payload)
            self._rows = (payload.file, first, first + len(rows), rows)
        return rows[payload.row - first]

    def _read_group(self, payload: Payload) -> tuple[int, list[dict[str, Any]]]:
        with open_shard(self._path / payload.file, payload.file) as parquet:
            first = 0
            for group in range(parquet.metadata.num_row_groups):
                count = parquet.metadata.row_group(group).num_rows
                if payload.row < first + count:
                    try:
                        table = parquet.read_row_group(group, columns=list(COLUMNS), use_threads=False)
                    except (pa.ArrowException, OSError) as error:
                        place = Place(file=payload.file, row=payload.row)
                        raise MmudError(dataset_codes.SHARD_UNREADABLE, str(error), place) from error
                    return first, table.to_pylist()
                first += count
        place = Place(file=payload.file, row=payload.row)
        raise MmudError(dataset_codes.SHARD_UNREADABLE, f"the shard has only {first} rows", place)

    def describe(self) -> dict[str, Any]:
        manifest = self._dataset.manifest
        shards = [shard for split in self._splits or self._dataset.splits for shard in manifest.splits[split].shards]
        return {
            "name": manifest.name,
            "title": f"the MMUD dataset {manifest.name}",
            "license": "",
            "homepage": "",
            "citation": "",
            "files": {shard.file: shard.sha256 for shard in shards},
            "fingerprint": manifest.fingerprint,
            "sources": manifest.sources,
        }


def _group(row: dict[str, Any]) -> str:
    """What the row's image is: as its source said when the dataset was built, or by its number, or itself alone."""
    try:
        provenance = json.loads(row["provenance"]) if row["provenance"] else {}
    except ValueError:
        # Whether the provenance is JSON is for converting to say, which names the row.
        provenance = {}
    said = provenance.get("group") if isinstance(provenance, dict) else None
    if isinstance(said, str) and said:
        return said
    return image_key(row["source"] or "", row["source_image_id"] or "") or f"{row['source']}:{row['sample_id']}"
