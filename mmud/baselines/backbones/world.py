"""The part of the scenes world that the small backbones are made for, and which of its scenes are held out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from mmud.dataset.sources.scenes.config import ScenesConfig, preset
from mmud.dataset.sources.scenes.world import Scene, generate

#: Worlds of this seed and the next ones are for pretraining; every other seed is held out. Far from what anybody types.
PRETRAINING_SEED: Final = 7_770_000


def tiny_world(seed: int = 0, **changes: Any) -> ScenesConfig:
    """The settings of the tiny world: ``mmud build scenes --set preset=tiny``."""
    return preset("tiny", seed=seed, **changes)


def pretraining_world(seed: int) -> ScenesConfig:
    """The world that a pretraining run of this seed sees."""
    return tiny_world(PRETRAINING_SEED + seed)


def held_out(count: int, first: int = 0) -> Iterator[Scene]:
    """Scenes of the world's default seed, none of which pretraining sees."""
    config = tiny_world()
    for index in range(first, first + count):
        yield generate(config, index)
