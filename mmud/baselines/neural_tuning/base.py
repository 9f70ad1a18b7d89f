"""The exchangeable parts of neural tuning, by name. Light: what a name stands for is imported when it is asked for."""

from __future__ import annotations

from typing import Any

from mmud.registry import Registry

ADAPTERS: Registry[Any] = Registry(
    "adapter",
    "mmud.adapters",
    {
        "stn": "mmud.baselines.neural_tuning.adapters:StnAdapter",
        "none": "mmud.baselines.neural_tuning.adapters:NoAdapter",
        "lora": "mmud.baselines.neural_tuning.lora:LoraAdapter",
        "full": "mmud.baselines.neural_tuning.full:FullAdapter",
    },
)
"""What changes the frozen language model: called as ``adapter(language_model, options)``, gives an `interfaces.Adapter`."""

MASK_DECODERS: Registry[Any] = Registry(
    "mask decoder",
    "mmud.mask_decoders",
    {
        "film": "mmud.baselines.neural_tuning.mask_decoder:FilmMaskDecoder",
        "sam": "mmud.baselines.neural_tuning.sam:SamMaskDecoder",
    },
)
"""From a tag's states to a mask: called as ``decoder(sizes, config)``, gives an `interfaces.MaskDecoder`."""

IMAGE_DECODERS: Registry[Any] = Registry(
    "image decoder",
    "mmud.image_decoders",
    {
        "stable-unclip": "mmud.baselines.neural_tuning.image_decoders:StableUnClipDecoder",
        "kandinsky-2.2": "mmud.baselines.neural_tuning.image_decoders:KandinskyDecoder",
    },
)
"""From an image's feature to the image: called as ``decoder(weights, device, options)``, gives an `interfaces.ImageDecoder`."""

BACKBONES: Registry[Any] = Registry(
    "backbone",
    "mmud.backbones",
    {
        "scenes-tiny": "mmud.baselines.backbones.scenes_tiny:ScenesTiny",
        "smollm2": "mmud.baselines.neural_tuning.smollm2:SmolLM2",
    },
)
"""Frozen parts that are made to go together: called without arguments, gives a `backbones.Backbone`."""
