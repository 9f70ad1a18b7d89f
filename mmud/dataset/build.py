"""Building a dataset from sources: several merged, in several processes, and continued after a kill.

Items are listed in one fixed order and cut into shards; a shard is converted and written whole by whichever process takes it.
Which process that is, how many there are, and where an earlier run was killed change nothing in the bytes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

from mmud.dataset import codes
from mmud.dataset.recipe import Recipe
from mmud.dataset.sources.base import SOURCES, Converted, Item, Source
from mmud.dataset.store import Dataset
from mmud.dataset.writer import NOTES_FOLDER, SHARD_ROWS, SPLIT_ORDER, DatasetWriter, Part, write_shard
from mmud.errors import Finding, MmudError, Place
from mmud.files import atomic_write, refuse_existing
from mmud.records import ImageReference

Numbered = tuple[int, Item]
"""The number of a source, and one of its items."""

FINDINGS_NAME = "findings.jsonl"
DEFAULT_SPLIT = "train"


@dataclass
class BuildReport:
    """What a build did.

    Attributes:
        dataset: the finished dataset; None after a dry run.
        splits: split -> samples.
        findings: code -> how often it was met.
        first_findings: the first of each code.
        lost: samples that could not be kept (only with ``skip_broken``).
    """

    dataset: Dataset | None = None
    splits: Counter[str] = field(default_factory=Counter)
    findings: Counter[str] = field(default_factory=Counter)
    first_findings: dict[str, dict[str, Any]] = field(default_factory=dict)
    lost: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "output": str(self.dataset.path) if self.dataset else None,
            "fingerprint": self.dataset.fingerprint if self.dataset else None,
            "splits": dict(self.splits),
            "findings": {
                code: {"count": count, "first": self.first_findings[code]} for code, count in self.findings.items()
            },
            "lost": self.lost,
        }

    def note(self, row: dict[str, Any]) -> None:
        self.findings[row["code"]] += 1
        self.first_findings.setdefault(row["code"], row)
        self.lost += row["code"] == codes.BUILD_SAMPLE_LOST.id


def make_sources(recipe: Recipe) -> list[Source]:
    """The recipe's sources, their options checked."""
    made = []
    for table in recipe.sources:
        options = {key: value for key, value in table.items() if key != "type"}
        made.append(SOURCES.get(table["type"]).from_options(options))
    return made


def build(
    recipe: Recipe,
    output: Path,
    *,
    workers: int = 1,
    force: bool = False,
    dry_run: bool = False,
    skip_broken: bool = False,
    advance: Callable[[int], None] | None = None,
) -> BuildReport:
    """Build a dataset.

    Args:
        recipe: what to build.
        output: the folder to make.
        workers: processes to convert in.
        force: replace the folder if it is there.
        dry_run: list and count, write nothing.
        skip_broken: leave out samples that cannot be kept and report them, instead of stopping.
        advance: told how many samples were finished.

    Raises:
        MmudError: MM003 when the output exists; the first error of a source, with nothing left behind.
    """
    refuse_existing(output, force)
    sources = make_sources(recipe)
    plan = SplitPlan(recipe, sources)
    report = BuildReport()
    if dry_run:
        for split, _ in plan.assigned():
            report.splits[split] += 1
        if not report.splits:
            raise MmudError(codes.BUILD_EMPTY, "the sources list no sample")
        for row in plan.findings + [finding.to_dict() for source in sources for finding in source.findings()]:
            report.note(row)
        return report

    # What is recorded names every option, those left to their defaults too: a default may change, a recipe must not.
    tables = [
        {"type": table["type"], **source.options()} for table, source in zip(recipe.sources, sources, strict=True)
    ]
    recipe = replace(recipe, sources=tuple(tables))
    descriptions = [source.describe() for source in sources]
    writer = DatasetWriter(
        output, {"recipe": recipe.to_dict(), "sources": descriptions, "skip": skip_broken}, recipe.images, force
    )
    try:
        shards = _write_shards(recipe, sources, plan, writer, workers, skip_broken, advance or (lambda count: None))
        if not shards:
            raise MmudError(codes.BUILD_EMPTY, "the sources list no sample")
        for source in sources:
            plan.findings.extend(finding.to_dict() for finding in source.findings())
        _join_findings(writer, shards, plan.findings, report)
    except MmudError:
        shutil.rmtree(writer.partial, ignore_errors=True)
        raise
    report.dataset = writer.finish(shards, descriptions, recipe.to_dict(), files={"recipe.toml": recipe.to_toml()})
    for split in report.dataset.splits:
        report.splits[split] = report.dataset.length(split)
    return report


