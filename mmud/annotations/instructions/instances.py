"""Task instances: what is asked about a sample in words, what is to be said, and which objects the tags stand for.

The paper's tags count the sample's objects, which nobody who sees the image alone can know. Here they count from 1 in the order
in which an answer mentions them; ``wanted`` says which object each is.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from mmud.annotations import tags
from mmud.annotations.instructions.templates import Purpose, load_templates
from mmud.records import Sample, Task

T = TypeVar("T")

GENERATION_TAG = "<GLB>"

TagPlaces = Literal["in_place", "appended"]
Naming = Literal["asked", "first", "none"]
"""What stands before a tag in referring answers: the phrase that was asked for, the object's first phrase, or nothing."""


@dataclass(frozen=True, slots=True)
class TaskInstance:
    """One thing that is asked.

    Attributes:
        sample_id: the sample's.
        task: which of the four.
        prompt: what is asked, in words.
        answer: what is to be said; None where it is not known.
        wanted: the mask of ``<LCL-k>`` is that of ``sample.objects[wanted[k - 1]]``; without an answer, the objects asked for.
        needs_image: whether the image stands before the prompt.
        part, parts: a sample with more objects than tags gives several instances; this is number ``part`` of them, from 0.
    """

    sample_id: str
    task: Task
    prompt: str
    answer: str | None
    wanted: tuple[int, ...] = ()
    needs_image: bool = True
    part: int = 0
    parts: int = 1


@dataclass
class InstanceReport:
    """What became of the samples: nothing is left out in silence.

    Attributes:
        made: task -> instances.
        left_out: (task, why) -> how many samples gave none, or how many objects or tags were passed over.
        split: task -> samples that gave several instances.
    """

    made: Counter[str] = field(default_factory=Counter)
    left_out: Counter[tuple[str, str]] = field(default_factory=Counter)
    split: Counter[str] = field(default_factory=Counter)

    def to_dict(self) -> dict[str, dict[str, int]]:
        """JSON-compatible."""
        left_out = {f"{task}: {why}": count for (task, why), count in sorted(self.left_out.items())}
        return {"made": dict(self.made), "left_out": left_out, "split": dict(self.split)}


@dataclass(frozen=True)
class _Making:
    """The settings of one call."""

    task: Task
    tag_limit: int
    rng: random.Random | None
    naming: Naming
    places: TagPlaces
    with_answer: bool
    purpose: Purpose
    report: InstanceReport

    def leave_out(self, why: str, count: int = 1) -> None:
        self.report.left_out[self.task.value, why] += count

    def phrasing(self) -> tuple[str, str]:
        return load_templates()[self.task, self.purpose].drawn(self.rng)


def task_instances(
    sample: Sample,
    task: Task,
    *,
    tag_limit: int,
    rng: random.Random | None = None,
    naming: Naming = "asked",
    places: TagPlaces = "in_place",
    with_answer: bool = True,
    purpose: Purpose = "train",
    report: InstanceReport | None = None,
) -> list[TaskInstance]:
    """What a sample gives for a task: usually one instance, several where it has more objects than tags, or none.

    Args:
        sample: with its labels, or with a task's inputs alone.
        task: one of the four.
        tag_limit: how many tags a model has.
        rng: draws phrasing, phrase and the objects' order; None takes the first of each.
        naming: what stands before each tag in referring answers.
        places: in reasoning, where the tags stand: where the sample has them, or at the answer's end as in the paper.
        with_answer: False where the answer is to be predicted. With it, objects without a mask are passed over.
        purpose: phrasings to train with, or those kept for testing.
        report: counts what was made and what was left out, and why.
    """
    if tag_limit < 1:
        raise ValueError(f"a model has at least one tag, not {tag_limit}")
    making = _Making(task, tag_limit, rng, naming, places, with_answer, purpose, report or InstanceReport())
    made = list(_MAKERS[task](sample, making))
    making.report.made[task.value] += len(made)
    if len(made) > 1:
        making.report.split[task.value] += 1
    return made


# -- the tasks -----------------------------------------------------------------------------------------------------------


