"""The little English that templates need: numbers, articles, plurals of the words that categories use, enumerations."""

from __future__ import annotations

from collections.abc import Sequence

from mmud.annotations.plurals import plural_of

NUMBERS = (
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip

_PLURAL_ALREADY = frozenset(["skis", "scissors", "people", "glasses", "trousers", "jeans", "shorts", "clothes"])
_SOUNDS_LIKE_YOU = ("uni", "use", "usu", "eu", "one")
_SILENT_H = ("hour", "honest", "heir")


def number(count: int) -> str:
    """``three``; digits above twelve."""
    return NUMBERS[count] if count < len(NUMBERS) else f"{count:,}"


def is_plural(noun: str) -> bool:
    """Whether a noun of several words stands in the plural as it is, like "scissors"."""
    return noun.rpartition(" ")[2] in _PLURAL_ALREADY


def a(noun: str) -> str:
    """With its article: ``a dog``, ``an umbrella``, ``scissors``."""
    if is_plural(noun):
        return noun
    vowel = noun[0] in "aeiou" and not noun.startswith(_SOUNDS_LIKE_YOU)
    return f"an {noun}" if vowel or noun.startswith(_SILENT_H) else f"a {noun}"


def plural(noun: str) -> str:
    """``dogs``, ``dining tables``, ``people``."""
    first, space, last = noun.rpartition(" ")
    return first + space + plural_of(last)


def counted(count: int, noun: str) -> str:
    """``a dog``, ``three dogs``."""
    return a(noun) if count == 1 else f"{number(count)} {plural(noun)}"


def listing(items: Sequence[str], joint: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {joint} {items[-1]}"


def sentence(words: str) -> str:
    """With a capital at the start and a full stop, where no mark is there, at the end."""
    return words[0].upper() + words[1:] + ("" if words[-1] in ".?!" else ".")
