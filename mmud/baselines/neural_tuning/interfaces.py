"""What the parts of neural tuning hand to one another: towers, adapters, decoders, and the tensors between them.

Shapes use B sequences, T positions, L layers of the language model with its embeddings, W its hidden width, M masks,
G images to be generated, and 1 + N states of an image (a class state first, then its grid row by row).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, Self

import torch
from torch import nn

from mmud.annotations.instructions.instances import TaskInstance
from mmud.images import Pixels

ImageFeatures = tuple[torch.Tensor, ...]
"""What is kept of one image: one tensor a layer that somebody reads, each of shape (1 + N, width). Safe to cache on disk."""


class VisionTower(nn.Module, ABC):
    """A frozen image encoder.

    Attributes:
        image_size: (height, width) of its input, in pixels. Images are stretched to it, as masks are.
        grid: (rows, columns) of its states.
        widths: of the states, one for each layer.
    """

    image_size: tuple[int, int]
    grid: tuple[int, int]
    widths: tuple[int, ...]

    @abstractmethod
    def prepare(self, images: Sequence[Pixels]) -> torch.Tensor:
        """Images of any size as its input: shape (B, 3, height, width), normalised as its weights expect."""

    @abstractmethod
    def hidden_states(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """The states after each layer, first to last, each of shape (B, 1 + rows * columns, its width)."""

    def describe(self) -> Mapping[str, Any]:
        """What identifies it: a cache of features is kept under this. JSON-compatible."""
        return {"tower": type(self).__name__, "image_size": list(self.image_size), "grid": list(self.grid)}


class Adapter(nn.Module):
    """What changes a frozen language model. A subclass registers its weights, or overrides `trained`."""

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that are trained and saved, by a name that does not depend on the run."""
        return dict(self.named_parameters())

    def switched_off(self) -> AbstractContextManager[None]:
        """The language model as it was, for the length of a block."""
        return nullcontext()

    def detach_from_model(self) -> None:
        """Take it off the language model again."""


@dataclass(frozen=True)
class TagStates:
    """Where the tags of a batch are, and the language model's states there.

    Attributes:
        hidden_states: L tensors of shape (B, T, W); the last is what the head reads. In predicting they hold states up to the
            position that predicts the row's last tag, and nothing to be relied on behind it: read by `at` and `span_at`.
        rows: of each tag its sequence; shape (n,).
        positions: of each tag the position that predicts it; shape (n,).
        numbers: k of ``<LCL-k>``, 0 of ``<GLB>``; shape (n,).
        spans: of each tag the positions of the words that lead to it; shape (n, S), padded with 0.
        span_mask: which of those are none; shape (n, S), True where there is one.
    """

    hidden_states: tuple[torch.Tensor, ...]
    rows: torch.Tensor
    positions: torch.Tensor
    numbers: torch.Tensor
    spans: torch.Tensor
    span_mask: torch.Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, layer: int = -1) -> torch.Tensor:
        """The states that predict the tags; shape (n, W)."""
        return self.hidden_states[layer][self.rows, self.positions]

    def span_at(self, layer: int = -1) -> torch.Tensor:
        """The states of the words that lead to the tags; shape (n, S, W)."""
        return self.hidden_states[layer][self.rows[:, None], self.spans]


@dataclass(frozen=True)
class Sizes:
    """What a decoder has to fit.

    Attributes:
        width: W, of the language model's states.
        layers: L, of its layers with the embeddings.
        tower_widths: of the tower's states, one for each layer.
        grid: (rows, columns) of the tower's states.
        image_size: (height, width) of the tower's input, in pixels.
    """

    width: int
    layers: int
    tower_widths: tuple[int, ...]
    grid: tuple[int, int]
    image_size: tuple[int, int]


