"""From samples to predictions: prompts in batches of like length, greedy answers, a mask for each tag, a feature for <GLB>."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from mmud.annotations import tags
from mmud.annotations.instructions import TaskInstance
from mmud.annotations.instructions.instances import GENERATION_TAG
from mmud.annotations.masks import Mask
from mmud.baselines.base import Output
from mmud.baselines.neural_tuning.features import pixels_of
from mmud.baselines.neural_tuning.generating import KeptStates, generate, length_buckets
from mmud.baselines.neural_tuning.interfaces import ImageDecoder, ImageFeatures
from mmud.baselines.neural_tuning.masks import binary_masks
from mmud.baselines.neural_tuning.model import NeuralTuningModel, tag_states
from mmud.baselines.neural_tuning.options import NeuralTuningOptions
from mmud.baselines.training.faults import memory_explained
from mmud.images import Pixels
from mmud.records import PredictedMask, Prediction, Sample, Task

_BEFORE_TAG = re.compile(r"[ \t]*(<LCL-\d+>)")
ADVICE = "Give a smaller --set predict_batch."


@dataclass
class Asked:
    """A sample with what is asked of it: several instances where it has more objects than there are tags."""

    sample: Sample
    instances: list[TaskInstance]
    length: int


@dataclass
class Answer:
    """What was said to one instance.

    Attributes:
        tokens: without the one that ends an answer.
        tags: how many were wanted and said; None where nobody says how many there should be.
        masks: number of a tag -> its mask at the sample's size.
        feature: of the image to be drawn.
    """

    tokens: list[int]
    tags: tuple[int, int] | None = None
    masks: dict[int, NDArray[np.bool_]] = field(default_factory=dict)
    feature: torch.Tensor | None = None


class Answerer:
    """Answers any task.

    Args:
        model: on its device, switched to evaluation.
        decoder: draws images; None gives features alone.
        options: batch size, phrasing, bounds.
        seed: of image decoders that draw at random; each sample has its own, whatever the batch.
    """

    def __init__(
        self, model: NeuralTuningModel, decoder: ImageDecoder | None, options: NeuralTuningOptions, seed: int
    ) -> None:
        self._model = model
        self._decoder = decoder
        self._options = options
        self._seed = seed

    def outputs(self, samples: Iterator[Sample], task: Task) -> Iterator[Output]:
        """One output a sample, in the order of lengths.

        Raises:
            MmudError: MM912 for a prompt that is too long, MM920 when memory is not enough, MM502 for a broken image.
        """
        asked = (self._asked(sample, task) for sample in samples)
        for batch in length_buckets(asked, lambda one: one.length, self._options.predict_batch):
            with memory_explained("predicting", ADVICE), self._precision():
                answers = self._answers(batch, task)
            yield from self._predictions(batch, answers, task)

    def _precision(self) -> AbstractContextManager[Any]:
        if self._model.config.training.precision == "fp32":
            return nullcontext()
        return torch.autocast(self._model.device.type, dtype=torch.bfloat16)

    def _asked(self, sample: Sample, task: Task) -> Asked:
        purpose = self._options.phrasing
        instances = self._model.wording.instances(sample, task, with_answer=False, purpose=purpose)
        lengths = [self._model.wording.lengths(instance)[0] for instance in instances]
        return Asked(sample, instances, max(lengths, default=0))

    # -- a batch ---------------------------------------------------------------------------------------------------------

    def _answers(self, batch: Sequence[Asked], task: Task) -> list[list[Answer]]:
        """The answers to each sample's instances."""
        rows = [(place, instance) for place, asked in enumerate(batch) for instance in asked.instances]
        found: list[list[Answer]] = [[] for _ in batch]
        features = self._image_features(batch, task)
        size = self._options.predict_batch
        for start in range(0, len(rows), size):
            now = rows[start : start + size]
            samples = [batch[place].sample for place, _ in now]
            kept = [features[place] for place, _ in now]
            for (place, _), answer in zip(now, self._run(samples, [one for _, one in now], kept), strict=True):
                found[place].append(answer)
        return found

    def _image_features(self, batch: Sequence[Asked], task: Task) -> list[ImageFeatures | None]:
        if task is Task.GENERATION:
            return [None] * len(batch)
        found: list[ImageFeatures | None] = []
        found += self._model.image_features([pixels_of(asked.sample) for asked in batch])
        return found

    @torch.inference_mode()
    def _run(
        self, samples: Sequence[Sample], instances: Sequence[TaskInstance], features: Sequence[ImageFeatures | None]
    ) -> list[Answer]:
        model = self._model
        prompts = model.collate(instances, features, for_generation=True).to(model.device)
        text = prompts.attention_mask.sum(1) - prompts.image_slots.sum(1)
        room = [max(model.config.text.max_length - count, 0) for count in text.tolist()]
        most = self._options.max_new_tokens
        limits = room if most is None else [min(one, most) for one in room]
        stop = int(model.tokenizer.eos_token_id)
        cached = self._options.use_cache
        # Captions have no masks and no images to be made from states.
        kept = KeptStates() if cached and any(one.task is not Task.CAPTIONING for one in instances) else None
        said = generate(model, prompts, limits, stop, use_cache=cached, kept=kept)
        answers = [
            Answer(tokens, self._counted(instance, tokens)) for instance, tokens in zip(instances, said, strict=True)
        ]
        for row, instance in enumerate(instances):
            if instance.task is Task.GENERATION and model.tags.image not in said[row]:
                # An image is asked for, so one is made: the state after all that was said stands for the tag.
                answers[row].tokens = [*said[row][: max(room[row] - 1, 0)], model.tags.image]
        self._decode(samples, instances, features, answers, kept)
        return answers

    def _counted(self, instance: TaskInstance, tokens: Sequence[int]) -> tuple[int, int] | None:
        """The tags that were wanted, and how many of them were said."""
        numbers = {self._model.tags.number(token) for token in tokens}
        if instance.task is Task.REFERRING_SEGMENTATION:
            return len(instance.wanted), len(numbers & set(range(1, len(instance.wanted) + 1)))
        return (1, int(0 in numbers)) if instance.task is Task.GENERATION else None

    def _decode(
        self,
        samples: Sequence[Sample],
        instances: Sequence[TaskInstance],
        features: Sequence[ImageFeatures | None],
        answers: Sequence[Answer],
        kept: KeptStates | None,
    ) -> None:
        """Masks and features of what was said, from the states that were kept, else by one pass over the whole of it."""
        model = self._model
        rows = [
            row
            for row, (instance, answer) in enumerate(zip(instances, answers, strict=True))
            if instance.task is not Task.CAPTIONING
            and any(model.tags.number(token) is not None for token in answer.tokens)
        ]
        if not rows:
            return
        whole = model.collate(
            [instances[row] for row in rows],
            [features[row] for row in rows],
            answers=[answers[row].tokens for row in rows],
        ).to(model.device)
        if kept is not None and kept.reach(rows, [len(answers[row].tokens) for row in rows]):
            objects, images = tag_states(whole, kept.laid_out(rows, whole))
        else:
            objects, images = model.states_for_tags(whole)
        drawn = model.decode_feature(images).float().cpu()
        for place, feature in zip(images.rows.tolist(), drawn, strict=True):
            answers[rows[place]].feature = feature
        wanted = (whole.image_of_row[objects.rows] >= 0).nonzero().flatten()
        if not len(wanted):
            return
        logits = model.decode_masks(objects, whole)
        places, numbers = objects.rows.tolist(), objects.numbers.tolist()
        for tag, (place, number) in enumerate(zip(places, numbers, strict=True)):
            sample = samples[rows[place]]
            mask = binary_masks(logits[tag : tag + 1], (sample.height, sample.width))[0]
            answers[rows[place]].masks[number] = mask

    # -- predictions -----------------------------------------------------------------------------------------------------

    def _predictions(self, batch: Sequence[Asked], answers: Sequence[list[Answer]], task: Task) -> Iterator[Output]:
        images = self._images(batch, answers) if task is Task.GENERATION else [None] * len(batch)
        for asked, said, image in zip(batch, answers, images, strict=True):
            counted = [answer.tags for answer in said if answer.tags is not None]
            tags_said = (sum(one for one, _ in counted), sum(one for _, one in counted)) if counted else None
            yield Output(self._prediction(asked, said, task), image, tags_said)

    def _prediction(self, asked: Asked, said: Sequence[Answer], task: Task) -> Prediction:
        sample = asked.sample
        if task is Task.REFERRING_SEGMENTATION:
            masks = [PredictedMask() for _ in sample.objects]
            for instance, answer in zip(asked.instances, said, strict=True):
                for number, wanted in enumerate(instance.wanted, start=1):
                    if number in answer.masks:
                        masks[wanted] = PredictedMask(segmentation=_segmentation(answer.masks[number]))
            return Prediction(sample_id=sample.sample_id, task=task, masks=tuple(masks))
        first = said[0] if said else Answer([])
        if task is Task.REASONING_SEGMENTATION:
            made = tuple(
                PredictedMask(tag=number, segmentation=_segmentation(mask))
                for number, mask in sorted(first.masks.items())
            )
            return Prediction(sample_id=sample.sample_id, task=task, answer=self._text(first), masks=made)
        if task is Task.CAPTIONING:
            caption = tags.remove(self._text(first))
            return Prediction(sample_id=sample.sample_id, task=task, caption=caption)
        feature = None if first.feature is None else tuple(first.feature.tolist())
        return Prediction(sample_id=sample.sample_id, task=task, feature=feature)

    def _text(self, answer: Answer) -> str:
        """An answer as a person reads it: one space before a tag, none at the ends."""
        text: str = self._model.tokenizer.decode(
            answer.tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        text = _BEFORE_TAG.sub(r" \1", text.replace(GENERATION_TAG, ""))
        return " ".join(text.split())

    def _images(self, batch: Sequence[Asked], answers: Sequence[list[Answer]]) -> list[bytes | None]:
        if self._decoder is None:
            return [None] * len(batch)
        features = torch.stack([said[0].feature for said in answers if said[0].feature is not None])
        seeds = [self._seed_of(asked.sample) for asked in batch]
        with memory_explained("drawing images", ADVICE):
            drawn = self._decoder.decode(features, seeds)
        sizes = [(asked.sample.width, asked.sample.height) for asked in batch]
        return [_png(image, size) for image, size in zip(drawn, sizes, strict=True)]

    def _seed_of(self, sample: Sample) -> int:
        digest = hashlib.sha256(f"{self._seed} {sample.sample_id}".encode()).digest()
        return int.from_bytes(digest[:4], "big")


def _segmentation(mask: NDArray[np.bool_]) -> Any:
    return Mask.from_array(mask.astype(np.uint8)).to_record()


def _png(image: Pixels, size: tuple[int, int]) -> bytes:
    drawn = Image.fromarray(image)
    if drawn.size != size:
        drawn = drawn.resize(size, Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    drawn.save(stream, "PNG")
    return stream.getvalue()
