"""A mask decoder of the SAM family (transformers): a tag's state becomes the prompt, as a click or a box would be.

The image goes through SAM's own frozen encoder; what it gives is kept with the image's other features. Trained are the map from
the state to a prompt and, unless told otherwise, SAM's small mask decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import nn
from torch.nn import functional

from mmud.baselines import codes as baseline_codes
from mmud.baselines.neural_tuning import codes
from mmud.baselines.neural_tuning.config import MaskDecoderConfig
from mmud.baselines.neural_tuning.interfaces import MaskDecoder, Sizes, TagStates
from mmud.baselines.neural_tuning.known_models import load_known
from mmud.baselines.neural_tuning.state_readers import LayerMix, PhraseReader
from mmud.baselines.neural_tuning.vision import stretched
from mmud.errors import MmudError
from mmud.images import Pixels

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of SAM's and SAM 2's own preprocessing."""

_CLASSES = {"sam": "SamModel", "sam2": "Sam2Model", "sam2_video": "Sam2Model"}


class SamOptions(BaseModel):
    """``mask_decoder.options`` of "sam".

    Attributes:
        weights: folder or hub id of a SAM or SAM 2 model.
        train_decoder: train SAM's mask decoder too, or the map to its prompt alone.
        offline: False lets weights be downloaded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: str
    train_decoder: bool = True
    offline: bool = True


class SamMaskDecoder(MaskDecoder):
    """The decoder. Its logits are of one class, whatever ``classes`` says.

    Args:
        sizes: what it has to fit.
        config: its settings; ``state``, ``phrase_reader`` and ``queries`` as in the paper's decoder, ``options`` as `SamOptions`.

    Raises:
        MmudError: MM905 for an option that is missing or unknown, MM007 when the weights are not there, MM915 when they are not
            those of a SAM or SAM 2 model.
    """

    tower_layers = ()

    def __init__(self, sizes: Sizes, config: MaskDecoderConfig) -> None:
        super().__init__()
        try:
            options = SamOptions.model_validate(config.options)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            message = f"mask_decoder.options.{'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise MmudError(baseline_codes.CONFIG_INVALID, message) from error
        self.image_size = sizes.image_size
        sam: Any = load_known(options.weights, _CLASSES, codes.MASK_DECODER_UNUSABLE, options.offline)
        self.sam = sam.requires_grad_(False).eval()
        self.sam.mask_decoder.requires_grad_(options.train_decoder)
        if options.train_decoder:
            # They judge a mask's quality and presence; the loss asks neither.
            for name in ("iou_prediction_head", "pred_obj_score_head"):
                if hasattr(self.sam.mask_decoder, name):
                    getattr(self.sam.mask_decoder, name).requires_grad_(False)
        prompt = self.sam.config.prompt_encoder_config
        side = prompt.image_size
        self.input_size = (side, side) if isinstance(side, int) else (int(side[0]), int(side[1]))
        self.mix = LayerMix(sizes.layers, config.state)
        self.reader = PhraseReader(sizes.width, config.queries, config.width) if config.phrase_reader else None
        condition = sizes.width + (self.reader.outputs if self.reader else 0)
        self.prompt = nn.Sequential(
            nn.Linear(condition, sizes.width), nn.ReLU(), nn.Linear(sizes.width, prompt.hidden_size)
        )

    def train(self, mode: bool = True) -> SamMaskDecoder:
        """SAM stays in evaluation: its encoder is frozen, and its decoder has no dropout."""
        super().train(mode)
        self.sam.eval()
        self.sam.mask_decoder.train(mode)
        return self

    @torch.no_grad()
    def image_features(self, images: Sequence[Pixels]) -> list[torch.Tensor]:
        """SAM's own maps, coarse last, each (B, 1 + rows * columns, width) with an empty class state."""
        pixels = stretched(images, self.input_size, MEAN, STD).to(next(self.sam.parameters()).device)
        found = self.sam.get_image_embeddings(pixels)
        maps = found if isinstance(found, list | tuple) else [found]
        return [functional.pad(one.flatten(2).transpose(1, 2), (0, 0, 1, 0)) for one in maps]

    def forward(self, states: TagStates, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Logits (n, 1, height, width); see `MaskDecoder.forward`."""
        own = self.mix(states.at)
        if self.reader is not None:
            own = torch.cat([own, self.reader(self.mix(states.span_at), states.span_mask)], dim=-1)
        prompts = self.prompt(own)[:, None, None]
        *fine, coarse = [_as_map(one) for one in features]
        position = self.sam.get_image_wide_positional_embeddings().expand(len(states), -1, -1, -1)
        none = self.sam.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand_as(coarse)
        more = {"high_resolution_features": fine} if fine else {}
        decoded = self.sam.mask_decoder(
            image_embeddings=coarse,
            image_positional_embeddings=position,
            sparse_prompt_embeddings=prompts,
            dense_prompt_embeddings=none,
            multimask_output=False,
            **more,
        )
        logits = decoded[0][:, 0]
        return functional.interpolate(logits, self.image_size, mode="bilinear", align_corners=False)


def _as_map(states: torch.Tensor) -> torch.Tensor:
    """(n, 1 + side * side, width) to (n, width, side, side)."""
    side = round((states.shape[1] - 1) ** 0.5)
    return states[:, 1:].float().transpose(1, 2).reshape(len(states), -1, side, side)
