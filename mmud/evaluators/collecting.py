"""From a dataset and predictions to rows: reads both as streams, pairs them, and asks each evaluator for its statistics."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from mmud import codes as general_codes
from mmud.annotations.asking import has_labels
from mmud.dataset.asking import asks_by_category
from mmud.dataset.store import Dataset
from mmud.errors import Finding, MmudError, Place, Severity
from mmud.evaluators import codes
from mmud.evaluators.base import BUILT_IN, EVALUATORS, Case, Evaluator, Options, blamed_on
from mmud.evaluators.checking import Expected, FindingLog, RefusedPredictions, checked
from mmud.evaluators.predictions import PredictionFolder, task_file
from mmud.evaluators.rows import COMMON, RowTable
from mmud.evaluators.tasks import expected_of, image_of, label_text
from mmud.records import Prediction, Sample, Task

BATCH_SAMPLES = 256
Predictions = PredictionFolder | Mapping[Task, Iterable[Prediction]]
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Shard:
    """Part ``index`` of ``of`` parts, counted from 1: every ``of``-th sample of the split."""

    index: int = 1
    of: int = 1

    def holds(self, position: int) -> bool:
        return position % self.of == self.index - 1


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be evaluated.

    Attributes:
        split: of the dataset.
        tasks: to score; None for all that have labels and predictions.
        evaluators: names in the registry, as ``NAME`` or ``PACKAGE:NAME``.
        options: for the evaluators.
        shard: the part of the samples.
        limit: only the first samples of the split; the result is partial.
        allow_partial: score what is there when predictions are missing; the result is partial.
    """

    split: str = "test"
    tasks: tuple[Task, ...] | None = None
    evaluators: tuple[str, ...] = BUILT_IN
    options: Options = field(default_factory=Options)
    shard: Shard = Shard()
    limit: int | None = None
    allow_partial: bool = False


@dataclass
class _Survey:
    """What one pass over the labels tells.

    Attributes:
        expected: task -> sample -> what its prediction must be like.
        selected: task -> the samples of this shard, whose predictions are required.
    """

    expected: dict[Task, dict[str, Expected]]
    selected: dict[Task, list[str]]


