"""The extractor ``inception``: the published Inception network, as the TorchScript file that FID codes share.

The file is ``inception-2015-12-05.pt``, a translation of the TensorFlow network of Heusel et al. 2017, published with
StyleGAN2-ADA and used by StyleGAN3 and clean-fid. It is given by path; nothing is downloaded.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmud.errors import MmudError, Place
from mmud.evaluators.generation import codes
from mmud.evaluators.generation.extractors import (
    ExtractorIdentity,
    ExtractorOptions,
    Features,
    ImageSource,
    Progress,
    chosen_mode,
    full_batches,
    mode_label,
    require_torch,
    required_weights,
    torch_setting,
)
from mmud.evaluators.generation.images import resize_bilinear, resize_clean
from mmud.files import require, sha256_of
from mmud.images import Pixels

PUBLISHED_SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
"""Of the published file (95,607,719 bytes): the digest that k-diffusion's evaluation.py checks its download against."""

SIZE = 299
DIMENSION = 2048


class InceptionExtractor:
    """2,048 pooled features of the Inception network.

    Modes:
        clean: antialiased bicubic resizing outside the network (clean FID; Parmar et al. 2022).
        legacy: the network's own bilinear resizing, TensorFlow 1's, as the original FID code.
        legacy_pytorch: bilinear resizing without antialiasing outside the network, as pytorch-fid resizes.

    Raises:
        MmudError: MM007 without torch or weights, MM002 no such file, MM871 weights that differ from the published ones
            and are not accepted by hash, MM872 unknown mode, MM877 a file that is no TorchScript network.
    """

    modes: tuple[str, ...] = ("clean", "legacy", "legacy_pytorch")

    def __init__(self, options: ExtractorOptions) -> None:
        self._mode = chosen_mode(options, self.modes, "inception")
        path = require(
            Path(required_weights(options, "inception", "the path of inception-2015-12-05.pt")), "weights file"
        )
        digest = _checked_digest(path, options.accept_hash)
        self._torch = require_torch("inception")
        self._network = self._load(path, options.device)
        self._options = options
        self.limits = options.limits
        self.setting = torch_setting(options, self._torch)
        self.identity = ExtractorIdentity(
            "inception",
            path.name,
            digest,
            mode_label(self._mode, options.limits),
            inception=digest == PUBLISHED_SHA256,
        )

    def _load(self, path: Path, device: str) -> Any:
        try:
            with (
                warnings.catch_warnings()
            ):  # torch deprecates TorchScript; the published network exists in no other form
                warnings.simplefilter("ignore", DeprecationWarning)
                network = self._torch.jit.load(str(path), map_location=device).eval()
        except (RuntimeError, ValueError) as error:
            raise MmudError(
                codes.MODEL_UNLOADABLE, f"not a TorchScript file: {error}", Place(file=str(path))
            ) from error
        if not hasattr(network, "layers"):
            message = "the network has no part `layers`, which takes resized images"
            raise MmudError(codes.MODEL_UNLOADABLE, message, Place(file=str(path)))
        return network

    def extract(self, sources: Sequence[ImageSource], progress: Progress | None = None) -> Features:
        """Features of shape (images, 2048) for the published network; errors as ``ImageSource.pixels``, and MM861."""
        return self._run(sources, self._features, progress)

    def probabilities(self, sources: Sequence[ImageSource], progress: Progress | None = None) -> Features:
        """Class probabilities without the output bias, as the Inception Score takes them; shape (images, classes).

        Images are resized as the mode says; the network's own resizing leaves 299x299 images as they are.
        """
        return self._run(sources, self._class_probabilities, progress)

    def _run(self, sources: Sequence[ImageSource], network: Any, progress: Progress | None) -> Features:
        rows: list[NDArray[np.float32]] = []
        # images that the network resizes itself have different sizes: each is run alone
        size = 1 if self._mode == "legacy" else self._options.batch_size
        with self._torch.inference_mode():
            for part, kept in full_batches(sources, size):
                images = [self._prepare(source.pixels(self.limits)) for source in part[:kept]]
                images += [images[-1]] * (size - kept)
                tensor = self._torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy())
                rows.extend(self._rows(network, tensor.to(self._options.device))[:kept])
                if progress is not None:
                    progress(len(rows), len(sources))
        return np.stack(rows) if rows else np.empty((0, DIMENSION), np.float32)

    def _rows(self, network: Any, images: Any) -> Features:
        try:
            output = network(images)
        except RuntimeError as error:  # an accepted network may take other arguments or sizes than the published one
            last = str(error).strip().rsplit("\n", 1)[-1]
            message = f"the network {self.identity.model} cannot take these images: {last}"
            raise MmudError(codes.EXTRACTOR_UNUSABLE, message) from error
        rows: Features = output.float().cpu().numpy().reshape(len(images), -1)
        return rows

    def _prepare(self, pixels: Pixels) -> NDArray[np.float32]:
        if self._mode == "clean":
            return resize_clean(pixels, (SIZE, SIZE))
        if self._mode == "legacy_pytorch":
            return resize_bilinear(pixels, (SIZE, SIZE))
        return pixels.astype(np.float32)

    def _features(self, images: Any) -> Any:
        if self._mode == "legacy":
            return self._network(images, return_features=True)
        return self._network.layers((images - 128) / 128)

    def _class_probabilities(self, images: Any) -> Any:
        return self._network(images, no_output_bias=True)


def _checked_digest(path: Path, accepted: str | None) -> str:
    """The file's SHA-256, before anything in it is read as a program."""
    digest = sha256_of(path)
    if digest not in (PUBLISHED_SHA256, (accepted or "").lower()):
        message = f"SHA-256 is {digest}, the published file's is {PUBLISHED_SHA256}"
        hint = f"Get the published file, or add --accept-hash {digest}; the figure is then not called FID."
        raise MmudError(codes.WEIGHTS_DIFFER, message, Place(file=str(path)), hint)
    return digest
