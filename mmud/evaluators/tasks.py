"""What each task asks of a sample: which samples have labels for it, and how long a label is."""

from __future__ import annotations

from mmud.annotations import tags
from mmud.dataset.image_groups import image_key
from mmud.dataset.store import Dataset
from mmud.evaluators.checking import Expected
from mmud.evaluators.segmentation.cases import expression_of, scored_objects
from mmud.records import Sample, Task


def has_labels(sample: Sample, task: Task, by_category: bool = False) -> bool:
    """Whether a sample takes part in a task, so that a prediction is required of it.

    Referring needs an object with a mask and a phrase (any object with a mask where objects are asked for by category);
    reasoning a question and its answer; captioning and generation a caption.
    """
    if task is Task.REFERRING_SEGMENTATION:
        return bool(scored_objects(sample, task, by_category))
    if task is Task.REASONING_SEGMENTATION:
        return bool(sample.question.strip() and sample.answer.strip())
    return bool(sample.caption.strip())


def asks_by_category(dataset: Dataset, split: str) -> bool:
    """Whether referring must ask by category, because no object of the split has a phrase (as in plain COCO)."""
    for batch in dataset.batches(split, ("objects.list.element.phrases",), rows=4096):
        phrases = batch.table.column(0).flatten().field("phrases")
        if len(phrases.flatten()):
            return False
    return True


def label_text(sample: Sample, task: Task, by_category: bool = False) -> str:
    """The text that a task's label is or goes with: the caption, the answer without tags, the first phrases."""
    if task is Task.REFERRING_SEGMENTATION:
        return " ".join(expression_of(sample.objects[index]) for index in scored_objects(sample, task, by_category))
    if task is Task.REASONING_SEGMENTATION:
        return tags.remove(sample.answer)
    return sample.caption


def expected_of(sample: Sample) -> Expected:
    """What is known of a sample's prediction before it is read."""
    return Expected(sample.height, sample.width, len(sample.objects))


def image_of(sample: Sample) -> str:
    """The name of a sample's image, which samples of other sources may share; the sample's own id where it has none."""
    return image_key(sample.source, sample.source_image_id) or f"sample:{sample.sample_id}"
