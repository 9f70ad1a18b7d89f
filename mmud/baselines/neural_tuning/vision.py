"""Vision towers: frozen image encoders seen as lists of states, layer by layer, whatever they are inside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from mmud.baselines.neural_tuning import codes
from mmud.baselines.neural_tuning.interfaces import VisionTower
from mmud.baselines.neural_tuning.known_models import load_known
from mmud.errors import MmudError, Place
from mmud.images import Pixels

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_VISION_MODELS = {
    "clip": "CLIPVisionModel",
    "clip_vision_model": "CLIPVisionModel",
    "siglip": "SiglipVisionModel",
    "siglip_vision_model": "SiglipVisionModel",
    "siglip2": "SiglipVisionModel",
}


def stretched(
    images: Sequence[Pixels], size: tuple[int, int], mean: Sequence[float], std: Sequence[float]
) -> torch.Tensor:
    """Images as a network's input: stretched to a size (bicubic, as CLIP's processor), from 0 to 1, normalised.

    Nothing is cropped: every pixel of a mask must have its place in the input.

    Args:
        images: of any sizes, RGB.
        size: (height, width).
        mean, std: of each channel.

    Returns:
        Shape (B, 3, height, width), float32.
    """
    if not len(images):
        return torch.empty(0, 3, *size)
    height, width = size
    resized = [Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC) for image in images]
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in resized])).permute(0, 3, 1, 2).float() / 255
    return (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]


class _FrozenTower(VisionTower):
    """What towers share: a frozen network, a size, a normalisation."""

    def __init__(
        self, network: nn.Module, image_size: tuple[int, int], mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.image_size = image_size
        self.mean, self.std = tuple(mean), tuple(std)

    def train(self, mode: bool = True) -> _FrozenTower:
        """Nothing: a frozen tower stays as it is."""
        return self

    def prepare(self, images: Sequence[Pixels]) -> torch.Tensor:
        """Shape (B, 3, height, width)."""
        return stretched(images, self.image_size, self.mean, self.std)

    def describe(self) -> Mapping[str, Any]:
        """What identifies the tower, a sum over its weights among it."""
        weights = [float(one.detach().double().abs().sum()) for one in self.network.parameters() if not one.is_meta]
        return {
            **super().describe(),
            "network": type(self.network).__name__,
            "mean": list(self.mean),
            "std": list(self.std),
            "weights": sum(weights),
        }


class TransformersTower(_FrozenTower):
    """A vision transformer of the transformers library: CLIP's, SigLIP's, or one with the same outputs.

    Args:
        model: gives ``hidden_states``: the embeddings, then the states after each layer.
        mean, std: of its processor.

    Raises:
        MmudError: MM914 when its configuration does not say image and patch size.
    """

    def __init__(self, model: Any, mean: Sequence[float] = CLIP_MEAN, std: Sequence[float] = CLIP_STD) -> None:
        config = model.config
        side, patch = getattr(config, "image_size", None), getattr(config, "patch_size", None)
        if not (isinstance(side, int) and isinstance(patch, int) and side >= patch > 0):
            message = f"{type(model).__name__} does not say its image_size and patch_size"
            raise MmudError(codes.TOWER_UNUSABLE, message)
        super().__init__(model, (side, side), mean, std)
        self.grid = (side // patch, side // patch)
        self.widths = (config.hidden_size,) * config.num_hidden_layers

    def hidden_states(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """The states after each layer; SigLIP has no class state, so the mean of its grid stands for it."""
        weight = next(self.network.parameters())
        output = self.network(
            pixel_values=pixels.to(weight.device, weight.dtype), output_hidden_states=True, return_dict=True
        )
        cells = self.grid[0] * self.grid[1]
        states = list(output.hidden_states[1:])
        if states[0].shape[1] == cells:
            states = [torch.cat([one.mean(1, keepdim=True), one], dim=1) for one in states]
        return states

    @classmethod
    def from_pretrained(cls, weights: str, offline: bool = True) -> TransformersTower:
        """A tower from a local folder or hub id.

        Args:
            weights: a folder, or an id in the hub's local cache.
            offline: False lets it be downloaded.

        Raises:
            MmudError: MM007 when it is not there, MM914 when it is no CLIP or SigLIP model with safetensors weights.
        """
        model = load_known(weights, _VISION_MODELS, codes.TOWER_UNUSABLE, offline, "vision model")
        mean, std = _normalisation(Path(weights) if Path(weights).is_dir() else _cached(weights))
        return cls(model, mean, std)


def _cached(weights: str) -> Path:
    import huggingface_hub

    return Path(huggingface_hub.snapshot_download(weights, local_files_only=True, allow_patterns=["*.json"]))


def _normalisation(folder: Path) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and standard deviation of a folder's processor; CLIP's where it has none.

    The processor itself is not loaded: its fast form needs torchvision, and it crops.
    """
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return CLIP_MEAN, CLIP_STD
    try:
        data = json.loads(path.read_bytes())
        mean = [float(value) for value in data.get("image_mean") or CLIP_MEAN]
        std = [float(value) for value in data.get("image_std") or CLIP_STD]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise MmudError(
            codes.TOWER_UNUSABLE, f"the processor cannot be read: {error}", Place(file=str(path))
        ) from error
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise MmudError(codes.TOWER_UNUSABLE, "mean and std are not three numbers each", Place(file=str(path)))
    return mean, std


