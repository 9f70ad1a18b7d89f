"""A second reader of the scenes world's English, written apart from the code that writes it.

It knows a scene only as a person does: by the attributes of its objects, and by where their masks are. It parses a text
with a small grammar of its own and evaluates it with plain geometry in floating point. The world keeps a margin around
everything that is too close to call; this reader has no margins. When both agree on every text, the texts are true and do
not hang on a threshold.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

import numpy as np

from mmud.dataset.sources.scenes.config import ScenesConfig
from mmud.dataset.sources.scenes.drawing import paint
from mmud.dataset.sources.scenes.layout import Layout
from mmud.dataset.sources.scenes.world import Scene

SIZES = {"small": 0, "little": 0, "tiny": 0, "medium": 1, "medium-sized": 1, "large": 2, "big": 2}
COLORS = {
    word: word
    for word in ["red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "brown", "black", "white"]
}
COLORS |= {"turquoise": "cyan", "violet": "purple"}
TEXTURES = {"plain": "plain", "solid": "plain", "striped": "striped", "stripy": "striped", "dotted": "dotted"}
TEXTURES |= {"spotted": "dotted", "checked": "checked", "chequered": "checked"}
SHAPES = {
    word: word
    for word in [
        "circle",
        "square",
        "triangle",
        "star",
        "heart",
        "ring",
        "cross",
        "hexagon",
        "crescent",
        "diamond",
        "arrow",
        "drop",
    ]
}
SHAPES |= {"disc": "circle", "hoop": "ring", "plus sign": "cross", "crescent moon": "crescent"}
SHAPES |= {"rhombus": "diamond", "teardrop": "drop"}
NOUNS: dict[str, str | None] = {**SHAPES, "object": None}
NOUNS |= {("crosses" if n == "cross" else "rhombuses" if n == "rhombus" else n + "s"): s for n, s in NOUNS.items()}
EXTREMES = {
    "leftmost": ("x", -1), "farthest left": ("x", -1), "rightmost": ("x", 1), "farthest right": ("x", 1),
    "topmost": ("y", -1), "highest": ("y", -1), "lowest": ("y", 1), "bottommost": ("y", 1),
    "largest": ("size", 1), "biggest": ("size", 1), "smallest": ("size", -1),
}  # fmt: skip
RELATIONS = {
    "left of": "left", "to the left of": "left", "right of": "right", "to the right of": "right",
    "above": "above", "higher than": "above", "below": "below", "lower than": "below",
    "larger than": "larger", "bigger than": "larger", "smaller than": "smaller",
    "behind": "behind", "partly hidden by": "behind", "in front of": "front", "partly covering": "front",
}  # fmt: skip
PLACES = {
    "on the left side": "left", "at the left": "left", "on the right side": "right", "at the right": "right",
    "at the top": "top", "in the upper part": "top", "at the bottom": "bottom", "in the lower part": "bottom",
    "in the centre": "centre", "in the middle": "centre",
    **{f"in the {v} {h} corner": f"{row} {h}"
       for v, row in (("top", "top"), ("upper", "top"), ("bottom", "bottom"), ("lower", "bottom")) for h in ("left", "right")},
}  # fmt: skip
NUMBERS = {
    word: n
    for n, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    )
}


class CannotRead(Exception):
    """The text is outside the grammar."""


@dataclass
class Reading:
    """What a person sees of a scene."""

    width: int
    height: int
    objects: list[dict[str, object]]
    x: list[float]
    y: list[float]
    #: covered[a][b]: the share of b, drawn alone, that a is seen to cover.
    covered: list[list[float]]
    everything: set[int] = field(default_factory=set)

    def value(self, index: int, attribute: str) -> object:
        return self.objects[index - 1][attribute]


def full_masks(scene: Scene) -> list[np.ndarray]:
    """Each object's mask were it alone: drawn alone twice, with hard edges and two tones; what changes is the object."""
    config: ScenesConfig = replace(scene.config, antialias=False)
    empty = paint(Layout((), scene.owner), scene.background, config)
    by_depth = sorted(scene.objects, key=lambda thing: thing.depth)
    alone = {}
    for thing, placed in zip(by_depth, scene.layout.objects, strict=True):
        one = paint(Layout((placed,), scene.owner), scene.background, config)
        other = paint(Layout((replace(placed, tone=placed.tone + 9),), scene.owner), scene.background, config)
        alone[thing.index] = (one != empty).any(axis=2) | (other != empty).any(axis=2)
    return [alone[thing.index] for thing in scene.objects]


def read_scene(scene: Scene) -> Reading:
    """Look at a scene: attributes, centroids of the masks, and who covers whom."""
    objects: list[dict[str, object]] = []
    xs, ys = [], []
    masks = [np.asarray(scene.mask(thing.index)) for thing in scene.objects]
    for thing, mask in zip(scene.objects, masks, strict=True):
        objects.append(
            {"size": SIZES[thing.size], "color": thing.color, "texture": thing.texture, "shape": thing.shape}
        )
        rows, columns = np.nonzero(mask)
        xs.append(float(columns.mean()) + 0.5)
        ys.append(float(rows.mean()) + 0.5)
    full = full_masks(scene)
    covered = [[float((front & back).sum() / back.sum()) for back in full] for front in masks]
    for index in range(len(masks)):
        covered[index][index] = 0.0
    height, width = masks[0].shape
    return Reading(width, height, objects, xs, ys, covered, set(range(1, len(objects) + 1)))


