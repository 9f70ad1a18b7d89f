"""The extractor ``scenes-tiny``: images of the scenes world in the space that the small image decoder draws from.

It works without a network and says nothing of any other images. A distance in its space is a ``frechet_distance``, never FID.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmud.errors import MmudError
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
    torch_setting,
)

NAME = "scenes-tiny"


class SceneExtractor:
    """The feature that ``<GLB>`` predicts with the backbone ``scenes-tiny``, of any image.

    Images are stretched to the size that the vision tower takes. The weights are those of the backbone (``MMUD_SCENES_TINY``,
    else the package's); it takes no others.

    Raises:
        MmudError: MM007 without torch, transformers or safetensors, MM931 without weights, MM872 for another mode or weights.
    """

    modes: tuple[str, ...] = ("stretched",)

    def __init__(self, options: ExtractorOptions) -> None:
        mode = chosen_mode(options, self.modes, NAME)
        if options.weights is not None:
            message = f"`{NAME}` has weights of its own; MMUD_SCENES_TINY names another folder of them"
            raise MmudError(codes.EXTRACTOR_UNUSABLE, message)
        torch = require_torch(NAME)
        transformers = require_package("transformers", NAME)
        require_package("safetensors", NAME)
        from mmud.baselines.backbones import scenes_tiny

        folder = scenes_tiny.weights_folder()
        parts = [folder / scenes_tiny.VISION_TOWER, folder / scenes_tiny.IMAGE_DECODER]
        files = [path for part in parts for name in ("*.safetensors", "*config.json") for path in part.glob(name)]
        self._encoder = scenes_tiny.ScenesTiny().image_feature()
        self._options = options
        self.limits = options.limits
        self.setting = torch_setting(options, torch, transformers)
        self.identity = ExtractorIdentity(NAME, NAME, hash_of_files(files, folder), mode_label(mode, options.limits))

    def extract(self, sources: Sequence[ImageSource], progress: Progress | None = None) -> Features:
        """One feature an image; errors as ``ImageSource.pixels``."""
        rows, done = [], 0
        for part, kept in full_batches(sources, self._options.batch_size):
            images = [source.pixels(self.limits) for source in part[:kept]]
            images += [images[-1]] * (len(part) - kept)
            rows.append(self._encoder.encode(images).numpy()[:kept].astype(np.float32))
            done += kept
            if progress is not None:
                progress(done, len(sources))
        return np.concatenate(rows) if rows else np.empty((0, self._encoder.size), np.float32)
