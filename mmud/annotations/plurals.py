"""Plurals of English nouns: what drafts are written with, and what texts are read with."""

from __future__ import annotations

_IRREGULAR = {
    "person": "people", "child": "children", "mouse": "mice", "goose": "geese", "foot": "feet", "tooth": "teeth", "ox": "oxen",
    "knife": "knives", "wife": "wives", "calf": "calves", "leaf": "leaves", "wolf": "wolves", "shelf": "shelves",
    "loaf": "loaves", "half": "halves", "hero": "heroes", "tomato": "tomatoes", "potato": "potatoes",
    "sheep": "sheep", "fish": "fish", "deer": "deer", "aircraft": "aircraft", "skis": "skis", "scissors": "scissors",
    "broccoli": "broccoli", "people": "people", "glasses": "glasses", "trousers": "trousers", "jeans": "jeans",
    "shorts": "shorts", "clothes": "clothes",
}  # fmt: skip
_REGULAR_MAN = frozenset(["human", "german", "roman", "ottoman", "talisman", "shaman", "caiman"])
"""Words that end in "man" and are no men."""


def plural_of(word: str) -> str:
    """The plural of a single noun without case: ``dogs``, ``people``, ``policemen``, ``sheep``."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith("man") and word not in _REGULAR_MAN:
        return word[:-3] + "men"
    for ending in ("child", "mouse", "goose", "shelf", "knife", "wife"):
        if word.endswith(ending):
            return word[: -len(ending)] + _IRREGULAR[ending]
    if word.endswith(("s", "x", "z", "ch", "sh")):
        return word + "es"
    if word.endswith("y") and word[-2:-1] not in tuple("aeiou"):
        return word[:-1] + "ies"
    return word + "s"
