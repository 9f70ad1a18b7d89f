"""Which object a noun phrase names, with the evidence for it.

A definite phrase names one object, and a referring phrase singles its object out: so a phrase that is known to fit one object
fits no other, and what a text calls an object teaches how it looks. Both are followed until nothing new is learnt. Where more
than one object is left, the phrase is left alone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from mmud.annotations.linking.looks import Feature, says_looks_or_place
from mmud.annotations.linking.profiles import Known, Profile, bare
from mmud.annotations.linking.reading import NounPhrase, Position

SURE = 0.9
"""From this score on, a link teaches how its object looks."""

_SCORES = {
    "phrase": 0.99,
    "looks": 0.97,
    "name": 0.95,
    "looks, the others unlike": 0.94,
    "name, looks not known": 0.9,
    "place": 0.85,
    "size": 0.82,
    "words of its phrases": 0.75,
}
_OPEN = 0.75
"""Highest score where several objects have the name, and words of the phrase are left that none of this object's phrases has."""

_LOOSE_NAME = 0.78
"""Highest score of a noun that is no category's, but stands in a phrase."""

_SIDE_MARGIN = 0.04
"""Share of the image by which the outermost object must stand out from the next one."""

_SIZE_RATIO = 1.6
"""How many times larger a thing must be to be the large one."""

_WORDS_SHARE, _WORDS_LEAD = 0.5, 2.0


@dataclass(frozen=True, slots=True)
class Match:
    """An object that a phrase names: its number, how sure that is (0 to 1), and why."""

    index: int
    score: float
    reason: str


def match(phrase: NounPhrase, text: str, known: Known, barred: frozenset[int] = frozenset()) -> Match | None:
    """The one object that a phrase names; None where none or several are left.

    Args:
        phrase: it names one thing.
        text: its words.
        known: of the objects.
        barred: objects that it cannot mean.
    """
    if phrase.noun is None or phrase.predicate:
        return None
    wide = not phrase.noun.categories
    named = [
        profile
        for profile in known.profiles
        if profile.fits_name(phrase.noun.categories) and profile.index not in barred and not profile.crowd
    ]
    found = _decide(phrase, bare(text), named, known, wide)
    if found is None:
        return None
    score = _SCORES[found.reason]
    if found.reason != "phrase":
        score -= 0.03 * (phrase.determiner != "definite") + 0.05 * phrase.noun.weak * (not wide)
        score -= 0.05 * (not phrase.determiner and phrase.last - phrase.first == 1)
        if len(named) > 1 and _has_open_words(phrase, known.profiles[found.index - 1]):
            score = min(score, _OPEN)
        if any(name.startswith("=") for name in phrase.noun.categories):
            score = min(score, _LOOSE_NAME)
    return Match(found.index, round(score, 4), found.reason)


def _decide(phrase: NounPhrase, text: str, named: list[Profile], known: Known, wide: bool) -> Match | None:
    if phrase.noun is None:
        return None
    exact = [profile for profile in named if text in profile.texts]
    if len(exact) == 1 and not (wide and not phrase.features and not phrase.position):
        return _found(exact[0], "phrase")
    possible = [profile for profile in named if _possible(profile, phrase.features, phrase, known)]
    sure = [profile for profile in possible if all(profile.has(feature) for feature in phrase.features)]
    if phrase.position:
        found = _by_place(phrase.position, sure if sure and not wide else possible, len(named))
        if found is not None or not phrase.related:
            return found
    if wide and not (phrase.features and sure):
        return None
    if len(possible) == 1:
        only = possible[0]
        if only in sure:
            return _found(only, "looks" if phrase.features else "name")
        return None if wide else _found(only, "name, looks not known")
    if len(sure) == 1 and phrase.features - phrase.noun.features and phrase.determiner == "definite":
        return _found(sure[0], "looks, the others unlike")
    if wide:
        return None
    return _by_size(phrase, possible) or _by_words(phrase, sure or possible, known)


def _has_open_words(phrase: NounPhrase, profile: Profile) -> bool:
    """Whether the phrase says more than name, looks and place, and most of that is in no phrase of the object."""
    rest = [word for word in phrase.words if not says_looks_or_place(word)]
    rest = [word for word in rest if word not in phrase.named]
    return 2 * sum(word in profile.words for word in rest) < len(rest)


