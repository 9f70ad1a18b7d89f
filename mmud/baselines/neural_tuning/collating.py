"""From samples to task instances in words, and from those to a batch of tensors: any size, any mix of tasks."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from mmud.annotations.instructions import InstanceReport, Purpose, TaskInstance, task_instances
from mmud.baselines.neural_tuning import codes
from mmud.baselines.neural_tuning.config import TextConfig
from mmud.baselines.neural_tuning.interfaces import Batch, ImageFeatures
from mmud.baselines.neural_tuning.tokens import TagTokens
from mmud.errors import MmudError, Place
from mmud.records import Sample, Task

IGNORED = -100
"""The label of what is not to be predicted, as in torch's cross-entropy."""


class Wording:
    """What a sample is asked and what is to be said, as the settings have it, and as token ids.

    Args:
        tokenizer: with the tags.
        tags: their ids.
        config: how a task is put into words.
    """

    def __init__(self, tokenizer: Any, tags: TagTokens, config: TextConfig) -> None:
        self.tokenizer = tokenizer
        self.tags = tags
        self.config = config
        begin = tokenizer.bos_token_id
        starts = tokenizer("a")["input_ids"]
        # Some tokenizers have a begin token that they never write.
        self._begin = [begin] if begin is not None and starts[:1] == [begin] else []

    def instances(
        self,
        sample: Sample,
        task: Task,
        *,
        rng: random.Random | None = None,
        with_answer: bool = True,
        purpose: Purpose = "train",
        report: InstanceReport | None = None,
    ) -> list[TaskInstance]:
        """`task_instances` by the settings; with plain templates ``rng`` draws nothing."""
        return task_instances(
            sample,
            task,
            tag_limit=self.config.tag_limit,
            rng=None if self.config.templates == "plain" else rng,
            naming=self.config.naming,
            places=self.config.tags,
            with_answer=with_answer,
            purpose=purpose,
            report=report,
        )

    def begin(self) -> list[int]:
        """What stands at the begin of every text; empty where a chat template writes it itself."""
        return [] if self.config.prompt_format == "chat" else self._begin

    def prompt(self, instance: TaskInstance) -> list[int]:
        """The prompt without the begin."""
        if self.config.prompt_format == "chat":
            turn = [{"role": "user", "content": instance.prompt}]
            text = self.tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        else:
            text = self.config.prompt_format.replace("{prompt}", instance.prompt)
        return self._ids(text)

    def answer(self, instance: TaskInstance) -> list[int]:
        """The answer, and the token that ends it; empty where there is none."""
        if instance.answer is None:
            return []
        return [*self._ids(instance.answer), self.tokenizer.eos_token_id]

    def lengths(self, instance: TaskInstance) -> tuple[int, int]:
        """Tokens of prompt and answer: what is over ``max_length`` together can be left out before training."""
        return len(self.begin()) + len(self.prompt(instance)), len(self.answer(instance))

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids


@dataclass
class _Row:
    """One sequence before it is padded."""

    ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    image: list[bool] = field(default_factory=list)
    answer_start: int = 0

    def add(self, ids: Sequence[int], *, predicted: bool = False) -> None:
        """Text: each token has the next position."""
        start = self.positions[-1] + 1 if self.positions else 0
        self.ids += ids
        self.labels += ids if predicted else [IGNORED] * len(ids)
        self.positions += range(start, start + len(ids))
        self.image += [False] * len(ids)

    def add_image(self, count: int, one_position: bool) -> None:
        start = self.positions[-1] + 1 if self.positions else 0
        self.ids += [0] * count
        self.labels += [IGNORED] * count
        self.positions += [start] * count if one_position else range(start, start + count)
        self.image += [True] * count


@dataclass
class _Tag:
    """A tag of a row: its number, the position that predicts it, and those of the words that lead to it."""

    row: int
    number: int
    position: int
    span: list[int]


