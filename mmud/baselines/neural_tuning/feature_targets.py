"""What ``<GLB>`` is to predict of an image: a frozen network's feature, from which an image decoder can draw it again."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image

from mmud.baselines.neural_tuning.interfaces import VisionTower
from mmud.images import Pixels


class FeatureEncoder(ABC):
    """From images to features.

    Attributes:
        size: of a feature.
    """

    size: int

    @abstractmethod
    def encode(self, images: Sequence[Pixels]) -> torch.Tensor:
        """Features of images of any size: shape (images, size), float32, on the CPU."""

    @abstractmethod
    def describe(self) -> Mapping[str, Any]:
        """What identifies it: a cache of features is kept under this. JSON-compatible."""


class TowerFeature(FeatureEncoder):
    """The last class state of a vision tower: needs nothing else, and says what the tower saw as a whole."""

    def __init__(self, tower: VisionTower) -> None:
        self._tower = tower
        self.size = tower.widths[-1]

    @torch.no_grad()
    def encode(self, images: Sequence[Pixels]) -> torch.Tensor:
        weight = next(iter(self._tower.parameters()), None)
        pixels = self._tower.prepare(images)
        states = self._tower.hidden_states(pixels if weight is None else pixels.to(weight.device))
        return states[-1][:, 0].float().cpu()

    def describe(self) -> Mapping[str, Any]:
        return {"feature": "tower", **self._tower.describe()}


class ExtractedFeature(FeatureEncoder):
    """What an extractor of image metrics gives, such as the projected embedding of CLIP ViT-B/32, which the paper predicts.

    Args:
        name: in the registry of extractors.
        weights: folder or hub id.
        offline: take a hub id from the local cache alone.

    Raises:
        MmudError: MM004 for an unknown name, MM007, MM872 or MM877 when its weights cannot be used.
    """

    def __init__(self, name: str, weights: str, offline: bool = True) -> None:
        from mmud.evaluators.generation.extractors import ExtractorOptions, open_extractor

        self._extractor = open_extractor(name, ExtractorOptions(weights=weights or None, offline=offline))
        self.size = self.encode([_black()]).shape[1]

    def encode(self, images: Sequence[Pixels]) -> torch.Tensor:
        from mmud.evaluators.generation.extractors import ImageSource

        sources = [ImageSource(str(number), data=_png(image)) for number, image in enumerate(images)]
        return torch.from_numpy(self._extractor.extract(sources)).float()

    def describe(self) -> Mapping[str, Any]:
        return {"feature": self._extractor.identity.to_dict()}


def _black() -> Pixels:
    import numpy as np

    return np.zeros((8, 8, 3), np.uint8)


def _png(image: Pixels) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", compress_level=1)
    return stream.getvalue()
