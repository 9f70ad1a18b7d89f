"""What a system is asked: each task's inputs, from a dataset with its labels, or from the participants' half without them.

A baseline that does not read labels gets nothing but these inputs, so that no figure can rest on a label by accident.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmud import codes as general_codes
from mmud.annotations.asking import has_labels, with_categories
from mmud.baselines import codes
from mmud.dataset.asking import asks_by_category
from mmud.dataset.exporters.questions import MANIFEST_NAME as QUESTIONS_NAME
from mmud.dataset.store import Dataset
from mmud.errors import Finding, MmudError, Place
from mmud.evaluators import codes as evaluator_codes
from mmud.evaluators.predictions import image_problem, read_lines
from mmud.files import require
from mmud.images import read_image_bytes
from mmud.records import ImageReference, MaskedObject, Sample, Task


def inputs_alone(sample: Sample, task: Task) -> Sample:
    """The sample with nothing but what a task gives.

    Referring: the image and each object's phrases (its category, where a split has no phrases at all). Reasoning: the image and
    the question. Captioning: the image. Generation: the caption and the wanted size. Ids that a source could be looked up by,
    licence and provenance are gone in all.
    """
    objects = sample.objects if task is Task.REFERRING_SEGMENTATION else ()
    # A file's name says where its labels are; it stays only where the image lies nowhere else.
    path = sample.image.path if sample.image.bytes is None else None
    image = ImageReference() if task is Task.GENERATION else ImageReference(bytes=sample.image.bytes, path=path)
    return Sample(
        sample_id=sample.sample_id,
        image=image,
        width=sample.width,
        height=sample.height,
        source=sample.source,
        caption=sample.caption if task is Task.GENERATION else "",
        question=sample.question if task is Task.REASONING_SEGMENTATION else "",
        objects=tuple(MaskedObject(phrases=item.phrases) for item in objects),
    )


class Inputs(ABC):
    """The inputs of one split.

    Attributes:
        fingerprint: of the dataset with its labels.
        split: which is asked.
    """

    fingerprint: str
    split: str

    @abstractmethod
    def samples(self, task: Task, *, images: bool, labels: bool) -> Iterator[tuple[int, Sample]]:
        """The samples that a task asks for, streamed, each with its position in the split.

        Args:
            task: one of the four.
            images: give image bytes, where the task gives the image (or labels are asked for).
            labels: give labels.

        Raises:
            MmudError: MM946 when labels are asked for and there are none.
        """


class DatasetInputs(Inputs):
    """From a dataset with its labels.

    Raises:
        MmudError: MM108 when it has no such split.
    """

    def __init__(self, dataset: Dataset, split: str) -> None:
        dataset.length(split)
        self.dataset = dataset
        self.split = split
        self.fingerprint = dataset.fingerprint
        self._by_category = asks_by_category(dataset, split)

    def samples(self, task: Task, *, images: bool, labels: bool) -> Iterator[tuple[int, Sample]]:
        with_images = images and (labels or task is not Task.GENERATION)
        for position, sample in enumerate(self.dataset.samples(self.split, images=with_images)):
            if has_labels(sample, task, self._by_category):
                asked = with_categories(sample) if self._by_category else sample
                yield position, asked if labels else inputs_alone(asked, task)


class QuestionInputs(Inputs):
    """From the folder that `mmud export --to questions` wrote; a stranger's folder, so every line and path is checked.

    Raises:
        MmudError: MM001 when it has no such split, MM825 when its manifest cannot be read.
    """

    def __init__(self, folder: Path, split: str) -> None:
        self.folder = folder
        self.split = split
        place = Place(file=str(folder / QUESTIONS_NAME))
        try:
            manifest = json.loads((folder / QUESTIONS_NAME).read_bytes())
            splits = dict(manifest["splits"])
            self.fingerprint = str(manifest["dataset_fingerprint"])
            self._files = {Task(task): str(about["file"]) for task, about in manifest["tasks"].items()}
            self._split_folder = str(splits[split]["folder"]) if split in splits else None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _unreadable(f"the questions cannot be read: {error!r}", place) from error
        if self._split_folder is None:
            hint = f"The splits are {', '.join(splits)}."
            raise MmudError(general_codes.USAGE, f"no split is called {split!r}", place, hint)

    def samples(self, task: Task, *, images: bool, labels: bool) -> Iterator[tuple[int, Sample]]:
        if labels:
            raise MmudError(codes.LABELS_NEEDED, f"{self.folder} holds questions without labels")
        if task not in self._files:
            return
        name = f"{self._split_folder}/{self._files[task]}"
        if image_problem(self.folder, name) is not None:
            raise _unreadable(f"{name} is no file inside the folder", Place(file=name))
        for position, (line, row) in enumerate(read_lines(self.folder / name, name, _raise)):
            yield position, self._sample(row, task, images, Place(file=name, line=line))

    def _sample(self, row: Mapping[str, Any], task: Task, images: bool, place: Place) -> Sample:
        fields = {name: row[name] for name in ("sample_id", "width", "height", "question", "caption") if name in row}
        sample = Sample.from_row({"source": "questions", "objects": row.get("objects", ()), **fields}, place)
        sample = inputs_alone(sample, task)
        image = row.get("image")
        if not images or task is Task.GENERATION or image is None:
            return sample
        if not isinstance(image, str) or image_problem(self.folder, image) is not None:
            raise _unreadable(f"{image!r} is no image inside the folder", place)
        data = read_image_bytes(self.folder / image)
        return sample.model_copy(update={"image": ImageReference(bytes=data, path=image)})


def _unreadable(message: str, place: Place) -> MmudError:
    return MmudError(evaluator_codes.INPUT_UNREADABLE, message, place)


def _raise(finding: Finding) -> None:
    raise MmudError(finding.code, finding.message, finding.place)


def open_inputs(path: Path, split: str) -> Inputs:
    """The inputs of a dataset, or of the participants' half of one (or of the ``dataset`` folder inside that).

    Raises:
        MmudError: MM001, MM002, MM102, MM108 when there is no such folder, dataset or split.
    """
    require(path, "dataset")
    for folder in (path, path.parent if path.name == "dataset" else path):
        if (folder / QUESTIONS_NAME).is_file():
            return QuestionInputs(folder, split)
    return DatasetInputs(Dataset(path), split)
