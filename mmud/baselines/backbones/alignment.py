"""The vision map: from the encoder's patches to image tokens in the language model's embedding space."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from mmud.baselines.backbones.images import load_tensors, read_config, save_module


@dataclass(frozen=True, slots=True)
class MapConfig:
    """Sizes of the map.

    Attributes:
        patch_width: Width of the encoder's hidden states.
        patch_side: Patches along a side.
        inner_width: Of the hidden layer.
        width: Of the language model.
        scale: Root mean square of an image token; that of the language model's embeddings.
    """

    patch_width: int
    patch_side: int
    inner_width: int
    width: int
    scale: float


class VisionMap(nn.Module):
    """(B, patches, patch_width) -> (B, patches / 4, width).

    Each 2 x 2 patches are one token ("pixel-unshuffle": their states side by side), normalised, through one hidden layer, and
    brought to the root mean square of the embeddings.
    """

    def __init__(self, config: MapConfig) -> None:
        super().__init__()
        self.config = config
        inputs = 4 * config.patch_width
        self.norm = nn.LayerNorm(inputs)
        self.inner = nn.Linear(inputs, config.inner_width)
        self.outer = nn.Linear(config.inner_width, config.width)

    def forward(self, patches: Tensor) -> Tensor:
        tokens = self.outer(nn.functional.gelu(self.inner(self.norm(unshuffle(patches, self.config.patch_side)))))
        scaled: Tensor = tokens * (tokens.square().mean(-1, keepdim=True) + 1e-8).rsqrt() * self.config.scale
        return scaled

    def save_pretrained(self, folder: Path) -> None:
        save_module(self, asdict(self.config), folder)

    @classmethod
    def from_pretrained(cls, folder: Path) -> VisionMap:
        """Raises MM904 when a file is missing or unreadable, MM903 when the tensors do not fit."""
        vision_map = cls(MapConfig(**read_config(folder)))
        load_tensors(vision_map, folder)
        return vision_map


def unshuffle(patches: Tensor, side: int) -> Tensor:
    """(B, side * side, C) -> (B, side * side / 4, 4 C): each 2 x 2 patches side by side, row by row."""
    half = side // 2
    width = patches.shape[-1]
    grid = patches.reshape(-1, half, 2, half, 2, width).permute(0, 1, 3, 2, 4, 5)
    return grid.reshape(-1, half * half, 4 * width)


@torch.no_grad()
def embedding_scale(table: Tensor) -> float:
    """The root mean square of an embedding table."""
    return float(table.square().mean().sqrt())
