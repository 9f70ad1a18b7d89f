"""What each task asks of a sample: which samples have labels for it, and how long a label is."""

from __future__ import annotations

from mmud.annotations import tags
from mmud.dataset.image_groups import image_key
from mmud.evaluators.checking import Expected
from mmud.evaluators.segmentation.cases import scored_objects
from mmud.records import Sample, Task


def has_labels(sample: Sample, task: Task) -> bool:
    """Whether a sample takes part in a task, so that a prediction is required of it.

    Referring needs an object with a mask and a phrase; reasoning a question and its answer; captioning and generation a
    caption.
    """
    if task is Task.REFERRING_SEGMENTATION:
        return bool(scored_objects(sample, task))
    if task is Task.REASONING_SEGMENTATION:
        return bool(sample.question.strip() and sample.answer.strip())
    return bool(sample.caption.strip())


def label_text(sample: Sample, task: Task) -> str:
    """The text that a task's label is or goes with: the caption, the answer without tags, the first phrases."""
    if task is Task.REFERRING_SEGMENTATION:
        return " ".join(sample.objects[index].phrases[0] for index in scored_objects(sample, task))
    if task is Task.REASONING_SEGMENTATION:
        return tags.remove(sample.answer)
    return sample.caption


def expected_of(sample: Sample) -> Expected:
    """What is known of a sample's prediction before it is read."""
    return Expected(sample.height, sample.width, len(sample.objects))


def image_of(sample: Sample) -> str:
    """The name of a sample's image, which samples of other sources may share; the sample's own id where it has none."""
    return image_key(sample.source, sample.source_image_id) or f"sample:{sample.sample_id}"
