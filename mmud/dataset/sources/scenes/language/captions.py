"""Long captions: the background, every object with its attributes and its place, and how objects stand to each other.

What is said follows from the scene (so that a caption can be learnt from images); order and wording vary. A metric such
as CIDEr-D compares word sequences and lengths with a single reference, so a world whose captions varied without bound
could not be scored.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mmud.dataset.sources.scenes.config import ScenesConfig
from mmud.dataset.sources.scenes.drawing import Background
from mmud.dataset.sources.scenes.language.statements import cell_words
from mmud.dataset.sources.scenes.language.wording import (
    EXTREME_FORMS,
    NUMBERS,
    Wording,
    article,
    left_to_right,
    plural,
    sentence,
)
from mmud.dataset.sources.scenes.predicates import CONVERSE, EXTREMES, Truth, View
from mmud.dataset.sources.scenes.stream import Stream
from mmud.dataset.sources.scenes.vocabulary import CELLS, SIZES

#: How many objects there are is not said: a model that says one word after the other would have to count before it names, and
#: then name one that is not there, or leave one out, to keep to a wrong number.
_OPENINGS: Final = (
    "There are objects on a {pattern} {tint} background",
    "Objects lie on a {pattern} {tint} background",
    "The picture shows objects on a {pattern} {tint} background",
    "A {pattern} {tint} background holds objects",
)
#: Sentences about relations that every caption has, however long its list of objects is.
LEAST_DETAILS: Final = 2
_SINGLE: Final = ("There is {thing} {cell}", "{thing} is {cell}", "{cell} is {thing}")
_PAIR: Final = ("{thing} is {cell} and {other} is {other_cell}", "There is {thing} {cell} and {other} {other_cell}")


def write_caption(view: View, background: Background, config: ScenesConfig, stream: Stream) -> str:
    """A caption of about ``config.caption_words`` words; longer where the objects alone need more."""
    wording = Wording(view, stream, config.synonyms)
    sentences = [_opening(background, stream), *_objects(view, wording, stream)]
    words = sum(text.count(" ") + 1 for text in sentences)
    for said, text in enumerate(_details(view, wording)):
        if said >= LEAST_DETAILS and 10 * words >= 9 * config.caption_words:
            break
        sentences.append(text)
        words += text.count(" ") + 1
    return " ".join(sentences)


def _opening(background: Background, stream: Stream) -> str:
    return sentence(stream.choice(_OPENINGS).format(pattern=background.pattern, tint=background.tint))


def _objects(view: View, wording: Wording, stream: Stream) -> Iterator[str]:
    order = _ordered(view, stream.below(3))
    while order:
        pair = len(order) > 1 and stream.chance(0.4)
        first = order.pop(0)
        fields = {"thing": article(wording.full(first)), "cell": cell_words(view.cell(first))}
        if pair:
            second = order.pop(0)
            fields |= {"other": article(wording.full(second)), "other_cell": cell_words(view.cell(second))}
        yield sentence(stream.choice(_PAIR if pair else _SINGLE).format(**fields))


def _ordered(view: View, way: int) -> list[int]:
    """All objects: from left to right, row by row, or from large to small."""
    order = left_to_right(view, view.all)
    if way == 1:
        order.sort(key=lambda index: CELLS.index(view.cell(index)))
    elif way == 2:
        order.sort(key=lambda index: -SIZES.index(view[index].size))
    return order


def _details(view: View, wording: Wording) -> Iterator[str]:
    """What to say once the objects are listed, the telling things first; nothing is said twice, nor once from each side."""
    related: set[tuple[int, int, str]] = set()
    for first, relation, second in (*_occlusions(view), *_neighbours(view)):
        if not related & {(first, second, relation), (second, first, CONVERSE[relation])}:
            related.add((first, second, relation))
            yield _relation(wording, first, relation, second)
    yield from _groups(view, wording)
    yield from _extremes(view, wording)
    for first, relation, second in _pairs(view):
        if not related & {(first, second, relation), (second, first, CONVERSE[relation])}:
            yield _relation(wording, first, relation, second)


def _relation(wording: Wording, first: int, relation: str, second: int) -> str:
    return sentence(f"{wording.the(first)} is {wording.relation(relation)} {wording.the(second)}")


def _occlusions(view: View) -> Iterator[tuple[int, str, int]]:
    for front in left_to_right(view, view.all):
        for back in left_to_right(view, view.all):
            if view.relation("front", front, back) is Truth.YES:
                yield front, "front", back


def _main_relation(view: View, first: int, second: int) -> str | None:
    """Left, right, above or below, along the axis on which the two differ most; None when that is unclear."""
    dx, dy = view[first].x - view[second].x, view[first].y - view[second].y
    relation = ("left" if dx < 0 else "right") if abs(dx) >= abs(dy) else ("above" if dy < 0 else "below")
    return relation if view.relation(relation, first, second) is Truth.YES else None


def _neighbours(view: View) -> Iterator[tuple[int, str, int]]:
    """Each object and the one nearest to it, along the axis on which they differ most."""
    for first in left_to_right(view, view.all):
        others = [other for other in view.all if other != first]
        second = min(others, key=lambda other: (view.squared_distance(first, other), other))
        relation = _main_relation(view, first, second)
        if relation is not None:
            yield first, relation, second


def _groups(view: View, wording: Wording) -> Iterator[str]:
    """Attribute values that two or more objects share, and how many do."""
    values: dict[tuple[str, str], int] = {}
    for index in left_to_right(view, view.all):
        for attribute in ("color", "texture", "shape"):
            key = (attribute, getattr(view[index], attribute))
            values[key] = values.get(key, 0) + 1
    for (attribute, value), count in values.items():
        if count < 2:
            continue
        if attribute == "shape":
            yield sentence(f"{NUMBERS[count]} of the objects are {plural(wording.word('shape', value))}")
        else:
            yield sentence(f"{NUMBERS[count]} of the objects are {wording.word(attribute, value)}")


def _extremes(view: View, wording: Wording) -> Iterator[str]:
    for extreme in EXTREMES:
        found = view.extreme(extreme, view.all)
        if found is not None:
            yield sentence(f"{wording.the(found)} is the {wording.form(EXTREME_FORMS[extreme])} object")


def _pairs(view: View) -> Iterator[tuple[int, str, int]]:
    order = left_to_right(view, view.all)
    for position, first in enumerate(order):
        for second in order[position + 1 :]:
            for relation in ("left", "above", "below", "larger", "smaller"):
                if view.relation(relation, first, second) is Truth.YES:
                    yield first, relation, second
