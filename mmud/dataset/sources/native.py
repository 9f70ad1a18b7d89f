"""An MMUD dataset as a source: to merge datasets, or to split one anew."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
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
    """A row's place: the number of its dataset, its shard's file within the folder, and its number there."""

    dataset: int
    file: str
    row: int


class NativeSource(Source):
    """Samples of datasets built before.

    Options:
        path: the folder of a dataset, or several.
        splits: take these splits only; a dataset that lacks one of them gives the others.
    """

    name: ClassVar[str] = "mmud"

    def __init__(self, paths: Sequence[Path], splits: tuple[str, ...] = ()) -> None:
        self._paths = tuple(paths)
        self._datasets = [Dataset(path) for path in paths]
        self._splits = splits
        self._rows: tuple[Payload, list[dict[str, Any]]] = (Payload(-1, "", 0), [])
        for split in splits:
            if not any(split in dataset.splits for dataset in self._datasets):
                # Raises, with the names of the splits that there are.
                self._datasets[0].length(split)

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> Self:
        """See `Source.from_options`; also MM102, MM103 when the folder is no dataset, MM108 for a split that it lacks."""
        read = Options(cls.name, options, ("path", "splits"))
        splits = read.texts("splits") if options.get("splits") is not None else ()
        paths = read.paths("path", "folder")
        if not paths:
            raise read.refuse("path", "the path of a folder")
        return cls(paths, splits)

    def options(self) -> dict[str, Any]:
        return {**path_options(path=self._paths), **({"splits": list(self._splits)} if self._splits else {})}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_rows": (Payload(-1, "", 0), [])}

    def _taken(self, dataset: Dataset) -> list[str]:
        return [split for split in dataset.splits if not self._splits or split in self._splits]

    def items(self) -> Iterator[Item]:
        for number, dataset in enumerate(self._datasets):
            for split in self._taken(dataset):
                for batch in dataset.batches(split, LISTED_COLUMNS, rows=4096):
                    for offset, row in enumerate(batch.table.to_pylist()):
                        payload = Payload(number, batch.file, batch.row + offset)
                        yield Item(row["sample_id"], split, _group(row), payload)

    def convert(self, item: Item) -> Converted:
        payload: Payload = item.payload
        row = self._row(payload)
        sample = Sample.from_row(row, Place(sample=item.key, split=item.split, file=payload.file, row=payload.row))
        return Converted(sample)

    def _row(self, payload: Payload) -> dict[str, Any]:
        """A row with its image; its row group is kept, because items are mostly asked for in order."""
        first, rows = self._rows
        inside = first.dataset == payload.dataset and first.file == payload.file
        if not inside or not first.row <= payload.row < first.row + len(rows):
            first, rows = self._rows = self._read_group(payload)
        return rows[payload.row - first.row]

    def _read_group(self, payload: Payload) -> tuple[Payload, list[dict[str, Any]]]:
        """The row group that a row is in, and the place of its first row."""
        place = Place(file=payload.file, row=payload.row)
        with open_shard(self._paths[payload.dataset] / payload.file, payload.file) as parquet:
            first = 0
            for group in range(parquet.metadata.num_row_groups):
                count = parquet.metadata.row_group(group).num_rows
                if payload.row < first + count:
                    try:
                        table = parquet.read_row_group(group, columns=list(COLUMNS), use_threads=False)
                    except (pa.ArrowException, OSError) as error:
                        raise MmudError(dataset_codes.SHARD_UNREADABLE, str(error), place) from error
                    return Payload(payload.dataset, payload.file, first), table.to_pylist()
                first += count
        raise MmudError(dataset_codes.SHARD_UNREADABLE, f"the shard has only {first} rows", place)

    def describe(self) -> dict[str, Any]:
        manifests = [dataset.manifest for dataset in self._datasets]
        files = {
            f"{dataset.name}/{shard.file}" if len(manifests) > 1 else shard.file: shard.sha256
            for dataset in self._datasets
            for split in self._taken(dataset)
            for shard in dataset.manifest.splits[split].shards
        }
        return {
            "name": " + ".join(manifest.name for manifest in manifests),
            "title": "MMUD datasets built before",
            "license": "",
            "homepage": "",
            "citation": "",
            "files": files,
            "fingerprints": [manifest.fingerprint for manifest in manifests],
            "sources": [source for manifest in manifests for source in manifest.sources],
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
