"""What a task asks of a sample: one rule for the questions that are handed out and for the answers that are scored."""

from __future__ import annotations

from typing import Any

from mmud.annotations import tags
from mmud.records import MaskedObject, Sample, Task


def asked_objects(sample: Sample, task: Task, by_category: bool = False) -> list[int]:
    """The positions of the objects whose masks a task asks for: those that are meant by a phrase, or by a tag of the answer.

    Objects without a mask of their own are never asked for.

    Args:
        sample: the labels.
        task: one of the two about masks.
        by_category: in referring, objects are asked for by their category, as where no object of a split has a phrase.
    """
    with_mask = [index for index, item in enumerate(sample.objects) if item.segmentation is not None]
    if task is Task.REFERRING_SEGMENTATION:
        return [index for index in with_mask if by_category or sample.objects[index].phrases]
    mentioned = set(tags.indices(sample.answer))
    return [index for index in with_mask if index + 1 in mentioned]


def has_labels(sample: Sample, task: Task, by_category: bool = False) -> bool:
    """Whether a sample takes part in a task, so that a prediction is required of it.

    Referring needs an object with a mask and a phrase (any object with a mask where objects are asked for by category);
    reasoning a question and its answer; captioning and generation a caption.
    """
    if task is Task.REFERRING_SEGMENTATION:
        return bool(asked_objects(sample, task, by_category))
    if task is Task.REASONING_SEGMENTATION:
        return bool(sample.question.strip() and sample.answer.strip())
    return bool(sample.caption.strip())


def expression_of(item: MaskedObject) -> str:
    """What referring asks for an object by: its first phrase, or its category where it has none."""
    return item.phrases[0] if item.phrases else item.category


def with_categories(sample: Sample) -> Sample:
    """The sample with each object's category as its phrase, for splits that have no phrases at all."""
    objects = tuple(item.model_copy(update={"phrases": (item.category,)}) for item in sample.objects)
    return sample.model_copy(update={"objects": objects})


def question_of(sample: Sample, task: Task, by_category: bool = False) -> dict[str, Any] | None:
    """What a task gives of a sample, the image aside; None where the sample has no label for it, so that nothing is scored."""
    if not has_labels(sample, task, by_category):
        return None
    size = {"width": sample.width, "height": sample.height}
    if task is Task.REFERRING_SEGMENTATION:
        shown = with_categories(sample) if by_category else sample
        return {**size, "objects": [{"phrases": list(item.phrases)} for item in shown.objects]}
    if task is Task.REASONING_SEGMENTATION:
        return {**size, "question": sample.question}
    return size if task is Task.CAPTIONING else {"caption": sample.caption, **size}
