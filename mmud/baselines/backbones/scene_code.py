"""What an image shows, as numbers of a simple meaning: the feature that the small image decoder draws from.

The image is cut into 3 x 3 cells, those that captions name. Each cell has two slots for the objects whose centroid it holds; a
second object is rare. A slot holds one-hot words (colour, shape, texture, size), the centroid's offset from the cell's middle,
and how stripes are turned; an empty slot holds zeros. The background holds its pattern and tint, its turn and where its pattern
starts. A caption tells the words and the cells but not the rest, which therefore is small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from mmud.baselines.backbones.vision import IGNORED
from mmud.dataset.sources.scenes.config import ScenesConfig
from mmud.dataset.sources.scenes.world import Scene

CELLS: Final = 3
"""Cells along a side."""
SLOTS: Final = 2 * CELLS * CELLS
"""Two a cell: the first slots of all cells row by row, then their second slots."""
WORDS: Final = ("color", "shape", "texture", "size")
STRIPED: Final = "striped"
UNITS: Final = 16
"""Stripes of a background along the image's side; its checks are two stripes wide. Both patterns come again after two stripes."""
OFFSET, TURN, BACKGROUND, START = 1.0, 0.4, 1.5, 0.4
"""Amplitudes beside the objects' words, which have 1."""


@dataclass(slots=True)
class SceneContent:
    """What B images show.

    Attributes:
        words: (B, SLOTS, 4) int64: the classes of `WORDS`, IGNORED in empty slots.
        offsets: (B, SLOTS, 2): from the cell's middle, right and down, in cells: -0.5 to 0.5.
        turns: (B, SLOTS): 1 for slanted stripes, -1 for level ones, 0 for all else.
        background: (B, 2) int64: pattern and tint.
        background_turns: (B,): 1 for upright stripes, -1 for level ones, 0 for all else.
        starts: (B, 2): cosine and sine of where the pattern starts, as a share of its period; zeros for a plain one.
        numbers: (B, SLOTS) int64: of the object in its scene, from 1; 0 in empty slots and where no scene is known.
    """

    words: Tensor
    offsets: Tensor
    turns: Tensor
    background: Tensor
    background_turns: Tensor
    starts: Tensor
    numbers: Tensor

    @property
    def present(self) -> Tensor:
        """(B, SLOTS) bool."""
        return self.words[..., 0] != IGNORED


