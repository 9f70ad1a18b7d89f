"""The grammar of object tags: ``<LCL-i>`` after a mention of the sample's i-th object, counting from 1.

The paper's figures write ``<OBJ-i>``; it is accepted on reading and never written. Malformed and dangling tags are reported as
problems, never raised: text from a language model or a stranger may hold anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_TAG = re.compile(r"<(LCL|OBJ)-(\d{1,9})>")
_TAGS_WITH_SPACE = re.compile(r"(?:[ \t]*<(?:LCL|OBJ)-\d{1,9}>)+(?=(\w)?)")
# What a writer meant as a tag: an opening "<", the name in any case, then anything tag-like up to ">" or a word's end.
_LOOKALIKE = re.compile(r"<\s*/?\s*(?:LCL|OBJ)(?![A-Za-z])[^<>\n]{0,12}>?|\[(?:LCL|OBJ)[- _]?\d+\]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag in a text: its object's number (from 1) and the slice ``text[start:end]`` it covers."""

    index: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TagProblem:
    """Something that looks like a tag and cannot be read as one (``kind`` "malformed") or points nowhere ("dangling")."""

    kind: str
    text: str
    start: int


def render(index: int) -> str:
    """The tag of the object with this number, which counts from 1."""
    if index < 1:
        raise ValueError(f"tags count from 1, not {index}")
    return f"<LCL-{index}>"


def parse(text: str) -> list[Tag]:
    """Every well-formed tag in the order of the text."""
    return [Tag(int(match[2]), match.start(), match.end()) for match in _TAG.finditer(text)]


def indices(text: str) -> list[int]:
    """The numbers of the tags in order of first mention, each once."""
    return list(dict.fromkeys(tag.index for tag in parse(text)))


def problems(text: str, objects: int) -> list[TagProblem]:
    """What is wrong with the tags of a text about a sample that has this many objects."""
    found = []
    for match in _LOOKALIKE.finditer(text):
        exact = _TAG.fullmatch(match[0])
        if exact is None:
            found.append(TagProblem("malformed", match[0], match.start()))
        elif not 1 <= int(exact[2]) <= objects:
            found.append(TagProblem("dangling", match[0], match.start()))
    return found


def _replace(text: str, change: Callable[[int], str]) -> str:
    return _TAG.sub(lambda match: change(int(match[2])), text)


def normalise(text: str) -> str:
    """The text with every ``<OBJ-i>`` written ``<LCL-i>``; all else unchanged."""
    return _replace(text, lambda index: f"<LCL-{index}>")


def renumber(text: str, numbers: Mapping[int, int] | None = None) -> str:
    """The text with its tags renumbered: by ``numbers``, or from 1 in order of first mention.

    Raises:
        KeyError: when ``numbers`` lacks a tag that the text holds.
    """
    if numbers is None:
        numbers = {old: new for new, old in enumerate(indices(text), start=1)}
    return _replace(text, lambda index: render(numbers[index]))


def remove(text: str) -> str:
    """The text without its tags.

    The space before a tag goes with it, so that "the dog <LCL-1>." reads "the dog."; where a word follows at once, one space
    stays, so that no two words run together.
    """
    return _TAGS_WITH_SPACE.sub(lambda match: " " if match[1] else "", text).lstrip(" ")
