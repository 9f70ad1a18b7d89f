"""Painting a layout: backgrounds, tones, textures and soft edges, in integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from mmud.dataset.sources.scenes.config import ScenesConfig
from mmud.dataset.sources.scenes.layout import Layout, Placed
from mmud.dataset.sources.scenes.stream import Stream
from mmud.dataset.sources.scenes.textures import background_pattern, object_texture
from mmud.dataset.sources.scenes.vocabulary import COLORS, TINTS

Image = npt.NDArray[np.uint8]
RGB = tuple[int, int, int]

_LIGHT: Final = frozenset({"yellow", "cyan", "pink", "white", "orange"})


@dataclass(frozen=True, slots=True)
class Background:
    """What is behind the objects.

    Attributes:
        pattern: One of the backgrounds' words.
        tint: Its colour's word.
        phase: 64 bits that place the pattern and make its noise.
        turn: 0 or 1: level or upright.
    """

    pattern: str
    tint: str
    phase: int
    turn: int


def draw_background(config: ScenesConfig, index: int) -> Background:
    stream = Stream(config.seed, index, "background")
    return Background(stream.choice(config.backgrounds), stream.choice(config.tints), stream.bits(), stream.below(2))


def mix(first: RGB, second: RGB, sixteenths: int) -> RGB:
    """``sixteenths`` parts of the second colour in sixteen, rounded."""
    red, green, blue = ((a * (16 - sixteenths) + b * sixteenths + 8) // 16 for a, b in zip(first, second, strict=True))
    return red, green, blue


def is_dark(tint: str) -> bool:
    return sum(TINTS[tint]) < 384


def object_tones(thing: Placed, dark_ground: bool) -> tuple[RGB, RGB, RGB]:
    """The main tone, the texture's second tone and the rim's tone of an object.

    The second tone is a paler or deeper shade of the same colour, so that the object keeps one colour's name.
    """
    color = thing.attributes.color
    red, green, blue = COLORS[color]
    shift = 4 * thing.tone
    main = (_clip(red + shift), _clip(green + shift), _clip(blue + shift))
    if color == "white":
        second: RGB = (186, 186, 190)
    elif color in _LIGHT:
        second = mix(main, (0, 0, 0), 5)
    else:
        second = mix(main, (255, 255, 255), 8)
    rim = mix(main, (255, 255, 255), 7) if dark_ground and color not in _LIGHT else mix(main, (0, 0, 0), 7)
    return main, second, rim


def _clip(value: int) -> int:
    return min(255, max(0, value))


def paint(layout: Layout, background: Background, config: ScenesConfig) -> Image:
    """The image of a layout; (H, W, 3) uint8."""
    image = _paint_background(background, config)
    dark = is_dark(background.tint)
    for thing in layout.objects:
        _paint_object(image, thing, dark, config.antialias)
    return image


def _paint_background(background: Background, config: ScenesConfig) -> Image:
    base = TINTS[background.tint]
    strength = 1 + int(config.clutter * 1024) * 5 // 1024
    if background.pattern == "gradient":
        strength += 3
    second = mix(base, (255, 255, 255) if is_dark(background.tint) else (0, 0, 0), strength)
    weights = background_pattern(background.pattern, config.height, config.width, background.phase, background.turn)
    # 257 possible weights: look the colours up instead of mixing each pixel.
    steps = np.arange(257, dtype=np.int32)[:, None]
    palette = (np.array(base, dtype=np.int32) * (256 - steps) + np.array(second, dtype=np.int32) * steps + 128) // 256
    image: Image = palette.astype(np.uint8)[weights]
    return image


def _paint_object(image: Image, thing: Placed, dark_ground: bool, antialias: bool) -> None:
    shape = thing.template
    tones = [np.array(tone, dtype=np.int32) for tone in object_tones(thing, dark_ground)]
    height, width = shape.mask.shape
    coverage, rim = shape.coverage.astype(np.int32), shape.rim.astype(np.int32)
    if not antialias:
        # Rounded to all or nothing; a pixel of the mask that is mostly rim becomes rim.
        rim = np.where(shape.mask & (2 * rim >= coverage), 16, 0).astype(np.int32)
        coverage = shape.mask.astype(np.int32) * 16
    texture = object_texture(thing.attributes.texture, thing.diameter, height, width, thing.turn)
    core = coverage - rim
    window = image[thing.window].astype(np.int32)
    window *= (16 - coverage)[:, :, None] * 16
    if texture is None:
        window += (core * 16)[:, :, None] * tones[0]
    else:
        second = texture.astype(np.int32)
        window += (core * (16 - second))[:, :, None] * tones[0] + (core * second)[:, :, None] * tones[1]
    window += (rim * 16)[:, :, None] * tones[2]
    window += 128
    image[thing.window] = (window >> 8).astype(np.uint8)