def _referring(sample: Sample, making: _Making) -> Iterator[TaskInstance]:
    chosen = []
    for number, item in enumerate(sample.objects):
        phrases = [spoken for spoken in map(_spoken, item.phrases or (item.category,)) if spoken]
        if making.with_answer and item.segmentation is None:
            making.leave_out("objects without a mask")
        elif not phrases:
            making.leave_out("objects without a phrase")
        else:
            asked = making.rng.choice(phrases) if making.rng else phrases[0]
            chosen.append((number, asked, phrases[0] if making.naming == "first" else asked))
    if not chosen:
        making.leave_out("samples without objects")
    if making.rng:
        making.rng.shuffle(chosen)
    parts = _parts(chosen, making.tag_limit)
    for part, part_of in enumerate(parts):
        prompt, answer = making.phrasing()
        named = [
            tags.render(tag) if making.naming == "none" else f"{name} {tags.render(tag)}"
            for tag, (_, _, name) in enumerate(part_of, start=1)
        ]
        yield TaskInstance(
            sample.sample_id,
            making.task,
            prompt.replace("{phrases}", ", ".join(phrase for _, phrase, _ in part_of)),
            answer.replace("{objects}", ", ".join(named)) if making.with_answer else None,
            tuple(number for number, _, _ in part_of),
            part=part,
            parts=len(parts),
        )


def _reasoning(sample: Sample, making: _Making) -> Iterator[TaskInstance]:
    question = _one_line(tags.remove(sample.question))
    if not question:
        return making.leave_out("samples without a question")
    if not making.with_answer:
        yield TaskInstance(sample.sample_id, making.task, making.phrasing()[0].replace("{question}", question), None)
        return None
    if not tags.remove(sample.answer).strip():
        return making.leave_out("samples without an answer")
    answer = _one_line(tags.normalise(sample.answer))
    usable = []
    for index in tags.indices(answer):
        if not 1 <= index <= len(sample.objects):
            making.leave_out("tags of no object")
        elif sample.objects[index - 1].segmentation is None:
            making.leave_out("tags of objects without a mask")
        else:
            usable.append(index)
    parts = _parts(usable, making.tag_limit) or [[]]
    for part, kept in enumerate(parts):
        prompt, frame = making.phrasing()
        yield TaskInstance(
            sample.sample_id,
            making.task,
            prompt.replace("{question}", question),
            frame.replace("{answer}", _tagged(answer, kept, making.places)),
            tuple(index - 1 for index in kept),
            part=part,
            parts=len(parts),
        )
    return None


def _captioning(sample: Sample, making: _Making) -> Iterator[TaskInstance]:
    caption = _one_line(tags.remove(sample.caption))
    if making.with_answer and not caption:
        return making.leave_out("samples without a caption")
    prompt, frame = making.phrasing()
    answer = frame.replace("{caption}", caption) if making.with_answer else None
    yield TaskInstance(sample.sample_id, making.task, prompt, answer)
    return None


def _generation(sample: Sample, making: _Making) -> Iterator[TaskInstance]:
    caption = _one_line(tags.remove(sample.caption))
    if not caption:
        return making.leave_out("samples without a caption")
    prompt, answer = making.phrasing()
    yield TaskInstance(
        sample.sample_id,
        making.task,
        prompt.replace("{caption}", caption),
        answer if making.with_answer else None,
        needs_image=False,
    )
    return None


_MAKERS = {
    Task.REFERRING_SEGMENTATION: _referring,
    Task.REASONING_SEGMENTATION: _reasoning,
    Task.CAPTIONING: _captioning,
    Task.GENERATION: _generation,
}


# -- texts ---------------------------------------------------------------------------------------------------------------


def _parts(items: Sequence[T], size: int) -> list[list[T]]:
    """The items in as few, evenly filled parts as hold them: 6 by 5 gives 3 and 3, not 5 and 1."""
    count = -(-len(items) // size)
    bounds = [len(items) * part // count for part in range(count + 1)] if count else [0]
    return [list(items[start:end]) for start, end in itertools.pairwise(bounds)]


def _one_line(text: str) -> str:
    return " ".join(text.replace(GENERATION_TAG, " ").split())


def _spoken(phrase: str) -> str:
    """A phrase as part of a list: without tags, and without the commas that would part it from itself."""
    return _one_line(tags.remove(phrase).replace(",", " ")).rstrip(".")


def _tagged(answer: str, kept: Sequence[int], places: TagPlaces) -> str:
    """The answer with the kept tags, counted from 1 in this order; the others are gone."""
    numbers = {old: new for new, old in enumerate(kept, start=1)}
    if places == "appended":
        return " ".join([tags.remove(answer), *map(tags.render, numbers.values())])
    pieces, end = [], 0
    for tag in tags.parse(answer):
        before = answer[end : tag.start]
        if tag.index in numbers:
            pieces += [before, tags.render(numbers[tag.index])]
        else:
            # The space before a tag goes with it, unless a word follows at once.
            follows = answer[tag.end : tag.end + 1]
            pieces.append(before.rstrip() + (" " if follows.isalnum() else ""))
        end = tag.end
    return "".join([*pieces, answer[end:]]).strip()
