"""Running the checks over a dataset: shard by shard, in one process or several, with one and the same outcome."""

from __future__ import annotations

import signal
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from PIL import Image

from mmud import codes as common
from mmud.dataset import codes as dataset_codes
from mmud.dataset.checks.base import Check, Scope, ShardFacts
from mmud.dataset.checks.batch import RowBatch, group_batches
from mmud.dataset.checks.codes import structure
from mmud.dataset.checks.report import Report, write_findings
from mmud.dataset.checks.selection import load_checks, reported_codes, selected_codes
from mmud.dataset.fingerprint import fingerprint_of
from mmud.dataset.manifest import MANIFEST_NAME, Manifest
from mmud.dataset.schema import ANNOTATION_COLUMNS, COLUMNS
from mmud.dataset.store import BATCH_ROWS, Dataset, ShardFile, open_shard
from mmud.errors import Finding, MmudError, Place
from mmud.files import require, sha256_of

IMAGE_BATCH_ROWS = 32
"""Rows a batch where images are read: some 5 MB of photographs."""


@dataclass(frozen=True, slots=True)
class Task:
    """One shard to be looked at.

    Attributes:
        number: its position in the order of the manifest.
        shard: the shard.
        sha256: its checksum by the manifest.
        rows: look at so many rows only; None for all, and for what holds of the whole file.
        out: where its findings go.
    """

    number: int
    shard: ShardFile
    sha256: str
    rows: int | None
    out: Path


@dataclass(slots=True)
class Outcome:
    """What one shard gave: counts, and for each check the facts it left. Its findings are in the task's file."""

    counts: Counter[str] = field(default_factory=Counter)
    facts: dict[int, Any] = field(default_factory=dict)
    samples: int = 0
    objects: int = 0


def validate(
    folder: str | Path,
    *,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    images: bool = True,
    split: str | None = None,
    limit: int | None = None,
    workers: int = 1,
    advance: Callable[[int], None] | None = None,
) -> Report:
    """Look at a dataset with every check.

    Args:
        folder: the dataset's folder.
        select: look for these codes or families only, as in "MM2" or "MM204".
        ignore: leave these codes or families out.
        images: whether images are read and decoded.
        split: look at one split only.
        limit: look at so many samples only.
        workers: processes to work in; they share the shards.
        advance: told how many samples were finished.

    Returns:
        The report. Everything that is wrong with the data is in it, down to a manifest that cannot be read.

    Raises:
        MmudError: MM001 for a code that no check reports, MM002 for a folder that does not exist, MM108 for a split that
            does not, MM005 for a plug-in that fails.
    """
    path = require(Path(folder), "folder")
    checks = load_checks()
    known = reported_codes(checks)
    selected = selected_codes(known, select, ignore)
    report = Report(path, known)
    try:
        manifest = Manifest.read(path)
    except MmudError as error:
        if error.code in (dataset_codes.NOT_A_DATASET, dataset_codes.MANIFEST_INVALID):
            report.add(0, [error.finding])
            return report
        raise
    whole = split is None and limit is None
    scope = Scope(path, manifest, selected, images, whole)
    report.name, report.fingerprint = manifest.name, manifest.fingerprint
    report.partial, report.images = not whole, images
    wanted = [check for check in checks if _is_wanted(check, scope)]
    tasks = _tasks(scope, report, split, limit)
    facts = _run(tasks, wanted, scope, report, workers, advance or (lambda count: None))
    last = len(tasks)
    report.add(last, _selected(_of_the_whole(wanted, scope, tasks, facts, report), scope))
    return report


def _is_wanted(check: type[Check], scope: Scope) -> bool:
    return scope.wants(*check.codes) and (scope.images or not check.needs_images)


def _tasks(scope: Scope, report: Report, split: str | None, limit: int | None) -> list[Task]:
    dataset = Dataset(scope.folder)
    sums = {shard.file: shard.sha256 for part in scope.manifest.splits.values() for shard in part.shards}
    tasks = []
    left = limit
    for number, shard in enumerate(dataset.shards(split)):
        if left is not None and left <= 0:
            break
        tasks.append(Task(number, shard, sums[shard.file], left, report.part(number)))
        left = None if left is None else left - shard.rows
    return tasks


def _run(
    tasks: list[Task],
    checks: list[type[Check]],
    scope: Scope,
    report: Report,
    workers: int,
    advance: Callable[[int], None],
) -> list[Outcome]:
    outcomes = []
    for outcome in _outcomes(tasks, checks, scope, workers):
        report.counts.update(outcome.counts)
        report.tally.samples += outcome.samples
        report.tally.objects += outcome.objects
        report.tally.shards += 1
        outcomes.append(outcome)
        advance(outcome.samples)
    return outcomes


def _outcomes(tasks: list[Task], checks: list[type[Check]], scope: Scope, workers: int) -> Iterator[Outcome]:
    """The outcome of each task, in the order of the tasks."""
    if workers == 1 or len(tasks) < 2:
        for task in tasks:
            yield run_task(task, checks, scope)
        return
    # Spawned, not forked: pyarrow's threads do not survive a fork.
    with ProcessPoolExecutor(
        min(workers, len(tasks)), mp_context=get_context("spawn"), initializer=_set_job, initargs=(checks, scope)
    ) as pool:
        waiting: list[Future[Outcome]] = []
        try:
            for task in tasks:
                waiting.append(pool.submit(_run_job, task))
                if len(waiting) > 2 * workers:
                    yield waiting.pop(0).result()
            for future in waiting:
                yield future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


_job: tuple[list[type[Check]], Scope] | None = None


