"""What something was computed with."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

from mmud import __version__

_PACKAGES = ("numpy", "pillow", "pyarrow", "pycocotools", "torch", "transformers", "peft", "safetensors")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that can change a result; of torch and its kin only where they were imported."""
    found = {"mmud": __version__, "python": platform.python_version(), "machine": platform.machine()}
    for package in _PACKAGES:
        module = "PIL" if package == "pillow" else package
        if module in sys.modules:
            found[package] = metadata.version(package)
    return found