def _found(profile: Profile, reason: str) -> Match:
    return Match(profile.index, 0.0, reason)


def _possible(profile: Profile, features: Iterable[Feature], phrase: NounPhrase, known: Known) -> bool:
    """Whether nothing speaks against an object: no look, and no phrase that singles out another one."""
    said = frozenset(features)
    if any(profile.has(feature) is False for feature in said):
        return False
    called = phrase.noun.categories if phrase.noun is not None else frozenset()
    for other in known.profiles:
        if other is profile:
            continue
        for description in other.descriptions:
            names = description.categories
            if not profile.fits_name(names) and not (names and called and called <= names):
                continue
            if not description.features and not names:
                continue
            if all(feature in said or profile.has(feature) for feature in description.features):
                return False
    return True


def _by_place(position: Position, candidates: list[Profile], named: int) -> Match | None:
    """The candidate that stands where the phrase says."""
    if position.greatest:
        return _outermost(candidates, [profile.area * position.greatest for profile in candidates], None)
    if position.order is not None:
        if not position.across or named < 2:
            return None
        ordered = sorted(candidates, key=lambda profile: profile.center[0] * -position.across)
        return _found(ordered[position.order - 1], "place") if position.order <= len(ordered) else None
    if position.centre and not (position.across or position.down):
        fits = [profile for profile in candidates if all(abs(value - 0.5) <= 0.2 for value in profile.center)]
        return _found(fits[0], "place") if len(fits) == 1 else None
    reach = [
        profile.center[0] * position.across + profile.center[1] * position.down
        - (abs(profile.center[1] - 0.5) if position.centre else 0.0)
        for profile in candidates
    ]  # fmt: skip
    return _outermost(candidates, reach, position)


def _outermost(candidates: list[Profile], reach: list[float], position: Position | None) -> Match | None:
    if not candidates:
        return None
    order = sorted(range(len(candidates)), key=lambda place: -reach[place])
    best = candidates[order[0]]
    if position is None:
        large = [abs(reach[place]) for place in order[:2]]
        if len(large) == 2 and max(large) < _SIZE_RATIO * min(large):
            return None
        return _found(best, "size") if len(large) == 2 else None
    if len(order) > 1 and reach[order[0]] - reach[order[1]] < _SIDE_MARGIN:
        return None
    # Alone of its kind, a thing must still stand on the side that is named.
    for value, side in zip(best.center, (position.across, position.down), strict=True):
        if side and (value - 0.5) * side < -0.1:
            return None
    return _found(best, "place")


def _by_size(phrase: NounPhrase, candidates: list[Profile]) -> Match | None:
    """Of things that differ in size alone, the one that a size word means."""
    wanted = {value for kind, value in phrase.features if kind == "size"}
    rest = [feature for feature in phrase.features if feature[0] != "size"]
    alike = [profile for profile in candidates if all(profile.has(feature) for feature in rest)]
    if len(alike) < 2 or alike != candidates or wanted not in ({"small"}, {"large"}):
        return None
    areas = [profile.area for profile in alike]
    sign = 1 if wanted == {"large"} else -1
    best = max(range(len(alike)), key=lambda place: areas[place] * sign)
    others = [area for place, area in enumerate(areas) if place != best]
    apart = all(max(area, areas[best]) >= _SIZE_RATIO * min(area, areas[best]) for area in others)
    return _found(alike[best], "size") if apart and min(areas) > 0 else None


def _by_words(phrase: NounPhrase, candidates: list[Profile], known: Known) -> Match | None:
    """The candidate whose phrases share most telling words with this one, by far."""
    spread = Counter(word for profile in known.profiles for word in profile.words)
    weights = {word: math.log(1 + len(known.profiles) / spread[word]) for word in phrase.words if spread[word]}
    common = {word for word in weights if all(word in profile.words for profile in candidates)}
    telling = {word: weight for word, weight in weights.items() if word not in common}
    total = sum(telling.values())
    if not total or len(candidates) < 2:
        return None
    scored = sorted(
        ((sum(weight for word, weight in telling.items() if word in profile.words) / total, -profile.index, profile))
        for profile in candidates
    )
    (second, *_), (best, _, profile) = scored[-2], scored[-1]
    if best >= _WORDS_SHARE and best >= _WORDS_LEAD * second:
        return _found(profile, "words of its phrases")
    return None