class Collector:
    """Makes the rows of one evaluation.

    Args:
        dataset: the labels.
        predictions: a folder, or predictions by task.
        request: what is wanted.
    """

    def __init__(self, dataset: Dataset, predictions: Predictions, request: Request) -> None:
        self.dataset = dataset
        self.predictions = predictions
        self.request = request
        self.log = FindingLog()
        # Where nothing has a phrase, objects can only be asked for by category; all that follows must know.
        self.options = replace(request.options, by_category=asks_by_category(dataset, request.split))
        self.registered: dict[str, str] = {}
        self.evaluators: list[Evaluator] = []
        for name in request.evaluators:
            chosen = EVALUATORS.get(name)
            with blamed_on(chosen):
                evaluator = chosen(self.options)
            same = [other for other in self.evaluators if other.name == evaluator.name]
            if same and type(same[0]) is not type(evaluator):
                message = f"two evaluators keep their rows as {evaluator.name!r}; {name} is one of them"
                raise MmudError(general_codes.PLUGIN_CLASH, message)
            if not same and self._is_ready(evaluator):
                with blamed_on(evaluator):
                    evaluator.begin(dataset.fingerprint, request.split)
                self.registered[evaluator.name] = name
                self.evaluators.append(evaluator)

    def collect(self, progress: Progress | None = None) -> RowTable:
        """The rows.

        Raises:
            RefusedPredictions: MM801 to MM810 when predictions are incomplete or wrong; MM815 when there is nothing to score.
        """
        tasks = self._tasks()
        survey = self._survey(tasks)
        tasks = [task for task in tasks if survey.selected[task] or self._insists(task)]
        found = {task: self._read(task, survey) for task in tasks}
        self._refuse_errors(tasks, survey, found)
        rows = self._rows(tasks, found, survey, progress)
        for evaluator in self.evaluators:
            with blamed_on(evaluator):
                notes = evaluator.finish()
            for finding in notes:
                self.log(finding)
        return RowTable.of(rows, self._describe(tasks, survey, found))

    def _is_ready(self, evaluator: Evaluator) -> bool:
        with blamed_on(evaluator):
            reason = evaluator.why_not()
        if reason is None:
            return True
        if any(self._insists(task) for task in evaluator.tasks):
            raise MmudError(codes.NOT_SCORED, f"{evaluator.name}: {reason}")
        there = self.predictions.tasks if isinstance(self.predictions, PredictionFolder) else self.predictions
        if self.request.tasks is None and any(task in there for task in evaluator.tasks):
            self.log(Finding(codes.NOT_SCORED, Place(), f"{evaluator.name}: {reason}"))
        return False

    def _insists(self, task: Task) -> bool:
        return self.request.tasks is not None and task in self.request.tasks

    def _tasks(self) -> list[Task]:
        there = self.predictions.tasks if isinstance(self.predictions, PredictionFolder) else list(self.predictions)
        wanted = list(self.request.tasks) if self.request.tasks is not None else list(there)
        scored = {task for evaluator in self.evaluators for task in evaluator.tasks}
        absent = [task for task in wanted if task not in there]
        if absent:
            message = f"there are no predictions for {absent[0].value} ({task_file(absent[0])})"
            raise MmudError(codes.NOTHING_TO_SCORE, message)
        return [task for task in Task if task in wanted and task in scored]

    def _samples(self, images: bool = False) -> Iterator[tuple[bool, Sample]]:
        """Every sample of the split, and whether it is to be scored: by the shard and the limit."""
        limit = self.request.limit
        for position, sample in enumerate(self.dataset.samples(self.request.split, images)):
            yield self.request.shard.holds(position) and (limit is None or position < limit), sample

    def _survey(self, tasks: Sequence[Task]) -> _Survey:
        survey = _Survey({task: {} for task in tasks}, {task: [] for task in tasks})
        for mine, sample in self._samples():
            expected = expected_of(sample)
            for task in tasks:
                if not has_labels(sample, task, self.options.by_category):
                    continue
                survey.expected[task][sample.sample_id] = expected
                if mine:
                    survey.selected[task].append(sample.sample_id)
                for evaluator in self.evaluators:
                    if task in evaluator.tasks:
                        with blamed_on(evaluator):
                            evaluator.observe(task, sample)
        for task in tasks:
            if not survey.expected[task] and self._insists(task):
                message = f"no sample of {self.request.split} has labels for {task.value}"
                raise MmudError(codes.NOTHING_TO_SCORE, message)
        if not any(survey.expected.values()):
            message = f"no task has both labels in {self.request.split} and predictions"
            raise MmudError(codes.NOTHING_TO_SCORE, message)
        return survey

    def _read(self, task: Task, survey: _Survey) -> dict[str, Prediction]:
        expected = survey.expected[task]
        required = set(survey.selected[task])
        if isinstance(self.predictions, PredictionFolder):
            stream = self.predictions.read(task, self.log, expected, required)
        else:
            numbered = ((None, prediction) for prediction in self.predictions[task])
            stream = checked(numbered, task, self.log, expected, required)
        return {prediction.sample_id: prediction for prediction in stream if prediction.sample_id in required}

    def _refuse_errors(self, tasks: Sequence[Task], survey: _Survey, found: Mapping[Task, Mapping[str, Any]]) -> None:
        errors = [finding for finding in self.log.kept if finding.severity >= Severity.ERROR]
        if self.request.allow_partial:
            errors = [finding for finding in errors if finding.code is not codes.MISSING_IDS]
        if errors:
            codes_met = {finding.code.id for finding in errors}
            raise RefusedPredictions(errors, {code: n for code, n in self.log.counts.items() if code in codes_met})
        if not any(found.values()):
            raise MmudError(codes.NOTHING_TO_SCORE, "there is no prediction to score")

    def _rows(
        self,
        tasks: Sequence[Task],
        found: Mapping[Task, Mapping[str, Prediction]],
        survey: _Survey,
        progress: Progress | None,
    ) -> pa.Table:
        columns: dict[str, list[Any]] = {name: [] for name in COMMON.names}
        parts: dict[str, list[Any]] = {evaluator.name: [] for evaluator in self.evaluators}
        images = any(evaluator.needs_images for evaluator in self.evaluators if set(evaluator.tasks) & set(tasks))
        selected = (sample for mine, sample in self._samples(images) if mine)
        while batch := list(itertools.islice(selected, 32 if images else BATCH_SAMPLES)):
            for task in tasks:
                cases = [
                    Case(sample, prediction, self._image(prediction))
                    for sample in batch
                    if (prediction := found[task].get(sample.sample_id)) is not None
                ]
                if cases:
                    _add_common(columns, task, cases, self.options.by_category)
                    for evaluator in self.evaluators:
                        parts[evaluator.name].extend(_evaluator_rows(evaluator, task, cases))
            if progress is not None:
                progress(len(batch))
        arrays = [pa.array(columns[field.name], type=field.type) for field in COMMON]
        names = list(COMMON.names)
        for evaluator in self.evaluators:
            if any(row is not None for row in parts[evaluator.name]):
                arrays.append(_struct_array(evaluator, parts[evaluator.name]))
                names.append(evaluator.name)
        return pa.table(arrays, names=names)

    def _image(self, prediction: Prediction) -> Any:
        return self.predictions.image_path(prediction) if isinstance(self.predictions, PredictionFolder) else None

    def _describe(
        self, tasks: Sequence[Task], survey: _Survey, found: Mapping[Task, Mapping[str, Prediction]]
    ) -> dict[str, Any]:
        options = self.options
        missing = {task: sorted(set(survey.selected[task]) - found[task].keys()) for task in tasks}
        whole = self.request.shard == Shard()
        limit, length = self.request.limit, self.dataset.length(self.request.split)
        return {
            "dataset": {
                "name": self.dataset.name,
                "fingerprint": self.dataset.fingerprint,
                "split": self.request.split,
                "samples": length,
            },
            "predictions": self._describe_predictions(),
            "options": {
                "protocols": list(options.protocols),
                "match": options.match,
                "by_category": options.by_category,
                "metrics": None if options.metrics is None else sorted(options.metrics),
                "registered": self.registered,
                "limit": limit,
            },
            "states": {
                evaluator.name: {task.value: evaluator.state(task) for task in tasks if task in evaluator.tasks}
                for evaluator in self.evaluators
            },
            "tasks": {
                task.value: {
                    "required": len(survey.selected[task]),
                    "scored": len(found[task]),
                    "missing": missing[task],
                }
                for task in tasks
            },
            "partial": (limit is not None and limit < length) or any(missing.values()),
            "shard": None if whole else {"index": self.request.shard.index, "of": self.request.shard.of},
            "findings": {
                "counts": dict(sorted(self.log.counts.items())),
                "first": [finding.to_dict() for finding in self.log.kept[:20]],
            },
        }

    def _describe_predictions(self) -> dict[str, Any]:
        info = self.predictions.submission if isinstance(self.predictions, PredictionFolder) else None
        if info is None:
            return {}
        for said, name in ((info.dataset_fingerprint, "fingerprint"), (info.split, "split")):
            truth = self.dataset.fingerprint if name == "fingerprint" else self.request.split
            if said is not None and said != truth:
                message = f"made for the {name} {said}, scored against {truth}"
                self.log(Finding(codes.OTHER_DATASET, Place(file="submission.json", field=name), message))
        return info.model_dump(mode="json")


