"""Reading a dataset folder: streamed in order, or at random through a memory-mapped copy of the labels.

Nothing here holds a whole data set in memory, and nothing is changed on disk (the memory-mapped copy lives in the cache).
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmud.dataset import codes
from mmud.dataset.manifest import Manifest
from mmud.dataset.schema import ANNOTATION_COLUMNS, COLUMNS, schema
from mmud.errors import MmudError, Place
from mmud.files import atomic_write, cache_folder
from mmud.records import Sample

BATCH_ROWS = 256


@dataclass(frozen=True, slots=True)
class ShardFile:
    """One shard: its split, file, and the number of its first row within the split."""

    split: str
    path: Path
    file: str
    rows: int
    start: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive rows of one shard; ``row`` is the number of the first one in its file."""

    split: str
    file: str
    row: int
    table: pa.RecordBatch

    def place(self, offset: int, sample: str | None = None) -> Place:
        return Place(sample=sample, split=self.split, file=self.file, row=self.row + offset)


class Dataset:
    """A dataset folder, opened by its manifest.

    Args:
        path: the folder.

    Raises:
        MmudError: MM102 or MM103 when the folder is no dataset.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.manifest = Manifest.read(self.path)

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def fingerprint(self) -> str:
        return self.manifest.fingerprint

    @property
    def splits(self) -> list[str]:
        return list(self.manifest.splits)

    def __len__(self) -> int:
        return sum(split.samples for split in self.manifest.splits.values())

    def length(self, split: str) -> int:
        """The number of a split's samples.

        Raises:
            MmudError: MM108 when there is no such split.
        """
        self._require_split(split)
        return self.manifest.splits[split].samples

    def _require_split(self, split: str) -> None:
        if split not in self.manifest.splits:
            raise MmudError(
                codes.SPLIT_UNKNOWN, f"no split is called {split!r}", hint=f"The splits are {', '.join(self.splits)}."
            )

    def shards(self, split: str | None = None) -> list[ShardFile]:
        """The shards of a split, or of all, in order."""
        if split is not None:
            self._require_split(split)
        found = []
        for name in self.splits if split is None else [split]:
            start = 0
            for shard in self.manifest.splits[name].shards:
                found.append(ShardFile(name, self.path / shard.file, shard.file, shard.rows, start))
                start += shard.rows
        return found

    def batches(
        self, split: str | None = None, columns: Sequence[str] = ANNOTATION_COLUMNS, rows: int = BATCH_ROWS
    ) -> Iterator[Batch]:
        """Stream record batches in order.

        Args:
            split: one split, or all.
            columns: the columns to read; nested ones by dotted path, as pyarrow takes them.
            rows: at most so many rows a batch.

        Raises:
            MmudError: MM104, MM106 or MM107 when a shard is missing, unreadable or of another schema.
        """
        for shard in self.shards(split):
            yield from self.shard_batches(shard, columns, rows)

    def shard_batches(
        self, shard: ShardFile, columns: Sequence[str] = ANNOTATION_COLUMNS, rows: int = BATCH_ROWS
    ) -> Iterator[Batch]:
        """Stream the record batches of one shard; see `batches`."""
        with open_shard(shard.path, shard.file) as parquet:
            row = 0
            try:
                for table in parquet.iter_batches(rows, columns=list(columns), use_threads=False):
                    yield Batch(shard.split, shard.file, row, table)
                    row += table.num_rows
            except (pa.ArrowException, OSError) as error:
                raise MmudError(codes.SHARD_UNREADABLE, str(error), Place(file=shard.file, row=row)) from error

    def rows(self, split: str | None = None, images: bool = False) -> Iterator[tuple[Place, dict[str, Any]]]:
        """Stream rows as plain values, each with its place; image bytes only when asked for."""
        columns = COLUMNS if images else ANNOTATION_COLUMNS
        for batch in self.batches(split, columns, rows=32 if images else BATCH_ROWS):
            for offset, row in enumerate(batch.table.to_pylist()):
                yield batch.place(offset, row["sample_id"]), row

    def samples(self, split: str | None = None, images: bool = False) -> Iterator[Sample]:
        """Stream validated samples; image bytes only when asked for.

        Raises:
            MmudError: MM101 at the first row that is no sample.
        """
        for place, row in self.rows(split, images):
            yield Sample.from_row(row, place)

    @cached_property
    def _labels(self) -> dict[str, pa.Table]:
        return {}

    def labels(self, split: str) -> pa.Table:
        """The annotation columns of a split as a memory-mapped Arrow table: opened at once, read at random, never held.

        The copy is written to the cache the first time, under the checksums of its shards.
        """
        if split not in self._labels:
            self._require_split(split)
            self._labels[split] = _memory_map(self, split)
        return self._labels[split]

    def sample(self, split: str, index: int, images: bool = False) -> Sample:
        """The sample at a position of its split; image bytes only when asked for."""
        length = self.length(split)
        if not -length <= index < length:
            raise IndexError(f"{split} has {length} samples, there is no number {index}")
        index %= length
        row = self.labels(split).slice(index, 1).to_pylist()[0]
        if images:
            row["image"] = self._read_one(split, index, ("image",))["image"]
        return Sample.from_row(row)

    def first(self, split: str | None = None, images: bool = False) -> Sample:
        """The first sample, read from its shard alone."""
        row = self._read_one(split or self.splits[0], 0, COLUMNS if images else ANNOTATION_COLUMNS)
        return Sample.from_row(row)

    def _read_one(self, split: str, index: int, columns: Sequence[str]) -> dict[str, Any]:
        shards = self.shards(split)
        shard = shards[bisect.bisect_right([shard.start for shard in shards], index) - 1]
        with open_shard(shard.path, shard.file) as parquet:
            offset = index - shard.start
            metadata = parquet.metadata
            bounds = [0, *itertools.accumulate(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))]
            group = bisect.bisect_right(bounds, offset) - 1
            table = parquet.read_row_group(group, columns=list(columns), use_threads=False)
            row: dict[str, Any] = table.slice(offset - bounds[group], 1).to_pylist()[0]
            return row

    @cached_property
    def _positions(self) -> dict[str, tuple[str, int]]:
        found = {}
        for split in self.splits:
            ids = itertools.chain.from_iterable(
                batch.table.column(0).to_pylist() for batch in self.batches(split, ("sample_id",), rows=4096)
            )
            found.update({sample_id: (split, index) for index, sample_id in enumerate(ids)})
        return found

    def position(self, sample_id: str) -> tuple[str, int]:
        """The split of the sample with an id, and its position there.

        Raises:
            MmudError: MM109 when there is none.
        """
        position = self._positions.get(sample_id)
        if position is None:
            raise MmudError(codes.SAMPLE_UNKNOWN, f"no sample has the id {sample_id!r}", Place(file=str(self.path)))
        return position

    def find(self, sample_id: str, images: bool = False) -> Sample:
        """The sample with an id; see `position`."""
        return self.sample(*self.position(sample_id), images=images)


def load_dataset(path: str | Path) -> Dataset:
    """Open a dataset folder.

    Raises:
        MmudError: MM102 or MM103 when the folder is no dataset.
    """
    return Dataset(path)


def open_shard(path: Path, shown: str) -> pq.ParquetFile:
    """Open a shard and check its columns.

    Raises:
        MmudError: MM104 missing, MM106 unreadable, MM107 of another schema.
    """
    place = Place(file=shown)
    try:
        parquet = pq.ParquetFile(path)
    except FileNotFoundError as error:
        raise MmudError(codes.SHARD_MISSING, f"{shown} is listed in the manifest and missing", place) from error
    except (pa.ArrowException, OSError, UnicodeEncodeError) as error:
        raise MmudError(codes.SHARD_UNREADABLE, f"cannot open {shown}: {error}", place) from error
    found = parquet.schema_arrow
    for field in schema():
        position = found.get_field_index(field.name)
        if position < 0:
            parquet.close()
            raise MmudError(codes.SHARD_SCHEMA, f"column {field.name!r} is missing", place)
        if found.field(position).type != field.type:
            parquet.close()
            message = f"column {field.name!r} is {found.field(position).type}, not {field.type}"
            raise MmudError(codes.SHARD_SCHEMA, message, place)
    return parquet


def _memory_map(dataset: Dataset, split: str) -> pa.Table:
    shards = dataset.manifest.splits[split].shards
    key = "-".join(shard.sha256[:16] for shard in shards[:3])
    file = cache_folder("labels") / f"{dataset.fingerprint[:16]}-{split}-{len(shards)}-{key}.arrow"
    columns = pa.schema([schema().field(name) for name in ANNOTATION_COLUMNS])
    if not file.exists():
        with atomic_write(file) as stream, pa.ipc.new_file(stream, columns) as writer:
            for batch in dataset.batches(split):
                writer.write_batch(batch.table.cast(columns))
    with pa.memory_map(str(file)) as source:
        return pa.ipc.open_file(source).read_all()
