"""Which samples want which drafts: read from the labels alone, without an image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmud.annotations.drafting.base import DraftTask
from mmud.dataset.select import selected_samples
from mmud.dataset.store import Dataset
from mmud.records import Sample

_BITS = {task: 1 << position for position, task in enumerate(DraftTask)}
_COLUMNS = ("caption", "question", "answer")


@dataclass(frozen=True)
class AnnotateRequest:
    """What is to be drafted.

    Attributes:
        tasks: captions, questions with answers, or both.
        replace: draft anew where there is a label already; only where there is none otherwise.
        split: in one split only; the others pass through.
        limit: for at most so many samples; the rest passes through.
    """

    tasks: tuple[DraftTask, ...] = tuple(DraftTask)
    replace: bool = False
    split: str | None = None
    limit: int | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "tasks": [task.value for task in self.tasks],
            "replace": self.replace,
            "split": self.split,
            "limit": self.limit,
        }


@dataclass
class AnnotatePlan:
    """Which drafts are wanted.

    Attributes:
        flags: for each sample, over all splits in order, a bit a task.
        drafts: task -> how many.
        half: question-answer pairs of which one half is missing: they are left as they are.
    """

    flags: NDArray[np.uint8]
    drafts: Counter[DraftTask] = field(default_factory=Counter)
    half: int = 0

    @property
    def samples(self) -> int:
        """How many samples want a draft."""
        return int(np.count_nonzero(self.flags))

    def tasks(self, position: int) -> tuple[DraftTask, ...]:
        """What is wanted of the sample at a position over all splits."""
        return tuple(task for task in DraftTask if self.flags[position] & _BITS[task])

    def wanted(self, dataset: Dataset) -> Iterator[tuple[Sample, tuple[DraftTask, ...]]]:
        """The samples that want drafts, with their images, streamed; row groups without any are not read."""
        positions = np.flatnonzero(self.flags)
        samples = selected_samples(dataset, self.flags > 0)
        for position, sample in zip(positions.tolist(), samples, strict=True):
            yield sample, self.tasks(position)

    def wanted_labels(self, dataset: Dataset) -> Iterator[tuple[Sample, tuple[DraftTask, ...]]]:
        """The same without images."""
        for position, sample in enumerate(dataset.samples()):
            if self.flags[position]:
                yield sample, self.tasks(position)


def plan_drafts(dataset: Dataset, request: AnnotateRequest) -> AnnotatePlan:
    """Find out what is wanted.

    Raises:
        MmudError: MM108 for an unknown split; MM104, MM106 or MM107 when a shard cannot be read.
    """
    if request.split is not None:
        dataset.length(request.split)
    flags = np.zeros(len(dataset), dtype=np.uint8)
    plan = AnnotatePlan(flags)
    position = taken = 0
    for batch in dataset.batches(None, _COLUMNS, rows=4096):
        inside = request.split in (None, batch.split)
        for caption, question, answer in zip(*(batch.table.column(name).to_pylist() for name in _COLUMNS), strict=True):
            if inside and (request.limit is None or taken < request.limit):
                wanted = _wanted(caption, question, answer, request, plan)
                flags[position] = sum(_BITS[task] for task in wanted)
                plan.drafts.update(wanted)
                taken += bool(wanted)
            position += 1
    return plan


def _wanted(
    caption: str | None, question: str | None, answer: str | None, request: AnnotateRequest, plan: AnnotatePlan
) -> list[DraftTask]:
    found = []
    if DraftTask.CAPTION in request.tasks and (request.replace or not (caption or "").strip()):
        found.append(DraftTask.CAPTION)
    if DraftTask.QUESTION in request.tasks:
        halves = bool((question or "").strip()) + bool((answer or "").strip())
        if request.replace or halves == 0:
            found.append(DraftTask.QUESTION)
        plan.half += halves == 1 and not request.replace
    return found