def slots_of(scene: Scene) -> dict[int, int]:
    """Slot -> number of the object in it.

    Of two objects in a cell the first is the one whose words come first, colour before shape before texture before size, so that
    a caption tells it. Of three, the middle one is left out, of two with the same words the second.
    """
    config = scene.config
    cells: dict[int, list[tuple[tuple[int, ...], int]]] = {}
    for thing in scene.objects:
        column = min(CELLS - 1, thing.x * CELLS // (16 * config.width))
        row = min(CELLS - 1, thing.y * CELLS // (16 * config.height))
        rank = (
            config.colors.index(thing.color),
            config.shapes.index(thing.shape),
            config.textures.index(thing.texture),
            config.sizes.index(thing.size),
            thing.index,
        )
        cells.setdefault(row * CELLS + column, []).append((rank, thing.index))
    slots = {}
    for cell, found in cells.items():
        found.sort()
        slots[cell] = found[0][1]
        if found[-1][0][:-1] != found[0][0][:-1]:
            slots[CELLS * CELLS + cell] = found[-1][1]
    return slots


def content_of(scenes: Sequence[Scene]) -> SceneContent:
    """What scenes show."""
    count = len(scenes)
    words = np.full((count, SLOTS, len(WORDS)), IGNORED, dtype=np.int64)
    offsets = np.zeros((count, SLOTS, 2), dtype=np.float32)
    turns = np.zeros((count, SLOTS), dtype=np.float32)
    numbers = np.zeros((count, SLOTS), dtype=np.int64)
    background = np.zeros((count, 2), dtype=np.int64)
    background_turns = np.zeros(count, dtype=np.float32)
    starts = np.zeros((count, 2), dtype=np.float32)
    for row, scene in enumerate(scenes):
        config, ground = scene.config, scene.background
        for slot, number in slots_of(scene).items():
            thing = scene.objects[number - 1]
            words[row, slot] = (
                config.colors.index(thing.color),
                config.shapes.index(thing.shape),
                config.textures.index(thing.texture),
                config.sizes.index(thing.size),
            )
            cell = slot % (CELLS * CELLS)
            offsets[row, slot, 0] = thing.x * CELLS / (16 * config.width) - cell % CELLS - 0.5
            offsets[row, slot, 1] = thing.y * CELLS / (16 * config.height) - cell // CELLS - 0.5
            if thing.texture == STRIPED:
                turns[row, slot] = 2 * scene.layout.objects[thing.depth].turn - 1
            numbers[row, slot] = number
        background[row] = (config.backgrounds.index(ground.pattern), config.tints.index(ground.tint))
        if ground.pattern == STRIPED:
            background_turns[row] = 2 * ground.turn - 1
        if ground.pattern != "plain":
            unit = max(2, min(config.height, config.width) // UNITS)
            angle = 2 * math.pi * (ground.phase % (2 * unit)) / (2 * unit)
            starts[row] = (math.cos(angle), math.sin(angle))
    arrays = (words, offsets, turns, background, background_turns, starts, numbers)
    return SceneContent(*(torch.from_numpy(array) for array in arrays))


@dataclass(frozen=True, slots=True)
class CodeSizes:
    """How many words there are.

    Attributes:
        words: Classes of each of `WORDS`.
        patterns, tints: Of the background.
        striped: Number of the striped one among textures, and among patterns.
        plain: Number of the plain pattern.
    """

    words: tuple[int, ...]
    patterns: int
    tints: int
    striped: tuple[int, int]
    plain: int

    @property
    def slot(self) -> int:
        """Numbers of a slot."""
        return sum(self.words) + 3

    @property
    def total(self) -> int:
        """Numbers of a feature."""
        return SLOTS * self.slot + self.patterns + self.tints + 3


def sizes_of(config: ScenesConfig) -> CodeSizes:
    """The sizes for a world."""
    return CodeSizes(
        (len(config.colors), len(config.shapes), len(config.textures), len(config.sizes)),
        len(config.backgrounds),
        len(config.tints),
        (config.textures.index(STRIPED), config.backgrounds.index(STRIPED)),
        config.backgrounds.index("plain"),
    )


def join(words: Sequence[Tensor], offsets: Tensor, turns: Tensor, background: Sequence[Tensor], rest: Tensor) -> Tensor:
    """(B, total) from parts: shares of each word (B, SLOTS, classes), offsets, turns, shares of pattern and tint (B, classes) and
    (B, 3) turn and start of the background."""
    slots = torch.cat([*words, OFFSET * offsets, TURN * turns[..., None]], dim=-1)
    ground = torch.cat([*(BACKGROUND * shares for shares in background), START * rest], dim=-1)
    return torch.cat([slots.flatten(1), ground], dim=-1)


def encode(content: SceneContent, sizes: CodeSizes) -> Tensor:
    """(B, total): exactly what is shown."""
    present = content.present
    words = [
        nn.functional.one_hot(content.words[..., place].clamp(min=0), classes).float() * present[..., None]
        for place, classes in enumerate(sizes.words)
    ]
    background = [
        nn.functional.one_hot(content.background[:, place], classes).float()
        for place, classes in enumerate((sizes.patterns, sizes.tints))
    ]
    rest = torch.cat([content.background_turns[:, None], content.starts], dim=-1)
    return join(words, content.offsets, content.turns, background, rest)


def decode(code: Tensor, sizes: CodeSizes) -> SceneContent:
    """What a code of shape (B, total) shows, brought to the nearest words; a slot with less than half an object is empty."""
    count = len(code)
    slots = code[:, : SLOTS * sizes.slot].reshape(count, SLOTS, sizes.slot)
    shares = torch.split(slots[..., : sum(sizes.words)], list(sizes.words), dim=-1)
    present = slots[..., : sum(sizes.words)].sum(-1) > 0.5 * len(sizes.words)
    words = torch.stack([share.argmax(-1) for share in shares], dim=-1)
    # What is drawn to the second slot by a doubt about the first is not an object of its own.
    first, second = slice(0, CELLS * CELLS), slice(CELLS * CELLS, SLOTS)
    same = (words[:, first] == words[:, second]).all(-1) & present[:, first]
    present = torch.cat([present[:, first], present[:, second] & ~same], dim=1)
    striped = present & (words[..., WORDS.index("texture")] == sizes.striped[0])
    pattern, tint, rest = torch.split(code[:, SLOTS * sizes.slot :], [sizes.patterns, sizes.tints, 3], dim=-1)
    background = torch.stack([pattern.argmax(-1), tint.argmax(-1)], dim=-1)
    angle = torch.atan2(rest[:, 2], rest[:, 1])
    starts = torch.stack([angle.cos(), angle.sin()], dim=-1) * (background[:, :1] != sizes.plain)
    return SceneContent(
        words.masked_fill(~present[..., None], IGNORED),
        (slots[..., -3:-1] / OFFSET).clamp(-0.5, 0.5) * present[..., None],
        _sign(slots[..., -1]) * striped,
        background,
        _sign(rest[:, 0]) * (background[:, 0] == sizes.striped[1]),
        starts,
        torch.zeros_like(words[..., 0]),
    )


def _sign(values: Tensor) -> Tensor:
    return 2.0 * (values > 0) - 1.0


def centres(content: SceneContent) -> Tensor:
    """(B, SLOTS, 2): centroids, right and down, as shares of the image's sides."""
    cells = torch.arange(SLOTS, device=content.offsets.device) % (CELLS * CELLS)
    middles = torch.stack([cells % CELLS, cells // CELLS], dim=-1) + 0.5
    return (middles + content.offsets) / CELLS
