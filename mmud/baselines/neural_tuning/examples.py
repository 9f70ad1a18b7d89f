"""From a dataset to batches of examples: which samples a task can learn from, in which order, with which words."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from math import lcm
from typing import Any

import torch
from torch import nn

from mmud.annotations.instructions import InstanceReport, TaskInstance
from mmud.baselines import codes as baseline_codes
from mmud.baselines.base import ProgressFactory, silent
from mmud.baselines.neural_tuning.config import NeuralTuningConfig
from mmud.baselines.neural_tuning.interfaces import Batch, ImageFeatures
from mmud.baselines.neural_tuning.masks import mask_targets
from mmud.baselines.neural_tuning.model import NeuralTuningModel
from mmud.baselines.training.order import Draw, Order
from mmud.dataset.store import Dataset
from mmud.errors import MmudError
from mmud.records import Task

_SAMPLES_KEPT = 64

Lookup = Callable[[int], ImageFeatures]
"""From a position in a split to what is kept of its image."""


@dataclass(frozen=True)
class Piece:
    """Part of a step's batch, and what the whole step holds: the parts' losses add up to that of the step in one piece.

    Attributes:
        batch: the examples.
        tokens, masks, images: of the whole step, at least 1 each.
    """

    batch: Batch
    tokens: int
    masks: int
    images: int


class Learner(nn.Module):
    """The model as the trainer sees it.

    Args:
        model: on its device.
    """

    def __init__(self, model: NeuralTuningModel) -> None:
        super().__init__()
        self.model = model

    def loss(self, piece: Piece) -> dict[str, torch.Tensor]:
        """The piece's share of the step's losses; means over the tokens, masks and images of the whole step."""
        parts = self.model.losses(piece.batch.to(self.model.device))
        text = parts.text.sum() / piece.tokens
        mask = parts.mask.sum() / piece.masks
        feature = parts.feature.sum() / piece.images
        weights = self.model.config.loss
        total = weights.text * text + weights.mask * mask + weights.feature * feature
        return {"total": total, "text": text, "mask": mask, "feature": feature}

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return self.model.parameter_groups()

    def trainable_state(self) -> dict[str, torch.Tensor]:
        return self.model.trainable_state()

    def load_trainable_state(self, state: Mapping[str, torch.Tensor]) -> None:
        self.model.load_trainable_state(state)


def whole_weights(shares: Sequence[float]) -> dict[str, int]:
    """Shares of a batch as small whole numbers, task by task in the order of the shares."""
    fractions = [Fraction(share).limit_denominator(48) for share in shares]
    common = lcm(*(one.denominator for one in fractions))
    tasks = (Task.REFERRING_SEGMENTATION, Task.REASONING_SEGMENTATION, Task.CAPTIONING, Task.GENERATION)
    return {task.value: int(one * common) for task, one in zip(tasks, fractions, strict=True)}


@dataclass
class ExampleIndex:
    """Which samples of a split a model can learn each task from.

    Attributes:
        split: of the dataset.
        positions: task -> positions in the split.
        report: what was made, and what was left out and why.
    """

    split: str
    positions: dict[str, list[int]]
    report: InstanceReport = field(default_factory=InstanceReport)

    @property
    def total(self) -> int:
        return sum(map(len, self.positions.values()))


def index_examples(
    dataset: Dataset,
    split: str,
    model: NeuralTuningModel,
    *,
    limit: int | None = None,
    progress: ProgressFactory = silent,
) -> ExampleIndex:
    """Look through a split once.

    Args:
        dataset: to learn from.
        split: of it.
        model: says which prompts are too long.
        limit: only the first samples.
        progress: for a person.

    Raises:
        MmudError: MM947 when there is nothing to learn any task from.
    """
    index = ExampleIndex(split, {task.value: [] for task in Task})
    text = model.config.text
    length = dataset.length(split) if limit is None else min(limit, dataset.length(split))
    with progress("samples looked at", length) as bar:
        for position, sample in enumerate(dataset.samples(split)):
            if position >= length:
                break
            for task in Task:
                made = model.wording.instances(sample, task, report=index.report)
                if any(_fits(model, instance) for instance in made):
                    index.positions[task.value].append(position)
                elif made:
                    index.report.left_out[task.value, f"prompts over {text.max_length} tokens"] += 1
            bar.advance()
    if not index.total:
        why = "; ".join(f"{count} {reason} ({task})" for (task, reason), count in index.report.left_out.items())
        raise MmudError(
            baseline_codes.NOTHING_TO_FIT, f"{split} has nothing to learn from: {why or 'it has no samples'}"
        )
    return index


_SPECIAL_TOKENS = 32
"""More than any template or begin adds."""


def _fits(model: NeuralTuningModel, instance: TaskInstance) -> bool:
    frame = model.config.text.prompt_format
    longest = len(instance.prompt) + len(frame) + _SPECIAL_TOKENS
    if frame != "chat" and instance.prompt.isascii() and longest < model.config.text.max_length:
        # No tokenizer makes more tokens than there are ASCII characters, so the many short prompts need not be counted.
        return True
    return model.wording.lengths(instance)[0] < model.config.text.max_length


class Examples:
    """Examples of a split, made when they are asked for.

    Args:
        dataset: to learn from.
        index: of its split.
        model: makes the batches.
        features: what is kept of the split's images.
        targets: what ``<GLB>`` predicts of them.
    """

    def __init__(
        self,
        dataset: Dataset,
        index: ExampleIndex,
        model: NeuralTuningModel,
        features: Lookup,
        targets: Callable[[int], torch.Tensor],
    ) -> None:
        self._index = index
        self._model = model
        self._features = features
        self._targets = targets
        # The published code compares and trains with the nearest pixel; a cell's covered share carries more.
        self._nearest = model.config.preset == "paper"
        # A step asks for each of its samples when it chooses the words, and again for the masks.
        self._sample = lru_cache(_SAMPLES_KEPT)(lambda position: dataset.sample(index.split, position))

    def drawn(self, draw: Draw, seed: int) -> tuple[TaskInstance, int]:
        """The instance that a draw stands for, and its sample's position: words, phrases and order drawn from seed and draw."""
        task = Task(draw.kind)
        position = self._index.positions[task.value][draw.index]
        rng = random.Random(f"{seed} {task.value} {draw.number}")
        made = self._model.wording.instances(self._sample(position), task, rng=rng)
        fitting = [instance for instance in made if _fits(self._model, instance)]
        # A drawn phrasing may be longer than the plain one, which is known to fit.
        return rng.choice(fitting or self.plain(task, position)), position

    def plain(self, task: Task, position: int) -> list[TaskInstance]:
        """The instances of a sample in the plainest words."""
        made = self._model.wording.instances(self._sample(position), task)
        return [instance for instance in made if _fits(self._model, instance)]

    def collated(self, chosen: Sequence[tuple[TaskInstance, int]]) -> Batch:
        """A batch of instances, each with its sample's position."""
        masks: list[torch.Tensor | None] = []
        targets: list[torch.Tensor | None] = []
        for instance, position in chosen:
            sample = self._sample(position) if instance.wanted else None
            masks.append(
                None
                if sample is None
                else mask_targets(sample, instance.wanted, self._model.mask_size, nearest=self._nearest)
            )
            targets.append(self._targets(position) if instance.task is Task.GENERATION else None)
        features = [self._features(position) if instance.needs_image else None for instance, position in chosen]
        return self._model.collate([instance for instance, _ in chosen], features, masks, targets)


