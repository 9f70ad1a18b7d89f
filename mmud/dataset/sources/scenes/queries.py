"""Descriptions of objects as data: "striped star left of the blue ring" before it has words.

A query finds the objects that fit it. It *singles out* an object when exactly one fits and none is too close to call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from mmud.dataset.sources.scenes.predicates import Truth, View


@dataclass(frozen=True, slots=True)
class Kind:
    """Objects with these attributes; None leaves an attribute open."""

    size: str | None = None
    color: str | None = None
    texture: str | None = None
    shape: str | None = None

    def find(self, view: View) -> list[int]:
        return [
            thing.index
            for thing in view.objects
            if (self.shape is None or thing.shape == self.shape)
            and (self.color is None or thing.color == self.color)
            and (self.texture is None or thing.texture == self.texture)
            and (self.size is None or thing.size == self.size)
        ]


@dataclass(frozen=True, slots=True)
class Related:
    """Objects of a kind that stand in a relation to another object."""

    kind: Kind
    relation: str
    anchor: int


@dataclass(frozen=True, slots=True)
class Between:
    """Objects of a kind between two others."""

    kind: Kind
    first: int
    second: int


@dataclass(frozen=True, slots=True)
class Nearest:
    """The object of a kind nearest to, or farthest from, another one."""

    kind: Kind
    anchor: int
    farthest: bool = False


@dataclass(frozen=True, slots=True)
class Extreme:
    """The leftmost, …, smallest object of a kind."""

    kind: Kind
    extreme: str


@dataclass(frozen=True, slots=True)
class At:
    """Objects of a kind at a place of the image."""

    kind: Kind
    place: str


Query: TypeAlias = Kind | Related | Between | Nearest | Extreme | At


def find(query: Query, view: View) -> list[int] | None:
    """Indices of the objects that fit, ascending; None when some object is too close to call."""
    if isinstance(query, Kind):
        return query.find(view)
    candidates = query.kind.find(view)
    if isinstance(query, Nearest):
        only = view.nearest(query.anchor, candidates, query.farthest)
        return None if only is None else [only]
    if isinstance(query, Extreme):
        only = view.extreme(query.extreme, candidates)
        return None if only is None else [only]
    found = []
    for index in candidates:
        truth = _fits(query, view, index)
        if truth is Truth.UNCLEAR:
            return None
        if truth is Truth.YES:
            found.append(index)
    return found


def _fits(query: Related | Between | At, view: View, index: int) -> Truth:
    if isinstance(query, Related):
        return Truth.NO if index == query.anchor else view.relation(query.relation, index, query.anchor)
    if isinstance(query, Between):
        return view.between(index, query.first, query.second)
    return view.at(index, query.place)


def singled_out(query: Query, view: View) -> int | None:
    """The one object that the query fits, or None."""
    found = find(query, view)
    return found[0] if found is not None and len(found) == 1 else None