class FeatureMapTower(_FrozenTower):
    """A convolutional network, such as EfficientNet: the outputs of named modules, brought to one grid.

    A finer map is averaged over each cell, a coarser one is interpolated; the mean of the map stands for the class state.

    Args:
        network: takes (B, 3, height, width).
        modules: names of modules inside it whose outputs are maps (B, width, rows, columns), first to last.
        image_size: (height, width) of its input.
        grid: (rows, columns) of the states.
        mean, std: of its own preprocessing.

    Raises:
        MmudError: MM914 when a module is not there, or gives no map.
    """

    def __init__(
        self,
        network: nn.Module,
        modules: Sequence[str],
        image_size: tuple[int, int],
        grid: tuple[int, int],
        mean: Sequence[float] = (0.485, 0.456, 0.406),
        std: Sequence[float] = (0.229, 0.224, 0.225),
    ) -> None:
        super().__init__(network, image_size, mean, std)
        self.modules_read = tuple(modules)
        self.grid = grid
        known = dict(network.named_modules())
        missing = [name for name in modules if name not in known]
        if missing or not modules:
            raise MmudError(codes.TOWER_UNUSABLE, f"the network has no module {', '.join(missing) or 'to read'}")
        self._read = [known[name] for name in modules]
        with torch.no_grad():
            self.widths = tuple(one.shape[2] for one in self.hidden_states(torch.zeros(1, 3, *image_size)))

    def hidden_states(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """The named modules' maps as states."""
        weight = next(self.network.parameters())
        maps: dict[int, torch.Tensor] = {}
        handles = [
            module.register_forward_hook(lambda _, __, output, number=number: maps.__setitem__(number, output))
            for number, module in enumerate(self._read)
        ]
        try:
            self.network(pixels.to(weight.device, weight.dtype))
        finally:
            for handle in handles:
                handle.remove()
        return [self._states(maps.get(number), name) for number, name in enumerate(self.modules_read)]

    def _states(self, found: Any, name: str) -> torch.Tensor:
        if not isinstance(found, torch.Tensor) or found.ndim != 4:
            raise MmudError(codes.TOWER_UNUSABLE, f"module {name} gives no map of shape (B, width, rows, columns)")
        if found.shape[2] >= self.grid[0] and found.shape[3] >= self.grid[1]:
            cells = functional.adaptive_avg_pool2d(found, self.grid)
        else:
            cells = functional.interpolate(found, self.grid, mode="bilinear", align_corners=False)
        states = cells.flatten(2).transpose(1, 2)
        return torch.cat([states.mean(1, keepdim=True), states], dim=1)

    def describe(self) -> Mapping[str, Any]:
        """What identifies the tower."""
        return {**super().describe(), "modules": list(self.modules_read)}