def _set_job(checks: list[type[Check]], scope: Scope) -> None:
    global _job
    # Ctrl-C reaches every process of the terminal; the parent alone decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _job = checks, scope


def _run_job(task: Task) -> Outcome:
    if _job is None:
        raise RuntimeError("a worker was started without its job")
    return run_task(task, *_job)


def run_task(task: Task, checks: list[type[Check]], scope: Scope) -> Outcome:
    """Look at one shard: its file, then its rows, with checks of its own."""
    outcome = Outcome()
    made = [check(scope) for check in checks]
    outcome.counts = write_findings(task.out, _selected(_shard_findings(task, made, scope, outcome), scope))
    for number, check in enumerate(made):
        try:
            outcome.facts[number] = check.facts()
        except Exception as error:
            _blame(type(check), error)
            raise
    return outcome


def _selected(findings: Iterable[Finding], scope: Scope) -> Iterator[Finding]:
    return (finding for finding in findings if finding.code.id in scope.selected)


def _shard_findings(task: Task, checks: list[Check], scope: Scope, outcome: Outcome) -> Iterator[Finding]:
    shard = task.shard
    try:
        with open_shard(shard.path, shard.file) as parquet:
            rows = parquet.metadata.num_rows
        if scope.whole and scope.wants(dataset_codes.SHARD_CHECKSUM) and sha256_of(shard.path) != task.sha256:
            message = "the file's SHA-256 is not that of the manifest"
            yield Finding(dataset_codes.SHARD_CHECKSUM, Place(split=shard.split, file=shard.file), message)
        elif rows != shard.rows:
            message = f"{shard.file} has {rows} rows, the manifest says {shard.rows}"
            yield Finding(structure.ROW_COUNT, Place(split=shard.split, file=shard.file), message)
        yield from _row_findings(task, checks, scope, outcome)
    except MmudError as error:
        if error.code.id not in reported_codes(()):
            raise
        yield error.finding


def _row_findings(task: Task, checks: list[Check], scope: Scope, outcome: Outcome) -> Iterator[Finding]:
    columns = COLUMNS if scope.images else ANNOTATION_COLUMNS
    size = IMAGE_BATCH_ROWS if scope.images else BATCH_ROWS
    left = task.rows
    # Images are measured against a bound of our own before they are decoded; Pillow's warning about its bound adds nothing.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        for batch in group_batches(task.shard, columns, size):
            rows = RowBatch(batch if left is None else replace(batch, table=batch.table.slice(0, left)), scope)
            for row, context in rows.contexts():
                outcome.samples += 1
                outcome.objects += len(row["objects"] or ())
                for check in checks:
                    yield from _guarded(check, check.check, row, context)
            if left is not None:
                left -= len(rows.rows)
                if left <= 0:
                    return


def _guarded(check: Check, look: Callable[..., Iterator[Finding]], *arguments: Any) -> Iterator[Finding]:
    """The findings of a check; a plug-in that fails, or reports what it did not announce, is named."""
    kind = type(check)
    try:
        for finding in look(*arguments):
            if finding.code not in kind.codes:
                raise ValueError(f"it reports {finding.code.id}, which is not among its codes")
            yield finding
    except Exception as error:
        _blame(kind, error)
        raise


def _blame(kind: type[Check], error: Exception) -> None:
    """Name the plug-in that failed; an error of a built-in check is a fault of this package and stays what it is."""
    if not isinstance(error, MmudError) and not kind.__module__.startswith("mmud."):
        name = f"{kind.__module__}.{kind.__qualname__}"
        message = f"the check {name} fails: {type(error).__name__}: {error}"
        raise MmudError(common.PLUGIN_BROKEN, message) from error


def _of_the_whole(
    checks: list[type[Check]], scope: Scope, tasks: list[Task], outcomes: list[Outcome], report: Report
) -> Iterator[Finding]:
    broken = any(report.counts[code.id] for code in (dataset_codes.SHARD_MISSING, dataset_codes.SHARD_UNREADABLE))
    broken = broken or report.counts[dataset_codes.SHARD_SCHEMA.id] > 0
    edited = broken or any(report.counts[code.id] for code in (dataset_codes.SHARD_CHECKSUM, structure.ROW_COUNT))
    if scope.whole:
        yield from _stray_files(scope)
        # A shard that was changed is reported; that the checksum over all of them differs as well says nothing more.
        if not edited and scope.wants(structure.FINGERPRINT_DIFFERS):
            found = fingerprint_of(Dataset(scope.folder))
            if found != scope.manifest.fingerprint:
                message = (
                    f"the labels' fingerprint is {found[:16]}…, the manifest says {scope.manifest.fingerprint[:16]}…"
                )
                yield Finding(structure.FINGERPRINT_DIFFERS, Place(file=MANIFEST_NAME), message)
    for number, check in enumerate(checks):
        parts = [ShardFacts(task.shard, outcome.facts[number]) for task, outcome in zip(tasks, outcomes, strict=True)]
        whole = check(scope)
        for finding in _guarded(whole, whole.finish, parts):
            # Counts and splits that lack a shard are wrong because of it.
            if not (broken and finding.place.file == MANIFEST_NAME):
                yield finding


def _stray_files(scope: Scope) -> Iterator[Finding]:
    listed = {shard.file for part in scope.manifest.splits.values() for shard in part.shards}
    for file in sorted((scope.folder / "data").glob("*.parquet")):
        name = f"data/{file.name}"
        if name not in listed:
            yield Finding(structure.FILE_STRAY, Place(file=name), "the manifest does not list the file")
