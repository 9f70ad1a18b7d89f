"""What is known of a sample's objects before a text is read: names, looks and places, from categories, phrases and boxes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mmud.annotations.linking.looks import EXCLUSIVE, Feature
from mmud.annotations.linking.nouns import Noun, Nouns, category_key, nouns_of
from mmud.annotations.linking.reading import NounPhrase, read_phrase, unknown_head
from mmud.annotations.wording import fold
from mmud.records import MaskedObject

_ARTICLES = ("the ", "a ", "an ")
_LONGEST_PHRASE = 300
"""Characters of a phrase that are read; referring phrases have about 20."""


def bare(text: str) -> str:
    """A phrase without case, without its article."""
    folded = fold(text)
    for article in _ARTICLES:
        if folded.startswith(article):
            return folded[len(article) :]
    return folded


@dataclass(frozen=True, slots=True)
class Description:
    """A phrase that means one object by its name and looks alone.

    Attributes:
        categories: what it calls the object; empty where it may be anything.
        features: how the object looks.
    """

    categories: frozenset[str]
    features: frozenset[Feature]


@dataclass
class Profile:
    """What is known of one object.

    Attributes:
        index: its number, from 1.
        names: categories it goes by: its own, and nouns of its phrases.
        features: kind -> the values that phrases give it.
        texts: its phrases, without case and article.
        words: all words of its phrases.
        descriptions: phrases that single it out by name and looks.
        center: (x, y) of its box, as shares of the image.
        area: share of the image; 0 where it is not known.
        crowd: it is a group.
    """

    index: int
    names: set[str] = field(default_factory=set)
    features: dict[str, set[str]] = field(default_factory=dict)
    texts: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    descriptions: list[Description] = field(default_factory=list)
    center: tuple[float, float] = (0.5, 0.5)
    area: float = 0.0
    crowd: bool = False

    def learn(self, features: Iterable[Feature]) -> bool:
        """Note looks; whether any was new."""
        new = False
        for kind, value in features:
            values = self.features.setdefault(kind, set())
            new = new or value not in values
            values.add(value)
        return new

    def fits_name(self, categories: frozenset[str]) -> bool:
        """Whether a noun of these categories may name it."""
        return not categories or not self.names.isdisjoint(categories)

    def has(self, feature: Feature) -> bool | None:
        """Whether it looks so; None where nothing says."""
        kind, value = feature
        values = self.features.get(kind)
        if not values:
            return None
        return True if value in values else (False if kind in EXCLUSIVE else None)


@dataclass
class Anchor:
    """A noun phrase within a phrase of an object: it names another object."""

    phrase: NounPhrase
    owner: int


@dataclass
class Known:
    """Everything that is known of a sample's objects.

    Attributes:
        profiles: of each object, in order.
        nouns: of their categories and phrases.
        anchors: what phrases name besides their own object.
    """

    profiles: list[Profile]
    nouns: Nouns
    anchors: list[Anchor] = field(default_factory=list)


def _usable(phrase: str) -> bool:
    return 0 < len(phrase) <= _LONGEST_PHRASE


def known_of(objects: Sequence[MaskedObject], width: int, height: int, vocabulary: Iterable[str] = ()) -> Known:
    """Read the objects of a sample.

    Args:
        objects: in the order of their tags.
        width, height: of the image, in pixels.
        vocabulary: further categories that texts may name, such as those of the whole dataset.
    """
    categories = frozenset(category_key(item.category) for item in objects) | frozenset(map(category_key, vocabulary))
    listed = nouns_of(categories)
    extra = {unknown_head(phrase, listed) for item in objects for phrase in item.phrases if _usable(phrase)}
    nouns = nouns_of(categories, frozenset(word for word in extra if word is not None)) if extra - {None} else listed
    known = Known([], nouns)
    for index, item in enumerate(objects, start=1):
        profile = _placed(index, item, width, height)
        known.profiles.append(profile)
        for phrase in filter(_usable, item.phrases):
            _read(phrase, profile, known)
    for profile in known.profiles:
        profile.descriptions = [
            description
            for description in profile.descriptions
            if not any(
                _certainly(other, description) for other in known.profiles if other is not profile and not other.crowd
            )
        ]
    return known


def _placed(index: int, item: MaskedObject, width: int, height: int) -> Profile:
    x, y, w, h = item.bbox
    profile = Profile(index, {category_key(item.category)} - {""}, crowd=item.iscrowd)
    profile.center = ((x + w / 2) / max(width, 1), (y + h / 2) / max(height, 1))
    profile.area = max(item.area, 0.0) / max(width * height, 1)
    return profile


def _read(text: str, profile: Profile, known: Known) -> None:
    found = read_phrase(text, known.nouns)
    if found is None:
        return
    phrase, rest = found
    profile.texts.add(bare(text))
    profile.words |= phrase.words
    profile.learn(phrase.features)
    noun = phrase.noun or _extra_noun(text, known.nouns)
    if noun is not None:
        # A phrase may call a thing by another name than its category does: "pot" for a bowl.
        profile.names |= {name for name in noun.categories if name.startswith("=")}
    own = noun.features if noun is not None else frozenset()
    # "Man" alone may be said of one person and be true of others whom nobody called so.
    if not phrase.related and not phrase.position and phrase.words and not (own and own == phrase.features):
        categories = noun.categories if noun is not None else frozenset()
        profile.descriptions.append(Description(categories, phrase.features))
    known.anchors += [Anchor(anchor, profile.index) for anchor in rest if anchor.determiner == "definite"]


def _extra_noun(text: str, nouns: Nouns) -> Noun | None:
    head = unknown_head(text, nouns)
    return None if head is None else nouns.get((head,))


def _certainly(profile: Profile, description: Description) -> bool:
    """Whether a description is known to fit an object."""
    return profile.fits_name(description.categories) and all(profile.has(feature) for feature in description.features)