def holds(view: Reading, relation: str, first: int, second: int) -> bool:
    if relation in ("larger", "smaller"):
        mine, other = view.value(first, "size"), view.value(second, "size")
        return mine > other if relation == "larger" else mine < other  # type: ignore[operator]
    if relation == "behind":
        return view.covered[second - 1][first - 1] > 0.02
    if relation == "front":
        return view.covered[first - 1][second - 1] > 0.02
    values = view.x if relation in ("left", "right") else view.y
    difference = values[first - 1] - values[second - 1]
    # A tenth of a pixel: below that two centroids are the same to the world's sixteenths.
    return difference < -0.1 if relation in ("left", "above") else difference > 0.1


def at_place(view: Reading, index: int, place: str) -> bool:
    x, y = view.x[index - 1] / view.width, view.y[index - 1] / view.height
    if place == "centre":
        return max(abs(x - 0.5), abs(y - 0.5)) < 0.185
    tests = {"left": x < 0.38, "right": x > 0.62, "top": y < 0.38, "bottom": y > 0.62}
    return all(tests[word] for word in place.split())


def in_between(view: Reading, middle: int, first: int, second: int) -> bool:
    a, b, m = (np.array([view.x[i - 1], view.y[i - 1]]) for i in (first, second, middle))
    line = b - a
    length = float(np.hypot(*line))
    along = float((m - a) @ line) / length**2
    across = abs(float((m - a)[0] * line[1] - (m - a)[1] * line[0])) / length**2
    return middle not in (first, second) and 0.175 < along < 0.825 and across < 0.25


def most_extreme(view: Reading, word: str, candidates: set[int]) -> set[int]:
    key, sign = EXTREMES[word]

    def score(index: int) -> float:
        if key == "size":
            return sign * float(view.value(index, "size"))  # type: ignore[arg-type]
        return sign * (view.x if key == "x" else view.y)[index - 1]

    best = max(score(index) for index in candidates)
    return {index for index in candidates if score(index) == best}


def by_distance(view: Reading, anchor: int, candidates: set[int], farthest: bool) -> set[int]:
    def distance(index: int) -> float:
        return float(np.hypot(view.x[index - 1] - view.x[anchor - 1], view.y[index - 1] - view.y[anchor - 1]))

    others = candidates - {anchor}
    return {(max if farthest else min)(others, key=distance)} if others else set()


def _head(words: str) -> tuple[dict[str, object], str]:
    """Adjectives and a noun from the start of the words; what follows comes back as the rest."""
    wanted: dict[str, object] = {}
    tokens = words.split()
    for position, token in enumerate(tokens):
        for length in (2, 1):
            noun = " ".join(tokens[position : position + length])
            if noun in NOUNS:
                if NOUNS[noun] is not None:
                    wanted["shape"] = NOUNS[noun]
                return wanted, " ".join(tokens[position + length :])
        for attribute, known in (("size", SIZES), ("color", COLORS), ("texture", TEXTURES)):
            if token in known and attribute not in wanted:
                wanted[attribute] = known[token]
                break
        else:
            raise CannotRead(words)
    raise CannotRead(words)


def kind(view: Reading, words: str) -> set[int]:
    """Objects of a bare kind: "large red stars"."""
    wanted, rest = _head(words)
    if rest:
        raise CannotRead(words)
    return fitting(view, wanted)


def fitting(view: Reading, wanted: dict[str, object]) -> set[int]:
    return {i for i in view.everything if all(view.value(i, name) == value for name, value in wanted.items())}


def find(view: Reading, words: str) -> set[int]:
    """The objects that a noun phrase fits: "the leftmost red star", "object between the ring and the cross"."""
    words = words.removeprefix("the ")
    for extreme in sorted(EXTREMES, key=len, reverse=True):
        if words.startswith(extreme + " "):
            candidates, rest = _located(view, words.removeprefix(extreme + " "))
            if rest:
                raise CannotRead(words)
            return most_extreme(view, extreme, candidates)
    candidates, rest = _located(view, words)
    return narrowed(view, candidates, rest) if rest else candidates


def _located(view: Reading, words: str) -> tuple[set[int], str]:
    wanted, rest = _head(words)
    return fitting(view, wanted), rest


def narrowed(view: Reading, candidates: set[int], rest: str) -> set[int]:
    """Candidates that fit what follows their noun: a place, a relation, a distance, two neighbours."""
    if rest in PLACES:
        return {index for index in candidates if at_place(view, index, PLACES[rest])}
    for words, farthest in (("nearest to ", False), ("farthest from ", True)):
        if rest.startswith(words):
            return by_distance(view, only(view, rest.removeprefix(words)), candidates, farthest)
    if rest.startswith("between "):
        first, second = rest.removeprefix("between the ").split(" and the ")
        ends = only(view, first), only(view, second)
        return {index for index in candidates if in_between(view, index, *ends)}
    for words, relation in RELATIONS.items():
        if rest.startswith(words + " "):
            anchor = only(view, rest.removeprefix(words + " "))
            return {index for index in candidates - {anchor} if holds(view, relation, index, anchor)}
    raise CannotRead(rest)


def only(view: Reading, words: str) -> int:
    """The one object that a noun phrase fits."""
    found = find(view, words)
    if len(found) != 1:
        raise CannotRead(f"{words!r} fits {sorted(found)}")
    return found.pop()


def tags(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"<LCL-(\d+)>", text)]


def named(text: str) -> list[tuple[str, int]]:
    """Each tag with the name in front of it, from its "the" on."""
    found, start = [], 0
    for match in re.finditer(r" <LCL-(\d+)>", text):
        before = text[start : match.start()].lower()
        found.append((before[before.rindex("the ") :], int(match[1])))
        start = match.end()
    return found
