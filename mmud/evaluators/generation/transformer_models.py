"""The extractors ``clip`` and ``transformers``: image models of the transformers library, by local path or hub id.

Weights are read from safetensors only, and no code of a model's repository is run. A hub id is looked up in the local
cache; with ``offline=False`` it may be downloaded.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmud import codes as general_codes
from mmud.errors import Finding, MmudError, Place
from mmud.evaluators.generation import codes
from mmud.evaluators.generation.extractors import (
    ExtractorIdentity,
    ExtractorOptions,
    Features,
    ImageSource,
    Progress,
    chosen_mode,
    full_batches,
    hash_of_files,
    mode_label,
    require_package,
    require_torch,
    required_weights,
    torch_setting,
)

CLIPSCORE_PROMPT = "A photo depicts "
"""What CLIPScore puts before each caption (Hessel et al. 2021, section 3)."""

_HASHED = ("*.safetensors", "config.json", "preprocessor_config.json", "processor_config.json")


class _TransformersModel(ABC):
    """What both extractors share: find the folder, hash it, load model and image processor, run batches."""

    name = ""
    modes: tuple[str, ...] = ("processor",)

    def __init__(self, options: ExtractorOptions) -> None:
        mode = chosen_mode(options, self.modes, self.name)
        asked = required_weights(options, self.name, "a folder with a transformers model, or a hub id in the cache")
        self._torch = require_torch(self.name)
        self._transformers = require_package("transformers", self.name)
        self._folder = _model_folder(asked, self.name, options.offline)
        files = sorted({path for pattern in _HASHED for path in self._folder.glob(pattern)})
        if not any(path.suffix == ".safetensors" for path in files):
            message = "the folder holds no .safetensors weights"
            raise MmudError(codes.MODEL_UNLOADABLE, message, Place(file=str(self._folder)))
        self._options = options
        self.limits = options.limits
        self.setting = torch_setting(options, self._torch, self._transformers)
        with _quiet(self._transformers), self._load_errors():
            self._model = self._load_model().eval().float().to(options.device)
            self._processor = self._load_processor()
        model = asked if not Path(asked).exists() else self._folder.name
        self.identity = ExtractorIdentity(
            self.name, model, hash_of_files(files, self._folder), mode_label(mode, options.limits)
        )

    @contextlib.contextmanager
    def _load_errors(self) -> Iterator[None]:
        try:
            yield
        except MmudError:
            raise
        except Exception as error:  # a stranger's folder can fail in as many ways as there are loaders
            first = str(error).strip().split("\n", 1)[0]
            raise MmudError(codes.MODEL_UNLOADABLE, first, Place(file=str(self._folder))) from error

    @abstractmethod
    def _load_model(self) -> Any:
        """The model, with its weights."""

    @abstractmethod
    def _embed(self, inputs: Any) -> Any:
        """The features of a batch that the processor prepared."""

    def _load_processor(self) -> Any:
        # the processors on Pillow and on torchvision resize differently; this one is the same wherever it runs
        newer = int(self._transformers.__version__.split(".")[0]) >= 5
        backend: dict[str, Any] = {"backend": "pil"} if newer else {"use_fast": False}
        return self._transformers.AutoImageProcessor.from_pretrained(
            self._folder, local_files_only=True, trust_remote_code=False, **backend
        )

    def _from_pretrained(self, loader: Any) -> Any:
        model, info = loader.from_pretrained(
            self._folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
        # transformers fills weights that the file lacks, or has in another size, with random numbers: features would differ
        # from run to run
        mismatched = [key[0] if isinstance(key, tuple) else key for key in info["mismatched_keys"]]
        missing = sorted({*info["missing_keys"], *mismatched})
        self._pooler_is_trained = not any("pooler" in key for key in missing)
        untrained = [key for key in missing if "pooler" not in key]
        if untrained:
            raise ValueError(f"the weights lack {len(untrained)} of the model's tensors, such as {untrained[0]}")
        return model

    def extract(self, sources: Sequence[ImageSource], progress: Progress | None = None) -> Features:
        """One feature an image; errors as ``ImageSource.pixels``."""
        rows = []
        done = 0
        with self._torch.inference_mode():
            for part, kept in full_batches(sources, self._options.batch_size):
                images = [Image.fromarray(source.pixels(self.limits)) for source in part[:kept]]
                images += [images[-1]] * (len(part) - kept)
                inputs = self._processor(images=images, return_tensors="pt").to(self._options.device)
                rows.append(self._embed(inputs).float().cpu().numpy()[:kept])
                done += kept
                if progress is not None:
                    progress(done, len(sources))
        return np.concatenate(rows) if rows else np.empty((0, 0), np.float32)


class ClipExtractor(_TransformersModel):
    """The projected image embedding of a CLIP model, and of its text side for CLIP scores; neither is normalised.

    Raises:
        MmudError: MM007 without torch, transformers or a model, MM872 unknown mode, MM877 a folder that holds no CLIP
            model with safetensors weights.
    """

    name = "clip"
    _tokenizer: Any = None

    def _load_model(self) -> Any:
        config = self._transformers.AutoConfig.from_pretrained(
            self._folder, local_files_only=True, trust_remote_code=False
        )
        if config.model_type == "clip_vision_model":
            return self._from_pretrained(self._transformers.CLIPVisionModelWithProjection)
        model = self._from_pretrained(self._transformers.AutoModel)
        if not hasattr(model, "get_image_features"):
            raise ValueError(f"a model of type {config.model_type!r} has no image embedding; use `transformers`")
        return model

    def _embed(self, inputs: Any) -> Any:
        if not hasattr(self._model, "get_image_features"):
            return self._model(pixel_values=inputs["pixel_values"]).image_embeds
        return _pooled(self._model.get_image_features(pixel_values=inputs["pixel_values"]))

    def embed_texts(self, texts: Sequence[str], prompt: str = CLIPSCORE_PROMPT) -> tuple[Features, list[Finding]]:
        """Text embeddings, shape (texts, d), and a warning (MM874) when texts are longer than the encoder reads.

        Args:
            texts: The captions.
            prompt: Put before each; CLIPScore's by default, "" for the plain CLIP score.

        Raises:
            MmudError: MM872 when the model has no text side, MM877 when its tokenizer cannot be loaded.
        """
        lengths, longest = self.text_lengths(texts, prompt)
        tokenizer = self._text_tokenizer()
        rows = []
        with self._torch.inference_mode():
            for part, kept in full_batches(texts, self._options.batch_size):
                inputs = tokenizer(
                    [prompt + text for text in part],
                    padding="max_length",
                    truncation=True,
                    max_length=longest,
                    return_tensors="pt",
                ).to(self._options.device)
                rows.append(_pooled(self._model.get_text_features(**inputs)).float().cpu().numpy()[:kept])
        cut = sum(length > longest for length in lengths)
        message = f"{cut} of {len(texts)} texts have more than {longest} tokens"
        findings = [Finding(codes.TEXT_TRUNCATED, Place(), message)] if cut else []
        return np.concatenate(rows) if rows else np.empty((0, 0), np.float32), findings

    def text_lengths(self, texts: Sequence[str], prompt: str = CLIPSCORE_PROMPT) -> tuple[list[int], int]:
        """The number of tokens of each text behind the prompt, and how many the encoder reads; errors as ``embed_texts``."""
        tokenizer = self._text_tokenizer()
        longest = int(self._model.config.text_config.max_position_embeddings)
        with _quiet(self._transformers), self._load_errors():
            return [len(tokenizer(prompt + text)["input_ids"]) for text in texts], longest

    def _text_tokenizer(self) -> Any:
        if not hasattr(self._model, "get_text_features"):
            raise MmudError(codes.EXTRACTOR_UNUSABLE, f"{self.identity.model} has no text side: CLIP scores need one")
        if self._tokenizer is None:
            with _quiet(self._transformers), self._load_errors():
                self._tokenizer = self._transformers.AutoTokenizer.from_pretrained(
                    self._folder, local_files_only=True, trust_remote_code=False
                )
        return self._tokenizer


class VisionExtractor(_TransformersModel):
    """The pooled features of any image model: its own pooled output, else the mean over positions of its last layer.

    Raises:
        MmudError: as ``ClipExtractor``.
    """

    name = "transformers"

    def _load_model(self) -> Any:
        return self._from_pretrained(self._transformers.AutoModel)

    def _embed(self, inputs: Any) -> Any:
        if hasattr(self._model, "get_image_features"):
            return _pooled(self._model.get_image_features(pixel_values=inputs["pixel_values"]))
        return _pooled(self._model(**inputs), self._pooler_is_trained)


def _pooled(output: Any, use_pooler: bool = True) -> Any:
    """A matrix from what a model returns: an embedding, an output with ``pooler_output``, or token or grid states."""
    pooled = getattr(output, "pooler_output", None) if use_pooler else None
    if pooled is None:
        pooled = getattr(output, "last_hidden_state", output)
    if pooled.ndim == 4:  # (batch, channels, height, width), as convolutional models give it
        return pooled.mean(dim=(2, 3))
    return pooled.mean(dim=1) if pooled.ndim == 3 else pooled


def _model_folder(asked: str, extractor: str, offline: bool) -> Path:
    if Path(asked).is_dir():
        return Path(asked)
    hub = require_package("huggingface_hub", extractor)
    try:
        found = hub.snapshot_download(
            asked, local_files_only=offline, allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model"]
        )
    except (OSError, ValueError) as error:
        message = f"no folder {asked!r}, and no model of that id " + ("in the cache" if offline else "on the hub")
        raise MmudError(
            general_codes.DEPENDENCY_MISSING, message, hint="Give --weights with the model's folder."
        ) from error
    return Path(found)


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """No progress bars and reports of transformers while a model loads; its settings are put back."""
    log = transformers.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()
