"""From canonical words and queries to English."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mmud.dataset.sources.scenes.predicates import View
from mmud.dataset.sources.scenes.queries import At, Extreme, Kind, Nearest, Query, Related
from mmud.dataset.sources.scenes.stream import Stream

#: Canonical word -> its surface forms; the first is the usual one.
SHAPE_FORMS: Final[dict[str, tuple[str, ...]]] = {
    "circle": ("circle", "disc"),
    "ring": ("ring", "hoop"),
    "cross": ("cross", "plus sign"),
    "crescent": ("crescent", "crescent moon"),
    "diamond": ("diamond", "rhombus"),
    "drop": ("drop", "teardrop"),
}
COLOR_FORMS: Final[dict[str, tuple[str, ...]]] = {
    "cyan": ("cyan", "turquoise"),
    "purple": ("purple", "violet"),
}
SIZE_FORMS: Final[dict[str, tuple[str, ...]]] = {
    "small": ("small", "little", "tiny"),
    "medium": ("medium", "medium-sized"),
    "large": ("large", "big"),
}
TEXTURE_FORMS: Final[dict[str, tuple[str, ...]]] = {
    "plain": ("plain", "solid"),
    "striped": ("striped", "stripy"),
    "dotted": ("dotted", "spotted"),
    "checked": ("checked", "chequered"),
}
RELATION_FORMS: Final[dict[str, tuple[str, ...]]] = {
    "left": ("left of", "to the left of"),
    "right": ("right of", "to the right of"),
    "above": ("above", "higher than"),
    "below": ("below", "lower than"),
    "larger": ("larger than", "bigger than"),
    "smaller": ("smaller than",),
    "behind": ("behind", "partly hidden by"),
    "front": ("in front of", "partly covering"),
}
EXTREME_FORMS: Final[dict[str, tuple[str, ...]]] = {
    "leftmost": ("leftmost", "farthest left"),
    "rightmost": ("rightmost", "farthest right"),
    "topmost": ("topmost", "highest"),
    "lowest": ("lowest", "bottommost"),
    "largest": ("largest", "biggest"),
    "smallest": ("smallest",),
}
PLACE_FORMS: Final[dict[str, tuple[str, ...]]] = {
    "left": ("on the left side", "at the left"),
    "right": ("on the right side", "at the right"),
    "top": ("at the top", "in the upper part"),
    "bottom": ("at the bottom", "in the lower part"),
    "top left": ("in the top left corner", "in the upper left corner"),
    "top right": ("in the top right corner", "in the upper right corner"),
    "bottom left": ("in the bottom left corner", "in the lower left corner"),
    "bottom right": ("in the bottom right corner", "in the lower right corner"),
    "centre": ("in the centre", "in the middle"),
}
ATTRIBUTE_WORDS: Final[dict[str, str]] = {"size": "size", "color": "colour", "texture": "pattern", "shape": "shape"}
NUMBERS: Final[tuple[str, ...]] = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip

_FORMS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "size": SIZE_FORMS,
    "color": COLOR_FORMS,
    "texture": TEXTURE_FORMS,
    "shape": SHAPE_FORMS,
}
_IRREGULAR: Final = {"cross": "crosses", "rhombus": "rhombuses"}


def article(words: str) -> str:
    """The words with "a" or "an" in front."""
    return ("an " if words[0] in "aeiou" else "a ") + words


def plural(noun: str) -> str:
    return _IRREGULAR.get(noun, noun + "s")


def listing(items: Sequence[str], joint: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {joint} {items[-1]}"


def sentence(words: str) -> str:
    """With a capital at the start and a full stop at the end."""
    return words[0].upper() + words[1:] + ("" if words[-1] in ".?" else ".")


class Wording:
    """Chooses words: the usual form, or a synonym with the chance ``synonyms``.

    Args:
        view: The scene that is spoken about.
        stream: Where choices come from.
        synonyms: Chance of a synonym, for each word that has any.
    """

    __slots__ = ("_names", "stream", "synonyms", "view")

    def __init__(self, view: View, stream: Stream, synonyms: float) -> None:
        self.view = view
        self.stream = stream
        self.synonyms = synonyms
        self._names: dict[int, Kind] = {}

    def form(self, forms: Sequence[str]) -> str:
        if len(forms) == 1 or not self.stream.chance(self.synonyms):
            return forms[0]
        return forms[1 + self.stream.below(len(forms) - 1)]

    def word(self, attribute: str, value: str) -> str:
        """A surface form of an attribute's value."""
        return self.form(_FORMS[attribute].get(value, (value,)))

    def noun(self, shape: str | None, many: bool = False) -> str:
        noun = "object" if shape is None else self.word("shape", shape)
        return plural(noun) if many else noun

    def kind(self, kind: Kind, many: bool = False) -> str:
        """ "large red striped star"; "object" where the shape is open. No article."""
        words = [] if kind.size is None else [self.word("size", kind.size)]
        if kind.color is not None:
            words.append(self.word("color", kind.color))
        if kind.texture is not None:
            # "plain red star", but "red striped star".
            texture = self.word("texture", kind.texture)
            words.insert(len(words) - (kind.color is not None and kind.texture == "plain"), texture)
        words.append(self.noun(kind.shape, many))
        return " ".join(words)

    def relation(self, relation: str) -> str:
        return self.form(RELATION_FORMS[relation])

    def query(self, query: Query, anchors: Sequence[str] = ()) -> str:
        """A query in words, no article: "star left of the blue ring".

        Args:
            anchors: What the anchors of the query are called, with their articles; by :meth:`name` when left out.
        """
        if isinstance(query, Kind):
            return self.kind(query)
        words = self.kind(query.kind)
        if isinstance(query, Extreme):
            return f"{self.form(EXTREME_FORMS[query.extreme])} {words}"
        if isinstance(query, At):
            return f"{words} {self.form(PLACE_FORMS[query.place])}"
        if isinstance(query, Related):
            (anchor,) = anchors or (self.the(query.anchor),)
            return f"{words} {self.relation(query.relation)} {anchor}"
        if isinstance(query, Nearest):
            (anchor,) = anchors or (self.the(query.anchor),)
            return f"{words} {'farthest from' if query.farthest else 'nearest to'} {anchor}"
        first, second = anchors or (self.the(query.first), self.the(query.second))
        return f"{words} between {first} and {second}"

    def the(self, index: int) -> str:
        """The name of an object with its article."""
        if index not in self._names:
            self._names[index] = name_of(self.view, index)
        return f"the {self.kind(self._names[index])}"

    def full(self, index: int) -> str:
        """All attributes of an object, no article."""
        thing = self.view[index]
        return self.kind(Kind(thing.size, thing.color, thing.texture, thing.shape))

    def tagged(self, index: int) -> str:
        """The name of an object followed by its tag: "the red star <LCL-2>"."""
        return f"{self.the(index)} <LCL-{index}>"

    def tagged_list(self, indices: Sequence[int]) -> str:
        return listing([self.tagged(index) for index in indices])


def name_of(view: View, index: int) -> Kind:
    """What an object is called: colour, texture unless plain, shape; more only where that fits another object too."""
    thing = view[index]
    texture = None if thing.texture == "plain" else thing.texture
    for kind in (
        Kind(None, thing.color, texture, thing.shape),
        Kind(None, thing.color, thing.texture, thing.shape),
        Kind(thing.size, thing.color, texture, thing.shape),
    ):
        if len(kind.find(view)) == 1:
            return kind
    return Kind(thing.size, thing.color, thing.texture, thing.shape)


def usual_name(view: View, index: int) -> str:
    """The name of an object in canonical words, without an article."""
    kind = name_of(view, index)
    return " ".join(word for word in (kind.size, kind.color, kind.texture, kind.shape) if word is not None)


def left_to_right(view: View, indices: Sequence[int]) -> list[int]:
    """Indices ordered as they stand in the image: the order in which answers list objects."""
    return sorted(indices, key=lambda index: (view[index].x, view[index].y))