class ExampleSource:
    """Batches for the trainer.

    Args:
        examples: of the split.
        index: of it.
        config: the settings; its shares of tasks mix the batches.
        batch: examples a step.
        accumulate: pieces that a step is computed in.
        seed: of order and words.
    """

    def __init__(
        self,
        examples: Examples,
        index: ExampleIndex,
        config: NeuralTuningConfig,
        batch: int,
        accumulate: int,
        seed: int,
    ) -> None:
        self._examples = examples
        counts = {task: len(positions) for task, positions in index.positions.items()}
        weights = whole_weights(config.training.task_shares)
        if not any(counts[task] and weights[task] for task in counts):
            message = "the tasks that have a share of the batch have no examples in this split"
            raise MmudError(baseline_codes.NOTHING_TO_FIT, message)
        self._order = Order(counts, weights, batch, seed)
        self._accumulate = accumulate
        self._seed = seed
        self.kinds = self._order.kinds

    def micro_batches(self, step: int) -> Iterator[tuple[Piece, float]]:
        """The step's pieces; their losses are shares of the step's already."""
        chosen = [self._examples.drawn(draw, self._seed) for draw in self._order.step(step)]
        count = min(self._accumulate, len(chosen))
        bounds = [len(chosen) * number // count for number in range(count + 1)]
        batches = [self._examples.collated(chosen[start:end]) for start, end in itertools.pairwise(bounds)]
        whole = _totals(batches)
        for batch in batches:
            yield replace(whole, batch=batch), 1.0


def _totals(batches: Sequence[Batch]) -> Piece:
    tokens = sum(int((batch.labels != -100).sum()) for batch in batches)
    masks = sum(len(batch.tag_rows) for batch in batches)
    images = sum(len(batch.image_rows) for batch in batches)
    return Piece(batches[0], max(tokens, 1), max(masks, 1), max(images, 1))


class Validation:
    """Losses on the first examples of the valid split, each in its plainest words: the same ones every time.

    Args:
        examples: of the valid split.
        index: of it.
        learner: the model.
        limit: so many samples of each task.
        batch: examples at a time.
        kinds: the tasks that are trained.
    """

    def __init__(
        self, examples: Examples, index: ExampleIndex, learner: Learner, limit: int, batch: int, kinds: Sequence[str]
    ) -> None:
        self._examples = examples
        self._learner = learner
        self._chosen = [(task, position) for task in kinds for position in index.positions[task][:limit]]
        self._batch = batch

    def __len__(self) -> int:
        return len(self._chosen)

    def __call__(self) -> dict[str, float]:
        sums: dict[str, Any] = {"text": 0.0, "mask": 0.0, "feature": 0.0}
        counts = dict.fromkeys(sums, 0)
        model = self._learner.model
        chosen = [
            (instance, position)
            for task, position in self._chosen
            for instance in self._examples.plain(Task(task), position)
        ]
        for start in range(0, len(chosen), self._batch):
            now = chosen[start : start + self._batch]
            parts = model.losses(self._examples.collated(now).to(model.device))
            for name, values, count in (
                ("text", parts.text, int(parts.tokens.sum())),
                ("mask", parts.mask, len(parts.mask)),
                ("feature", parts.feature, len(parts.feature)),
            ):
                sums[name] += float(values.double().sum())
                counts[name] += count
        means = {name: sums[name] / max(counts[name], 1) for name in sums}
        weights = model.config.loss
        total = weights.text * means["text"] + weights.mask * means["mask"] + weights.feature * means["feature"]
        return {"total": total, **means}
