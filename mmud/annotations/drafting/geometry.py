"""Where objects are and how they stand to each other, by their boxes: yes, no, and too close to call.

A text says only what is clear: a person who looks at the picture must not have to measure.
"""

from __future__ import annotations

from dataclasses import dataclass

from mmud.annotations.drafting.listing import area_of
from mmud.records import Sample

MARGIN = 0.1
"""Share of the image's side by which two centres must differ for one to be left of, or above, the other."""

RATIO = 1.5
"""By which areas or distances must differ for one to be larger, or farther."""

SMALLEST_SHARE = "a very small part"
_SHARES = (
    (0.015, SMALLEST_SHARE), (0.06, "a small part"), (0.12, "about a tenth"), (0.225, "about a fifth"),
    (0.29, "about a quarter"), (0.415, "about a third"), (0.58, "about half"), (0.85, "most"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Placed:
    """An object's box in shares of the image's sides.

    Attributes:
        number: its tag's, from 1.
        x, y: of the centre.
        width, height: of the box.
        area: its share of the image.
    """

    number: int
    x: float
    y: float
    width: float
    height: float
    area: float


def place_all(sample: Sample) -> list[Placed]:
    """Every object that has a box, crowds included."""
    found = []
    for number, item in enumerate(sample.objects, start=1):
        x, y, width, height = item.bbox
        if width <= 0 or height <= 0:
            continue
        center_x, center_y = (x + width / 2) / sample.width, (y + height / 2) / sample.height
        share = area_of(item) / (sample.width * sample.height)
        found.append(Placed(number, center_x, center_y, width / sample.width, height / sample.height, share))
    return found


def left_of(first: Placed, second: Placed) -> bool | None:
    """Whether the first lies to the left of the second; None where that is too close to call."""
    return _before(first.x, second.x)


def above(first: Placed, second: Placed) -> bool | None:
    """Whether the first lies higher than the second; None where that is too close to call."""
    return _before(first.y, second.y)


def _before(first: float, second: float) -> bool | None:
    return None if abs(second - first) < MARGIN else first < second


def larger(first: Placed, second: Placed) -> bool | None:
    """Whether the first takes up more of the image than the second; None where that is too close to call."""
    if first.area >= RATIO * second.area:
        return True
    return False if second.area >= RATIO * first.area else None


def distance(first: Placed, second: Placed, sample: Sample) -> float:
    """Between centres, in pixels."""
    dx, dy = (first.x - second.x) * sample.width, (first.y - second.y) * sample.height
    return float((dx * dx + dy * dy) ** 0.5)


def gap(first: Placed, second: Placed, sample: Sample) -> float:
    """Between boxes, in pixels; 0 where they touch or overlap."""
    dx = (abs(first.x - second.x) - (first.width + second.width) / 2) * sample.width
    dy = (abs(first.y - second.y) - (first.height + second.height) / 2) * sample.height
    return float((max(dx, 0.0) ** 2 + max(dy, 0.0) ** 2) ** 0.5)


def cell_words(item: Placed) -> str:
    """Where in the image the centre is, as in "in the upper left"."""
    row = "upper" if item.y < 1 / 3 else "lower" if item.y > 2 / 3 else ""
    column = "left" if item.x < 1 / 3 else "right" if item.x > 2 / 3 else ""
    if row and column:
        return f"in the {row} {column} of the image"
    if row:
        return f"in the {row} middle of the image"
    return f"on the {column} of the image" if column else "in the middle of the image"


def share_words(share: float) -> str:
    """A share of the image in words, as in "about a third"."""
    return next((words for bound, words in _SHARES if share < bound), "nearly all")
