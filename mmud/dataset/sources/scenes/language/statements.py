"""Facts as sentences."""

from __future__ import annotations

from mmud.dataset.sources.scenes.facts import Fact
from mmud.dataset.sources.scenes.language.wording import (
    ATTRIBUTE_WORDS,
    EXTREME_FORMS,
    NUMBERS,
    RELATION_FORMS,
    Wording,
    sentence,
)
from mmud.dataset.sources.scenes.vocabulary import ATTRIBUTES


def cell_words(cell: str) -> str:
    """ "in the top left"; "in the centre"."""
    return f"in the {cell}"


def statement(fact: Fact, wording: Wording) -> str:
    """A sentence that states the fact, objects called by their names."""
    subject, predicate, value = fact
    if predicate in RELATION_FORMS and isinstance(value, int):
        return sentence(f"{wording.the(subject)} is {wording.relation(predicate)} {wording.the(value)}")
    if isinstance(value, tuple):
        return sentence(f"{wording.the(subject)} is between {wording.the(value[0])} and {wording.the(value[1])}")
    if predicate == "nearest" and isinstance(value, int):
        return sentence(f"{wording.the(subject)} is the nearest object to {wording.the(value)}")
    if predicate == "count" and isinstance(value, int):
        return sentence(f"there are {NUMBERS[value]} objects")
    word = str(value)
    if predicate == "extreme":
        return sentence(f"{wording.the(subject)} is the {wording.form(EXTREME_FORMS[word])} object")
    if predicate == "cell":
        return sentence(f"{wording.the(subject)} is {cell_words(word)}")
    if predicate in ATTRIBUTES:
        return sentence(
            f"the {ATTRIBUTE_WORDS[predicate]} of {wording.the(subject)} is {wording.word(predicate, word)}"
        )
    if predicate == "pattern":
        return sentence(f"the background is {word}")
    return sentence(f"the colour of the background is {word}")
