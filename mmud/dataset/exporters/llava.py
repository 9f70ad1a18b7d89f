"""LLaVA's conversations: one json list a split, one conversation a task of a sample, tags kept in the text.

LLaVA's loader reads ``id``, ``image`` and ``conversations`` and leaves other keys alone; the key ``objects`` beside them holds
what the tags point at. The prompts are one fixed sentence a task: whoever wants variety rewrites them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from mmud.annotations import tags
from mmud.dataset.exporters.base import Exporter, Item
from mmud.dataset.exporters.streams import JsonArray, json_list
from mmud.records import Sample, Task

IMAGE_TOKEN = "<image>"
IMAGE_OUTPUT_TOKEN = "<GLB>"
"""The paper's token for an image to be drawn."""

_NOWHERE = "a conversation has an image, texts and what its tags point at, and no place for it"
_UNASKED = "objects without a phrase"
_UNANSWERED = "questions without an answer, or answers without a question"


class LlavaExporter(Exporter):
    """``llava_SPLIT.json`` and ``images/``."""

    name: ClassVar[str] = "llava"
    title: ClassVar[str] = "LLaVA conversations for the four tasks, tags kept"
    reads_masks: ClassVar[bool] = True
    cannot_hold: ClassVar[Mapping[str, str]] = {
        "polygons": "what a tag points at is given as an RLE",
        "areas": _NOWHERE,
        "category ids": _NOWHERE,
        "ref ids": _NOWHERE,
        "annotation ids": _NOWHERE,
        "source image ids": _NOWHERE,
        "sources": _NOWHERE,
        "licences": _NOWHERE,
        "provenance": _NOWHERE,
        _UNASKED: "nothing asks for them; those that the answer tags stay with the reasoning conversation",
        _UNANSWERED: "a conversation has both sides; these are left out",
    }
    tasks: ClassVar[tuple[Task, ...]] = tuple(Task)
    default_tasks: ClassVar[tuple[Task, ...]] = tuple(Task)

    def losses(self, sample: Sample) -> Iterator[tuple[str, int]]:
        if Task.REFERRING_SEGMENTATION in self.job.tasks:
            yield _UNASKED, sum(not item.phrases for item in sample.objects)
        if Task.REASONING_SEGMENTATION in self.job.tasks:
            yield _UNANSWERED, bool(sample.question) != bool(sample.answer)

    def write_split(self, split: str, items: Iterator[Item]) -> None:
        with json_list(self.job.folder / f"llava_{self.job.split_stem(split)}.json") as array:
            for item in items:
                name = self.job.image_name(item, "images")
                self.job.save_image(item, f"images/{name}", split)
                for task in self.job.tasks:
                    turns = _TURNS[task](item.sample)
                    if turns:
                        self._add(array, item, task, name, turns)

    def _add(self, array: JsonArray, item: Item, task: Task, name: str, turns: Sequence[tuple[str, str]]) -> None:
        first, *rest = turns
        drawn = task is Task.GENERATION
        if not drawn:
            first = (f"{IMAGE_TOKEN}\n{first[0]}", first[1])
        row: dict[str, Any] = {"id": f"{item.sample.sample_id}/{task}"}
        # The image of a generation conversation is its answer: under "image" a loader would show it with the question.
        row["target_image" if drawn else "image"] = name
        row["conversations"] = [
            {"from": speaker, "value": text}
            for turn in (first, *rest)
            for speaker, text in zip(("human", "gpt"), turn, strict=True)
        ]
        numbers = tags.indices(" ".join(answer for _, answer in turns)) if task in _TAGGED else []
        if numbers:
            row["objects"] = [_object(item, number) for number in numbers if 1 <= number <= len(item.sample.objects)]
        array.add(row)
        self.job.counts[f"{task} conversations"] += 1


def _object(item: Item, number: int) -> dict[str, Any]:
    masked = item.sample.objects[number - 1]
    mask = item.mask(number)
    return {
        "tag": tags.render(number),
        "category": masked.category,
        "bbox": list(masked.bbox),
        "iscrowd": int(masked.iscrowd),
        "segmentation": None if mask is None else mask.to_json(),
    }


def _referring(sample: Sample) -> list[tuple[str, str]]:
    """Turn k asks for every object that has a k-th phrase, by that phrase: each phrase is used, and used once."""
    turns = []
    for k in range(max((len(item.phrases) for item in sample.objects), default=0)):
        asked = [(number, item.phrases[k]) for number, item in enumerate(sample.objects, 1) if len(item.phrases) > k]
        wanted = "\n".join(phrase for _, phrase in asked)
        turns.append((f"Segment each of these:\n{wanted}", ", ".join(tags.render(number) for number, _ in asked)))
    return turns


def _reasoning(sample: Sample) -> list[tuple[str, str]]:
    return [(sample.question, sample.answer)] if sample.question and sample.answer else []


def _captioning(sample: Sample) -> list[tuple[str, str]]:
    return [("Describe the image in detail.", sample.caption)] if sample.caption else []


def _generation(sample: Sample) -> list[tuple[str, str]]:
    return [(f"Draw this:\n{sample.caption}", IMAGE_OUTPUT_TOKEN)] if sample.caption else []


_TURNS = {
    Task.REFERRING_SEGMENTATION: _referring,
    Task.REASONING_SEGMENTATION: _reasoning,
    Task.CAPTIONING: _captioning,
    Task.GENERATION: _generation,
}
_TAGGED = (Task.REFERRING_SEGMENTATION, Task.REASONING_SEGMENTATION)
