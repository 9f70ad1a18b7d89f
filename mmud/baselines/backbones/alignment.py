"""The last stage: from the frozen encoder's patches to the frozen language model's image tokens.

First each image token is drawn to the grid position that the language model was pretrained on; then to where captions and answers
come out right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from mmud.baselines.backbones.documents import Mixture, Writer
from mmud.baselines.backbones.language import TextBatch, collate, soft_embeddings, weighted_loss
from mmud.baselines.backbones.vision import ImageData, pixel_values
from mmud.baselines.neural_tuning.config import NeuralTuningConfig
from mmud.baselines.neural_tuning.projection import ImageProjection
from mmud.dataset.sources.scenes.stream import Stream

if TYPE_CHECKING:
    from transformers import CLIPVisionModel, LlamaForCausalLM

TEXT_MIXTURE: Final = Mixture((0, 0, 1), 0.3, 0.7, 150)
"""What is asked of images: captions mostly, and the drills and questions of pretraining."""


@dataclass(slots=True)
class AlignmentBatch:
    """(B, 3, H, W) pixels, and the documents about them with a grid context each."""

    pixels: Tensor
    documents: TextBatch


class AlignmentBatches:
    """Batches by step: pure functions of step and seed.

    Args:
        writer: writes the documents.
        seed: of the run.
        rows: images of a batch.
        first: index of the first scene.
    """

    def __init__(self, writer: Writer, seed: int, rows: int = 16, first: int = 2_000_000) -> None:
        self.writer = writer
        self.seed = seed
        self.images = ImageData(seed, rows, first)

    def batch(self, step: int) -> AlignmentBatch:
        """The batch of a step."""
        scenes = self.images.scenes(step)
        documents = [
            self.writer.write(scene, TEXT_MIXTURE, Stream("alignment", self.seed, scene.index), "grid")
            for scene in scenes
        ]
        return AlignmentBatch(pixel_values([scene.image for scene in scenes]), collate(documents, self.writer.pad))


class Alignment(nn.Module):
    """The vision map with what stands before and behind it, both frozen.

    Args:
        encoder: the vision encoder.
        language_model: the language model.
        config: of neural tuning with these backbones: the map is the one that it goes on with.
    """

    def __init__(self, encoder: CLIPVisionModel, language_model: LlamaForCausalLM, config: NeuralTuningConfig) -> None:
        super().__init__()
        sizes: Any = encoder.config
        side = sizes.image_size // sizes.patch_size
        table: Any = language_model.get_input_embeddings().weight
        length = float(table.detach().norm(dim=-1).mean())
        self.vision = ImageProjection(config.vision, sizes.hidden_size, (side, side), table.shape[1], length)
        self.encoder = encoder.requires_grad_(False)
        self.language_model = language_model.requires_grad_(False)

    def image_tokens(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, tokens, width)."""
        with torch.no_grad():
            states = self.encoder(pixel_values=pixels).last_hidden_state
        tokens: Tensor = self.vision(states)
        return tokens

    def losses(self, batch: AlignmentBatch, text: bool) -> dict[str, Tensor]:
        """How far image tokens are from the grid (1 - cosine); with ``text`` also the cross-entropy of what is said of them."""
        tokens = self.image_tokens(batch.pixels)
        table: Any = self.language_model.get_input_embeddings().weight
        documents = batch.documents
        grid = soft_embeddings(table, documents.shares, documents.words)
        losses = {"grid": (1 - nn.functional.cosine_similarity(tokens, grid, dim=-1)).mean()}
        if text:
            losses["text"] = self._text_loss(tokens, documents)
        return {"total": losses["grid"] if not text else 0.5 * losses["grid"] + losses["text"], **losses}

    def _text_loss(self, tokens: Tensor, documents: TextBatch) -> Tensor:
        table: Any = self.language_model.get_input_embeddings().weight
        words: Tensor = nn.functional.embedding(documents.ids, table)
        embedded = torch.cat([words[:, :1], tokens, words[:, 1 + tokens.shape[1] :]], dim=1)
        return weighted_loss(self.language_model, documents, embedded)
