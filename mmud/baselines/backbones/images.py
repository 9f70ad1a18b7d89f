"""The image feature and the decoder that draws an image from it.

The head reads from the frozen encoder's patches what the image shows, as `scene_code` writes it; the painters draw it again. The
feature plays the part of the CLIP image feature in the generation task: zero is the mean of all images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor, nn

from mmud.baselines.backbones.painters import REACH, BackgroundPainter, ObjectPainter
from mmud.baselines.backbones.scene_code import (
    SLOTS,
    CodeSizes,
    SceneContent,
    centres,
    content_of,
    decode,
    join,
    sizes_of,
)
from mmud.baselines.backbones.vision import IGNORED, pixel_values, sine_positions
from mmud.baselines.backbones.world import tiny_world
from mmud.dataset.sources.scenes.world import Scene

if TYPE_CHECKING:
    from transformers import CLIPVisionModel


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """Sizes of head and decoder.

    Attributes:
        patch_width, patch_side: The encoder's hidden states, and patches along a side.
        width, heads, depth: Of the head: a query for each slot and one for the background, through layers of attention.
        image_side: Pixels along a side of what is drawn.
        diameters: Of objects of each size, as shares of the image's side.
    """

    patch_width: int = 96
    patch_side: int = 16
    width: int = 96
    heads: int = 4
    depth: int = 2
    image_side: int = 128
    diameters: tuple[float, ...] = ()


def tiny_config() -> ImageConfig:
    """For the tiny world."""
    world = tiny_world()
    return ImageConfig(diameters=tuple(world.diameter(size) / world.width for size in world.sizes))


@dataclass(slots=True)
class Reading:
    """What the head says of B images, as logits and numbers.

    Attributes:
        present: (B, SLOTS) logits.
        words: Of each of `WORDS` (B, SLOTS, classes) logits.
        offsets: (B, SLOTS, 2).
        turns: (B, SLOTS).
        background: (B, classes) logits of pattern and tint.
        rest: (B, 3): turn and start of the background.
    """

    present: Tensor
    words: list[Tensor]
    offsets: Tensor
    turns: Tensor
    background: list[Tensor]
    rest: Tensor

    def code(self) -> Tensor:
        """(B, total): the expected code."""
        present = self.present.sigmoid()[..., None]
        words = [logits.softmax(-1) * present for logits in self.words]
        background = [logits.softmax(-1) for logits in self.background]
        return join(words, self.offsets * present, self.turns * present[..., 0], background, self.rest)


class FeatureHead(nn.Module):
    """From the states of patches after the encoder's first layer and its last to a `Reading`.

    The first layer's states still tell how stripes lie and where a pattern starts, which the encoder was not asked for.
    """

    def __init__(self, config: ImageConfig, sizes: CodeSizes) -> None:
        super().__init__()
        self.sizes = sizes
        width = config.width
        self.first_norm, self.last_norm = nn.LayerNorm(config.patch_width), nn.LayerNorm(config.patch_width)
        self.first, self.last = nn.Linear(config.patch_width, width), nn.Linear(config.patch_width, width)
        self.register_buffer("positions", sine_positions(config.patch_side, width), persistent=False)
        self.queries = nn.Parameter(torch.randn(SLOTS + 1, width))
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(
                width, config.heads, 3 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(width)
        self.slot = nn.Linear(width, 1 + sizes.slot)
        self.ground = nn.Linear(width, sizes.patterns + sizes.tints + 3)

    def forward(self, first: Tensor, last: Tensor) -> Reading:
        """Two (B, patches, patch_width) states."""
        memory = self.first(self.first_norm(first)) + self.last(self.last_norm(last)) + self.positions
        states = self.queries.expand(len(memory), -1, -1)
        for layer in self.layers:
            states = layer(states, memory)
        states = self.norm(states)
        present, *words, offsets, turns = self.slot(states[:, :-1]).split([1, *self.sizes.words, 2, 1], dim=-1)
        *background, rest = self.ground(states[:, -1]).split([self.sizes.patterns, self.sizes.tints, 3], dim=-1)
        return Reading(present[..., 0], words, offsets, turns[..., 0], background, rest)


class ImageAutoencoder(nn.Module):
    """Head and painters; the encoder stays outside and frozen.

    Attributes:
        mean: (feature size,), of the code over images: a feature is a code less this.
    """

    mean: Tensor
    diameters: Tensor

    def __init__(self, config: ImageConfig | None = None) -> None:
        super().__init__()
        self.config = config or tiny_config()
        self.sizes = sizes_of(tiny_world())
        self.head = FeatureHead(self.config, self.sizes)
        self.objects = ObjectPainter(self.sizes)
        self.background = BackgroundPainter(self.sizes)
        self.register_buffer("mean", torch.zeros(self.sizes.total))
        self.register_buffer("diameters", torch.tensor(self.config.diameters), persistent=False)

    @property
    def feature_size(self) -> int:
        return self.sizes.total

    def feature(self, first: Tensor, last: Tensor) -> Tensor:
        """(B, feature_size) from the patches' states after the encoder's first layer and its last."""
        reading: Reading = self.head(first, last)
        return reading.code() - self.mean

    def draw(self, feature: Tensor) -> Tensor:
        """(B, feature_size) -> (B, side, side, 3) uint8: the nearest content that there are words for, sharply."""
        return self.draw_content(decode(feature + self.mean, self.sizes))

    @torch.no_grad()
    def draw_content(self, content: SceneContent) -> Tensor:
        """(B, side, side, 3) uint8."""
        images = [self._drawn(content, row) for row in range(len(content.words))]
        return (torch.stack(images) * 255).round().to(torch.uint8)

    def _drawn(self, content: SceneContent, row: int) -> Tensor:
        """(side, side, 3) in 0..1: large objects first, so that none hides a smaller one."""
        side = self.config.image_side
        one = slice(row, row + 1)
        steps = (torch.arange(side, device=content.words.device) + 0.5) / side
        points = torch.stack([steps.expand(side, side), steps[:, None].expand(side, side)], dim=-1)
        ground = (content.background[one], content.background_turns[one], content.starts[one])
        image: Tensor = self.background(*ground, points.reshape(1, -1, 2)).reshape(side, side, 3)
        slots = content.present[row].nonzero()[:, 0].tolist()
        slots.sort(key=lambda slot: -int(content.words[row, slot, -1]))
        middles = centres(content)[row]
        for slot in slots:
            words = content.words[row, slot]
            diameter = self.diameters[words[-1]]
            low = ((middles[slot] - REACH * diameter) * side).floor().long().clamp(0, side).tolist()
            high = ((middles[slot] + REACH * diameter) * side).ceil().long().clamp(0, side).tolist()
            window = (slice(low[1], high[1]), slice(low[0], high[0]))
            near = (points[window] - middles[slot]) / diameter
            painted = self.objects(
                words[None], content.turns[row, slot][None], content.background[one, 1], near.reshape(1, -1, 2)
            )
            cover = painted.cover.sigmoid().reshape(*near.shape[:2], 1)
            image[window] = (1 - cover) * image[window] + cover * painted.colors.reshape(*near.shape[:2], 3)
        return image


def reading_loss(reading: Reading, content: SceneContent) -> Tensor:
    """Cross-entropies of what is present and in which words, and squared errors of the rest where there is something."""
    present = content.present
    total = 2 * nn.functional.binary_cross_entropy_with_logits(reading.present, present.float())
    for place, logits in enumerate(reading.words):
        wanted = content.words[..., place]
        total = total + 0.5 * nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED)
    for place, logits in enumerate(reading.background):
        total = total + 0.25 * nn.functional.cross_entropy(logits, content.background[:, place])
    total = total + 8 * (reading.offsets - content.offsets)[present].square().mean()
    total = total + 0.5 * (reading.turns - content.turns)[present].square().mean()
    rest = torch.cat([content.background_turns[:, None], content.starts], dim=-1)
    return total + 0.5 * (reading.rest - rest).square().mean()


POINTS: Final = 96
"""That are looked at of each object and each background in a step."""


@dataclass(slots=True)
class PointBatch:
    """Pixels of B images: (B, H, W, 3) in 0..1, and (B, H, W) which object is seen there."""

    pixels: Tensor
    owners: Tensor


def painting_loss(
    model: ImageAutoencoder, batch: PointBatch, content: SceneContent, generator: torch.Generator
) -> Tensor:
    """How far points of objects and of backgrounds, drawn at random, are from the image.

    Points about an object on which another one is seen do not count. Absolute and squared errors of colours; a fifth of the
    cross-entropy of cover and mask.
    """
    side = batch.owners.shape[1]
    rows, slots = content.present.nonzero(as_tuple=True)
    words = content.words[rows, slots]
    middles = centres(content)[rows, slots]
    diameters = model.diameters[words[:, -1]]
    near = REACH * (2 * torch.rand(len(rows), POINTS, 2, generator=generator) - 1)
    cells = ((middles[:, None] + near * diameters[:, None, None]) * side).floor().long()
    inside = ((cells >= 0) & (cells < side)).all(-1)
    cells = cells.clamp(0, side - 1)
    places = (cells + 0.5) / side
    painted = model.objects(
        words,
        content.turns[rows, slots],
        content.background[rows, 1],
        (places - middles[:, None]) / diameters[:, None, None],
    )
    ground = model.background(
        content.background[rows], content.background_turns[rows], content.starts[rows], places
    ).detach()
    owners = batch.owners[rows[:, None], cells[..., 1], cells[..., 0]]
    own = owners == content.numbers[rows, slots][:, None]
    counted = (inside & (own | (owners == 0))).float()
    cover = painted.cover.sigmoid()[..., None]
    drawn = cover * painted.colors + (1 - cover) * ground
    wanted = batch.pixels[rows[:, None], cells[..., 1], cells[..., 0]]
    covered = nn.functional.binary_cross_entropy_with_logits(painted.cover, own.float(), reduction="none")
    objects = ((_error(drawn, wanted) + 0.2 * covered) * counted).sum() / counted.sum()

    count = len(batch.pixels)
    cells = torch.randint(side, (count, 2 * POINTS, 2), generator=generator)
    drawn = model.background(content.background, content.background_turns, content.starts, (cells + 0.5) / side)
    row = torch.arange(count)[:, None]
    wanted = batch.pixels[row, cells[..., 1], cells[..., 0]]
    seen = (batch.owners[row, cells[..., 1], cells[..., 0]] == 0).float()
    return objects + 2 * (_error(drawn, wanted) * seen).sum() / seen.sum()


def _error(drawn: Tensor, wanted: Tensor) -> Tensor:
    difference = drawn - wanted
    return (difference.abs() + 2 * difference.square()).mean(-1)


@torch.no_grad()
def patch_states(encoder: CLIPVisionModel, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """(B, patches, width) after the encoder's first layer and after its last."""
    states = encoder(pixel_values=pixels, output_hidden_states=True).hidden_states
    return states[1][:, 1:], states[-1][:, 1:]


def image_losses(
    model: ImageAutoencoder, encoder: CLIPVisionModel, scenes: Sequence[Scene], step: int
) -> dict[str, Tensor]:
    """Of reading scenes and of painting them; which points are looked at depends on the step alone."""
    content = content_of(scenes)
    images = [scene.image for scene in scenes]
    reading = reading_loss(model.head(*patch_states(encoder, pixel_values(images))), content)
    pixels = torch.from_numpy(np.stack(images)).float() / 255
    owners = torch.from_numpy(np.stack([scene.owner for scene in scenes])).long()
    generator = torch.Generator().manual_seed(step)
    painting = painting_loss(model, PointBatch(pixels, owners), content, generator)
    return {"total": reading + 4 * painting, "reading": reading.detach(), "painting": painting.detach()}
