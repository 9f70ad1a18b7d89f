"""What the harness needs to know of a sample: how long its label is, what its prediction must be like, its image."""

from __future__ import annotations

from mmud.annotations import tags
from mmud.annotations.asking import asked_objects, expression_of
from mmud.dataset.image_groups import image_key
from mmud.evaluators.checking import Expected
from mmud.records import Sample, Task


def label_text(sample: Sample, task: Task, by_category: bool = False) -> str:
    """The text that a task's label is or goes with: the caption, the answer without tags, the first phrases."""
    if task is Task.REFERRING_SEGMENTATION:
        return " ".join(expression_of(sample.objects[index]) for index in asked_objects(sample, task, by_category))
    if task is Task.REASONING_SEGMENTATION:
        return tags.remove(sample.answer)
    return sample.caption


def expected_of(sample: Sample) -> Expected:
    """What is known of a sample's prediction before it is read."""
    return Expected(sample.height, sample.width, len(sample.objects))


def image_of(sample: Sample) -> str:
    """The name of a sample's image, which samples of other sources may share; the sample's own id where it has none."""
    return image_key(sample.source, sample.source_image_id) or f"sample:{sample.sample_id}"
