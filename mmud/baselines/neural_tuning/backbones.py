"""The frozen parts of neural tuning, found by name: sets that are made to go together, local folders, hub ids.

A *backbone* is a set by one name (``scenes-tiny``, ``smollm2``): a language model with its tokenizer, a vision tower, and where
it has them the feature that images are generated from, an image decoder for it, and weights to start from. Each part may be
replaced by a folder or hub id of its own.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from mmud import codes as general_codes
from mmud.baselines.neural_tuning.base import BACKBONES, IMAGE_DECODERS
from mmud.baselines.neural_tuning.config import BackboneConfig
from mmud.baselines.neural_tuning.feature_targets import ExtractedFeature, FeatureEncoder, TowerFeature
from mmud.baselines.neural_tuning.interfaces import ImageDecoder, VisionTower
from mmud.baselines.training import codes
from mmud.baselines.training.tensor_files import digest_of
from mmud.errors import MmudError, first_line


class Backbone:
    """A set of frozen parts. A subclass gives those that it has; the others are asked for by name.

    Its constructor takes nothing and loads nothing. Parts are on the CPU; whoever asked for them moves them.
    """

    def language_model(self, dtype: torch.dtype) -> tuple[nn.Module, Any] | None:
        """A causal language model of transformers, with its tokenizer."""
        return None

    def vision_tower(self) -> VisionTower | None:
        """The vision tower."""
        return None

    def image_feature(self) -> FeatureEncoder | None:
        """What ``<GLB>`` is to predict of an image: the feature that the image decoder draws from."""
        return None

    def image_decoder(self, device: str) -> ImageDecoder | None:
        """From that feature to an image."""
        return None

    def start(self) -> Mapping[str, torch.Tensor]:
        """Weights of trained parts to start from, by the names of ``trainable_state``: such as a vision map that is aligned."""
        return {}


@dataclass
class FrozenParts:
    """What a model is built around.

    Attributes:
        language_model, tokenizer, tower: as loaded.
        feature: what ``<GLB>`` predicts.
        start: weights of trained parts to start from.
        digests: part -> SHA-256 of its weights as they were loaded: a checkpoint belongs to these and to no others.
    """

    language_model: nn.Module
    tokenizer: Any
    tower: VisionTower
    feature: FeatureEncoder
    start: Mapping[str, torch.Tensor]
    digests: dict[str, str]


def load_parts(
    config: BackboneConfig, *, feature: str = "", feature_weights: str = "", dtype: torch.dtype, offline: bool = True
) -> FrozenParts:
    """Load the frozen parts.

    Args:
        config: which.
        feature: what ``<GLB>`` predicts: "tower" for the tower's last class state, the name of an extractor ("clip"), or empty
            for the backbone's own, else the tower's.
        feature_weights: of the extractor.
        dtype: of the language model.
        offline: take hub ids from the local cache alone.

    Raises:
        MmudError: MM923 or MM007 when a part is not there, MM914 for a tower that does not fit.
    """
    _quieten()
    language_model, tokenizer = load_language_model(config.language_model, dtype, offline)
    tower = load_tower(config.vision_tower, offline)
    encoder: FeatureEncoder | None = None
    if feature == "tower":
        encoder = TowerFeature(tower)
    elif feature:
        encoder = ExtractedFeature(feature, feature_weights, offline)
    elif config.image_decoder in BACKBONES:
        encoder = _backbone(config.image_decoder).image_feature()
    start: Mapping[str, torch.Tensor] = {}
    if config.language_model == config.vision_tower and config.vision_tower in BACKBONES:
        start = _backbone(config.vision_tower).start()
    digests = {
        "language_model": digest_of(language_model.state_dict()),
        "tokenizer": tokenizer_digest(tokenizer),
        "vision_tower": digest_of(tower.state_dict()),
    }
    return FrozenParts(language_model, tokenizer, tower, encoder or TowerFeature(tower), start, digests)


def load_language_model(name: str, dtype: torch.dtype, offline: bool = True) -> tuple[nn.Module, Any]:
    """A language model and its tokenizer, by the name of a backbone, by folder or by hub id.

    Raises:
        MmudError: MM923 when there is none.
    """
    if not name:
        raise _missing("no language model is named", "Give --set preset=NAME or --set language_model=FOLDER.")
    if name in BACKBONES:
        found = _backbone(name).language_model(dtype)
        if found is None:
            raise _missing(f"the backbone {name} has no language model")
        return found
    import transformers

    settings = {"local_files_only": offline or Path(name).is_dir(), "trust_remote_code": False}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, **settings)
        loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(
            name, dtype=dtype, use_safetensors=True, output_loading_info=True, **settings
        )
        model: nn.Module = loaded[0]
        missing = loaded[1]["missing_keys"]
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError) as error:
        raise _missing(f"no language model at {name}: {first_line(error)}") from error
    if missing:
        # transformers fills these with random numbers.
        message = f"{name} lacks {len(missing)} tensors, such as {min(missing)}"
        raise _missing(message, "Copy the model again.")
    return model, tokenizer


def load_tower(name: str, offline: bool = True) -> VisionTower:
    """A vision tower, by the name of a backbone, by folder or by hub id.

    Raises:
        MmudError: MM923 or MM007 when there is none, MM914 for a model that is none.
    """
    if not name:
        raise _missing("no vision tower is named", "Give --set preset=NAME or --set vision_tower=FOLDER.")
    if name in BACKBONES:
        found = _backbone(name).vision_tower()
        if found is None:
            raise _missing(f"the backbone {name} has no vision tower")
        return found
    from mmud.baselines.neural_tuning.vision import TransformersTower

    return TransformersTower.from_pretrained(name, offline)


def load_image_decoder(config: BackboneConfig, device: str) -> ImageDecoder | None:
    """The image decoder that is named; None where none is.

    Raises:
        MmudError: MM004 for an unknown name; MM007 or MM916 when it cannot be loaded.
    """
    if not config.image_decoder:
        return None
    if config.image_decoder in BACKBONES:
        return _backbone(config.image_decoder).image_decoder(device)
    decoder: ImageDecoder = IMAGE_DECODERS.get(config.image_decoder)(
        config.image_decoder_weights, device, config.image_decoder_options
    )
    return decoder


def _quieten() -> None:
    """No bars of the library's own: they would end up between the lines of progress, and in logs."""
    import transformers

    logging: Any = transformers.utils.logging
    logging.disable_progress_bar()


def _backbone(name: str) -> Backbone:
    made: Backbone = BACKBONES.get(name)()
    return made


def tokenizer_digest(tokenizer: Any) -> str:
    """What tells tokenizers apart: their vocabulary and the pieces it splits a text into."""
    probe: Sequence[int] = tokenizer("The 2 red stars, left of <LCL-1>?\n")["input_ids"]
    text = json.dumps([sorted(tokenizer.get_vocab().items()), list(probe)])
    return hashlib.sha256(text.encode()).hexdigest()


def _missing(message: str, hint: str | None = None) -> MmudError:
    return MmudError(codes.BACKBONE_UNKNOWN, message, hint=hint)


def package_weights(package: str, extra: str) -> Path:
    """The folder of an installed package that carries weights.

    Raises:
        MmudError: MM007 when it is not installed, naming the extra that brings it.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        message = f"the package {package} is not installed"
        raise MmudError(general_codes.DEPENDENCY_MISSING, message, hint=f'pip install "mmud[{extra}]"')
    return Path(next(iter(found.submodule_search_locations)))
