"""Running an export: samples streamed, losses counted, the output's name only at the very end."""

from __future__ import annotations

import itertools
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmud import codes as common
from mmud.annotations.masks import Mask
from mmud.dataset.exporters import codes
from mmud.dataset.exporters.base import EXPORTERS, Exporter, ExportReport, Item, Job
from mmud.dataset.exporters.images import load_image, sniff
from mmud.dataset.exporters.losses import FIELDS
from mmud.dataset.schema import ANNOTATION_COLUMNS, COLUMNS
from mmud.dataset.store import BATCH_ROWS, Dataset
from mmud.errors import Finding, MmudError, Place
from mmud.files import refuse_existing, write_json
from mmud.records import ImageReference, Sample, Task

REPORT_NAME = "losses.json"
LEFT_OUT = "samples without an image"


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asked for; None or empty where the format's default is to be taken.

    Attributes:
        splits: all when empty.
        limit: stop after so many samples in all.
        images: one of the format's ways with images.
        tasks: for formats that choose.
        shard_size: samples a shard.
        options: the format's own settings.
        skip_missing_images: leave such samples out and report them, instead of stopping.
        force: replace an output that is there.
        dry_run: read and count, and write nothing.
    """

    splits: tuple[str, ...] = ()
    limit: int | None = None
    images: str | None = None
    tasks: tuple[Task, ...] = ()
    shard_size: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    skip_missing_images: bool = False
    force: bool = False
    dry_run: bool = False


def _usage(message: str, hint: str | None = None) -> MmudError:
    return MmudError(codes.EXPORT_OPTION, message, hint=hint)


def _settle(exporter: type[Exporter], request: Request, dataset: Dataset) -> dict[str, Any]:
    """The request completed with the format's defaults, as arguments of a `Job`.

    Raises:
        MmudError: MM780 for anything that the format does not have; MM108 for an unknown split.
    """
    images = request.images or exporter.image_modes[0]
    if images not in exporter.image_modes:
        known = ", ".join(exporter.image_modes)
        raise _usage(f"--images {images} means nothing to {exporter.name}", f"It takes --images {known}.")
    if request.tasks and not set(request.tasks) <= set(exporter.tasks):
        known = f"It takes --tasks {','.join(exporter.tasks)}." if exporter.tasks else "It has no --tasks."
        raise _usage(f"--tasks {','.join(request.tasks)} means nothing to {exporter.name}", known)
    if request.shard_size is not None and (exporter.default_shard_size is None or request.shard_size < 1):
        raise _usage(f"--shard-size {request.shard_size} means nothing to {exporter.name}")
    for name, value in request.options.items():
        option = exporter.options.get(name)
        if option is None:
            known = ", ".join(exporter.options) or "none"
            raise _usage(f"{exporter.name} has no option {name!r}", f"Its options: {known}.")
        if option.choices and value not in option.choices:
            raise _usage(f"option {name} is one of {', '.join(option.choices)}, not {value!r}")
    for split in request.splits:
        dataset.length(split)
    chosen = tuple(dict.fromkeys(request.splits)) or tuple(dataset.splits)
    # The dataset's own order, whatever order the flags came in, so that the same choice gives the same bytes.
    return {
        "splits": tuple(split for split in dataset.splits if split in chosen),
        "images": images,
        "tasks": tuple(task for task in exporter.tasks if task in (request.tasks or exporter.default_tasks)),
        "shard_size": request.shard_size or exporter.default_shard_size or 0,
        "options": {
            **{name: option.default for name, option in exporter.options.items()},
            **request.options,
        },
    }


class _Feed:
    """Hands a job's samples to its exporter, counting what the format loses."""

    def __init__(self, job: Job, exporter: Exporter, request: Request, advance: Callable[[], None]) -> None:
        self.job = job
        self.read: Counter[str] = Counter()
        self._exporter = exporter
        self._limit = request.limit
        self._skip = request.skip_missing_images
        self._advance = advance
        self._images = exporter.reads_images()
        self._fields = [(name, FIELDS[name]) for name in exporter.cannot_hold if name in FIELDS]

    def items(self, split: str) -> Iterator[Item]:
        """The samples of a split, each once, until the limit is reached."""
        columns = COLUMNS if self._images else (*ANNOTATION_COLUMNS, "image.path")
        for batch in self.job.dataset.batches(split, columns, rows=32 if self._images else BATCH_ROWS):
            rows = batch.table.to_pylist()
            samples = [Sample.from_row(row, batch.place(offset, row["sample_id"])) for offset, row in enumerate(rows)]
            for sample, masks in zip(samples, self._masks(samples), strict=True):
                if self._limit is not None and self.read.total() >= self._limit:
                    return
                item = self._item(sample, masks)
                self._advance()
                if item is not None:
                    self.read[split] += 1
                    self._count(item.sample)
                    yield item

    def _masks(self, samples: list[Sample]) -> Iterator[tuple[Mask | MmudError | None, ...]]:
        """The masks of each sample's objects, checked all at once, which is several times faster than one by one."""
        if not self._exporter.reads_masks:
            return itertools.repeat((), len(samples))
        stored = [item.segmentation for sample in samples for item in sample.objects]
        given = [segmentation for segmentation in stored if segmentation is not None]
        # Text that is no ASCII is no run-length encoding either: its bytes are outside the alphabet.
        counts = [segmentation.counts.encode("utf-8", "surrogatepass") for segmentation in given]
        checked = iter(Mask.from_many_counts(counts, [segmentation.size for segmentation in given]))
        masks = iter([None if segmentation is None else next(checked) for segmentation in stored])
        return iter([tuple(itertools.islice(masks, len(sample.objects))) for sample in samples])

    def _item(self, sample: Sample, masks: tuple[Mask | MmudError | None, ...]) -> Item | None:
        if not self._images:
            return Item(sample, None, masks)
        try:
            image = load_image(sample)
        except MmudError as error:
            if not self._skip:
                raise
            self.job.findings.append(error.finding)
            self.job.losses[LEFT_OUT] += 1
            return None
        return Item(sample.model_copy(update={"image": ImageReference(path=sample.image.path)}), image, masks)

    def _count(self, sample: Sample) -> None:
        for name, holds in self._fields:
            self.job.losses[name] += holds(sample)
        for name, number in self._exporter.losses(sample):
            self.job.losses[name] += number