class Collator:
    """Makes batches.

    Args:
        wording: texts to tokens.
        image_tokens: how many tokens an image takes.
        window: how many words before a tag the mask decoder may read.
    """

    def __init__(self, wording: Wording, image_tokens: int, window: int) -> None:
        self.wording = wording
        self.image_tokens = image_tokens
        self.window = window

    def __call__(
        self,
        instances: Sequence[TaskInstance],
        features: Sequence[ImageFeatures | None],
        masks: Sequence[torch.Tensor | None] | None = None,
        feature_targets: Sequence[torch.Tensor | None] | None = None,
        *,
        answers: Sequence[Sequence[int]] | None = None,
        for_generation: bool = False,
    ) -> Batch:
        """See `interfaces.TunedModel.collate`.

        Raises:
            MmudError: MM912 for a prompt that is too long, MM913 when something that an instance needs is missing.
        """
        for name, given in (
            ("features", features),
            ("masks", masks),
            ("feature_targets", feature_targets),
            ("answers", answers),
        ):
            if given is not None and len(given) != len(instances):
                message = f"{len(instances)} instances, and {name} of {len(given)}"
                raise MmudError(codes.BATCH_INCOMPLETE, message)
        if not instances:
            raise MmudError(codes.BATCH_INCOMPLETE, "a batch of no instances")
        said = [
            [] if for_generation else (list(answers[number]) if answers is not None else self.wording.answer(instance))
            for number, instance in enumerate(instances)
        ]
        rows = [self._row(instance, answer) for instance, answer in zip(instances, said, strict=True)]
        offsets = _offsets(rows, left=for_generation)
        found = [
            tag
            for number, row in enumerate(rows)
            for tag in self._tags(number, row, instances[number].task, offsets[number])
        ]
        objects = [tag for tag in found if tag.number]
        images = [tag for tag in found if not tag.number]
        with_image = [number for number, instance in enumerate(instances) if instance.needs_image]
        image_of_row = torch.full((len(instances),), -1)
        image_of_row[with_image] = torch.arange(len(with_image))
        spans, span_mask = _spans(objects)
        image_spans, image_span_mask = _spans(images)
        return Batch(
            instances=tuple(instances),
            **_padded(rows, offsets),
            image_of_row=image_of_row,
            features=_stacked_features(instances, features, with_image),
            tag_rows=_column(tag.row for tag in objects),
            tag_positions=_column(tag.position for tag in objects),
            tag_numbers=_column(tag.number for tag in objects),
            tag_spans=spans,
            tag_span_mask=span_mask,
            masks=None if masks is None else _stacked_masks(instances, masks, objects),
            image_rows=_column(tag.row for tag in images),
            image_positions=_column(tag.position for tag in images),
            image_spans=image_spans,
            image_span_mask=image_span_mask,
            feature_targets=None
            if feature_targets is None
            else _stacked_targets(instances, feature_targets, [tag.row for tag in images]),
        )

    def _row(self, instance: TaskInstance, answer: Sequence[int]) -> _Row:
        config = self.wording.config
        begin, prompt = self.wording.begin(), self.wording.prompt(instance)
        room = config.max_length - len(begin) - len(prompt)
        if room < 1:
            message = f"the prompt has {len(begin) + len(prompt)} tokens; max_length is {config.max_length}"
            raise MmudError(codes.TOO_LONG, message, Place(sample=instance.sample_id))
        row = _Row()
        if config.begin == "before_image":
            row.add(begin)
        if instance.needs_image:
            row.add_image(self.image_tokens, config.image_positions == "one")
        if config.begin == "after_image":
            row.add(begin)
        row.add(prompt)
        row.answer_start = len(row.ids)
        row.add(list(answer)[:room], predicted=True)
        return row

    def _tags(self, number: int, row: _Row, task: Task, offset: int) -> list[_Tag]:
        """The distinct tags of an answer, each where it stands first."""
        found: dict[int, _Tag] = {}
        # The words of the first tag begin with the answer, or are the prompt's last where the answer begins with the tag.
        last = row.answer_start - 1
        for position in range(row.answer_start, len(row.ids)):
            tag = self.wording.tags.number(row.ids[position])
            if tag is None:
                continue
            if tag == 0 and task is Task.GENERATION and 0 not in found:
                span = [place for place in range(position) if not row.image[place]]
                found[0] = _Tag(number, 0, offset + position - 1, [offset + place for place in span])
            elif tag and tag not in found:
                start = max(min(last + 1, position - 1), position - self.window)
                found[tag] = _Tag(number, tag, offset + position - 1, list(range(offset + start, offset + position)))
            last = position
        return [found[tag] for tag in sorted(found)]


