"""Freezing document frequencies: those of a file of references, or of a dataset's split as `mmud evaluate` counts them."""

from __future__ import annotations

from pathlib import Path

from mmud.annotations.asking import has_labels
from mmud.dataset.store import Dataset
from mmud.errors import MmudError, Place
from mmud.evaluators.captions import codes
from mmud.evaluators.captions.coco_files import read_references
from mmud.evaluators.captions.document_frequencies import DocumentFrequencies
from mmud.evaluators.text import AnswerEvaluator, CaptionEvaluator
from mmud.records import Task

_EVALUATORS = {Task.CAPTIONING: CaptionEvaluator, Task.REASONING_SEGMENTATION: AnswerEvaluator}
TEXT_TASKS = tuple(_EVALUATORS)
"""The tasks whose texts have document frequencies."""


def frequencies_of_file(references: Path) -> DocumentFrequencies:
    """Of COCO captions; errors as `read_references`."""
    return DocumentFrequencies.from_references(read_references(references))


def frequencies_of_split(dataset: Dataset, split: str, task: Task = Task.CAPTIONING) -> DocumentFrequencies:
    """Of a split's captions, or of its answers without tags: what the signatures of `mmud evaluate` name for that split.

    Raises:
        MmudError: MM108 for a split that does not exist, MM854 when no sample of it has such a label.
    """
    evaluator = _EVALUATORS[task]()
    for sample in dataset.samples(split):
        if has_labels(sample, task):
            evaluator.observe(task, sample)
    if not evaluator.frequencies.documents:
        message = f"no sample of {split} has labels for {task.value}"
        raise MmudError(codes.REFERENCES_UNUSABLE, message, Place(file=str(dataset.path), split=split))
    return evaluator.frequencies
