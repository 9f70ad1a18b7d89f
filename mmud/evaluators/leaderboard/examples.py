"""A system's best and worst samples: which they are, and what is kept of them so that pages can draw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmud.errors import MmudError
from mmud.evaluators.evaluation import Evaluation
from mmud.evaluators.leaderboard.board import Board
from mmud.evaluators.leaderboard.ranking import higher_is_better, sample_values, task_figures
from mmud.evaluators.predictions import PredictionFolder
from mmud.images import DEFAULT_LIMITS, ImageLimits, load_image, shown_file
from mmud.records import Prediction, Task

EXAMPLES = 4
"""Best and worst samples kept of each task, so many of each."""

OF_ONE_IMAGE = ("feature_cosine", "clip_score", "clip_similarity", "feature_mae")
"""What stands in for distances between sets, which generation is ranked by: the first of these that the rows have."""

NO_PICTURE = "The submission has features, and no image, of this sample."


@dataclass(frozen=True)
class Chosen:
    """A sample to be shown.

    Attributes:
        group: "best", "worst", or "first" where the rows have no figure of single samples.
        metric, value: what it was chosen by; "" and None for "first".
    """

    sample: str
    group: str
    metric: str = ""
    value: float | None = None


@dataclass
class Examples:
    """What an entry keeps.

    Attributes:
        rows: lines of ``examples.jsonl``: task, group, metric, value, prediction; of a generated image also ``picture``, its
            file's name, or ``trouble``, why there is none.
        pictures: file name -> generated image, decoded within bounds and encoded again.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=dict)


def examples_of(
    evaluation: Evaluation, predictions: PredictionFolder, board: Board, limits: ImageLimits = DEFAULT_LIMITS
) -> Examples:
    """The predictions of each task's best and worst samples, best first.

    Args:
        evaluation: of the predictions.
        predictions: where they lie, with their images.
        board: says what each task is ranked by.
        limits: of generated images.
    """
    kept = Examples()
    for task in evaluation.rows.tasks:
        chosen = {one.sample: one for one in choose(evaluation, task, board.primary)}
        if not chosen:
            continue
        found = {
            prediction.sample_id: prediction
            for prediction in predictions.read(task, lambda finding: None)
            if prediction.sample_id in chosen
        }
        for one in chosen.values():
            prediction = found[one.sample]
            row: dict[str, Any] = {"task": task.value, "metric": one.metric, "value": one.value, "group": one.group}
            if task is Task.GENERATION:
                row |= _picture(prediction, predictions, limits, kept.pictures)
                prediction = prediction.model_copy(update={"image": None, "feature": None})
            kept.rows.append({**row, "prediction": prediction.to_row()})
    return kept


def choose(evaluation: Evaluation, task: Task, primary: Mapping[Task, str]) -> list[Chosen]:
    """A task's best and worst samples, best first; of generation the first ones by id where none can be called best."""
    names = OF_ONE_IMAGE if task is Task.GENERATION else (primary[task],) if task in primary else ()
    for metric in names:
        values = _values(evaluation, task, metric)
        if values:
            sign = -1 if higher_is_better(task, metric) else 1
            order = sorted(values, key=lambda sample: (sign * values[sample], sample))
            shown = dict.fromkeys([*order[:EXAMPLES], *order[-EXAMPLES:]])
            groups = ["best"] * EXAMPLES + ["worst"] * EXAMPLES
            return [Chosen(one, group, metric, values[one]) for one, group in zip(shown, groups, strict=False)]
    return [Chosen(sample, "first") for sample in _first(evaluation, task)] if task is Task.GENERATION else []


def _values(evaluation: Evaluation, task: Task, metric: str) -> Mapping[str, float]:
    try:
        return sample_values(task_figures(evaluation.rows, task, metric), metric)
    except MmudError:
        return {}


def _first(evaluation: Evaluation, task: Task) -> Sequence[str]:
    table = evaluation.rows.table
    named = zip(table.column("sample_id").to_pylist(), table.column("task").to_pylist(), strict=True)
    return sorted(sample for sample, of in named if of == task.value)[:EXAMPLES]


def _picture(
    prediction: Prediction, predictions: PredictionFolder, limits: ImageLimits, pictures: dict[str, bytes]
) -> dict[str, str]:
    path = predictions.image_path(prediction)
    if path is None:
        return {"trouble": NO_PICTURE}
    try:
        ending, data = shown_file(load_image(path, limits))
    except MmudError as error:
        return {"trouble": f"{error.code.id} {error.message}"}
    name = f"{len(pictures):03d}.{ending}"
    pictures[name] = data
    return {"picture": name}
