"""Neural tuning, whole: a frozen language model, a frozen vision tower, and what is trained between and behind them.

::

    image -> tower -> projection -> image tokens \\
    prompt, answer -> tokens (tags have their own) -> language model + adapter -> text
                                   state of <LCL-k> + tower's states -> mask decoder -> mask
                                   state of <GLB> -> global decoder -> feature of the image -> image decoder -> image
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from mmud.baselines import codes as baseline_codes
from mmud.baselines.neural_tuning import codes
from mmud.baselines.neural_tuning.base import ADAPTERS, MASK_DECODERS
from mmud.baselines.neural_tuning.collating import IGNORED, Collator, Wording
from mmud.baselines.neural_tuning.config import NeuralTuningConfig
from mmud.baselines.neural_tuning.global_decoder import GlobalDecoder
from mmud.baselines.neural_tuning.interfaces import (
    Adapter,
    Batch,
    ImageFeatures,
    Losses,
    MaskDecoder,
    Sizes,
    TagStates,
    VisionTower,
)
from mmud.baselines.neural_tuning.mask_decoder import chosen_layers
from mmud.baselines.neural_tuning.masks import mask_losses
from mmud.baselines.neural_tuning.projection import ImageProjection
from mmud.baselines.neural_tuning.tokens import (
    NewTokens,
    TokenRows,
    WholeEmbeddings,
    embedding_rows,
    embedding_sample,
    with_tags,
)
from mmud.errors import MmudError
from mmud.images import Pixels


class NeuralTuningModel(nn.Module):
    """The model.

    Args:
        language_model: a causal language model of transformers. It is frozen here; with ``tokens`` "whole" or the adapter
            "full" it is changed by training.
        tokenizer: its own; a copy of it gets the tags.
        tower: the vision tower.
        config: the settings.

    Attributes:
        tokenizer: with the tags.
        tags: their token ids.
        collate: makes batches; see `interfaces.TunedModel.collate`.
        wording: texts to tokens; its ``lengths`` tell what is too long before training.
        mask_size: (height, width) of masks and mask targets.

    Raises:
        MmudError: MM004 for an unknown adapter or mask decoder, MM901, MM905, MM910, MM911, MM912, MM914, MM915 when parts do
            not fit one another.
    """

    def __init__(
        self, language_model: nn.Module, tokenizer: Any, tower: VisionTower, config: NeuralTuningConfig
    ) -> None:
        super().__init__()
        self.config = config
        self.language_model: Any = language_model.requires_grad_(False)
        self.tower = tower.requires_grad_(False)
        rows = embedding_rows(language_model)
        self.tokenizer, self.tags = with_tags(tokenizer, config.text.tag_limit, rows)
        sizes = self._sizes()
        self._image_layer = chosen_layers((config.vision.layer,), len(tower.widths))[0]
        self.vision = ImageProjection(
            config.vision, tower.widths[self._image_layer], tower.grid, sizes.width, _mean_length(language_model)
        )
        # The adapter first: it looks at the projections as they are.
        self.adapter: Adapter = ADAPTERS.get(config.adapter)(language_model, config.adapter_options)
        way = TokenRows if config.tokens == "rows" else WholeEmbeddings
        self.new_tokens: NewTokens = way(language_model, self.tags)
        self.mask_decoder: MaskDecoder = MASK_DECODERS.get(config.mask_decoder.name)(sizes, config.mask_decoder)
        self.global_decoder = GlobalDecoder(sizes, config.global_decoder)
        self.mask_size = self.mask_decoder.image_size
        self.wording = Wording(self.tokenizer, self.tags, config.text)
        self.collate = Collator(self.wording, self.vision.tokens, config.mask_decoder.window)
        self._kept_layers = sorted({self._image_layer, *self.mask_decoder.tower_layers})
        self._keeps_logits = "logits_to_keep" in inspect.signature(language_model.forward).parameters
        self._check_positions()

    def _sizes(self) -> Sizes:
        text = self.language_model.config.get_text_config(decoder=True)
        return Sizes(
            text.hidden_size, text.num_hidden_layers + 1, self.tower.widths, self.tower.grid, self.tower.image_size
        )

    def _check_positions(self) -> None:
        text = self.language_model.config.get_text_config(decoder=True)
        trained = getattr(text, "max_position_embeddings", None)
        image = 1 if self.config.text.image_positions == "one" else self.vision.tokens
        needed = image + self.config.text.max_length
        if trained is not None and needed > trained:
            message = (
                f"an image takes {image} positions and max_length is {self.config.text.max_length}; the language model has "
                f"{trained} positions"
            )
            raise MmudError(codes.TOO_LONG, message)

    # -- images ----------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def image_features(self, images: Sequence[Pixels]) -> list[ImageFeatures]:
        """What is needed of each image: the tower's layers that somebody reads, then what the mask decoder adds."""
        pixels = self.tower.prepare(images).to(self.device)
        states = self.tower.hidden_states(pixels)
        found = [states[layer] for layer in self._kept_layers] + self.mask_decoder.image_features(images)
        return [tuple(one[number] for one in found) for number in range(len(images))]

    def describe_features(self) -> dict[str, Any]:
        """What `image_features` depends on; a cache of them is kept under this. JSON-compatible."""
        return {
            **self.tower.describe(),
            "layers": self._kept_layers,
            "mask_decoder": self.config.mask_decoder.name,
            "mask_decoder_options": self.config.mask_decoder.options,
        }

    # -- passes ----------------------------------------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Where the language model is."""
        weight: torch.Tensor = self.language_model.get_input_embeddings().weight
        return weight.device

    def embed(self, batch: Batch) -> torch.Tensor:
        """Inputs of the language model, (B, T, W), in its own type."""
        text: torch.Tensor = self.language_model.get_input_embeddings()(batch.input_ids)
        if not batch.features:
            return text
        seen = batch.features[self._kept_layers.index(self._image_layer)]
        tokens = self.vision(seen.float()).to(text.dtype)
        return text.masked_scatter(batch.image_slots[..., None], tokens)

    def _pass(self, batch: Batch, keep: int | torch.Tensor) -> Any:
        """One pass of the language model; logits for the kept positions alone where it can do that."""
        more = {"logits_to_keep": keep} if self._keeps_logits else {}
        return self.language_model(
            inputs_embeds=self.embed(batch),
            attention_mask=batch.attention_mask,
            position_ids=batch.position_ids,
            output_hidden_states=True,
            use_cache=False,
            return_dict=True,
            **more,
        )

    def states_for_tags(self, batch: Batch) -> tuple[TagStates, TagStates]:
        """States of every ``<LCL-k>`` and of every ``<GLB>``, by one pass."""
        return tag_states(batch, self._pass(batch, 1).hidden_states)

    def decode_masks(self, states: TagStates, batch: Batch) -> torch.Tensor:
        """Logits (n, 2 or 1, height, width) of the tags' masks, at `mask_size`.

        Raises:
            MmudError: MM913 when a tag's instance has no image.
        """
        if not len(states):
            return torch.empty(0, self.config.mask_decoder.classes, *self.mask_size, device=states.rows.device)
        image = batch.image_of_row[states.rows]
        if bool((image < 0).any()):
            raise MmudError(codes.BATCH_INCOMPLETE, "a mask is to be made for an instance without an image")
        tower = [batch.features[self._kept_layers.index(layer)][image] for layer in self.mask_decoder.tower_layers]
        added = [one[image] for one in batch.features[len(self._kept_layers) :]]
        logits: torch.Tensor = self.mask_decoder(states, [*tower, *added])
        return logits

    def decode_feature(self, states: TagStates) -> torch.Tensor:
        """Features of the images to be drawn, (g, feature size)."""
        if not len(states):
            return torch.empty(0, self.config.global_decoder.feature_size, device=states.rows.device)
        feature: torch.Tensor = self.global_decoder(states)
        return feature

    # -- losses ----------------------------------------------------------------------------------------------------------

    def losses(self, batch: Batch) -> Losses:
        """The parts of the loss, sequence by sequence and mask by mask; what the batch has no targets of is empty."""
        length = batch.input_ids.shape[1]
        predicted = (batch.labels != IGNORED).any(0).nonzero()
        # The state at a position predicts the next token. Without answers one position is kept and none counts.
        first = max(int(predicted[0]) - 1, 0) if len(predicted) else length - 1
        places = torch.arange(first, length, device=batch.input_ids.device)
        output = self._pass(batch, places)
        logits = output.logits if self._keeps_logits else output.logits[:, first:]
        labels = functional.pad(batch.labels[:, first + 1 :], (0, 1), value=IGNORED)
        entropy = functional.cross_entropy(
            logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none"
        )
        objects, images = tag_states(batch, output.hidden_states)
        none = torch.zeros(0, device=batch.input_ids.device)
        mask, feature = none, none
        if batch.masks is not None and len(objects):
            mask = mask_losses(self.decode_masks(objects, batch), batch.masks, self.config.loss)
        if batch.feature_targets is not None and len(images):
            target = self.global_decoder.target(batch.feature_targets)
            feature = (self.decode_feature(images) - target).square().mean(-1)
        return Losses(entropy.view(labels.shape).sum(1), (labels != IGNORED).sum(1), mask, feature)

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Scalars: text (mean over the tokens), mask and feature (means over masks and images), and their weighted ``total``."""
        parts = self.losses(batch)
        weights = self.config.loss
        text = parts.text.sum() / parts.tokens.sum().clamp(min=1)
        mask = parts.mask.sum() / max(len(parts.mask), 1)
        feature = parts.feature.sum() / max(len(parts.feature), 1)
        total = weights.text * text + weights.mask * mask + weights.feature * feature
        return {"total": total, "text": text, "mask": mask, "feature": feature}

    # -- what is trained -------------------------------------------------------------------------------------------------

    def _trained(self) -> dict[str, dict[str, nn.Parameter]]:
        """Part -> name -> parameter."""
        return {
            "vision": dict(self.vision.named_parameters()),
            "adapter": self.adapter.trained(),
            "mask_decoder": self.mask_decoder.trained(),
            "global_decoder": dict(self.global_decoder.named_parameters()),
            "tokens": self.new_tokens.trained(),
        }

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """What is trained, by part; parts without parameters are left out, and each parameter stands once."""
        groups: dict[str, list[nn.Parameter]] = {}
        seen: set[int] = set()
        for part, named in self._trained().items():
            own = [one for one in named.values() if id(one) not in seen]
            seen.update(id(one) for one in own)
            if own:
                groups[part] = own
        return groups

    def trainable_state(self) -> dict[str, torch.Tensor]:
        """Copies of what is trained, by ``part.name``, on the CPU; for safetensors."""
        return {
            f"{part}.{name}": weight.detach().cpu().clone().contiguous()
            for part, named in self._trained().items()
            for name, weight in named.items()
        }

    def load_trainable_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Put back what `trainable_state` gave; nothing is changed when something does not fit.

        Raises:
            MmudError: MM903 when names or shapes differ.
        """
        own = {f"{part}.{name}": weight for part, named in self._trained().items() for name, weight in named.items()}
        missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
        wrong = [name for name in own.keys() & state.keys() if own[name].shape != state[name].shape]
        for what, names in (("lacks", missing), ("has besides", unknown), ("has in another shape", sorted(wrong))):
            if names:
                message = f"the checkpoint {what} {len(names)} tensors, such as {names[0]}"
                raise MmudError(baseline_codes.CHECKPOINT_MISMATCH, message)
        with torch.no_grad():
            for name, weight in own.items():
                weight.copy_(state[name])

    def train(self, mode: bool = True) -> NeuralTuningModel:
        """Switch dropout and the jitter of the active rate; frozen parts without an adapter inside stay in evaluation."""
        super().train(mode)
        self.tower.eval()
        return self

    @contextmanager
    def switched_off(self) -> Iterator[None]:
        """The language model as it was, for the length of a block: no adapter, no new tokens."""
        with ExitStack() as stack:
            stack.enter_context(self.adapter.switched_off())
            stack.enter_context(self.new_tokens.switched_off())
            yield

    def report(self) -> dict[str, Any]:
        """Parameters by part; trainable in all, with and without those of embeddings and head; frozen by backbone."""
        seen: set[int] = set()
        parts = {}
        for part, named in self._trained().items():
            own = [one for one in named.values() if id(one) not in seen]
            seen.update(id(one) for one in own)
            parts[part] = sum(one.numel() for one in own)
        frozen = {
            name: sum(one.numel() for one in module.parameters() if id(one) not in seen)
            for name, module in (("language_model", self.language_model), ("vision_tower", self.tower))
        }
        inside = sum(one.numel() for one in self.mask_decoder.parameters() if id(one) not in seen)
        if inside:
            frozen["mask_decoder"] = inside
        trainable = sum(parts.values())
        return {
            "trainable": parts,
            "frozen": frozen,
            "trainable_total": trainable,
            "trainable_without_embeddings": trainable - parts["tokens"],
            "frozen_total": sum(frozen.values()),
        }


def tag_states(batch: Batch, hidden_states: Sequence[torch.Tensor]) -> tuple[TagStates, TagStates]:
    """States of every ``<LCL-k>`` and of every ``<GLB>``, from all layers' states (B, T, W) of the batch."""
    states = tuple(hidden_states)
    objects = TagStates(
        states, batch.tag_rows, batch.tag_positions, batch.tag_numbers, batch.tag_spans, batch.tag_span_mask
    )
    images = TagStates(
        states,
        batch.image_rows,
        batch.image_positions,
        torch.zeros_like(batch.image_rows),
        batch.image_spans,
        batch.image_span_mask,
    )
    return objects, images


def _mean_length(language_model: nn.Module) -> float:
    sample = embedding_sample(language_model)
    return 1.0 if sample.is_meta else float(sample.norm(dim=-1).mean())
