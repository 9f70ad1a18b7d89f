"""The vision encoder: a small CLIP vision tower, pretrained to say of every patch what is seen there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from mmud.baselines.backbones.turns import PLACES, place_of
from mmud.baselines.backbones.world import pretraining_world
from mmud.dataset.sources.scenes.config import ScenesConfig
from mmud.dataset.sources.scenes.world import Scene, generate

if TYPE_CHECKING:
    from transformers import CLIPVisionModel

SIZE: Final[dict[str, int]] = {
    "hidden_size": 96,
    "intermediate_size": 288,
    "num_hidden_layers": 4,
    "num_attention_heads": 3,
    "image_size": 128,
    "patch_size": 8,
    "projection_dim": 96,
}
#: Pixels go from 0..255 to (value / 255 - MEAN) / DEVIATION in every channel.
MEAN, DEVIATION = 0.5, 0.5
#: Targets of a patch that say nothing of it.
IGNORED: Final = -100


def build_vision_model(**changes: int) -> CLIPVisionModel:
    """An untrained encoder.

    Positions start as two-dimensional sines, and query and key as nearly the same map in each head ("mimetic" initialisation,
    Trockman and Kolter 2023), so that a patch looks at its neighbours from the first step; with small data this saves most of
    the training.
    """
    from transformers import CLIPVisionConfig, CLIPVisionModel

    settings: dict[str, Any] = {**SIZE, **changes}
    model = CLIPVisionModel(CLIPVisionConfig(**settings))
    config: Any = model.config
    side = config.image_size // config.patch_size
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("position_embedding.weight"):
                parameter[1:] = 0.3 * sine_positions(side, config.hidden_size)
                parameter[0] = 0.0
        for name, module in model.named_modules():
            if name.endswith("self_attn"):
                _start_alike(module.q_proj.weight, module.k_proj.weight, config.num_attention_heads)
    return model


def sine_positions(side: int, width: int) -> Tensor:
    """(side * side, width): sines and cosines of row and column, wave lengths from 2 to ``4 * side`` patches; width is divisible
    by 4."""
    count = width // 4
    waves = 2 * math.pi / (2.0 * (2.0 * side) ** (torch.arange(count) / max(1, count - 1)))
    angles = torch.arange(side)[:, None] * waves[None]
    axis = torch.cat([angles.sin(), angles.cos()], dim=1)
    rows = axis[:, None].expand(side, side, -1)
    columns = axis[None].expand(side, side, -1)
    return torch.cat([rows, columns], dim=-1).reshape(side * side, width)


def _start_alike(query: Tensor, key: Tensor, heads: int) -> None:
    width = query.shape[1]
    size = width // heads
    for head in range(heads):
        wanted = 0.7 * torch.randn(width, width) / width**0.5 + 0.7 * torch.eye(width)
        left, scale, right = torch.linalg.svd(wanted)
        root = scale[:size].sqrt()
        rows = slice(head * size, (head + 1) * size)
        query[rows] = (left[:, :size] * root).T
        key[rows] = right[:size] * root[:, None]


def pixel_values(images: Sequence[np.ndarray] | np.ndarray) -> Tensor:
    """(H, W, 3) uint8 images -> (B, 3, H, W) float32 as the encoder takes them."""
    stacked = torch.from_numpy(np.stack(list(images))).permute(0, 3, 1, 2).float()
    return (stacked / 255 - MEAN) / DEVIATION


@dataclass(frozen=True, slots=True)
class Attributes:
    """What can be said of a patch, and in which words.

    Attributes:
        names: Of the targets.
        sizes: How many classes each has. Class 0 of ``color`` is the background.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]


def attributes_of(config: ScenesConfig) -> Attributes:
    """The targets for a world: colour with a class for the background, the other attributes, centroid, background."""
    counts = {
        "color": len(config.colors) + 1,
        "shape": len(config.shapes),
        "texture": len(config.textures),
        "size": len(config.sizes),
        "column": PLACES,
        "row": PLACES,
        "pattern": len(config.backgrounds),
        "tint": len(config.tints),
    }
    return Attributes(tuple(counts), tuple(counts.values()))