def _offsets(rows: Sequence[_Row], left: bool) -> list[int]:
    """Where each row begins among the padded positions."""
    longest = max(len(row.ids) for row in rows)
    return [longest - len(row.ids) if left else 0 for row in rows]


def _padded(rows: Sequence[_Row], offsets: Sequence[int]) -> dict[str, torch.Tensor]:
    shape = (len(rows), max(len(row.ids) for row in rows))
    tensors = {
        "input_ids": torch.zeros(shape, dtype=torch.long),
        "labels": torch.full(shape, IGNORED),
        "attention_mask": torch.zeros(shape, dtype=torch.long),
        "position_ids": torch.zeros(shape, dtype=torch.long),
        "image_slots": torch.zeros(shape, dtype=torch.bool),
    }
    for number, (row, start) in enumerate(zip(rows, offsets, strict=True)):
        places = slice(start, start + len(row.ids))
        tensors["input_ids"][number, places] = torch.tensor(row.ids)
        tensors["labels"][number, places] = torch.tensor(row.labels)
        tensors["attention_mask"][number, places] = 1
        tensors["position_ids"][number, places] = torch.tensor(row.positions)
        tensors["image_slots"][number, places] = torch.tensor(row.image)
    return tensors


def _column(values: Any) -> torch.Tensor:
    return torch.tensor(list(values), dtype=torch.long)


def _spans(tags: Sequence[_Tag]) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max((len(tag.span) for tag in tags), default=1)
    spans = torch.zeros(len(tags), longest, dtype=torch.long)
    mask = torch.zeros(len(tags), longest, dtype=torch.bool)
    for number, tag in enumerate(tags):
        spans[number, : len(tag.span)] = torch.tensor(tag.span)
        mask[number, : len(tag.span)] = True
    return spans, mask


def _stacked_features(
    instances: Sequence[TaskInstance], features: Sequence[ImageFeatures | None], rows: Sequence[int]
) -> ImageFeatures:
    given = []
    for number in rows:
        own = features[number]
        if own is None:
            place = Place(sample=instances[number].sample_id)
            raise MmudError(codes.BATCH_INCOMPLETE, "the instance needs its image's features", place)
        given.append(own)
    return tuple(torch.stack(layer) for layer in zip(*given, strict=True))


def _stacked_masks(
    instances: Sequence[TaskInstance], masks: Sequence[torch.Tensor | None], tags: Sequence[_Tag]
) -> torch.Tensor:
    found = []
    for tag in tags:
        own = masks[tag.row]
        if own is None or len(own) < tag.number:
            message = f"the instance says <LCL-{tag.number}> and has {0 if own is None else len(own)} masks"
            raise MmudError(codes.BATCH_INCOMPLETE, message, Place(sample=instances[tag.row].sample_id))
        found.append(own[tag.number - 1].float())
    return torch.stack(found) if found else torch.empty(0, 1, 1)


def _stacked_targets(
    instances: Sequence[TaskInstance], targets: Sequence[torch.Tensor | None], rows: Sequence[int]
) -> torch.Tensor:
    found = []
    for row in rows:
        own = targets[row]
        if own is None:
            place = Place(sample=instances[row].sample_id)
            raise MmudError(codes.BATCH_INCOMPLETE, "the instance generates an image and has no feature of it", place)
        found.append(own.float())
    return torch.stack(found) if found else torch.empty(0, 1)
