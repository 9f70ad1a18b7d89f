"""Image decoders of the diffusers library that are conditioned on a CLIP image feature, by local path or hub id.

``stable-unclip`` takes the projected feature of CLIP ViT-L/14 (768 numbers), the tower that the paper freezes;
``kandinsky-2.2`` that of CLIP ViT-bigG/14 (1280). The model must have been trained to predict the same feature, unnormalised.
"""

from __future__ import annotations

import importlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError

from mmud import codes as general_codes
from mmud.baselines import codes as baseline_codes
from mmud.baselines.neural_tuning import codes
from mmud.baselines.neural_tuning.interfaces import ImageDecoder
from mmud.errors import MmudError, Place, first_line
from mmud.images import Pixels


class DiffusionOptions(BaseModel):
    """How images are drawn.

    Attributes:
        steps: of denoising.
        guidance: strength of classifier-free guidance; None for 10 (stable-unclip), for 4 (kandinsky-2.2 with
            ``image_encoder``), for 1, which is none (kandinsky-2.2 without).
        height, width: of the images, in pixels; None for the decoder's own.
        batch: images drawn at once; an image does not depend on it.
        half: 16-bit weights.
        offline: False lets weights be downloaded.
        image_encoder: of kandinsky-2.2: the CLIP model that its features come from, by folder or hub id. Guidance leads away from
            its feature of a black image.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: Annotated[int, Field(ge=1)] = 20
    guidance: Annotated[float, Field(ge=1)] | None = None
    height: Annotated[int, Field(ge=8)] | None = None
    width: Annotated[int, Field(ge=8)] | None = None
    batch: Annotated[int, Field(ge=1)] = 4
    half: bool = False
    offline: bool = True
    image_encoder: str = ""


class DiffusionDecoder(ImageDecoder):
    """What the pipelines of diffusers share.

    Args:
        weights: a folder or hub id; empty for `default_weights`.
        device: to draw on.
        options: those of `DiffusionOptions`.
        pipeline: already loaded, in place of ``weights``.

    Raises:
        MmudError: MM905 for an unknown option, MM007 when diffusers or the weights are missing, MM916 when they cannot be
            loaded.
    """

    pipeline_class: ClassVar[str]
    default_weights: ClassVar[str]

    def __init__(self, weights: str, device: str, options: Mapping[str, Any], pipeline: Any = None) -> None:
        try:
            self.options = DiffusionOptions.model_validate(dict(options))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            message = f"image decoder: {'.'.join(map(str, first['loc']))}: {first['msg']}"
            raise MmudError(baseline_codes.CONFIG_INVALID, message) from error
        self.device = device
        self.pipeline = self._loaded(weights or self.default_weights) if pipeline is None else pipeline

    def _loaded(self, weights: str) -> Any:
        try:
            diffusers: Any = importlib.import_module("diffusers")
        except ImportError as error:
            hint = "pip install 'mmud[diffusion]' -c constraints.txt"
            message = "drawing images from CLIP features needs the package diffusers"
            raise MmudError(general_codes.DEPENDENCY_MISSING, message, hint=hint) from error
        local = self.options.offline or Path(weights).is_dir()
        try:
            pipeline = getattr(diffusers, self.pipeline_class).from_pretrained(
                weights, use_safetensors=True, local_files_only=local
            )
        except OSError as error:
            message = f"no image decoder at {weights}: {first_line(error)}"
            hint = "Give its folder, or options.offline=false to download it."
            raise MmudError(general_codes.DEPENDENCY_MISSING, message, hint=hint) from error
        except (ValueError, RuntimeError, TypeError, AttributeError, SafetensorError) as error:
            raise MmudError(codes.IMAGE_DECODER_UNUSABLE, first_line(error), Place(file=weights)) from error
        pipeline.set_progress_bar_config(disable=True)
        return pipeline.to(self.device, self._dtype)

    @property
    def _dtype(self) -> torch.dtype:
        return torch.float16 if self.options.half else torch.float32

    @property
    @abstractmethod
    def feature_size(self) -> int | None:
        """Of the features that it takes; None where it does not say."""

    @abstractmethod
    def _conditions(self, features: torch.Tensor) -> dict[str, Any]:
        """What the pipeline is called with besides sizes, steps and random numbers."""

    def decode(self, features: torch.Tensor, seeds: Sequence[int]) -> list[Pixels]:
        """Images of features of shape (n, size); an image depends on its own feature and seed.

        Raises:
            MmudError: MM916 when features and seeds differ in number, or features have another size than it takes.
        """
        if features.ndim != 2 or len(features) != len(seeds):
            message = f"features of shape {tuple(features.shape)} and {len(seeds)} seeds"
            raise MmudError(codes.IMAGE_DECODER_UNUSABLE, message)
        if self.feature_size not in (None, features.shape[1]):
            message = f"{self.pipeline_class} takes features of {self.feature_size} numbers, not of {features.shape[1]}"
            raise MmudError(codes.IMAGE_DECODER_UNUSABLE, message)
        images: list[Pixels] = []
        for start in range(0, len(seeds), self.options.batch):
            part = slice(start, start + self.options.batch)
            images += self._drawn(features[part], seeds[part])
        return images

    @torch.no_grad()
    def _drawn(self, features: torch.Tensor, seeds: Sequence[int]) -> list[Pixels]:
        sizes = {"height": self.options.height, "width": self.options.width}
        output = self.pipeline(
            **self._conditions(features.to(self.device, self._dtype)),
            **{name: value for name, value in sizes.items() if value is not None},
            num_inference_steps=self.options.steps,
            # On the CPU, so that one seed draws one image on every device.
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
            output_type="np",
        )
        images = np.asarray(output.images)
        if images.ndim != 4 or len(images) != len(seeds) or not np.isfinite(images).all():
            message = f"{self.pipeline_class} gave no {len(seeds)} images but numbers of shape {images.shape}"
            raise MmudError(codes.IMAGE_DECODER_UNUSABLE, message)
        return list(np.rint(images.clip(0, 1) * 255).astype(np.uint8))


class StableUnClipDecoder(DiffusionDecoder):
    """Stable unCLIP: the feature alone, with an empty prompt."""

    pipeline_class = "StableUnCLIPImg2ImgPipeline"
    default_weights = "stabilityai/stable-diffusion-2-1-unclip-small"

    @property
    def feature_size(self) -> int | None:
        """As its normaliser has it: 768 in the small model."""
        mean = getattr(getattr(self.pipeline, "image_normalizer", None), "mean", None)
        return None if mean is None else int(mean.shape[-1])

    def _conditions(self, features: torch.Tensor) -> dict[str, Any]:
        guidance = 10.0 if self.options.guidance is None else self.options.guidance
        return {"image_embeds": features, "prompt": [""] * len(features), "guidance_scale": guidance}


class KandinskyDecoder(DiffusionDecoder):
    """The decoder of Kandinsky 2.2."""

    pipeline_class = "KandinskyV22Pipeline"
    default_weights = "kandinsky-community/kandinsky-2-2-decoder"

    def __init__(self, weights: str, device: str, options: Mapping[str, Any], pipeline: Any = None) -> None:
        super().__init__(weights, device, options, pipeline)
        self._blank = self._blank_feature() if self.options.image_encoder else None

    @torch.no_grad()
    def _blank_feature(self) -> torch.Tensor:
        import transformers

        weights = self.options.image_encoder
        try:
            encoder: Any = transformers.CLIPVisionModelWithProjection.from_pretrained(
                weights, use_safetensors=True, local_files_only=self.options.offline or Path(weights).is_dir()
            )
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            message = f"no CLIP image encoder at {weights}: {first_line(error)}"
            raise MmudError(general_codes.DEPENDENCY_MISSING, message) from error
        side = encoder.config.image_size
        feature: torch.Tensor = encoder(pixel_values=torch.zeros(1, 3, side, side)).image_embeds
        return feature

    @property
    def feature_size(self) -> int | None:
        """As its denoiser has it: 1280 in the published model."""
        size = getattr(getattr(getattr(self.pipeline, "unet", None), "config", None), "encoder_hid_dim", None)
        return None if size is None else int(size)

    def _conditions(self, features: torch.Tensor) -> dict[str, Any]:
        blank = torch.zeros_like(features) if self._blank is None else self._blank.to(features).expand_as(features)
        usual = 1.0 if self._blank is None else 4.0
        guidance = usual if self.options.guidance is None else self.options.guidance
        return {"image_embeds": features, "negative_image_embeds": blank, "guidance_scale": guidance}