class SplitPlan:
    """Which split each item goes to.

    New splits are made by image: the images, in the order of a seeded hash, are dealt to the splits in the shares asked for.
    Where sources with splits of their own are merged, an image that two of them place differently goes where evaluation is
    strictest.
    """

    def __init__(self, recipe: Recipe, sources: list[Source]) -> None:
        self._recipe = recipe
        self._sources = sources
        self.findings: list[dict[str, Any]] = []
        self._assigned: dict[str, str] = {}
        if recipe.split is not None:
            self._deal(recipe.split)
        elif len(sources) > 1:
            self._reconcile()

    def _listed(self) -> Iterator[Numbered]:
        for number, source in enumerate(self._sources):
            for count, item in enumerate(source.items()):
                if self._recipe.limit is not None and count >= self._recipe.limit:
                    break
                yield number, item

    def _deal(self, shares: Mapping[str, float]) -> None:
        sizes = Counter(item.group for _, item in self._listed())
        seed = self._recipe.seed
        order = sorted(sizes, key=lambda group: hashlib.blake2b(f"{seed}:{group}".encode(), digest_size=16).digest())
        total = sum(sizes.values())
        names = list(shares)
        taken, current, bound = 0, 0, shares[names[0]] * total
        for group in order:
            # A group goes to the next split when less than half of it fits the present one.
            while current < len(names) - 1 and taken + sizes[group] / 2 > bound:
                current += 1
                bound += shares[names[current]] * total
            self._assigned[group] = names[current]
            taken += sizes[group]

    def _reconcile(self) -> None:
        for _, item in self._listed():
            split = item.split or DEFAULT_SPLIT
            before = self._assigned.setdefault(item.group, split)
            if before != split:
                strictest = max(before, split, key=_strictness)
                self._assigned[item.group] = strictest
                message = f"image {item.group} is in {before} and in {split}: it goes to {strictest}"
                self.findings.append(Finding(codes.BUILD_SPLIT_CONFLICT, Place(sample=item.key), message).to_dict())

    def assigned(self) -> Iterator[tuple[str, Numbered]]:
        """Each item with its split, in the fixed order.

        Raises:
            MmudError: MM751 when two items have one id.
        """
        seen: set[bytes] = set()
        for number, item in self._listed():
            key = hashlib.blake2b(item.key.encode(), digest_size=12).digest()
            if key in seen:
                source = self._sources[number].name
                raise MmudError(
                    codes.BUILD_ID_REPEATED, f"{item.key!r} comes twice, last from {source}", Place(sample=item.key)
                )
            seen.add(key)
            yield self._assigned.get(item.group) or item.split or DEFAULT_SPLIT, (number, item)


def _strictness(split: str) -> tuple[int, str]:
    return (SPLIT_ORDER.index(split) if split in SPLIT_ORDER else len(SPLIT_ORDER), split)


@dataclass(frozen=True, slots=True)
class _Task:
    split: str
    index: int
    items: list[Numbered]


def _tasks(recipe: Recipe, plan: SplitPlan) -> Iterator[_Task]:
    size = recipe.shard_rows or SHARD_ROWS[recipe.images]
    waiting: dict[str, list[Numbered]] = {}
    cut: Counter[str] = Counter()
    for split, numbered in plan.assigned():
        queue = waiting.setdefault(split, [])
        queue.append(numbered)
        if len(queue) == size:
            yield _Task(split, cut[split], queue)
            cut[split] += 1
            waiting[split] = []
    for split, queue in waiting.items():
        if queue or not cut[split]:
            yield _Task(split, cut[split], queue)


