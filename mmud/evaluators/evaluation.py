"""The way in: predictions and a dataset in, figures out; or figures from rows that were kept."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mmud import __version__
from mmud import codes as general_codes
from mmud.dataset.store import Dataset
from mmud.errors import Finding, MmudError
from mmud.evaluators.base import BUILT_IN, EVALUATORS, Evaluator, Options
from mmud.evaluators.collecting import Collector, Progress, Request, Shard
from mmud.evaluators.predictions import PredictionFolder
from mmud.evaluators.protocols import MMUD, names_of
from mmud.evaluators.rows import ROWS_NAME, RowTable, merge
from mmud.evaluators.scoring import Scorer, wanted_metrics
from mmud.evaluators.segmentation.matching import MATCHES
from mmud.evaluators.slices import SLICES
from mmud.evaluators.statistics.bootstrap import METHOD, REPLICATES, Resampler
from mmud.evaluators.submissions.archive import opened_submission
from mmud.files import write_json
from mmud.records import Prediction, Task

SCORES_NAME = "scores.json"
SCORES_FORMAT = "mmud-scores"
FORMAT_VERSION = 1

PredictionsByTask = Mapping[Task, Iterable[Prediction]]


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found.

    Attributes:
        scores: what ``scores.json`` holds.
        rows: the statistics that it was computed from.
        findings: what a reader must know, warnings of the reader of predictions included.
    """

    scores: Mapping[str, Any]
    rows: RowTable
    findings: tuple[Finding, ...] = ()

    def save(self, folder: Path) -> None:
        """Write ``scores.json`` and ``rows.parquet``, each whole or not at all."""
        self.rows.write(folder / ROWS_NAME)
        write_json(folder / SCORES_NAME, self.scores)

    def blind_scores(self) -> dict[str, Any]:
        """``scores.json`` as it may leave an organiser who keeps the labels: figures, and how often each finding was met.

        Slices go with the rows: a slice of one sample would be that sample. So do findings and missing samples by name.
        """
        tasks = {
            name: {key: part[key] for key in part if key != "slices"} for name, part in self.scores["tasks"].items()
        }
        samples = {name: {**part, "missing": len(part["missing"])} for name, part in self.scores["samples"].items()}
        findings = {"counts": self.scores["findings"]["counts"]}
        return {**self.scores, "tasks": tasks, "samples": samples, "findings": findings, "blind": True}

    def value(self, task: Task | str, metric: str) -> float | None:
        """One figure."""
        found: float | None = self.scores["tasks"][str(task)]["metrics"][metric]["value"]
        return found


def check_choice(value: str, known: Sequence[str], what: str) -> str:
    """``value``, which must be one of ``known``.

    Raises:
        MmudError: MM001 when it is not.
    """
    if value not in known:
        raise MmudError(general_codes.USAGE, f"{what} is one of {', '.join(known)}, not {value!r}")
    return value


def make_options(
    protocol: str = MMUD.name,
    match: str = "hungarian",
    metrics: Sequence[str] | None = None,
    evaluators: Sequence[str] = BUILT_IN,
    extras: Mapping[str, Mapping[str, Any]] | None = None,
) -> Options:
    """Options from what a person wrote, names checked.

    Raises:
        MmudError: MM001 for an unknown way to match, MM004 for an unknown protocol, metric or evaluator, MM005 and MM006 for
            plug-ins that are broken or share a name.
    """
    check_choice(match, MATCHES, "--match")
    classes = [EVALUATORS.get(name) for name in evaluators]
    return Options(
        protocols=names_of(protocol),
        match=match,
        metrics=wanted_metrics(metrics, classes),
        extras=extras or {},
    )


