"""From a shard's items to the shard, in whichever process."""

from __future__ import annotations

import gc
import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from mmud.dataset import codes
from mmud.dataset.build_plan import Numbered, Task
from mmud.dataset.sources.base import Converted, ConvertedRow, Item, Source
from mmud.dataset.writer import NOTES_FOLDER, Part, write_shard
from mmud.errors import Finding, MmudError, Place
from mmud.files import atomic_write
from mmud.records import ImageReference, Sample

CONVERTED_AT_ONCE = 512
"""Items handed to a source together."""

_YOUNG = 1
"""The generations of Python's collector that hold what was made since the last collection."""


@contextmanager
def collected_by_shard() -> Iterator[None]:
    """Within, only `Job.write` looks for garbage in cycles, once a shard.

    Listing and converting make millions of lists and hardly any cycle; Python's collector would walk over them all the time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@dataclass(frozen=True)
class Job:
    """Everything a process needs to turn a task into a shard."""

    sources: list[Source]
    images: Literal["embed", "link"]
    folder: Path
    skip_broken: bool

    def write(self, task: Task, watch: Callable[[pa.RecordBatch], None] | None = None) -> Part:
        """Convert and write a task, whose list of items is empty afterwards.

        Args:
            task: the shard's items.
            watch: shown the batches that are written.
        """
        notes: list[dict[str, Any]] = []
        path = self.folder / f"{task.split}-{task.index:05d}.parquet"
        rows, checksum, counts = write_shard(path, self._rows(task, notes), self.images, watch)
        with atomic_write(self.folder.parent / NOTES_FOLDER / f"{path.stem}.jsonl", "w") as stream:
            stream.writelines(json.dumps(note, ensure_ascii=False) + "\n" for note in notes)
        gc.collect(_YOUNG)
        return Part(task.split, task.index, rows, checksum, counts)

    def _rows(self, task: Task, notes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for item, converted in self._converted(task.items):
            try:
                if isinstance(converted, MmudError):
                    raise converted
                row = self._finished_row(converted)
            except MmudError as error:
                if not self.skip_broken:
                    raise
                place = error.where if error.where.sample else Place(sample=item.key)
                message = f"left out: {error.code.id} {error.message}"
                notes.append(Finding(codes.BUILD_SAMPLE_LOST, place, message).to_dict())
                continue
            if converted.findings:
                notes.extend(finding.to_dict() for finding in converted.findings)
            yield row

    def _converted(self, items: list[Numbered]) -> Iterator[tuple[Item, Converted | ConvertedRow | MmudError]]:
        """Each item converted, as many at once as come from one source; the list is emptied along the way."""
        items.reverse()
        while items:
            # What was converted is let go of while it is still in the processor's cache.
            number = items[-1][0]
            some: list[Item] = []
            while items and items[-1][0] == number and len(some) < CONVERTED_AT_ONCE:
                some.append(items.pop()[1])
            yield from zip(some, self.sources[number].convert_many(some), strict=True)

    def _finished_row(self, converted: Converted | ConvertedRow) -> dict[str, Any]:
        if isinstance(converted, ConvertedRow):
            row, bytes_, path = converted.row, None, converted.row["image"]["path"]
        else:
            sample = converted.sample
            row, bytes_, path = sample.to_row(), sample.image.bytes, sample.image.path
        if self.images == "embed":
            if bytes_ is None:
                image = ImageReference(path=path)
                bytes_ = Sample.model_construct(sample_id=row["sample_id"], image=image).image_bytes()
            row["image"] = {"bytes": bytes_, "path": Path(path).name if path else f"{row['sample_id']}.png"}
        else:
            # A dataset with embedded images has the files' names and not the files.
            if bytes_ is not None and (path is None or not Path(path).is_absolute()):
                hint = "Build with --images embed: this source has images and no files to link to."
                raise MmudError(
                    codes.BUILD_SAMPLE_LOST, "no image file to link to", Place(sample=row["sample_id"]), hint
                )
            row["image"] = {"bytes": None, "path": path}
        return row


_job: Job | None = None


def set_job(job: Job) -> None:
    global _job
    # Ctrl-C reaches every process of the terminal; the parent alone decides what is kept.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()
    _job = job


def run_job(task: Task) -> Part:
    if _job is None:
        raise RuntimeError("a worker was started without its job")
    return _job.write(task)
