"""Systems that look at nothing: no answer at all, and a box in the middle."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from mmud.annotations import tags
from mmud.annotations.runs import compress_runs
from mmud.baselines.base import Baseline, Options, Output
from mmud.records import PredictedMask, Prediction, Sample, Segmentation, Task


class Empty(Baseline):
    """No target and no word. It has no image to give and does no generation."""

    name: ClassVar[str] = "empty"
    title: ClassVar[str] = "no mask and no word: the lowest floor"
    tasks: ClassVar[tuple[Task, ...]] = (Task.REFERRING_SEGMENTATION, Task.REASONING_SEGMENTATION, Task.CAPTIONING)
    reads_images: ClassVar[bool] = False

    def answer(self, sample: Sample, task: Task) -> Output:
        masks = sample.objects if task is Task.REFERRING_SEGMENTATION else ()
        return Output(
            Prediction(sample_id=sample.sample_id, task=task, masks=tuple(PredictedMask() for _ in masks)),
        )


class CentreBoxOptions(Options):
    """
    Attributes:
        fraction: of the image's height and of its width that the box covers.
    """

    fraction: float = Field(default=0.5, gt=0.0, le=1.0, allow_inf_nan=False)


class CentreBox(Baseline):
    """A box in the middle of the image for every phrase, and one for every question. It sees the image's size alone."""

    name: ClassVar[str] = "centre-box"
    title: ClassVar[str] = "a box in the middle, whatever is asked"
    tasks: ClassVar[tuple[Task, ...]] = (Task.REFERRING_SEGMENTATION, Task.REASONING_SEGMENTATION)
    reads_images: ClassVar[bool] = False
    options_class: ClassVar[type[Options]] = CentreBoxOptions
    options: CentreBoxOptions

    def answer(self, sample: Sample, task: Task) -> Output:
        box = centre_box(sample.height, sample.width, self.options.fraction)
        if task is Task.REFERRING_SEGMENTATION:
            masks = tuple(PredictedMask(segmentation=box if item.phrases else None) for item in sample.objects)
            return Output(Prediction(sample_id=sample.sample_id, task=task, masks=masks))
        masks = (PredictedMask(segmentation=box, tag=1),)
        return Output(Prediction(sample_id=sample.sample_id, task=task, answer=tags.render(1), masks=masks))


def centre_box(height: int, width: int, fraction: float) -> Segmentation:
    """A box in the middle, of at least one pixel, made of runs without drawing it.

    Args:
        height, width: of the image, in pixels.
        fraction: of each side.
    """
    tall, wide = max(1, round(height * fraction)), max(1, round(width * fraction))
    top, left = (height - tall) // 2, (width - wide) // 2
    if tall == height:
        runs = [left * height, wide * height]
    else:
        runs = [left * height + top, *[tall, height - tall] * (wide - 1), tall]
    rest = height * width - sum(runs)
    counts = compress_runs([*runs, rest] if rest else runs)
    return Segmentation(size=(height, width), counts=counts.decode("ascii"))
