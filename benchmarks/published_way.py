"""A straightforward port of the published way of running: one sample at a time, eager attention, no key-value cache.

The published code has no inference of its own (its evaluation is teacher forced, and its forward keeps no cache), so this is the
plain loop that a reader of it would write: encode the sample's image, run the whole sequence again for each new token, then once
more for the states that masks and image are made from. It shares the model and the making of inputs with `mmud predict`, and
nothing of its batching, caching and loops. It keeps the last position's logits alone, which the published code does not: the
comparison is not won by waste.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mmud.annotations import tags
from mmud.annotations.instructions import TaskInstance
from mmud.annotations.instructions.instances import GENERATION_TAG
from mmud.baselines.neural_tuning.features import pixels_of
from mmud.baselines.neural_tuning.interfaces import ImageDecoder, ImageFeatures
from mmud.baselines.neural_tuning.masks import binary_masks
from mmud.baselines.neural_tuning.model import NeuralTuningModel
from mmud.images import Pixels
from mmud.records import Sample, Task


@dataclass
class Said:
    """What is said to a sample.

    Attributes:
        text: as a person reads it; of the last instance.
        tokens: how many were generated.
        masks: referring: index of the object -> mask; reasoning: number of the tag -> mask.
        feature: of the image to be drawn.
        image: drawn.
    """

    text: str = ""
    tokens: int = 0
    masks: dict[int, NDArray[np.bool_]] = field(default_factory=dict)
    feature: NDArray[np.float32] | None = None
    image: Pixels | None = None


@contextmanager
def eager_attention(model: NeuralTuningModel) -> Iterator[None]:
    """Attention written out, in language model and tower, for the length of a block."""
    networks: list[Any] = [model.language_model, getattr(model.tower, "network", None)]
    networks = [one for one in networks if hasattr(one, "set_attn_implementation")]
    before = [one.config._attn_implementation for one in networks]
    for one in networks:
        one.set_attn_implementation("eager")
    try:
        yield
    finally:
        for one, name in zip(networks, before, strict=True):
            one.set_attn_implementation(name)


class PublishedWay:
    """Answers sample by sample.

    Args:
        model: switched to evaluation.
        decoder: draws images; None for features alone.
        phrasing: of prompts, as `mmud predict` has it.
        max_new_tokens: of an answer; None for what the settings leave.
        draw_seed: of image decoders that draw at random.
    """

    def __init__(
        self,
        model: NeuralTuningModel,
        decoder: ImageDecoder | None = None,
        phrasing: Any = "train",
        max_new_tokens: int | None = None,
        draw_seed: int = 0,
    ) -> None:
        self.model = model
        self.decoder = decoder
        self.phrasing = phrasing
        self.max_new_tokens = max_new_tokens
        self.draw_seed = draw_seed
        self._embed = model.language_model.get_input_embeddings()
        keeps = "logits_to_keep" in inspect.signature(model.language_model.forward).parameters
        self._last_logits: dict[str, Any] = {"logits_to_keep": 1} if keeps else {}

    @torch.inference_mode()
    def answer(self, sample: Sample, task: Task) -> Said:
        """All that a prediction holds."""
        model = self.model
        found = Said()
        features: ImageFeatures | None = None
        if task is not Task.GENERATION:
            features = model.image_features([pixels_of(sample)])[0]
        instances = model.wording.instances(sample, task, with_answer=False, purpose=self.phrasing)
        for instance in instances:
            tokens = self.generated(instance, features)
            found.tokens += len(tokens)
            if task is Task.GENERATION and model.tags.image not in tokens:
                tokens = [*tokens[: max(self._room(instance) - 1, 0)], model.tags.image]
            found.text = self._read(tokens)
            if task is not Task.CAPTIONING:
                self._decode(sample, instance, features, tokens, found)
        if task is Task.CAPTIONING:
            found.text = tags.remove(found.text)
        if self.decoder is not None and found.feature is not None:
            found.image = self.decoder.decode(torch.from_numpy(found.feature)[None], [self.draw_seed])[0]
        return found

    def _room(self, instance: TaskInstance) -> int:
        return max(self.model.config.text.max_length - self.model.wording.lengths(instance)[0], 0)

    @torch.inference_mode()
    def generated(
        self, instance: TaskInstance, features: ImageFeatures | None, limit: int | None = None, stops: bool = True
    ) -> list[int]:
        """The likeliest next token, again and again, the whole sequence each time.

        Args:
            instance: what is asked.
            features: of its image.
            limit: exactly what may be said; None for what the settings leave.
            stops: end at the token that ends an answer.
        """
        model = self.model
        batch = model.collate([instance], [features], for_generation=True).to(model.device)
        inputs, positions = model.embed(batch), batch.position_ids
        most = min(self._room(instance), self.max_new_tokens or self._room(instance)) if limit is None else limit
        said: list[int] = []
        while len(said) < most:
            output = model.language_model(
                inputs_embeds=inputs,
                attention_mask=torch.ones_like(positions),
                position_ids=positions,
                use_cache=False,
                return_dict=True,
                **self._last_logits,
            )
            token = output.logits[:, -1].argmax(-1)
            if stops and int(token) == model.tokenizer.eos_token_id:
                break
            said.append(int(token))
            inputs = torch.cat([inputs, self._embed(token[:, None]).to(inputs.dtype)], dim=1)
            positions = torch.cat([positions, positions[:, -1:] + 1], dim=1)
        return said

    def _decode(
        self, sample: Sample, instance: TaskInstance, features: ImageFeatures | None, tokens: list[int], found: Said
    ) -> None:
        """One more pass over all that was said, for the states of its tags."""
        model = self.model
        if all(model.tags.number(token) is None for token in tokens):
            return
        batch = model.collate([instance], [features], answers=[tokens]).to(model.device)
        objects, images = model.states_for_tags(batch)
        if len(images):
            found.feature = model.decode_feature(images)[0].float().cpu().numpy()
        if not len(objects) or features is None:
            return
        masks = binary_masks(model.decode_masks(objects, batch), (sample.height, sample.width))
        for number, mask in zip(objects.numbers.tolist(), masks, strict=True):
            if instance.task is Task.REASONING_SEGMENTATION:
                found.masks[number] = mask
            elif number <= len(instance.wanted):
                found.masks[instance.wanted[number - 1]] = mask

    def _read(self, tokens: list[int]) -> str:
        text: str = self.model.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        text = re.sub(r"\s*(<LCL-\d+>)", r" \1", text.replace(GENERATION_TAG, ""))
        return " ".join(text.split())
