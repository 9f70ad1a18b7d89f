"""Predictions whose scores are known beforehand: the labels themselves, nothing at all, and labels that were spoilt.

They are the floor and the ceiling of every table, and the first thing to score on a new dataset: an oracle below 1 or an
empty system above 0 means that labels, reader or metric are wrong.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmud.annotations import tags
from mmud.annotations.masks import Mask
from mmud.dataset.store import Dataset
from mmud.evaluators.predictions import SUBMISSION_NAME, task_file
from mmud.evaluators.segmentation.cases import scored_objects
from mmud.evaluators.tasks import asks_by_category, has_labels
from mmud.files import atomic_write, refuse_existing, write_json
from mmud.records import PredictedMask, Prediction, Sample, Segmentation, Task

MASK_TASKS = (Task.REFERRING_SEGMENTATION, Task.REASONING_SEGMENTATION)
IMAGE_FOLDER = "images"
_BEGINNINGS = {b"\x89PNG": ".png", b"\xff\xd8": ".jpg", b"RIFF": ".webp", b"BM": ".bmp"}
Predictor = Callable[[Sample, Task], Prediction]


def oracle(sample: Sample, task: Task) -> Prediction:
    """The labels as a prediction."""
    return _from_labels(sample, task, lambda segmentation, number: segmentation, lambda text: text)


def empty(sample: Sample, task: Task) -> Prediction:
    """Nothing: no target, no word."""
    if task is Task.REFERRING_SEGMENTATION:
        return Prediction(sample_id=sample.sample_id, task=task, masks=tuple(PredictedMask() for _ in sample.objects))
    return Prediction(sample_id=sample.sample_id, task=task)


def perturbed(seed: int = 0, strength: float = 0.1) -> Predictor:
    """Labels spoilt at random, but the same way for the same sample and seed.

    Each mask is shifted, then eroded or dilated by a few pixels, or now and then denied; words are dropped from texts, tags
    stay.

    Args:
        seed: of everything random.
        strength: from 0 (the oracle) to 1; about the share of words dropped and, of an object's size, of pixels moved.
    """

    def predict(sample: Sample, task: Task) -> Prediction:
        generator = _generator(seed, sample.sample_id, task)

        def spoil(segmentation: Segmentation, number: int) -> Segmentation | None:
            return _spoilt_mask(Mask.of(segmentation), generator, strength)

        return _from_labels(sample, task, spoil, lambda text: _spoilt_text(text, generator, strength))

    return predict


def _generator(seed: int, *names: str) -> np.random.Generator:
    digest = hashlib.sha256("\0".join(names).encode("utf-8")).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, dtype=np.uint32).tolist()])


def _from_labels(
    sample: Sample,
    task: Task,
    mask: Callable[[Segmentation, int], Segmentation | None],
    text: Callable[[str], str],
) -> Prediction:
    fields: dict[str, Any] = {"sample_id": sample.sample_id, "task": task}
    if task is Task.REFERRING_SEGMENTATION:
        fields["masks"] = tuple(
            PredictedMask(segmentation=None if item.segmentation is None else mask(item.segmentation, number))
            for number, item in enumerate(sample.objects, start=1)
        )
    elif task is Task.REASONING_SEGMENTATION:
        fields["answer"] = text(sample.answer)
        fields["masks"] = tuple(
            PredictedMask(segmentation=mask(segmentation, index + 1), tag=index + 1)
            for index in scored_objects(sample, task)
            if (segmentation := sample.objects[index].segmentation) is not None
        )
    elif task is Task.CAPTIONING:
        fields["caption"] = text(sample.caption)
    return Prediction(**fields)


def _spoilt_mask(mask: Mask, generator: np.random.Generator, strength: float) -> Segmentation | None:
    draw = generator.random()
    _, _, width, height = mask.bbox
    reach = strength * np.sqrt(width * height)
    rows, columns = (round(value) for value in generator.normal(0.0, reach / 2 + 1e-12, size=2))
    thickness = round(float(generator.normal(0.0, reach / 4 + 1e-12)))
    if draw < strength / 4:
        return None
    array = _moved(mask.decode().astype(bool), rows, columns)
    return Mask.from_array(_thickened(array, thickness)).to_record()


def _moved(array: NDArray[np.bool_], rows: int, columns: int) -> NDArray[np.bool_]:
    """The mask shifted, what leaves the image lost."""
    moved = np.zeros_like(array)
    height, width = array.shape
    rows, columns = int(np.clip(rows, -height, height)), int(np.clip(columns, -width, width))
    moved[max(0, rows) : height + min(0, rows), max(0, columns) : width + min(0, columns)] = array[
        max(0, -rows) : height - max(0, rows), max(0, -columns) : width - max(0, columns)
    ]
    return moved


def _thickened(array: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """Dilated by a square of so many pixels to each side, or eroded where the number is negative."""
    grown = ~array if pixels < 0 else array
    for _ in range(abs(pixels)):
        for axis in (0, 1):
            before, after = np.roll(grown, 1, axis), np.roll(grown, -1, axis)
            first = (slice(0, 1), slice(None)) if axis == 0 else (slice(None), slice(0, 1))
            last = (slice(-1, None), slice(None)) if axis == 0 else (slice(None), slice(-1, None))
            before[first], after[last] = grown[first], grown[last]
            grown = grown | before | after
    return ~grown if pixels < 0 else grown


def _spoilt_text(text: str, generator: np.random.Generator, strength: float) -> str:
    """The text with words dropped; a word with a tag stays, and so does one word at least."""
    words = text.split()
    kept = [word for word in words if generator.random() >= strength or tags.parse(word)]
    return " ".join(kept or words[:1])


def predictions(dataset: Dataset, split: str, task: Task, predictor: Predictor) -> Iterator[Prediction]:
    """The predictions of a predictor for the samples of a split that a task asks for."""
    by_category = asks_by_category(dataset, split)
    for sample in dataset.samples(split):
        if has_labels(sample, task, by_category):
            yield predictor(sample, task)


def write_predictions(
    folder: Path,
    dataset: Dataset,
    predictor: Predictor,
    *,
    split: str = "test",
    tasks: Iterable[Task] | None = None,
    name: str = "reference",
    force: bool = False,
) -> Path:
    """Write a folder of predictions for a split: one file for each task that it has labels for, and ``submission.json``.

    Generated images are the real ones, since there is no other image to give; an empty system has none and leaves the task
    out.

    Raises:
        MmudError: MM003 when the folder exists and ``force`` is off, MM008 when it cannot be written.
    """
    refuse_existing(folder, force)
    wanted = list(Task if tasks is None else tasks)
    for task in wanted:
        if task is Task.GENERATION:
            if predictor is not empty:
                _write_images(folder, dataset, split)
            continue
        lines = [prediction.to_row() for prediction in predictions(dataset, split, task, predictor)]
        if lines:
            _write_lines(folder / task_file(task), lines)
    write_json(
        folder / SUBMISSION_NAME,
        {"format": 1, "name": name, "split": split, "dataset_fingerprint": dataset.fingerprint},
    )
    return folder


def _write_images(folder: Path, dataset: Dataset, split: str) -> None:
    lines = []
    for number, sample in enumerate(dataset.samples(split, images=True)):
        if not has_labels(sample, Task.GENERATION):
            continue
        data = sample.image_bytes()
        image = f"{IMAGE_FOLDER}/{number:06d}{_suffix(data)}"
        with atomic_write(folder / image) as stream:
            stream.write(data)
        lines.append(Prediction(sample_id=sample.sample_id, task=Task.GENERATION, image=image).to_row())
    if lines:
        _write_lines(folder / task_file(Task.GENERATION), lines)


def _suffix(data: bytes) -> str:
    """The usual ending for an image's bytes, by how they begin."""
    return next((suffix for start, suffix in _BEGINNINGS.items() if data.startswith(start)), "")


def _write_lines(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    with atomic_write(path, "w") as stream:
        for line in lines:
            stream.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
