"""Where things are: attributes, places and the order of painting, before any pixel has a colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from mmud.dataset.sources.scenes import codes
from mmud.dataset.sources.scenes.config import ScenesConfig
from mmud.dataset.sources.scenes.shapes import TILTS, Template, template
from mmud.dataset.sources.scenes.stream import Stream
from mmud.errors import MmudError, Place

Owner = npt.NDArray[np.uint8]

#: Less than this share of the smaller of two objects is never hidden: an occlusion is either plain to see or absent.
_LEAST_HIDDEN: Final = 0.1
_RESTARTS: Final = 40


class Attributes(NamedTuple):
    """What an object looks like, under the canonical words; no two objects of a scene have equal ones."""

    size: str
    color: str
    texture: str
    shape: str


@dataclass(frozen=True, slots=True)
class Placed:
    """An object before painting.

    Attributes:
        attributes: Its looks.
        left, top: Pixel of the template's upper left corner.
        diameter: Nominal diameter in pixels.
        tilt: Degrees.
        turn: 0 or 1: level or slanted stripes.
        tone: -2 to 2: a little darker or lighter than the nominal colour.
    """

    attributes: Attributes
    left: int
    top: int
    diameter: int
    tilt: int
    turn: int
    tone: int

    @property
    def template(self) -> Template:
        return template(self.attributes.shape, self.diameter, self.tilt)

    @property
    def window(self) -> tuple[slice, slice]:
        height, width = self.template.mask.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


@dataclass(frozen=True, slots=True)
class Layout:
    """The objects from back to front, and which one owns each pixel.

    Attributes:
        objects: In painting order: a later one hides an earlier one.
        owner: (H, W) uint8; 0 is the background, i is ``objects[i - 1]``.
    """

    objects: tuple[Placed, ...]
    owner: Owner


def draw_attributes(config: ScenesConfig, stream: Stream, present: list[Attributes], shrink: int) -> Attributes:
    """Looks that no object present has; with the chance ``confusability`` two of them are another object's.

    Args:
        shrink: How strongly small sizes are preferred: 0 not at all.
    """
    # Large objects leave room for few others: the more objects, the more small ones.
    weights = [1 + (shrink + len(present) // 3) * (len(config.sizes) - 1 - rank) for rank in range(len(config.sizes))]
    while True:
        size = config.sizes[stream.weighted(weights)]
        color = stream.choice(config.colors)
        texture = stream.choice(config.textures)
        shape = stream.choice(config.shapes)
        if present and stream.chance(config.confusability):
            model = stream.choice(present)
            kept = stream.below(3)
            color = color if kept == 0 else model.color
            texture = texture if kept == 1 else model.texture
            shape = shape if kept == 2 else model.shape
        drawn = Attributes(size, color, texture, shape)
        if drawn not in present:
            return drawn


class _Table:
    """The table that objects are laid on, one over the other."""

    def __init__(self, config: ScenesConfig) -> None:
        self.config = config
        self.owner: Owner = np.zeros((config.height, config.width), dtype=np.uint8)
        self.placed: list[Placed] = []
        self.visible: list[int] = []

    def lay(self, thing: Placed, apart: bool) -> bool:
        """Put the object on top of the others if that is allowed; ``apart`` asks that it hides nothing."""
        shape = thing.template
        window = self.owner[thing.window]
        hidden = np.bincount(window[shape.mask], minlength=len(self.placed) + 1).tolist()
        for below, share in enumerate(hidden[1:]):
            if share == 0:
                continue
            full = self.placed[below].template.area
            if apart or share < _LEAST_HIDDEN * min(full, shape.area):
                return False
            if self.visible[below] - share < self.config.min_visible * full:
                return False
        for below, share in enumerate(hidden[1:]):
            self.visible[below] -= share
        self.placed.append(thing)
        self.visible.append(shape.area)
        window[shape.mask] = len(self.placed)
        return True

    def too_close(self, left: int, top: int, width: int, height: int) -> bool:
        """Whether a box is within a small gap of another object's box, corners cut off."""
        gap = max(1, min(self.config.width, self.config.height) // 48)
        for other in self.placed:
            rows, columns = other.window
            if (
                left < columns.stop + gap
                and columns.start < left + width + gap
                and top < rows.stop + gap
                and rows.start < top + height + gap
            ):
                return True
        return False


def lay_out(config: ScenesConfig, index: int, attempt: int = 0) -> Layout:
    """The layout of a scene; a pure function of its arguments.

    Args:
        attempt: Another layout for the same index.

    Raises:
        MmudError: MM773 when the objects cannot be placed.
    """
    stream = Stream(config.seed, index, "layout", attempt)
    count = stream.between(config.min_objects, config.max_objects)
    for restart in range(_RESTARTS):
        table = _Table(config)
        for _ in range(count):
            if not _add(table, config, stream, shrink=restart):
                break
        if len(table.placed) == count:
            return Layout(tuple(table.placed), table.owner)
    raise MmudError(
        codes.SCENE_TOO_CROWDED,
        f"{count} objects could not be placed",
        Place(sample=f"scenes-{config.seed}-{index:06d}"),
    )


def _add(table: _Table, config: ScenesConfig, stream: Stream, shrink: int) -> bool:
    over = bool(table.placed) and stream.chance(config.overlap)
    for tries in range(24):
        attributes = draw_attributes(config, stream, [other.attributes for other in table.placed], shrink + tries // 4)
        nominal = config.diameter(attributes.size)
        tilts = [tilt for tilt in TILTS if abs(tilt) <= config.max_tilt]
        diameter = nominal + stream.between(-1, 1) * (nominal // 24)
        tilt = stream.choice(tilts)
        height, width = template(attributes.shape, diameter, tilt).mask.shape
        room_x, room_y = config.width - width - 2, config.height - height - 2
        if room_x < 0 or room_y < 0:
            continue
        turn, tone = stream.below(2), stream.between(-2, 2)
        for _ in range(6):
            if over and tries < 16:
                left, top = _over(table, stream, width, height)
            else:
                left, top = stream.between(1, 1 + room_x), stream.between(1, 1 + room_y)
            if not (1 <= left <= 1 + room_x and 1 <= top <= 1 + room_y):
                continue
            apart = not over
            if apart and tries < 20 and table.too_close(left, top, width, height):
                continue
            if table.lay(Placed(attributes, left, top, diameter, tilt, turn, tone), apart):
                return True
    return False


def _over(table: _Table, stream: Stream, width: int, height: int) -> tuple[int, int]:
    """A corner for a template so that it reaches over the edge of an object already there."""
    rows, columns = stream.choice(table.placed).window
    # Uniform over the offsets at which the two boxes meet by about a quarter to three quarters.
    reach_x, reach_y = (columns.stop - columns.start + width) // 2, (rows.stop - rows.start + height) // 2
    dx, dy = stream.between(-reach_x, reach_x) * 3 // 4, stream.between(-reach_y, reach_y) * 3 // 4
    centre_x, centre_y = (columns.start + columns.stop) // 2 + dx, (rows.start + rows.stop) // 2 + dy
    return centre_x - width // 2, centre_y - height // 2
