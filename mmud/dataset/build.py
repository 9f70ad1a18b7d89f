"""Building a dataset from sources: several merged, in several processes, and continued after a kill.

Items are listed in one fixed order and cut into shards; a shard is converted and written whole by whichever process takes it.
Which process that is, how many there are, and where an earlier run was killed change nothing in the bytes.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmud.dataset import codes
from mmud.dataset.build_job import Job, collected_by_shard, run_job, set_job
from mmud.dataset.build_plan import SplitPlan, Task, tasks
from mmud.dataset.recipe import Recipe
from mmud.dataset.sources.base import SOURCES, Source
from mmud.dataset.store import Dataset
from mmud.dataset.writer import NOTES_FOLDER, DatasetWriter, Part
from mmud.errors import MmudError
from mmud.files import atomic_write, refuse_existing

FINDINGS_NAME = "findings.jsonl"


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
    if dry_run:
        return _counted(plan, sources)
    # What is recorded names every option, those left to their defaults too: a default may change, a recipe must not.
    tables = [
        {"type": table["type"], **source.options()} for table, source in zip(recipe.sources, sources, strict=True)
    ]
    recipe = replace(recipe, sources=tuple(tables))
    descriptions = [source.describe() for source in sources]
    writer = DatasetWriter(
        output, {"recipe": recipe.to_dict(), "sources": descriptions, "skip": skip_broken}, recipe.images, force
    )
    report = BuildReport()
    job = Job(sources, recipe.images, writer.partial / "data", skip_broken)
    try:
        with collected_by_shard():
            shards = _write_shards(tasks(recipe, plan), job, writer, workers, advance or (lambda count: None))
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


def _counted(plan: SplitPlan, sources: list[Source]) -> BuildReport:
    """What a dry run tells."""
    report = BuildReport()
    with collected_by_shard():
        report.splits.update(split for split, _ in plan.assigned())
    if not report.splits:
        raise MmudError(codes.BUILD_EMPTY, "the sources list no sample")
    for row in plan.findings + [finding.to_dict() for source in sources for finding in source.findings()]:
        report.note(row)
    return report


def _write_shards(
    listed: Iterator[Task], job: Job, writer: DatasetWriter, workers: int, advance: Callable[[int], None]
) -> dict[str, int]:
    """Write every shard that is not there yet; returns split -> number of shards."""
    shards: Counter[str] = Counter()

    def missing() -> Iterator[Task]:
        for task in listed:
            shards[task.split] += 1
            if writer.done(task.split, task.index):
                advance(len(task.items))
            else:
                yield task

    def keep(part: Part, count: int) -> None:
        writer.add(part)
        advance(count)

    if workers == 1:
        for task in missing():
            count = len(task.items)
            keep(job.write(task, writer.watch(task.split, task.index)), count)
        return dict(shards)
    # Here, because most builds need none of it and it takes long to import.
    from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
    from multiprocessing import get_context

    # Spawned, not forked: pyarrow's threads do not survive a fork.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=set_job, initargs=(job,)) as pool:
        running: dict[Future[Part], int] = {}
        try:
            for task in missing():
                running[pool.submit(run_job, task)] = len(task.items)
                while len(running) >= workers + 1:
                    finished, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in finished:
                        keep(future.result(), running.pop(future))
            for future, count in running.items():
                keep(future.result(), count)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return dict(shards)


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
