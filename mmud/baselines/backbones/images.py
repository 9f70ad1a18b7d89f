"""The image feature and the decoder that draws an image from it.

The feature is the bottleneck of an autoencoder: from the frozen encoder's patches to 4 x 4 places of 8 numbers, and back to
64 x 64 pixels. It plays the part of the CLIP image feature in the generation task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor, nn

from mmud.baselines.backbones.vision import DEVIATION, MEAN, pixel_values
from mmud.dataset.sources.scenes.world import Scene

if TYPE_CHECKING:
    from transformers import CLIPVisionModel


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """Sizes of the autoencoder.

    Attributes:
        patch_width: Width of the encoder's hidden states.
        patch_side: Patches along a side.
        feature_side, feature_depth: The feature is feature_side x feature_side places of feature_depth numbers.
        widths: Channels of the decoder from the feature's resolution on; each next one has twice the resolution.
    """

    patch_width: int = 96
    patch_side: int = 16
    feature_side: int = 4
    feature_depth: int = 8
    widths: tuple[int, ...] = (128, 96, 64, 48, 32)

    @property
    def feature_size(self) -> int:
        return self.feature_side * self.feature_side * self.feature_depth

    @property
    def image_side(self) -> int:
        return int(self.feature_side * 2 ** (len(self.widths) - 1))


class FeatureHead(nn.Module):
    """(B, patches, patch_width) -> (B, feature_size): strided convolutions over the patches' hidden states."""

    def __init__(self, config: ImageConfig) -> None:
        super().__init__()
        self.config = config
        halvings = (config.patch_side // config.feature_side).bit_length() - 1
        self.norm = nn.LayerNorm(config.patch_width)
        steps: list[nn.Module] = []
        for _ in range(halvings):
            steps += [nn.Conv2d(config.patch_width, config.patch_width, 4, stride=2, padding=1), nn.GELU()]
        self.steps = nn.Sequential(*steps, nn.Conv2d(config.patch_width, config.feature_depth, 3, padding=1))

    def forward(self, patches: Tensor) -> Tensor:
        side = self.config.patch_side
        image = self.norm(patches).transpose(1, 2).reshape(-1, self.config.patch_width, side, side)
        feature: Tensor = self.steps(image).flatten(1)
        return feature


class _Block(nn.Module):
    """A residual block on channels, with normalisation over groups."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.steps = nn.Sequential(nn.GroupNorm(4, width), nn.GELU(), nn.Conv2d(width, width, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        changed: Tensor = image + self.steps(image)
        return changed


class ImageDecoder(nn.Module):
    """(B, feature_size) -> (B, 3, side, side) in 0..1."""

    def __init__(self, config: ImageConfig) -> None:
        super().__init__()
        self.config = config
        first = config.widths[0]
        self.enter = nn.Conv2d(config.feature_depth, first, 3, padding=1)
        # The feature's places are all alike to a convolution; a table tells them apart, for the background's pattern.
        self.places = nn.Parameter(0.02 * torch.randn(1, first, config.feature_side, config.feature_side))
        steps: list[nn.Module] = [_Block(first), _Block(first)]
        for width, following in zip(config.widths[:-1], config.widths[1:], strict=True):
            steps += [nn.Upsample(scale_factor=2), nn.Conv2d(width, following, 3, padding=1), _Block(following)]
        self.steps = nn.Sequential(*steps)
        self.leave = nn.Sequential(nn.GELU(), nn.Conv2d(config.widths[-1], 3, 3, padding=1))

    def forward(self, feature: Tensor) -> Tensor:
        config = self.config
        places = feature.reshape(-1, config.feature_depth, config.feature_side, config.feature_side)
        image: Tensor = torch.sigmoid(self.leave(self.steps(self.enter(places) + self.places)))
        return image


class ImageAutoencoder(nn.Module):
    """Feature head and decoder; the encoder stays outside and frozen."""

    def __init__(self, config: ImageConfig | None = None) -> None:
        super().__init__()
        self.config = config or ImageConfig()
        self.head = FeatureHead(self.config)
        self.decoder = ImageDecoder(self.config)

    def draw(self, feature: Tensor) -> Tensor:
        """(B, feature_size) -> (B, side, side, 3) uint8."""
        image: Tensor = self.decoder(feature)
        return (image.permute(0, 2, 3, 1) * 255).round().to(torch.uint8)


def reconstruction_loss(drawn: Tensor, pixels: Tensor, objects: Tensor) -> Tensor:
    """Mean absolute error plus mean squared error; pixels of objects count five times.

    Args:
        drawn: (B, 3, side, side) in 0..1.
        pixels: (B, 3, side, side) in 0..1.
        objects: (B, 1, side, side) in 0..1: how much of a pixel is of objects.
    """
    difference = drawn - pixels
    weights = 1 + 4 * objects
    return ((difference.abs() + 2 * difference.square()) * weights).sum() / (3 * weights.sum())


NOISE: Final = 0.2
"""Of the feature while the decoder learns, as a share of its root mean square: what is predicted of it is never exact."""


def reconstruction(
    autoencoder: ImageAutoencoder, encoder: CLIPVisionModel, scenes: Sequence[Scene], step: int
) -> Tensor:
    """The loss of drawing scenes again from their features, spoilt by noise that depends on the step alone."""
    with torch.no_grad():
        pixels = pixel_values([scene.image for scene in scenes])
        patches = encoder(pixel_values=pixels).last_hidden_state[:, 1:]
    feature = autoencoder.head(patches)
    noise = torch.randn(feature.shape, generator=torch.Generator().manual_seed(step))
    drawn = autoencoder.decoder(feature + NOISE * scale_of(feature.detach()) * noise)
    side = autoencoder.config.image_side
    wanted = nn.functional.interpolate(pixels * DEVIATION + MEAN, (side, side), mode="area")
    owners = torch.from_numpy(np.stack([scene.owner > 0 for scene in scenes])).float()[:, None]
    objects = nn.functional.interpolate(owners, (side, side), mode="area")
    # A weak pull to unit size, so that noise cannot be outgrown.
    return reconstruction_loss(drawn, wanted, objects) + 0.01 * (scale_of(feature) - 1).square()


def scale_of(feature: Tensor) -> Tensor:
    """The root mean square of features."""
    return feature.square().mean().sqrt()
