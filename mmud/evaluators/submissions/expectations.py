"""What a submission has to hold, read from a dataset with its labels, or from the participants' half without them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmud.annotations.asking import has_labels
from mmud.dataset.asking import asks_by_category
from mmud.dataset.exporters.questions import MANIFEST_NAME as QUESTIONS_NAME
from mmud.dataset.store import Dataset
from mmud.errors import MmudError, Place
from mmud.evaluators import codes
from mmud.evaluators.checking import Expected, FindingLog
from mmud.evaluators.predictions import read_lines
from mmud.evaluators.tasks import expected_of
from mmud.records import Task


@dataclass(frozen=True, slots=True)
class Expectations:
    """What must be predicted.

    Attributes:
        fingerprint: of the dataset with its labels.
        split: that is to be predicted.
        tasks: task -> sample -> its image's size and how many masks referring asks for.
    """

    fingerprint: str
    split: str
    tasks: Mapping[Task, Mapping[str, Expected]]


def expectations(path: Path, split: str) -> Expectations:
    """From a dataset folder, or from the folder that `mmud export --to questions` wrote.

    Raises:
        MmudError: MM102 or MM108 for another folder or split, MM815 when the split asks for nothing.
    """
    found = _from_questions(path, split) if (path / QUESTIONS_NAME).is_file() else _from_dataset(path, split)
    if not any(found.tasks.values()):
        hint = "A dataset without labels asks for nothing: name the questions folder that it came in, or the labelled dataset."
        raise MmudError(
            codes.NOTHING_TO_SCORE, f"{path} asks for no prediction in {split}", Place(file=str(path)), hint
        )
    return found


def _from_dataset(path: Path, split: str) -> Expectations:
    dataset = Dataset(path)
    tasks: dict[Task, dict[str, Expected]] = {task: {} for task in Task}
    by_category = asks_by_category(dataset, split)
    for sample in dataset.samples(split):
        expected = expected_of(sample)
        for task in Task:
            if has_labels(sample, task, by_category):
                # Only referring counts masks against objects; the other tasks' questions do not even say how many there are.
                asked = expected if task is Task.REFERRING_SEGMENTATION else replace(expected, objects=0)
                tasks[task][sample.sample_id] = asked
    return Expectations(dataset.fingerprint, split, tasks)


def _from_questions(path: Path, split: str) -> Expectations:
    place = Place(file=str(path / QUESTIONS_NAME))
    log = FindingLog()
    tasks: dict[Task, dict[str, Expected]] = {task: {} for task in Task}
    try:
        manifest = json.loads((path / QUESTIONS_NAME).read_bytes())
        folder = manifest["splits"][split]["folder"] if split in manifest["splits"] else None
        fingerprint = str(manifest["dataset_fingerprint"])
        names = {Task(task): about["file"] for task, about in manifest["tasks"].items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MmudError(codes.INPUT_UNREADABLE, f"the questions cannot be read: {error!r}", place) from error
    if folder is None:
        raise MmudError(codes.NOTHING_TO_SCORE, f"the questions have no split {split!r}", place)
    for task, name in names.items():
        for number, row in read_lines(path / folder / name, f"{folder}/{name}", log):
            tasks[task][str(row.get("sample_id"))] = _expected(row, Place(file=f"{folder}/{name}", line=number))
    if log.kept:
        raise MmudError(codes.INPUT_UNREADABLE, log.kept[0].message, log.kept[0].place)
    return Expectations(fingerprint, split, tasks)


def _expected(row: Mapping[str, Any], place: Place) -> Expected:
    try:
        return Expected(int(row["height"]), int(row["width"]), len(row.get("objects", [])))
    except (KeyError, TypeError, ValueError) as error:
        raise MmudError(codes.INPUT_UNREADABLE, f"a question without the image's size: {error!r}", place) from error
