"""The part of the scenes world that the small backbones are made for, and which of its scenes are held out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from mmud.dataset.sources.scenes.config import ScenesConfig, preset
from mmud.dataset.sources.scenes.world import Scene, generate

#: What sets the tiny world apart from the preset ``easy``: what a model of a million weights can learn in an hour or two.
TINY_SETTINGS: Final[dict[str, Any]] = {
    "min_objects": 4,
    "max_objects": 5,
    "overlap": 0.0,
    "confusability": 0.0,
    "caption_words": 60,
    "max_targets": 3,
    "clutter": 0.4,
    "shapes": ("circle", "square", "triangle", "star", "heart", "ring", "cross", "crescent"),
    "colors": ("red", "orange", "yellow", "green", "blue", "purple", "black", "white"),
    "backgrounds": ("plain", "striped", "checkered"),
    "tints": ("grey", "cream", "mint", "navy"),
    "families": (
        "attribute",
        "extreme",
        "region",
        "count",
        "color_association",
        "shape_association",
        "texture_association",
        "relation",
    ),
}

#: Worlds of this seed and the next ones are for pretraining; every other seed is held out. Far from what anybody types.
PRETRAINING_SEED: Final = 7_770_000


def tiny_world(seed: int = 0, **changes: Any) -> ScenesConfig:
    """The settings of the tiny world: ``mmud build scenes`` takes them by ``--set``; see docs/scenes-tiny.md."""
    return preset("easy", seed=seed, **{**TINY_SETTINGS, **changes})


def pretraining_world(seed: int) -> ScenesConfig:
    """The world that a pretraining run of this seed sees."""
    return tiny_world(PRETRAINING_SEED + seed)


def held_out(count: int, first: int = 0) -> Iterator[Scene]:
    """Scenes of the world's default seed, none of which pretraining sees."""
    config = tiny_world()
    for index in range(first, first + count):
        yield generate(config, index)
