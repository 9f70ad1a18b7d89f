"""The backbone ``scenes-tiny``: a language model, a vision tower and an image decoder that know nothing but the scenes world."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from mmud.baselines.backbones import codes
from mmud.baselines.backbones.images import ImageAutoencoder
from mmud.baselines.backbones.vision import DEVIATION, MEAN
from mmud.baselines.neural_tuning.backbones import Backbone
from mmud.baselines.neural_tuning.feature_targets import FeatureEncoder
from mmud.baselines.neural_tuning.interfaces import ImageDecoder, VisionTower
from mmud.baselines.neural_tuning.vision import TransformersTower
from mmud.baselines.training.tensor_files import digest_of, read_tensors
from mmud.errors import MmudError, Place
from mmud.files import write_json
from mmud.images import Pixels

LANGUAGE_MODEL, VISION_TOWER, IMAGE_DECODER, VISION_MAP = (
    "language_model",
    "vision_tower",
    "image_decoder",
    "vision_map",
)
WEIGHTS_NAME: Final = "model.safetensors"
REPORT_NAME: Final = "pretraining.json"
FOLDER_VARIABLE: Final = "MMUD_SCENES_TINY"


def weights_folder() -> Path:
    """The folder that MMUD_SCENES_TINY names, else the package's own.

    Raises:
        MmudError: MM931 when there are no weights.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    folder = Path(named) if named else Path(__file__).parent / "weights" / "scenes_tiny"
    if not (folder / LANGUAGE_MODEL).is_dir():
        raise MmudError(codes.WEIGHTS_MISSING, "the weights of scenes-tiny are missing", Place(file=str(folder)))
    return folder


def lacking(folder: Path) -> list[str]:
    """The parts of which the folder has no weights."""
    parts = (LANGUAGE_MODEL, VISION_TOWER, IMAGE_DECODER, VISION_MAP)
    return [name for name in parts if not (folder / name / WEIGHTS_NAME).is_file()]


def load_encoder(folder: Path) -> Any:
    """The vision encoder of a folder of parts, as a model of transformers."""
    from transformers import CLIPVisionModel

    model: Any = CLIPVisionModel.from_pretrained(folder / VISION_TOWER, local_files_only=True)
    return model.eval()


def load_language_model(folder: Path, dtype: torch.dtype) -> tuple[Any, Any]:
    """The language model of a folder of parts, with its tokenizer."""
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

    model: Any = LlamaForCausalLM.from_pretrained(folder / LANGUAGE_MODEL, dtype=dtype, local_files_only=True)
    return model.eval(), PreTrainedTokenizerFast.from_pretrained(folder / LANGUAGE_MODEL, local_files_only=True)


def load_autoencoder(folder: Path) -> ImageAutoencoder:
    """The image decoder of a folder of parts, with the head that makes its feature.

    Raises:
        MmudError: MM931 when its weights are of another form: those of an older version.
    """
    autoencoder = ImageAutoencoder()
    path = folder / IMAGE_DECODER / WEIGHTS_NAME
    weights, wanted = read_tensors(path), autoencoder.state_dict()
    if {name: weight.shape for name, weight in weights.items()} != {name: w.shape for name, w in wanted.items()}:
        message = "these weights are not of this version's image decoder"
        hint = "mmud pretrain scenes-tiny --stage image_decoder -o DIR, in a folder that has the vision tower"
        raise MmudError(codes.WEIGHTS_MISSING, message, Place(file=str(path)), hint=hint)
    autoencoder.load_state_dict(weights)
    return autoencoder.eval().requires_grad_(False)


def write_processor(folder: Path) -> None:
    """Say beside a vision tower how its input is normalised."""
    write_json(folder / "preprocessor_config.json", {"image_mean": [MEAN] * 3, "image_std": [DEVIATION] * 3})


class SceneFeature(FeatureEncoder):
    """What the image decoder draws from: `mmud.baselines.backbones.scene_code` says what its numbers mean."""

    def __init__(self, tower: VisionTower, autoencoder: ImageAutoencoder) -> None:
        self._tower = tower
        self._autoencoder = autoencoder
        self.size = autoencoder.feature_size
        self._weights = digest_of(autoencoder.state_dict())

    @torch.no_grad()
    def encode(self, images: Sequence[Pixels]) -> torch.Tensor:
        states = self._tower.hidden_states(self._tower.prepare(images))
        feature: torch.Tensor = self._autoencoder.feature(states[0][:, 1:].float(), states[-1][:, 1:].float())
        return feature.cpu()

    def describe(self) -> Mapping[str, Any]:
        # Features are cached under this: those of other weights must not be taken for these.
        return {"feature": "scenes-tiny", "head": self._weights, **self._tower.describe()}


class SceneDecoder(ImageDecoder):
    """Draws 128 x 128 pixels from the feature; always the same ones."""

    def __init__(self, autoencoder: ImageAutoencoder, device: str) -> None:
        self._autoencoder = autoencoder.to(device)
        self._device = device

    @torch.no_grad()
    def decode(self, features: torch.Tensor, seeds: Sequence[int]) -> list[Pixels]:
        drawn = self._autoencoder.draw(features.to(self._device, torch.float32))
        return list(drawn.cpu().numpy())


class ScenesTiny(Backbone):
    """The parts in `weights_folder`."""

    def language_model(self, dtype: torch.dtype) -> tuple[nn.Module, Any]:
        return load_language_model(weights_folder(), dtype)

    def vision_tower(self) -> VisionTower:
        return TransformersTower.from_pretrained(str(weights_folder() / VISION_TOWER))

    def image_feature(self) -> FeatureEncoder:
        return SceneFeature(self.vision_tower(), load_autoencoder(weights_folder()))

    def image_decoder(self, device: str) -> ImageDecoder:
        return SceneDecoder(load_autoencoder(weights_folder()), device)

    def start(self) -> Mapping[str, torch.Tensor]:
        """The vision map, aligned."""
        return read_tensors(weights_folder() / VISION_MAP / WEIGHTS_NAME)