def _add_common(columns: dict[str, list[Any]], task: Task, cases: Sequence[Case], by_category: bool) -> None:
    for case in cases:
        sample = case.sample
        columns["sample_id"].append(sample.sample_id)
        columns["task"].append(task.value)
        columns["source"].append(sample.source)
        columns["image"].append(image_of(sample))
        columns["objects"].append(len(sample.objects))
        columns["words"].append(len(label_text(sample, task, by_category).split()))


def _evaluator_rows(evaluator: Evaluator, task: Task, cases: Sequence[Case]) -> list[Mapping[str, Any] | None]:
    """An evaluator's row for each case; None where it does not score it."""
    if task not in evaluator.tasks:
        return [None] * len(cases)
    with blamed_on(evaluator):
        chosen = [index for index, case in enumerate(cases) if evaluator.applies(case.sample, task)]
        rows = evaluator.rows([cases[index] for index in chosen]) if chosen else []
    if len(rows) != len(chosen):
        message = f"evaluator {evaluator.name!r} gave {len(rows)} rows for {len(chosen)} samples"
        raise MmudError(codes.ROW_MALFORMED, message)
    found: list[Mapping[str, Any] | None] = [None] * len(cases)
    for index, row in zip(chosen, rows, strict=True):
        found[index] = row
    return found


def _struct_array(evaluator: Evaluator, rows: Sequence[Mapping[str, Any] | None]) -> pa.Array:
    try:
        array = pa.array(rows, type=evaluator.row_type())
    except (pa.ArrowException, TypeError, ValueError) as error:
        message = f"evaluator {evaluator.name!r}: its rows cannot be kept: {error}"
        raise MmudError(codes.ROW_MALFORMED, message) from error
    if not pa.types.is_struct(array.type):
        raise MmudError(codes.ROW_MALFORMED, f"evaluator {evaluator.name!r}: a row is a mapping, not {array.type}")
    return array