class MaskDecoder(nn.Module, ABC):
    """From the states of ``<LCL-k>`` and the image to a mask.

    Attributes:
        tower_layers: the tower's layers whose states it reads, counted from 0.
        image_size: (height, width) of its masks.
    """

    tower_layers: tuple[int, ...]
    image_size: tuple[int, int]

    @abstractmethod
    def forward(self, states: TagStates, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Logits of shape (n, 2 or 1, height, width): background and foreground, or the foreground's alone.

        Args:
            states: of n tags.
            features: for each of ``tower_layers`` the states of the tag's image, (n, 1 + N, width); then what
                `image_features` gave, in its order.
        """

    def image_features(self, images: Sequence[Pixels]) -> list[torch.Tensor]:
        """What a decoder with an encoder of its own reads besides the tower: tensors of shape (B, 1 + N, width)."""
        return []

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that are trained and saved."""
        return {name: weight for name, weight in self.named_parameters() if weight.requires_grad}


class ImageDecoder(ABC):
    """From an image's feature to the image; frozen."""

    @abstractmethod
    def decode(self, features: torch.Tensor, seeds: Sequence[int]) -> list[Pixels]:
        """Images of features of shape (n, size); ``seeds`` make those that draw at random repeatable."""


@dataclass(frozen=True)
class Batch:
    """Instances as tensors. Sequences of any task stand side by side; padding takes no positions and is never attended to.

    Attributes:
        instances: what the sequences say, in order.
        input_ids: (B, T); 0 where an image state stands or nothing.
        labels: (B, T); the token itself where it is to be predicted, else -100.
        attention_mask: (B, T); 0 on padding.
        position_ids: (B, T); counted without padding.
        image_slots: (B, T), True where an image state stands.
        image_of_row: (B,); the sequence's image in ``features``, -1 where it has none.
        features: of the batch's images, one tensor a layer that somebody reads: (images, 1 + N, width).
        tag_rows, tag_positions, tag_numbers: (n,) each: where each distinct ``<LCL-k>`` is predicted for the first time.
        tag_spans, tag_span_mask: (n, S): see `TagStates`.
        masks: (n, height, width) of the tags, from 0 to 1; None without targets.
        image_rows, image_positions, image_spans, image_span_mask: the same of ``<GLB>``, g of them.
        feature_targets: (g, feature size); None without targets.
    """

    instances: tuple[TaskInstance, ...]
    input_ids: torch.Tensor
    labels: torch.Tensor
    attention_mask: torch.Tensor
    position_ids: torch.Tensor
    image_slots: torch.Tensor
    image_of_row: torch.Tensor
    features: ImageFeatures
    tag_rows: torch.Tensor
    tag_positions: torch.Tensor
    tag_numbers: torch.Tensor
    tag_spans: torch.Tensor
    tag_span_mask: torch.Tensor
    masks: torch.Tensor | None
    image_rows: torch.Tensor
    image_positions: torch.Tensor
    image_spans: torch.Tensor
    image_span_mask: torch.Tensor
    feature_targets: torch.Tensor | None

    def __len__(self) -> int:
        return len(self.instances)

    def to(self, device: torch.device | str) -> Self:
        """The same on another device."""
        moved: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, torch.Tensor):
                moved[one.name] = value.to(device)
        return replace(self, features=tuple(one.to(device) for one in self.features), **moved)


@dataclass(frozen=True)
class Losses:
    """The parts of the loss before they are joined, so that any split of a batch gives the same sums.

    Attributes:
        text: cross-entropy summed over the tokens of each sequence; (B,).
        tokens: how many those are; (B,).
        mask: of each mask, shape (n,).
        feature: of each image to be generated, shape (g,).
    """

    text: torch.Tensor
    tokens: torch.Tensor
    mask: torch.Tensor
    feature: torch.Tensor


class TunedModel(Protocol):
    """The whole model as trainers and predictors see it; `model.NeuralTuningModel` is one (and a ``torch.nn.Module``)."""

    language_model: Any
    tokenizer: Any
    tower: VisionTower
    mask_size: tuple[int, int]

    def image_features(self, images: Sequence[Pixels]) -> list[ImageFeatures]:
        """What is needed of each image, to be kept or handed to `collate`; without gradients."""

    def collate(
        self,
        instances: Sequence[TaskInstance],
        features: Sequence[ImageFeatures | None],
        masks: Sequence[torch.Tensor | None] | None = None,
        feature_targets: Sequence[torch.Tensor | None] | None = None,
        *,
        answers: Sequence[Sequence[int]] | None = None,
        for_generation: bool = False,
    ) -> Batch:
        """A batch of any size and mix of tasks, on the CPU; ``.to(device)`` moves it.

        Args:
            instances: what is asked.
            features: of each instance's image; None where it needs none.
            masks: of each instance (tags, height, width), in the order of ``wanted``, at `mask_size`.
            feature_targets: of each instance (feature size,); None where it generates nothing.
            answers: token ids in place of the instances' own answers, as a model generated them.
            for_generation: prompts alone, padded on the left.
        """

    def losses(self, batch: Batch) -> Losses:
        """The parts of the loss, sequence by sequence and mask by mask."""

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        """``total``, ``text``, ``mask`` and ``feature``; what the batch has none of is 0."""

    def embed(self, batch: Batch) -> torch.Tensor:
        """Inputs of the language model, (B, T, W): for ``generate(inputs_embeds=…, attention_mask=…, position_ids=…)``."""

    def states_for_tags(self, batch: Batch) -> tuple[TagStates, TagStates]:
        """States of every ``<LCL-k>`` and of every ``<GLB>`` of the batch, by one pass of the language model."""

    def decode_masks(self, states: TagStates, batch: Batch) -> torch.Tensor:
        """Logits (n, 2 or 1, height, width) at `mask_size`; `masks.binary_masks` makes masks of an image's size of them."""

    def decode_feature(self, states: TagStates) -> torch.Tensor:
        """Features (g, feature size)."""

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """What is trained: vision, adapter, mask_decoder, global_decoder, tokens."""

    def trainable_state(self) -> dict[str, torch.Tensor]:
        """What is trained, by name, on the CPU: for safetensors."""

    def load_trainable_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Put back what `trainable_state` gave.

        Raises:
            MmudError: MM903 when names or shapes differ.
        """
