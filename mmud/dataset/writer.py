"""Writing a dataset folder: shards one by one, the folder's own name only at the very end.

Everything is written under ``NAME.partial``. A shard exists whole or not at all, and a journal names each finished one with
its checksum, so that a build that was killed goes on where it stopped. When all is there, shards take their final names, the
manifest and the recipe are written, and the folder is renamed.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from mmud import __version__
from mmud.dataset.card import CARD_NAME, render_card
from mmud.dataset.contents import Contents
from mmud.dataset.fingerprint import LabelDigest, fingerprint_of
from mmud.dataset.manifest import FORMAT_VERSION, Manifest, Shard, Split
from mmud.dataset.schema import record_batch, schema
from mmud.dataset.store import Dataset
from mmud.files import atomic_write, refuse_existing, sha256_of, write_json, write_text
from mmud.records import Sample

JOURNAL_NAME = "journal.jsonl"
PLAN_NAME = "plan.json"
NOTES_FOLDER = "notes"
"""Beside the shards of a partial build: what was noted of each, until the folder has its name."""

ROW_GROUP = {"link": 128, "embed": 16}
"""Rows a group, by how images are kept: one group is what reading one sample costs."""

SHARD_ROWS = {"link": 4096, "embed": 1024}
"""Rows a shard where nothing else is asked for; a thousand photographs are about 150 MB."""

BATCH_ROWS = {"link": 1024, "embed": 16}
"""Rows turned into columns at a time; photographs are let go of group by group."""

_REPEATED = ("source", "license", "width", "height")
_REPEATED_IN_OBJECTS = ("category", "category_id", "iscrowd")
DICTIONARY_COLUMNS = [*_REPEATED, *(f"objects.list.element.{name}" for name in _REPEATED_IN_OBJECTS)]
"""Columns of few values. Dictionaries of the others, where every value is another, cost time and room."""

STATISTICS_COLUMNS = [*_REPEATED, "sample_id", "source_image_id"]
"""Columns whose least and greatest value a group is told by: those that a reader may want to select by."""

COMPRESSION_LEVEL = 1

SPLIT_ORDER = ("train", "valid", "test")


@dataclass(frozen=True, slots=True)
class Part:
    """A finished shard before it has its final name."""

    split: str
    index: int
    rows: int
    sha256: str
    counts: dict[str, dict[str, int]]
    """source -> {"samples", "objects"}"""

    @property
    def name(self) -> str:
        return f"{self.split}-{self.index:05d}.parquet"


def write_shard(
    path: Path,
    rows: Iterable[Mapping[str, Any]],
    images: Literal["embed", "link"],
    watch: Callable[[pa.RecordBatch], None] | None = None,
) -> tuple[int, str, dict[str, dict[str, int]]]:
    """Write rows as one Parquet file, atomically, a row group at a time.

    Args:
        path: the file.
        rows: as `mmud.records.Sample.to_row` gives them.
        images: how the images are kept, which decides the size of a row group.
        watch: shown every batch that is written.

    Returns:
        Rows, SHA-256, and samples and objects by source.
    """
    counts: dict[str, Counter[str]] = {}
    total = 0
    iterator = iter(rows)
    with (
        atomic_write(path) as stream,
        pq.ParquetWriter(
            stream,
            schema(),
            compression="zstd",
            compression_level=COMPRESSION_LEVEL,
            use_dictionary=DICTIONARY_COLUMNS,
            write_statistics=STATISTICS_COLUMNS,
        ) as writer,
    ):
        while group := list(itertools.islice(iterator, BATCH_ROWS[images])):
            batch = record_batch(group)
            writer.write_batch(batch, row_group_size=ROW_GROUP[images])
            if watch is not None:
                watch(batch)
            for source, samples in Counter([row["source"] for row in group]).items():
                objects = sum(len(row["objects"]) for row in group if row["source"] == source)
                counts.setdefault(source, Counter()).update(samples=samples, objects=objects)
            total += len(group)
    return total, sha256_of(path), {source: dict(tally) for source, tally in counts.items()}


class _Watched:
    """What goes through the writer of one process, so that the finished shards need not be read again.

    It counts only where one process writes every shard of a split in order; the finished dataset is read otherwise.
    """

    def __init__(self) -> None:
        self.digest = LabelDigest()
        self.contents = Contents()
        self.shards: Counter[str] = Counter()
        self._in_order = True

    def holds(self, splits: Mapping[str, int]) -> bool:
        """Whether everything went by: split -> number of its shards."""
        return self._in_order and self.shards == Counter(splits)

    def of(self, split: str, index: int) -> Callable[[pa.RecordBatch], None] | None:
        """Where the batches of a shard go; None once one came out of order."""
        self._in_order = self._in_order and self.shards[split] == index
        if not self._in_order:
            return None
        self.shards[split] += 1

        def watch(batch: pa.RecordBatch) -> None:
            self.digest.add(split, batch)
            self.contents.add(split, batch)

        return watch


class DatasetWriter:
    """Makes one dataset folder.

    Args:
        path: the folder to make.
        plan: what is being built, JSON-compatible; a partial build of the same plan is continued, of another one refused.
        images: "embed" or "link".
        force: replace a folder that is there.

    Raises:
        MmudError: MM003 when the folder exists and ``force`` is off.
    """

    def __init__(
        self, path: Path, plan: Mapping[str, Any], images: Literal["embed", "link"], force: bool = False
    ) -> None:
        refuse_existing(path, force)
        self.path = path
        self.images = images
        self.partial = path.with_name(path.name + ".partial")
        self._plan = json.loads(json.dumps({"plan": plan, "version": __version__}, sort_keys=True))
        self._parts: dict[tuple[str, int], Part] = {}
        self._watched = _Watched()
        self._open()

    def _open(self) -> None:
        plan_file = self.partial / PLAN_NAME
        try:
            same = json.loads(plan_file.read_bytes()) == self._plan
        except (OSError, ValueError):
            same = False
        if not same:
            shutil.rmtree(self.partial, ignore_errors=True)
            (self.partial / "data").mkdir(parents=True)
            write_json(plan_file, self._plan)
        for leftover in (self.partial / "data").glob(".*.partial"):
            leftover.unlink()
        for line in self._journal_lines():
            part = Part(**line)
            finals = (self.partial / "data").glob(f"{part.split}-{part.index:05d}-of-*.parquet")
            if (self.partial / "data" / part.name).exists() or any(finals):
                self._parts[part.split, part.index] = part

    def _journal_lines(self) -> Iterator[dict[str, Any]]:
        journal = self.partial / JOURNAL_NAME
        if not journal.exists():
            return
        for text in journal.read_text("utf-8").splitlines():
            # A line that a kill cut short is not JSON; its shard is written again.
            try:
                yield json.loads(text)
            except ValueError:
                continue

    def part_path(self, split: str, index: int) -> Path:
        return self.partial / "data" / f"{split}-{index:05d}.parquet"

    def done(self, split: str, index: int) -> bool:
        """Whether this shard was finished, now or by an earlier run of the same plan."""
        return (split, index) in self._parts

    def add(self, part: Part) -> None:
        """Note that a shard, written to `part_path` by `write_shard`, is finished."""
        with open(self.partial / JOURNAL_NAME, "a", encoding="utf-8") as journal:
            # A line cut short by a kill has no line feed: begin on a fresh line.
            journal.write("\n" + json.dumps(asdict(part)) + "\n")
            journal.flush()
            os.fsync(journal.fileno())
        self._parts[part.split, part.index] = part

    def write_part(self, split: str, index: int, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write one shard in this process and note it, unless it is there."""
        if not self.done(split, index):
            path, watch = self.part_path(split, index), self.watch(split, index)
            self.add(Part(split, index, *write_shard(path, rows, self.images, watch)))

    def watch(self, split: str, index: int) -> Callable[[pa.RecordBatch], None] | None:
        """What `write_shard` is to be given, where this process writes the shard: it saves `finish` from reading it again."""
        return self._watched.of(split, index)

    def finish(
        self,
        splits: Mapping[str, int],
        sources: list[dict[str, Any]],
        recipe: dict[str, Any] | None = None,
        name: str | None = None,
        files: Mapping[str, str] | None = None,
    ) -> Dataset:
        """Give everything its final name.

        Args:
            splits: split -> number of its shards.
            sources: what each source says of itself.
            recipe: how to build the same bytes again.
            name: of the dataset; the folder's name when left out.
            files: further text files for the folder, name -> content; one called README.md takes the place of the card.

        Returns:
            The finished dataset.
        """
        order = sorted(splits, key=lambda split: (SPLIT_ORDER.index(split) if split in SPLIT_ORDER else 9, split))
        table: dict[str, Split] = {}
        counts: dict[str, Counter[str]] = {}
        for split in order:
            shards = []
            for index in range(splits[split]):
                part = self._parts[split, index]
                file = f"data/{split}-{index:05d}-of-{splits[split]:05d}.parquet"
                target = self.partial / file
                # After a kill between the renames some shards have their final name already.
                if not target.exists():
                    os.replace(self.part_path(split, index), target)
                shards.append(Shard(file=file, rows=part.rows, sha256=part.sha256))
                for source, tally in part.counts.items():
                    counts.setdefault(source, Counter()).update(tally)
            table[split] = Split(samples=sum(shard.rows for shard in shards), shards=tuple(shards))
        by_source = {source: dict(tally) for source, tally in sorted(counts.items())}
        manifest = Manifest(
            format_version=FORMAT_VERSION,
            mmud_version=__version__,
            name=name or self.path.name,
            fingerprint="",
            images=self.images,
            splits=table,
            counts={
                "samples": sum(tally["samples"] for tally in by_source.values()),
                "objects": sum(tally["objects"] for tally in by_source.values()),
                "by_source": by_source,
            },
            sources=sources,
            recipe=recipe,
        )
        manifest.write(self.partial)
        watched = self._watched if self._watched.holds(splits) else None
        lengths = {split: table[split].samples for split in order}
        fingerprint = watched.digest.hexdigest(lengths) if watched else fingerprint_of(Dataset(self.partial))
        manifest = manifest.model_copy(update={"fingerprint": fingerprint})
        manifest.write(self.partial)
        card = render_card(Dataset(self.partial), watched.contents if watched else None)
        texts = {CARD_NAME: card, **(files or {})}
        for file_name, content in texts.items():
            write_text(self.partial / file_name, content)
        # The plan goes first: a build killed between these lines begins afresh instead of trusting half a journal.
        (self.partial / PLAN_NAME).unlink()
        (self.partial / JOURNAL_NAME).unlink(missing_ok=True)
        shutil.rmtree(self.partial / NOTES_FOLDER, ignore_errors=True)
        if self.path.exists():
            shutil.rmtree(self.path)
        os.replace(self.partial, self.path)
        return Dataset(self.path)