def _checked_output(dataset: Dataset, output: Path, force: bool) -> Path:
    """The output as an absolute path. --force removes what is there, so it must never be more than an old export."""
    target = Path(os.path.abspath(output))
    resolved = target.resolve()
    for what, kept in (("the dataset", dataset.path.resolve()), ("the current folder", Path.cwd())):
        if resolved == kept or resolved in kept.parents:
            message = f"{output} is or holds {what}, {kept}"
            raise MmudError(codes.OUTPUT_HOLDS_DATASET, message, Place(file=str(output)))
    refuse_existing(target, force)
    return target


def _report(job: Job, exporter: type[Exporter], feed: _Feed, request: Request) -> ExportReport:
    reasons = {LEFT_OUT: "their image is missing or unreadable; see the findings", **exporter.cannot_hold}
    unknown = set(job.losses) - set(reasons)
    if unknown:
        raise ValueError(f"{exporter.name} loses {sorted(unknown)} without declaring it in cannot_hold")
    total = sum(job.dataset.length(split) for split in job.splits)
    return ExportReport(
        format=exporter.name,
        dataset={"name": job.dataset.name, "fingerprint": job.dataset.fingerprint},
        output=str(job.output),
        partial=request.limit is not None and request.limit < total,
        splits={split: feed.read[split] for split in job.splits},
        files={},
        counts=dict(sorted((+job.counts).items())),
        losses=[
            {"what": name, "count": job.losses[name], "why": reasons[name]} for name in reasons if job.losses[name]
        ],
        notes=list(job.notes),
        findings=list(job.findings),
        left_out=job.losses[LEFT_OUT],
        dry_run=request.dry_run,
    )


def _files(folder: Path) -> dict[str, int]:
    """Every file but the images, which are counted, with its size; in order."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file() and sniff(_head(path)) is None
    }


def _head(path: Path) -> bytes:
    with open(path, "rb") as stream:
        return stream.read(16)


def _put_in_place(partial: Path, output: Path) -> None:
    """Give the finished folder its name; what was there before goes only now, and is whole until then."""
    old = output.with_name(output.name + ".replaced")
    if output.is_symlink() or output.is_file():
        output.unlink()
    elif output.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.replace(output, old)
    os.replace(partial, output)
    shutil.rmtree(old, ignore_errors=True)


def run_export(
    dataset: Dataset,
    name: str,
    output: Path,
    request: Request | None = None,
    advance: Callable[[], None] = lambda: None,
) -> ExportReport:
    """Export a dataset to another tool's format.

    Args:
        dataset: what to export.
        name: the format, as `EXPORTERS` knows it.
        output: the folder to make. It appears whole or not at all.
        request: what is asked for beyond the format's defaults.
        advance: called after each sample, for progress.

    Returns:
        What was written, and everything that the format could not hold.

    Raises:
        MmudError: MM003 when the output exists and is not to be replaced, MM004 for an unknown format, MM008 when the disk
            refuses, MM108 for an unknown split, MM501 or MM781 for an image that is missing or none, MM780 for an option
            that the format does not have, MM782 when the output holds the dataset.
    """
    request = request or Request()
    kind = EXPORTERS.get(name)
    settled = _settle(kind, request, dataset)
    output = _checked_output(dataset, output, request.force)
    partial = output.with_name(output.name + ".partial")
    job = Job(dataset, partial, output, **settled)
    if request.dry_run:
        return _count_only(job, kind, request, advance)
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        report = _write(job, kind, request, advance)
        _put_in_place(partial, output)
    except OSError as error:
        raise MmudError(common.NOT_WRITABLE, f"cannot write: {error}", Place(file=str(output))) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return report


def _write(job: Job, kind: type[Exporter], request: Request, advance: Callable[[], None]) -> ExportReport:
    with job.stack:
        exporter = kind(job)
        feed = _Feed(job, exporter, request, advance)
        exporter.begin()
        for split in job.splits:
            exporter.write_split(split, feed.items(split))
        exporter.finish()
    if not +job.counts and not any(finding.code is codes.NOTHING_EXPORTED for finding in job.findings):
        job.findings.append(Finding(codes.NOTHING_EXPORTED, Place(), f"{kind.name} could hold none of the samples"))
    report = _report(job, kind, feed, request)
    if kind.writes_report:
        write_json(
            job.folder / REPORT_NAME, {**report.to_dict(), "files": _files(job.folder), "output": job.output.name}
        )
    return replace(report, files=_files(job.folder))


def _count_only(job: Job, kind: type[Exporter], request: Request, advance: Callable[[], None]) -> ExportReport:
    feed = _Feed(job, kind(job), request, advance)
    for split in job.splits:
        for _ in feed.items(split):
            pass
    job.note("Losses that only writing can tell, such as ids given anew, are not counted in a dry run.")
    return _report(job, kind, feed, request)
