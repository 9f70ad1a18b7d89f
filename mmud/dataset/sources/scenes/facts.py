"""What holds in a scene, as data: the ground for text-only training, and for checks of texts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple, TypeAlias

from mmud.dataset.sources.scenes.drawing import Background
from mmud.dataset.sources.scenes.predicates import CONVERSE, EXTREMES, Truth, View
from mmud.dataset.sources.scenes.vocabulary import ATTRIBUTES

Value: TypeAlias = str | int | tuple[int, int]


class Fact(NamedTuple):
    """One thing that clearly holds.

    Attributes:
        subject: Index of an object, or 0 for the scene.
        predicate: For the scene ``count``, ``pattern``, ``tint``. For an object ``size``, ``color``, ``texture``,
            ``shape``, ``cell``; a relation (``left`` … ``front``); ``between``; ``nearest`` (it is the nearest object to
            the one named); ``extreme``.
        value: A word, an index, or two indices.
    """

    subject: int
    predicate: str
    value: Value


def list_facts(view: View, background: Background) -> Iterator[Fact]:
    """Every fact of a scene. What is too close to call is left out; relations come in both directions."""
    yield Fact(0, "count", len(view.objects))
    yield Fact(0, "pattern", background.pattern)
    yield Fact(0, "tint", background.tint)
    for thing in view.objects:
        for attribute in ATTRIBUTES:
            yield Fact(thing.index, attribute, getattr(thing, attribute))
        yield Fact(thing.index, "cell", view.cell(thing.index))
    for first in view.all:
        for second in view.all:
            if first == second:
                continue
            for relation in CONVERSE:
                if view.relation(relation, first, second) is Truth.YES:
                    yield Fact(first, relation, second)
        nearest = view.nearest(first, view.all)
        if nearest is not None:
            yield Fact(nearest, "nearest", first)
    for first, second in combinations(view.all, 2):
        for middle in view.all:
            if view.between(middle, first, second) is Truth.YES:
                yield Fact(middle, "between", (first, second))
    for extreme in EXTREMES:
        found = view.extreme(extreme, view.all)
        if found is not None:
            yield Fact(found, "extreme", extreme)