def evaluate(
    predictions: str | Path | PredictionFolder | PredictionsByTask,
    dataset: str | Path | Dataset,
    *,
    split: str = "test",
    tasks: Sequence[Task | str] | None = None,
    metrics: Sequence[str] | None = None,
    protocol: str = MMUD.name,
    match: str = "hungarian",
    evaluators: Sequence[str] = BUILT_IN,
    by: Sequence[str] = (),
    shard: Shard | None = None,
    allow_partial: bool = False,
    limit: int | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
    extras: Mapping[str, Mapping[str, Any]] | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Score predictions against a dataset.

    Args:
        predictions: a folder of predictions, a zip of one, or predictions by task.
        dataset: the folder with the labels.
        split: of the dataset.
        tasks: to score; all that have labels and predictions when left out.
        metrics: names; "all" for every metric there is.
        protocol: of segmentation: a name, several joined by commas, or "all". The first gives the main figures.
        match: how reasoning masks find their objects: "hungarian" or "tag".
        evaluators: names in the registry.
        by: slices: source, category, size, objects, length.
        shard: only a part of the samples; `merge_evaluations` puts the parts together.
        allow_partial: score what is there when predictions are missing; the result says so.
        limit: only the first samples of the split; the result is partial.
        replicates, seed: of the bootstrap.
        extras: settings of single evaluators by name.
        progress: called with the number of samples done.

    Raises:
        MmudError: exit code 5 when predictions are incomplete or wrong, 2 for wrong arguments; codes MM80x to MM82x, and MM830 to
            MM836 when a zip is refused.
    """
    options = make_options(protocol, match, metrics, evaluators, extras)
    request = Request(
        split=split,
        tasks=None if tasks is None else tuple(Task(check_choice(str(task), list(Task), "a task")) for task in tasks),
        evaluators=tuple(evaluators),
        options=options,
        shard=shard or Shard(),
        limit=limit,
        allow_partial=allow_partial,
    )
    opened = dataset if isinstance(dataset, Dataset) else Dataset(dataset)
    notes: list[Finding] = []
    with _opened(predictions, notes) as given:
        collector = Collector(opened, given, request)
        rows = collector.collect(progress)
    return evaluation_of(rows, options, by, Resampler(replicates, seed), [*notes, *collector.log.kept])


@contextmanager
def _opened(
    predictions: str | Path | PredictionFolder | PredictionsByTask, notes: list[Finding]
) -> Iterator[PredictionFolder | PredictionsByTask]:
    """Predictions, for the length of a block; a zip is unpacked within bounds into a folder that goes with the block."""
    if not isinstance(predictions, str | Path):
        yield predictions
    elif Path(predictions).is_file():
        with opened_submission(Path(predictions), notes.append) as folder:
            yield folder
    else:
        yield PredictionFolder(predictions)


def evaluation_of(
    rows: RowTable,
    options: Options | None = None,
    by: Sequence[str] = (),
    resampler: Resampler | None = None,
    findings: Sequence[Finding] = (),
) -> Evaluation:
    """Score rows.

    Args:
        rows: made by `evaluate`, or read back.
        options: other than those that the rows were made with; how masks were matched cannot be changed.
        by: slices.
        resampler: how intervals are made.
        findings: to be carried along.

    Raises:
        MmudError: MM821 when the rows do not hold what is asked for.
    """
    for name in by:
        check_choice(name, SLICES, "--by")
    kept = options_of_rows(rows)
    chosen = kept if options is None else replace(options, match=kept.match, by_category=kept.by_category)
    resampler = resampler or Resampler()
    scorer = Scorer(chosen, resampler, tuple(by))
    tasks = scorer.score(rows)
    all_findings = (*findings, *scorer.findings)
    return Evaluation(_scores(rows, tasks, chosen, resampler, scorer.findings), rows, all_findings)


def options_of_rows(rows: RowTable) -> Options:
    """The options that rows were made with."""
    said = rows.description["options"]
    metrics = said["metrics"]
    return Options(
        protocols=tuple(said["protocols"]),
        match=said["match"],
        metrics=None if metrics is None else frozenset(metrics),
        by_category=said["by_category"],
    )


def evaluators_of_rows(rows: RowTable) -> list[type[Evaluator]]:
    """The evaluators that made rows."""
    return [EVALUATORS.get(name) for name in rows.description["options"]["registered"].values()]


def rescore(
    rows: RowTable,
    *,
    protocol: str | None = None,
    metrics: Sequence[str] | None = None,
    by: Sequence[str] = (),
    replicates: int = REPLICATES,
    seed: int = 0,
) -> Evaluation:
    """Score rows again, by another protocol, other slices or another seed, without predictions or labels.

    Raises:
        MmudError: MM821 when the rows do not hold what is asked for, MM004 for an unknown protocol or metric.
    """
    options = options_of_rows(rows)
    if protocol is not None:
        options = replace(options, protocols=names_of(protocol))
    if metrics:
        options = replace(options, metrics=wanted_metrics(metrics, evaluators_of_rows(rows)))
    return evaluation_of(rows, options, by, Resampler(replicates, seed))


def merge_evaluations(
    parts: Sequence[str | Path], *, by: Sequence[str] = (), replicates: int = REPLICATES, seed: int = 0
) -> Evaluation:
    """Put the shards of one evaluation together and score them; the figures are those of an evaluation in one piece.

    Raises:
        MmudError: MM820 for a file that holds no rows, MM822 when the shards do not belong together.
    """
    return evaluation_of(merge([RowTable.read(part) for part in parts]), by=by, resampler=Resampler(replicates, seed))


def versions() -> dict[str, str]:
    """What figures were computed with."""
    found = {
        "mmud": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pyarrow": pa.__version__,
    }
    for package in ("scipy", "pycocotools"):
        found[package] = metadata.version(package)
    return found


def _scores(
    rows: RowTable, tasks: Mapping[str, Any], options: Options, resampler: Resampler, findings: Sequence[Finding]
) -> dict[str, Any]:
    described = rows.description
    return {
        "format": SCORES_FORMAT,
        "format_version": FORMAT_VERSION,
        "tasks": dict(tasks),
        "partial": described["partial"],
        "shard": described["shard"],
        "samples": described["tasks"],
        "dataset": described["dataset"],
        "predictions": described["predictions"],
        "protocol": options.protocols[0],
        "protocols": list(options.protocols),
        "match": options.match,
        "intervals": {
            "method": METHOD,
            "confidence": resampler.confidence,
            "replicates": resampler.replicates,
            "seed": resampler.seed,
            "clusters": "image",
        },
        "versions": versions(),
        "findings": {
            **described["findings"],
            "scoring": [finding.to_dict() for finding in findings],
        },
    }
