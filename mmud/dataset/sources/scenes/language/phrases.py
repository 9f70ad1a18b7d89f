"""Referring phrases: several for each object, each of which fits that object and no other."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import combinations
from typing import Final

from mmud.dataset.sources.scenes import vocabulary
from mmud.dataset.sources.scenes.config import ScenesConfig
from mmud.dataset.sources.scenes.language.wording import Wording, name_of
from mmud.dataset.sources.scenes.predicates import EXTREMES, PLACES, View
from mmud.dataset.sources.scenes.queries import At, Between, Extreme, Kind, Nearest, Query, Related, singled_out
from mmud.dataset.sources.scenes.stream import Stream
from mmud.dataset.sources.scenes.vocabulary import ATTRIBUTES

#: Attribute subsets from short to long, with their bits: how an object may be described by its looks.
_SUBSETS: Final[tuple[tuple[int, tuple[str, ...]], ...]] = tuple(
    (sum(1 << ATTRIBUTES.index(attribute) for attribute in subset), subset)
    for count in range(1, 5)
    for subset in combinations(ATTRIBUTES, count)
)
#: Relations that phrases use, the telling ones more often.
_RELATIONS: Final = ("left", "right", "above", "below", "larger", "smaller", "behind", "front", "behind", "front")


def kind_of(view: View, index: int, attributes: tuple[str, ...]) -> Kind:
    """The kind that keeps these attributes of an object and leaves the others open."""
    thing = view[index]
    return Kind(**{attribute: getattr(thing, attribute) for attribute in attributes})


def looks(view: View, index: int, avoid: tuple[str, ...] = ()) -> list[Kind]:
    """Every kind that fits the object alone, without the attributes to avoid; the shortest first."""
    thing = view[index]
    # For each other object the attributes in which it differs, as bits: a subset tells the two apart when it holds one of them.
    differences = []
    for other in view.objects:
        if other is not thing:
            pairs = ((other.size, thing.size), (other.color, thing.color), (other.texture, thing.texture))
            bits = sum(1 << bit for bit, (theirs, own) in enumerate(pairs) if theirs != own)
            differences.append(bits | (8 if other.shape != thing.shape else 0))
    avoided = sum(1 << ATTRIBUTES.index(attribute) for attribute in avoid)
    return [
        kind_of(view, index, subset)
        for bits, subset in _SUBSETS
        if not bits & avoided and all(bits & difference for difference in differences)
    ]


def loose_kind(view: View, index: int, stream: Stream, avoid: tuple[str, ...] = ()) -> Kind:
    """A kind that fits the object and, if one of a few draws allows, others too: what a relation then narrows down."""
    kind = Kind()
    for _ in range(3):
        wanted = [attribute for attribute in ATTRIBUTES if attribute not in avoid and stream.chance(0.3)]
        kind = kind_of(view, index, tuple(wanted))
        if len(kind.find(view)) > 1:
            return kind
    return kind


def _by_looks(view: View, index: int, stream: Stream, avoid: tuple[str, ...]) -> Query | None:
    found = looks(view, index, avoid)
    if not found:
        return None
    # Short ones first, but not only: half of the draws take one of the two shortest.
    return found[stream.below(min(2, len(found)))] if stream.chance(0.5) else stream.choice(found)


def _related(view: View, index: int, stream: Stream, avoid: tuple[str, ...]) -> Query | None:
    kind = loose_kind(view, index, stream, avoid)
    anchor = stream.choice(view.all)
    relation = stream.choice(_RELATIONS)
    if "size" in avoid and relation in ("larger", "smaller"):
        return None
    return None if anchor == index else Related(kind, relation, anchor)


def _between(view: View, index: int, stream: Stream, avoid: tuple[str, ...]) -> Query | None:
    others = [other for other in view.all if other != index]
    if len(others) < 2:
        return None
    first, second = stream.shuffled(others)[:2]
    return Between(loose_kind(view, index, stream, avoid), first, second)


def _nearest(view: View, index: int, stream: Stream, avoid: tuple[str, ...]) -> Query | None:
    anchor = stream.choice(view.all)
    if anchor == index:
        return None
    kind = loose_kind(view, index, stream, avoid)
    # "The nearest star" presupposes two stars besides the anchor.
    rivals = [other for other in kind.find(view) if other != anchor]
    return Nearest(kind, anchor, stream.chance(0.4)) if len(rivals) > 1 else None


def _extreme(view: View, index: int, stream: Stream, avoid: tuple[str, ...]) -> Query | None:
    extreme = stream.choice(tuple(EXTREMES))
    if "size" in avoid and extreme in ("largest", "smallest"):
        return None
    kind = loose_kind(view, index, stream, avoid)
    return Extreme(kind, extreme) if len(kind.find(view)) > 1 else None


def _at(view: View, index: int, stream: Stream, avoid: tuple[str, ...]) -> Query | None:
    kind = loose_kind(view, index, stream, avoid)
    return At(kind, stream.choice(PLACES)) if len(kind.find(view)) > 1 else None


Maker = Callable[[View, int, Stream, tuple[str, ...]], Query | None]
Ways = tuple[tuple[Maker, int], ...]
#: How often each way to refer is tried, in the order of `vocabulary.REFERENCES`.
_MAKERS: Final[Ways] = ((_by_looks, 8), (_related, 6), (_extreme, 3), (_at, 3), (_nearest, 2), (_between, 2))
#: Looks alone; and ways that need a look at the whole scene but at no second object.
PLAIN_WAYS: Final[Ways] = ((_by_looks, 1),)
FINDING_WAYS: Final[Ways] = ((_extreme, 2), (_at, 1))


@lru_cache(maxsize=64)
def ways_of(references: tuple[str, ...]) -> Ways:
    """The ways that the settings allow."""
    return tuple(way for name, way in zip(vocabulary.REFERENCES, _MAKERS, strict=True) if name in references)


def reference(
    view: View,
    index: int,
    stream: Stream,
    ways: Ways,
    avoid: tuple[str, ...] = (),
    rounds: int = 3,
) -> Query | None:
    """A query that singles the object out without naming the attributes to avoid; None when a few draws find none.

    The anchors of the query, if any, are objects that their names single out.
    """
    weights = [weight for _, weight in ways]
    for _ in range(rounds):
        maker = ways[stream.weighted(weights)][0]
        # A relation drawn at random often fits nothing: several draws keep the share of each way near its weight.
        for _ in range(4):
            query = maker(view, index, stream, avoid)
            if query is not None and singled_out(query, view) == index:
                return query
    return None


def write_phrases(view: View, config: ScenesConfig, stream: Stream) -> tuple[tuple[str, ...], ...]:
    """For each object ``min_phrases`` to ``max_phrases`` different phrases; each singles it out.

    Looks are enough to tell any object apart, so two are always found; more than two may be fewer than asked where a scene
    offers no more.
    """
    wording = Wording(view, stream, config.synonyms)
    return tuple(_phrases_of(view, index, config, stream, wording) for index in view.all)


def _phrases_of(view: View, index: int, config: ScenesConfig, stream: Stream, wording: Wording) -> tuple[str, ...]:
    wanted = stream.between(config.min_phrases, config.max_phrases)
    found: dict[str, Query] = {}
    if config.names_first:
        found[wording.the(index)] = name_of(view, index)
    ways = ways_of(config.references)
    for _ in range(3 * wanted):
        query = reference(view, index, stream, ways, rounds=1)
        if query is not None and query not in found.values():
            found.setdefault(_with_article(wording.query(query), stream), query)
        if len(found) == wanted:
            return tuple(found)
    for kind in looks(view, index):
        if len(found) < wanted and kind not in found.values():
            found.setdefault(_with_article(wording.kind(kind), stream), kind)
    full = kind_of(view, index, ATTRIBUTES)
    for words in (wording.kind(full), f"the {wording.kind(full)}"):
        if len(found) < config.min_phrases:
            found.setdefault(words, full)
    return tuple(found)


def _with_article(words: str, stream: Stream) -> str:
    return f"the {words}" if stream.chance(0.5) else words
