"""Systems made of the labels themselves: the ceiling, and a floor that knows where all objects are but not which is meant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from mmud.annotations import tags
from mmud.annotations.asking import asked_objects
from mmud.annotations.masks import Mask
from mmud.baselines.base import Baseline, Output
from mmud.records import PredictedMask, Prediction, Sample, Segmentation, Task

ChangeMask = Callable[[Segmentation], Segmentation | None]
ChangeText = Callable[[str], str]


class Oracle(Baseline):
    """The labels as a prediction. Anything below a perfect score means that labels, reader or metric are wrong."""

    name: ClassVar[str] = "oracle"
    title: ClassVar[str] = "the labels themselves: the ceiling"
    reads_labels: ClassVar[bool] = True

    def answer(self, sample: Sample, task: Task) -> Output:
        return from_labels(sample, task, lambda segmentation: segmentation, lambda text: text)


class Union(Baseline):
    """Every mask is the union of all true masks of the image. It reads the labels.

    It is the score of a system that finds the objects perfectly and never listens to the phrase or question: a system that does
    not beat it has not shown that it understands language. In reasoning it also knows how many objects the answer points at, and
    says their tags and no word.
    """

    name: ClassVar[str] = "union"
    title: ClassVar[str] = "the union of all true masks, whatever is asked; reads the labels"
    tasks: ClassVar[tuple[Task, ...]] = (Task.REFERRING_SEGMENTATION, Task.REASONING_SEGMENTATION)
    reads_labels: ClassVar[bool] = True
    reads_images: ClassVar[bool] = False

    def answer(self, sample: Sample, task: Task) -> Output:
        masks = [Mask.of(item.segmentation) for item in sample.objects if item.segmentation is not None]
        union = Mask.union(masks).to_record() if masks else None
        scored = asked_objects(sample, task)
        if task is Task.REFERRING_SEGMENTATION:
            given = tuple(
                PredictedMask(segmentation=union if index in scored else None) for index in range(len(sample.objects))
            )
            return Output(Prediction(sample_id=sample.sample_id, task=task, masks=given))
        numbers = range(1, len(scored) + 1)
        return Output(
            Prediction(
                sample_id=sample.sample_id,
                task=task,
                answer=" ".join(tags.render(number) for number in numbers),
                masks=tuple(PredictedMask(segmentation=union, tag=number) for number in numbers),
            )
        )


def from_labels(sample: Sample, task: Task, mask: ChangeMask, text: ChangeText) -> Output:
    """The labels, each mask and text changed by a function."""
    fields: dict[str, Any] = {"sample_id": sample.sample_id, "task": task}
    if task is Task.REFERRING_SEGMENTATION:
        fields["masks"] = tuple(
            PredictedMask(segmentation=None if item.segmentation is None else mask(item.segmentation))
            for item in sample.objects
        )
    elif task is Task.REASONING_SEGMENTATION:
        fields["answer"] = text(sample.answer)
        fields["masks"] = tuple(
            PredictedMask(segmentation=mask(segmentation), tag=index + 1)
            for index in asked_objects(sample, task)
            if (segmentation := sample.objects[index].segmentation) is not None
        )
    elif task is Task.CAPTIONING:
        fields["caption"] = text(sample.caption)
    else:
        return Output(Prediction(**fields), sample.image_bytes())
    return Output(Prediction(**fields))