def patch_targets(scene: Scene, side: int) -> dict[str, np.ndarray]:
    """For each target (side * side,) int64: the class of what is under the patch's centre, IGNORED where it has none."""
    config = scene.config
    height, width = scene.owner.shape
    rows = (2 * np.arange(side) + 1) * height // (2 * side)
    columns = (2 * np.arange(side) + 1) * width // (2 * side)
    owner = scene.owner[rows[:, None], columns[None, :]].ravel().astype(np.int64)
    of_objects: dict[str, list[int]] = {
        name: [IGNORED] for name in ("color", "shape", "texture", "size", "column", "row")
    }
    of_objects["color"] = [0]
    for thing in scene.objects:
        of_objects["color"].append(1 + config.colors.index(thing.color))
        of_objects["shape"].append(config.shapes.index(thing.shape))
        of_objects["texture"].append(config.textures.index(thing.texture))
        of_objects["size"].append(config.sizes.index(thing.size))
        x, y = place_of(scene, thing.index)
        of_objects["column"].append(x)
        of_objects["row"].append(y)
    targets = {name: np.array(values, dtype=np.int64)[owner] for name, values in of_objects.items()}
    background = owner == 0
    targets["pattern"] = np.where(background, config.backgrounds.index(scene.background.pattern), IGNORED)
    targets["tint"] = np.where(background, config.tints.index(scene.background.tint), IGNORED)
    return targets


class PatchClassifier(nn.Module):
    """The encoder with one linear head a target.

    Args:
        encoder: A CLIP vision tower.
        attributes: The targets.
    """

    def __init__(self, encoder: CLIPVisionModel, attributes: Attributes) -> None:
        super().__init__()
        self.encoder = encoder
        self.attributes = attributes
        width = encoder.config.hidden_size
        self.norm = nn.LayerNorm(width)
        self.heads = nn.Linear(width, sum(attributes.sizes))

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) -> for each target (B, patches, classes) logits."""
        hidden = self.encoder(pixel_values=pixels).last_hidden_state[:, 1:]
        logits = self.heads(self.norm(hidden)).split(list(self.attributes.sizes), dim=-1)
        return dict(zip(self.attributes.names, logits, strict=True))


def patch_loss(logits: dict[str, Tensor], targets: dict[str, Tensor]) -> Tensor:
    """The sum over the targets of their cross-entropy; the two of the centroid count half."""
    total = torch.zeros(())
    for name, values in logits.items():
        weight = 0.5 if name in ("column", "row") else 1.0
        loss = nn.functional.cross_entropy(values.flatten(0, 1), targets[name].flatten(), ignore_index=IGNORED)
        total = total + weight * loss
    return total


@dataclass(slots=True)
class ImageBatch:
    """Scenes as the encoder takes them: (B, 3, H, W) pixels and for each target (B, patches) classes."""

    pixels: Tensor
    targets: dict[str, Tensor]


def image_batch(scenes: Sequence[Scene], side: int) -> ImageBatch:
    found = [patch_targets(scene, side) for scene in scenes]
    targets = {name: torch.from_numpy(np.stack([each[name] for each in found])) for name in found[0]}
    return ImageBatch(pixel_values([scene.image for scene in scenes]), targets)


class ImageData:
    """Scenes by step for the stages that see images: a pure function of the seed.

    Args:
        seed: Of the run.
        rows: Scenes of a batch.
        first: Index of the first scene, so that two stages need not see the same ones.
    """

    def __init__(self, seed: int, rows: int, first: int = 0) -> None:
        self.world = pretraining_world(seed)
        self.rows = rows
        self.first = first

    def scenes(self, step: int) -> list[Scene]:
        start = self.first + step * self.rows
        return [generate(self.world, index) for index in range(start, start + self.rows)]
