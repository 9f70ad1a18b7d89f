"""What is true in a scene, with three answers: yes, no, and too close to call.

Every text of the world is checked against these predicates. A phrase may single out an object only when exactly one
object answers yes *and none is too close to call*: a person who looks at the picture must not have to measure.
Coordinates are the centroids of the visible masks in sixteenths of a pixel, so everything here can be found from the
masks and the attributes alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from mmud.dataset.sources.scenes.vocabulary import CELLS, SIZES


class Truth(Enum):
    """The answer of a predicate."""

    NO = 0
    YES = 1
    UNCLEAR = 2


@dataclass(frozen=True, slots=True)
class SceneObject:
    """One object of a scene as it is seen.

    Attributes:
        index: Its number, from 1: the i of ``<LCL-i>``.
        size, color, texture, shape: Canonical words.
        depth: 0 is painted first, at the back.
        x, y: Centroid of the visible mask, in sixteenths of a pixel from the image's upper left corner.
        bbox: ``(x, y, w, h)`` of the visible mask in pixels.
        area: Visible pixels.
        full_area: Pixels it would have if nothing were in front of it.
    """

    index: int
    size: str
    color: str
    texture: str
    shape: str
    depth: int
    x: int
    y: int
    bbox: tuple[int, int, int, int]
    area: int
    full_area: int


#: Relation -> the one that holds with the two objects exchanged.
CONVERSE: Final[dict[str, str]] = {
    "left": "right",
    "right": "left",
    "above": "below",
    "below": "above",
    "larger": "smaller",
    "smaller": "larger",
    "behind": "front",
    "front": "behind",
}
#: Extreme -> (axis or size, sign): the object with the greatest ``sign * value``.
EXTREMES: Final[dict[str, tuple[str, int]]] = {
    "leftmost": ("x", -1),
    "rightmost": ("x", 1),
    "topmost": ("y", -1),
    "lowest": ("y", 1),
    "largest": ("size", 1),
    "smallest": ("size", -1),
}
#: Places that phrases name. The four sides are thirds of the image, a corner is where two of them meet.
PLACES: Final[tuple[str, ...]] = (
    "left", "right", "top", "bottom", "top left", "top right", "bottom left", "bottom right", "centre",
)  # fmt: skip

_RANK: Final = {size: rank for rank, size in enumerate(SIZES)}


class View:
    """Answers questions about one scene's objects, which are named by their index from 1.

    Args:
        objects: In index order.
        hides: ``hides[a][b]`` is how many pixels of object b, were it alone, object a is seen to cover.
        width, height: Of the image, in pixels.
    """

    __slots__ = ("_margin", "_x", "_y", "all", "height", "hides", "objects", "width")

    def __init__(self, objects: Sequence[SceneObject], hides: Sequence[Sequence[int]], width: int, height: int) -> None:
        self.objects = tuple(objects)
        self.all = tuple(range(1, len(self.objects) + 1))
        self.hides = hides
        self.width = width
        self.height = height
        self._x = [0, *(thing.x for thing in self.objects)]
        self._y = [0, *(thing.y for thing in self.objects)]
        self._margin = {"x": width * 16 * 8 // 100, "y": height * 16 * 8 // 100}

    def __getitem__(self, index: int) -> SceneObject:
        return self.objects[index - 1]

    # -- two objects -----------------------------------------------------------------------------------------------

    def relation(self, name: str, first: int, second: int) -> Truth:
        """Whether ``first`` is left of, right of, above, below, larger than, smaller than, behind or in front of ``second``.

        Left and right, above and below: the centroids differ by at least 8 % of the image's side; a smaller difference in that
        direction is unclear. Larger and smaller: by size word. Behind: the other covers at least 5 % of it; less is unclear.
        """
        if name in ("larger", "smaller"):
            difference = _RANK[self[first].size] - _RANK[self[second].size]
            return Truth.YES if (difference if name == "larger" else -difference) > 0 else Truth.NO
        if name in ("behind", "front"):
            front, back = (first, second) if name == "front" else (second, first)
            hidden = self.hides[front][back]
            if hidden == 0:
                return Truth.NO
            return Truth.YES if hidden * 20 >= self[back].full_area else Truth.UNCLEAR
        values, axis = (self._x, "x") if name in ("left", "right") else (self._y, "y")
        distance = values[second] - values[first] if name in ("left", "above") else values[first] - values[second]
        if distance <= 0:
            return Truth.NO
        return Truth.YES if distance >= self._margin[axis] else Truth.UNCLEAR

    def squared_distance(self, first: int, second: int) -> int:
        """Between centroids, in 1/256 of a square pixel."""
        dx, dy = self._x[first] - self._x[second], self._y[first] - self._y[second]
        return dx * dx + dy * dy

    def nearest(self, anchor: int, candidates: Iterable[int], farthest: bool = False) -> int | None:
        """The candidate nearest to (or farthest from) the anchor; None when a second one is within 15 % of its distance."""
        ranked = sorted((self.squared_distance(anchor, other), other) for other in candidates if other != anchor)
        if farthest:
            ranked.reverse()
        if len(ranked) > 1:
            nearer, farther = sorted((ranked[0][0], ranked[1][0]))
            if farther * 10_000 < nearer * 13_225:
                return None
        return ranked[0][1] if ranked else None

    # -- three objects ---------------------------------------------------------------------------------------------

    def between(self, middle: int, first: int, second: int) -> Truth:
        """Whether ``middle`` lies between two others.

        It does when its foot on their line is in the middle half, and its distance from the line is at most 15 % of theirs.
        Up to the middle four fifths and 35 % it is unclear.
        """
        if middle in (first, second):
            return Truth.NO
        dx, dy = self._x[second] - self._x[first], self._y[second] - self._y[first]
        mx, my = self._x[middle] - self._x[first], self._y[middle] - self._y[first]
        squared = dx * dx + dy * dy
        along, across = mx * dx + my * dy, abs(mx * dy - my * dx)
        if 4 * along >= squared and 4 * along <= 3 * squared and 100 * across <= 15 * squared:
            return Truth.YES
        if 10 * along >= squared and 10 * along <= 9 * squared and 100 * across <= 35 * squared:
            return Truth.UNCLEAR
        return Truth.NO

    # -- one object among others -----------------------------------------------------------------------------------

    def extreme(self, name: str, candidates: Iterable[int]) -> int | None:
        """The leftmost, … smallest of the candidates.

        None when another is within 5 % of the image's side, or of the same size.
        """
        key, sign = EXTREMES[name]
        if key == "size":
            ranked = sorted(((_RANK[self[other].size] * sign, other) for other in candidates), reverse=True)
            gap = 1
        else:
            values = self._x if key == "x" else self._y
            ranked = sorted(((values[other] * sign, other) for other in candidates), reverse=True)
            gap = (self.width if key == "x" else self.height) * 16 * 5 // 100
        if not ranked or (len(ranked) > 1 and ranked[0][0] - ranked[1][0] < gap):
            return None
        return ranked[0][1]

    def cell(self, index: int) -> str:
        """The name of the cell of a 3x3 grid that holds the object's centroid: exact, never unclear."""
        column = min(2, self._x[index] * 3 // (self.width * 16))
        row = min(2, self._y[index] * 3 // (self.height * 16))
        return CELLS[3 * row + column]

    def at(self, index: int, place: str) -> Truth:
        """Whether the object is at one of :data:`PLACES`.

        A side is a third of the image (33 %); up to 43 % it is unclear. The centre is within 14 % of the middle along both axes;
        up to 23 % it is unclear. A corner is where two sides meet.
        """
        worst = Truth.YES
        for word, values, side in (
            ("left", self._x, self.width * 16),
            ("right", self._x, self.width * 16),
            ("top", self._y, self.height * 16),
            ("bottom", self._y, self.height * 16),
        ):
            if place == "centre":
                depth, near, far = abs(2 * values[index] - side) * 50, 14 * side, 23 * side
            elif word in place:
                value = values[index] if word in ("left", "top") else side - values[index]
                depth, near, far = value * 100, 33 * side, 43 * side
            else:
                continue
            if depth >= far:
                return Truth.NO
            if depth > near:
                worst = Truth.UNCLEAR
        return worst