def _write_shards(
    recipe: Recipe,
    sources: list[Source],
    plan: SplitPlan,
    writer: DatasetWriter,
    workers: int,
    skip_broken: bool,
    advance: Callable[[int], None],
) -> dict[str, int]:
    """Write every shard that is not there yet; returns split -> number of shards."""
    shards: Counter[str] = Counter()
    job = _Job(sources, recipe.images, writer.partial / "data", skip_broken)

    def missing() -> Iterator[_Task]:
        for task in _tasks(recipe, plan):
            shards[task.split] += 1
            if writer.done(task.split, task.index):
                advance(len(task.items))
            else:
                yield task

    def keep(part: Part, listed: int) -> None:
        writer.add(part)
        advance(listed)

    if workers == 1:
        for task in missing():
            keep(job.write(task), len(task.items))
        return dict(shards)
    # Spawned, not forked: pyarrow's threads do not survive a fork.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_set_job, initargs=(job,)) as pool:
        running: dict[Future[Part], int] = {}
        try:
            for task in missing():
                running[pool.submit(_run_job, task)] = len(task.items)
                while len(running) >= workers + 1:
                    finished, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in finished:
                        keep(future.result(), running.pop(future))
            for future, listed in running.items():
                keep(future.result(), listed)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return dict(shards)


@dataclass(frozen=True)
class _Job:
    """Everything a process needs to turn a task into a shard."""

    sources: list[Source]
    images: Literal["embed", "link"]
    folder: Path
    skip_broken: bool

    def write(self, task: _Task) -> Part:
        notes: list[dict[str, Any]] = []
        path = self.folder / f"{task.split}-{task.index:05d}.parquet"
        rows, checksum, counts = write_shard(path, self._rows(task, notes), self.images)
        with atomic_write(self.folder.parent / NOTES_FOLDER / f"{path.stem}.jsonl", "w") as stream:
            stream.writelines(json.dumps(note, ensure_ascii=False) + "\n" for note in notes)
        return Part(task.split, task.index, rows, checksum, counts)

    def _rows(self, task: _Task, notes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for number, item in task.items:
            try:
                converted = self.sources[number].convert(item)
                row = self._finished_row(converted)
            except MmudError as error:
                if not self.skip_broken:
                    raise
                place = error.where if error.where.sample else Place(sample=item.key)
                message = f"left out: {error.code.id} {error.message}"
                notes.append(Finding(codes.BUILD_SAMPLE_LOST, place, message).to_dict())
                continue
            notes.extend(finding.to_dict() for finding in converted.findings)
            yield row

    def _finished_row(self, converted: Converted) -> dict[str, Any]:
        sample = converted.sample
        row = sample.to_row()
        path = sample.image.path
        if self.images == "embed":
            image = ImageReference(
                bytes=sample.image_bytes(), path=Path(path).name if path else f"{sample.sample_id}.png"
            )
        else:
            # A dataset with embedded images has the files' names and not the files.
            if sample.image.bytes is not None and (path is None or not Path(path).is_absolute()):
                hint = "Build with --images embed: this source has images and no files to link to."
                raise MmudError(
                    codes.BUILD_SAMPLE_LOST, "no image file to link to", Place(sample=sample.sample_id), hint
                )
            image = ImageReference(path=path)
        row["image"] = {"bytes": image.bytes, "path": image.path}
        return row


_job: _Job | None = None


def _set_job(job: _Job) -> None:
    global _job
    # Ctrl-C reaches every process of the terminal; the parent alone decides what is kept.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _job = job


def _run_job(task: _Task) -> Part:
    if _job is None:
        raise RuntimeError("a worker was started without its job")
    return _job.write(task)


def _join_findings(
    writer: DatasetWriter, shards: dict[str, int], first: list[dict[str, Any]], report: BuildReport
) -> None:
    """One file of findings for the dataset: those of the plan, then those of each shard in order."""
    with atomic_write(writer.partial / FINDINGS_NAME, "w") as out:
        for row in first:
            report.note(row)
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
        for split in sorted(shards):
            for index in range(shards[split]):
                with open(writer.partial / NOTES_FOLDER / f"{split}-{index:05d}.jsonl", encoding="utf-8") as lines:
                    for line in lines:
                        report.note(json.loads(line))
                        out.write(line)
