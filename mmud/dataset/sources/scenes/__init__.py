"""The scenes world: images of coloured, textured shapes with exact masks and texts that are true of them.

``generate(ScenesConfig(), 0)`` makes the first scene; nothing is downloaded, and the same settings and index give the same
bytes on every machine. See ``docs/scenes.md``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmud.dataset.sources.scenes.config import PRESETS, WORLD_VERSION, ScenesConfig, config_from, preset
    from mmud.dataset.sources.scenes.source import ScenesSource
    from mmud.dataset.sources.scenes.world import Scene, generate

__all__ = ["PRESETS", "WORLD_VERSION", "Scene", "ScenesConfig", "ScenesSource", "config_from", "generate", "preset"]

# codes.py of this package is imported whenever a code is explained; numpy must not come with it.
_HOMES = {"Scene": "world", "generate": "world", "ScenesSource": "source"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'config')}"), name)
