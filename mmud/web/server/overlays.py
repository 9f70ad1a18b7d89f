"""What systems say of a sample, beside its labels: predictions drawn over the ground truth, and scores to sort by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmud.dataset.label_index import LabelIndex
from mmud.errors import Finding, MmudError, Place
from mmud.evaluators import codes as evaluation_codes
from mmud.evaluators.checking import Expected, checked
from mmud.evaluators.leaderboard.board import PRIMARY
from mmud.evaluators.leaderboard.ranking import higher_is_better, sample_values, task_figures
from mmud.evaluators.predictions import MAX_LINE_BYTES, PredictionFolder, parse_row, task_file
from mmud.evaluators.rows import RowTable
from mmud.records import Prediction, Sample, Segmentation, Task


class PredictionOverlay:
    """A folder of predictions, read at random: its lines are found by sample once and parsed when they are shown.

    Args:
        path: the folder.
        name: what the page calls the system.

    Raises:
        MmudError: MM002 or MM800 when the folder holds no predictions.
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        self._folder = PredictionFolder(path)
        self.name = name or path.name or str(path)

    @cached_property
    def _lines(self) -> dict[tuple[Task, str], int]:
        """Where the line of each task and sample begins."""
        found: dict[tuple[Task, str], int] = {}
        for task in self._folder.tasks:
            with open(self._folder.path / task_file(task), "rb") as stream:
                while True:
                    start = stream.tell()
                    line = stream.readline(MAX_LINE_BYTES)
                    if not line:
                        break
                    try:
                        sample = json.loads(line)["sample_id"]
                    except (ValueError, TypeError, KeyError, RecursionError):
                        # `mmud evaluate` names such lines; here they are lines of no sample.
                        continue
                    found.setdefault((task, str(sample)), start)
        return found

    def of(self, sample: Sample) -> dict[str, Any]:
        """The system's masks, texts and troubles for one sample, JSON-compatible.

        Returns:
            ``layers``: name and one mask for each object, None where there is none; ``texts``: title and text;
            ``troubles``: what could not be shown, with its code.
        """
        layers: list[dict[str, Any]] = []
        texts: list[list[str]] = []
        findings: list[Finding] = []
        for task in self._folder.tasks:
            start = self._lines.get((task, sample.sample_id))
            if start is None:
                continue
            prediction = self._prediction(task, start, sample, findings)
            if prediction is None:
                continue
            if prediction.masks:
                name = f"{self.name}, {task.value.split('_')[0]}"
                layers.append({"name": name, "masks": _masks(prediction, len(sample.objects))})
            for title, text in (("answer", prediction.answer), ("caption", prediction.caption)):
                if text:
                    texts.append([f"{self.name}: {title}", text])
        troubles = [f"{self.name}: {finding.code.id} {finding.message}" for finding in findings]
        return {"layers": layers, "texts": texts, "troubles": troubles}

    def _prediction(self, task: Task, start: int, sample: Sample, findings: list[Finding]) -> Prediction | None:
        with open(self._folder.path / task_file(task), "rb") as stream:
            stream.seek(start)
            line = stream.readline(MAX_LINE_BYTES)
        try:
            prediction = parse_row(json.loads(line), task)
        except MmudError as error:
            findings.append(error.finding)
            return None
        except (ValueError, RecursionError) as error:
            place = Place(sample=sample.sample_id)
            findings.append(Finding(evaluation_codes.LINE_UNREADABLE, place, str(error)))
            return None
        expected = {sample.sample_id: Expected(sample.height, sample.width, len(sample.objects))}
        return next(checked([(None, prediction)], task, findings.append, expected, set()), None)


def _masks(prediction: Prediction, objects: int) -> list[dict[str, Any] | None]:
    """One mask for each object: by position, or by tag in reasoning; masks of no object come after them."""
    found: list[Segmentation | None] = [None] * objects
    for position, mask in enumerate(prediction.masks):
        place = mask.tag - 1 if mask.tag is not None else position
        if place < objects:
            found[place] = mask.segmentation
        else:
            found.append(mask.segmentation)
    return [None if mask is None else {"size": list(mask.size), "counts": mask.counts} for mask in found]


def read_overlays(paths: Sequence[Path]) -> list[PredictionOverlay]:
    """A folder of predictions each, under names that tell them apart."""
    names = [path.resolve().name for path in paths]
    return [
        PredictionOverlay(path, name if names.count(name) == 1 else f"{name} {number}")
        for number, (path, name) in enumerate(zip(paths, names, strict=True), start=1)
    ]


@dataclass(frozen=True)
class Scores:
    """A figure of each sample.

    Attributes:
        name: what the page calls it.
        higher: whether higher is better.
        values: shape (samples,), NaN where there is none.
    """

    name: str
    higher: bool
    values: NDArray[np.float64]


def read_scores(index: LabelIndex, paths: Sequence[Path]) -> list[Scores]:
    """The primary figures of each task in the rows of `mmud evaluate`, by sample.

    Raises:
        MmudError: MM820 when a file holds no rows.
    """
    found: list[Scores] = []
    for path in paths:
        rows = RowTable.read(path)
        owner = path.parent.name if path.is_file() else path.name
        for task in rows.tasks:
            for metric in PRIMARY.get(task, ()):
                try:
                    values = sample_values(task_figures(rows, task, metric), metric)
                except MmudError as error:
                    if error.code is not evaluation_codes.ROWS_LACK:
                        raise
                    continue
                if values:
                    array = np.full(len(index), np.nan)
                    for sample, value in values.items():
                        if sample in index.numbers:
                            array[index.numbers[sample]] = value
                    name = f"{metric} of {task.value.replace('_', ' ')}"
                    full = f"{owner}: {name}" if len(paths) > 1 else name
                    found.append(Scores(full, higher_is_better(task, metric), array))
                    break
    return found
