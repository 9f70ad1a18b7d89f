"""Networks that know how objects and backgrounds look: from words and a point to a colour, so that any size can be drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from mmud.baselines.backbones.scene_code import UNITS, CodeSizes

REACH: Final = 0.68
"""How far objects reach from their centroid, in diameters."""
TONES: Final = 3
"""Colours of an object: body, texture and rim."""
STEEP: Final = 8.0
"""Palettes start at grey and are learnt faster by this: white and black are far out."""


def _axes(points: Tensor) -> Tensor:
    """(…, 2) -> (…, 4): along the sides and the diagonals; a chequered pattern is a sum of waves along the latter."""
    x, y = points.unbind(-1)
    return torch.stack([x, y, x + y, x - y], dim=-1)


class _Modulated(nn.Module):
    """Linear layers on points; what they know of the whole object scales and moves their hidden units (FiLM).

    Args:
        inputs, condition, hidden, outputs: widths.
        depth: layers before the last.
    """

    def __init__(self, inputs: int, condition: int, hidden: int, outputs: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(inputs if not place else hidden, hidden) for place in range(depth))
        self.modulations = nn.ModuleList(nn.Linear(condition, 2 * hidden) for _ in range(depth))
        self.leave = nn.Linear(hidden, outputs)

    def forward(self, points: Tensor, condition: Tensor) -> Tensor:
        """(N, P, inputs) and (N, condition) -> (N, P, outputs)."""
        for layer, modulation in zip(self.layers, self.modulations, strict=True):
            scale, shift = modulation(condition)[:, None].chunk(2, dim=-1)
            points = nn.functional.gelu(layer(points) * (1 + scale) + shift)
        outputs: Tensor = self.leave(points)
        return outputs


@dataclass(slots=True)
class Painted:
    """Points of objects: (N, P, 3) colours in 0..1 and (N, P) logits of their being the object's."""

    colors: Tensor
    cover: Tensor


class ObjectPainter(nn.Module):
    """From an object's words and points about its centroid to colour and cover.

    Shape, texture, size and turn say what of the object is seen at a point: nothing, or a share of each of its tones. Colour and
    ground say what the tones are.
    """

    waves: Tensor
    apart: Tensor

    def __init__(self, sizes: CodeSizes, hidden: int = 96, waves: int = 12) -> None:
        super().__init__()
        self.sizes = sizes
        self.register_buffer("waves", math.pi * torch.arange(1, waves + 1), persistent=False)
        self.geometry = _Modulated(8 * waves + 3, sum(sizes.words[1:]) + 1, hidden, 1 + TONES, 3)
        self.palette = nn.Parameter(torch.zeros(sizes.words[0], sizes.tints, TONES, 3))
        # Tones that start alike would stay alike, for they would get the same gradients.
        self.register_buffer("apart", torch.linspace(-1, 1, TONES), persistent=False)
        # From the centroid to where textures begin, which differs by shape.
        self.middles = nn.Parameter(torch.zeros(sizes.words[1], sizes.words[3], 2))

    def forward(self, words: Tensor, turns: Tensor, tints: Tensor, points: Tensor) -> Painted:
        """Paint N objects.

        Args:
            words: (N, 4) int64.
            turns: (N,).
            tints: (N,) int64, of the ground.
            points: (N, P, 2) from the centroid, right and down, in diameters.
        """
        known = [
            nn.functional.one_hot(words[:, place], self.sizes.words[place]).float()
            for place in range(1, len(self.sizes.words))
        ]
        around = points + self.middles[words[:, 1], words[:, 3]][:, None]
        seen = self.geometry(self._features(around), torch.cat([*known, turns[:, None]], dim=-1))
        shares = seen[..., 1:].softmax(-1)
        tones = (STEEP * self.palette[words[:, 0], tints] + self.apart[:, None]).sigmoid()
        return Painted(shares @ tones, seen[..., 0])

    def _features(self, points: Tensor) -> Tensor:
        """Waves along the sides and the diagonals."""
        angles = (_axes(points)[..., None] * self.waves).flatten(-2)
        radius = points.square().sum(-1, keepdim=True).sqrt()
        return torch.cat([points, radius, angles.sin(), angles.cos()], dim=-1)


class BackgroundPainter(nn.Module):
    """From a background's words and points of the image to colours: a share of two tones."""

    waves: Tensor
    apart: Tensor

    def __init__(self, sizes: CodeSizes, hidden: int = 48, waves: int = 8) -> None:
        super().__init__()
        self.sizes = sizes
        self.register_buffer("waves", 2 * math.pi * torch.arange(1, waves + 1), persistent=False)
        self.geometry = _Modulated(8 * waves, sizes.patterns + 1, hidden, 1, 2)
        self.palette = nn.Parameter(torch.zeros(sizes.tints, sizes.patterns, 2, 3))
        self.register_buffer("apart", torch.linspace(-1, 1, 2), persistent=False)

    def forward(self, background: Tensor, turns: Tensor, starts: Tensor, points: Tensor) -> Tensor:
        """(N, P, 3) colours in 0..1.

        Args:
            background: (N, 2) int64: pattern and tint.
            turns: (N,).
            starts: (N, 2): cosine and sine.
            points: (N, P, 2), right and down, as shares of the image's sides.
        """
        start = torch.atan2(starts[:, 1], starts[:, 0]) / (2 * math.pi)
        # In periods of the checks along one axis, which are two of the stripes'.
        angles = _axes(points * (UNITS / 4) + start[:, None, None] / 2)[..., None] * self.waves
        features = torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(-2)
        known = nn.functional.one_hot(background[:, 0], self.sizes.patterns).float()
        share = self.geometry(features, torch.cat([known, turns[:, None]], dim=-1)).sigmoid()
        tones = (STEEP * self.palette[background[:, 1], background[:, 0]] + self.apart[:, None]).sigmoid()
        mixed: Tensor = (1 - share) * tones[:, None, 0] + share * tones[:, None, 1]
        return mixed