def write_dataset(
    path: Path,
    samples: Mapping[str, Iterable[Sample]],
    *,
    images: Literal["embed", "link"] = "embed",
    shard_rows: int | None = None,
    sources: list[dict[str, Any]] | None = None,
    name: str | None = None,
    files: Mapping[str, str] | None = None,
    force: bool = False,
) -> Dataset:
    """Write samples as a dataset folder: what an import, a fix or a new split uses.

    Args:
        path: the folder to make.
        samples: split -> its samples, streamed once.
        images: whether image bytes are stored or only paths; samples must carry what is asked for.
        shard_rows: samples a shard.
        sources: carried into the manifest.
        name: of the dataset; the folder's name when left out.
        files: further text files for the folder, name -> content.
        force: replace a folder that is there.

    Raises:
        MmudError: MM003 when the folder exists, MM008 when it cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    # A stream of samples cannot be continued half-way: begin afresh.
    shutil.rmtree(partial, ignore_errors=True)
    writer = DatasetWriter(path, {"write_dataset": True}, images, force)
    size = shard_rows or SHARD_ROWS[images]
    shards = {}
    try:
        for split, stream in samples.items():
            iterator = iter(stream)
            index = 0
            while chunk := _next_rows(iterator, size):
                writer.write_part(split, index, chunk)
                index += 1
            if index == 0:
                writer.write_part(split, 0, [])
                index = 1
            shards[split] = index
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return writer.finish(shards, sources or [], name=name, files=files)


def _next_rows(samples: Iterator[Sample], size: int) -> Iterator[dict[str, Any]] | None:
    """The next rows, lazily, or None at the end: a shard of photographs is never held in memory."""
    first = next(samples, None)
    if first is None:
        return None

    def rows() -> Iterator[dict[str, Any]]:
        yield first.to_row()
        for _ in range(size - 1):
            sample = next(samples, None)
            if sample is None:
                return
            yield sample.to_row()

    return rows()
