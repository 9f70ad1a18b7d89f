"""Reading noun phrases: which words of a text may name an object, and what they say of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from mmud.annotations.linking.looks import (
    ASIDE,
    BREAKS,
    CENTRE,
    COMPOUND_TAILS,
    DEFINITE,
    FAR,
    GREATEST,
    INDEFINITE,
    LOOKS,
    NUMBERS,
    ORDINALS,
    PLACE_NOUNS,
    PREPOSITIONS,
    SIDES,
    WHOLE,
    Feature,
    says_looks_or_place,
)
from mmud.annotations.linking.nouns import Noun, Nouns
from mmud.annotations.wording import STOP_WORDS

_TOKEN = re.compile(
    r"<(?:LCL|OBJ)-(?P<tag>\d{1,9})>"
    r"|(?P<word>[^\W\d_]+(?:[-'’][^\W\d_]+)*|\d+(?:st|nd|rd|th)?)"
    r"|(?P<mark>[^\w\s])"
)
_MOST_MODIFIERS = 5
_MOST_AFTER = 12
_COPULAS = frozenset(["is", "are", "was", "were", "be", "being", "become", "becomes", "called", "named", "like", "as"])
_PLACE_LINKS = frozenset(["on", "at", "in", "to", "from", "near", "the", "its", "of"])


@dataclass(frozen=True, slots=True)
class Token:
    """A word (without case), the mark of a tag, or a punctuation mark, with its slice of the text."""

    text: str
    start: int
    end: int
    kind: Literal["word", "tag", "mark"]


@dataclass(frozen=True, slots=True)
class Position:
    """Where a phrase says that something is.

    Attributes:
        across, down: -1 for left or top, 1 for right or bottom, 0 for neither.
        centre: in the middle.
        order: counted from that side, from 1; None where no ordinal is given.
        greatest: 1 for the largest, -1 for the smallest, 0 for neither.
    """

    across: int = 0
    down: int = 0
    centre: bool = False
    order: int | None = None
    greatest: int = 0

    def __bool__(self) -> bool:
        return bool(self.across or self.down or self.centre or self.order or self.greatest)


@dataclass(frozen=True, slots=True)
class NounPhrase:
    """Words that may name an object.

    Attributes:
        start, end: the slice of the text from the first modifier to the noun.
        first, last: numbers of its first token and of the first one after the noun.
        noun: what the noun means; None for a phrase without one.
        determiner: "definite", "indefinite", or "" where there is none.
        count: the number of things named, where a number says it.
        features: looks of the thing itself.
        position: where it is.
        words: every word that says something, with those of what follows ("in a blue shirt").
        named: words of the noun.
        related: words after the noun say more than where it is: they may speak of something else.
        predicate: it says what something is ("it is a star") and names nothing anew.
        tagged: the number of the tag that follows.
    """

    start: int
    end: int
    first: int
    last: int
    noun: Noun | None
    determiner: str = ""
    count: int | None = None
    features: frozenset[Feature] = frozenset()
    position: Position = field(default_factory=Position)
    words: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()
    related: bool = False
    predicate: bool = False
    tagged: int | None = None


def tokens_of(text: str) -> list[Token]:
    """The tokens of a text in order."""
    found = []
    for match in _TOKEN.finditer(text):
        if match["tag"] is not None:
            found.append(Token(match["tag"], match.start(), match.end(), "tag"))
        elif match["word"] is not None:
            found.append(Token(match["word"].casefold().replace("’", "'"), match.start(), match.end(), "word"))
        else:
            found.append(Token(match["mark"], match.start(), match.end(), "mark"))
    return found


@lru_cache(maxsize=4096)
def _phrase_tokens(text: str) -> tuple[Token, ...]:
    """The tokens of a referring phrase, which is read twice."""
    return tuple(tokens_of(text))


def noun_phrases(tokens: Sequence[Token], nouns: Nouns) -> list[NounPhrase]:
    """Every noun phrase whose noun is known, in order."""
    words = [token.text if token.kind == "word" else "\0" for token in tokens]
    found = []
    place = 0
    while place < len(words):
        match = nouns.match(words, place) if words[place] != "\0" else None
        if match is None:
            place += 1
            continue
        length, noun = match
        # Some listed nouns have an "of" within; "slices of pizza" ends where its last word does.
        if not _modifies(words, place + length, nouns):
            found.append(_phrase_at(tokens, words, place, place + length, noun))
        place += length
    return found


def _modifies(words: list[str], after: int, nouns: Nouns) -> bool:
    """Whether the word after a noun makes it a modifier: "dog bowl", "train station", "orange striped cross"."""
    if after >= len(words):
        return False
    word = words[after]
    if word in COMPOUND_TAILS:
        return True
    if LOOKS.get(word, ("pose", ""))[0] in ("color", "size", "texture"):
        return True
    return nouns.match(words, after) is not None


class _Modifiers:
    """What the words before a noun say."""

    def __init__(self) -> None:
        self.features: set[Feature] = set()
        self.words: set[str] = set()
        self.across = self.down = self.greatest = 0
        self.order: int | None = None
        self.centre = False
        self.count: int | None = None
        self.determiner = ""

    def take(self, word: str) -> bool:
        """Note a word that is known to modify; whether it is one."""
        if word in LOOKS:
            self.features.add(LOOKS[word])
        elif word in SIDES:
            across, down = SIDES[word]
            self.across, self.down = self.across or across, self.down or down
        elif word in CENTRE:
            self.centre = True
        elif word in GREATEST:
            self.greatest = GREATEST[word]
        elif word in ORDINALS:
            self.order = ORDINALS[word]
        elif word not in FAR:
            return False
        self.words.add(word)
        return True

    def position(self) -> Position:
        return Position(self.across, self.down, self.centre, self.order, self.greatest)


def _phrase_at(tokens: Sequence[Token], words: list[str], start: int, stop: int, noun: Noun) -> NounPhrase:
    before = _Modifiers()
    first = _read_before(words, start, before)
    after = _Modifiers()
    related = _read_after(words, stop, after, noun.plural is not False)
    if before.order is not None and (after.across or after.down):
        before.across, before.down = after.across, after.down
    elif not (before.across or before.down or before.centre):
        before.across, before.down, before.centre = after.across, after.down, after.centre
    tagged = int(tokens[stop].text) if stop < len(tokens) and tokens[stop].kind == "tag" else None
    previous = words[first - 1] if first else "\0"
    existential = first > 1 and words[first - 2] == "there"
    return NounPhrase(
        start=tokens[first].start,
        end=tokens[stop - 1].end,
        first=first,
        last=stop,
        noun=noun,
        determiner=before.determiner,
        count=before.count,
        features=frozenset(before.features) | noun.features,
        position=before.position(),
        words=frozenset(before.words | after.words | (set(words[start:stop]) - STOP_WORDS)),
        named=frozenset(words[start:stop]),
        related=related,
        predicate=before.determiner != "definite" and previous in _COPULAS and not existential,
        tagged=tagged,
    )


def _read_before(words: list[str], start: int, found: _Modifiers) -> int:
    """Read the modifiers before a noun; returns the number of the phrase's first token."""
    first = place = start
    unknown: list[str] = []
    while place > 0 and start - place < _MOST_MODIFIERS + 2:
        word = words[place - 1]
        if word in DEFINITE or word in INDEFINITE:
            found.determiner = "definite" if word in DEFINITE else "indefinite"
            found.words.update(unknown)
            found.features.update(LOOKS[word] for word in unknown if word in LOOKS)
            return place - 1
        if word in NUMBERS and not unknown:
            found.count = NUMBERS[word]
            first = place - 1
        elif not unknown and found.take(word):
            first = place - 1
        elif word == "and" and place > 1 and first == place and words[place] in LOOKS and words[place - 2] in LOOKS:
            pass
        elif word == "\0" or word in BREAKS or word in PREPOSITIONS or len(unknown) >= _MOST_MODIFIERS:
            break
        else:
            # An unknown word belongs to the phrase if a determiner stands before it: "the wooden chair", but not "sees chairs".
            unknown.append(word)
        place -= 1
    return first


def _read_after(words: list[str], stop: int, found: _Modifiers, plural: bool = False) -> bool:
    """Read where the words after a noun place it; returns whether they say more than that, up to the verb."""
    related = False
    place = stop
    while place < min(len(words), stop + _MOST_AFTER):
        word = words[place]
        if word == "\0" or word in BREAKS or (not related and _is_verb(word, plural)):
            break
        if (word in SIDES or word in CENTRE) and not related:
            if place + 1 < len(words) and words[place + 1] == "of" and not _of_the_whole(words, place + 1):
                related = True
            else:
                found.take(word)
        elif word in _PLACE_LINKS or word in PLACE_NOUNS or word in FAR or word in WHOLE or word in ASIDE:
            pass
        else:
            related = True
        if word not in STOP_WORDS and word not in ASIDE:
            found.words.add(word)
        place += 1
    return related


def _is_verb(word: str, plural: bool) -> bool:
    """Whether a word after a noun looks like its verb: "the dog barks", "two dogs bark"."""
    if says_looks_or_place(word) or word in PREPOSITIONS or word in _PLACE_LINKS or word in STOP_WORDS:
        return False
    if word.endswith(("ing", "ed")):
        return False
    return plural or (word.endswith("s") and not word.endswith(("ss", "'s")))


def _of_the_whole(words: list[str], of: int) -> bool:
    return any(word in WHOLE for word in words[of + 1 : of + 3])


def read_phrase(text: str, nouns: Nouns) -> tuple[NounPhrase, list[NounPhrase]] | None:
    """A referring phrase: what names the object itself, and the noun phrases that name what it stands beside.

    None for a phrase without a word.
    """
    tokens = [token for token in _phrase_tokens(text) if token.kind != "tag"]
    if not any(token.kind == "word" for token in tokens):
        return None
    words = [token.text if token.kind == "word" else "\0" for token in tokens]
    chunk = head_length(words)
    found = noun_phrases(tokens, nouns)
    # "bottom box left dude": of several nouns before the first preposition the last one is meant.
    heads = [phrase for phrase in found if phrase.last <= chunk]
    rest = [phrase for phrase in found if phrase.last > chunk]
    if heads:
        return heads[-1], rest
    own = _Modifiers()
    for word in words[:chunk]:
        own.take(word)
    after = _Modifiers()
    related = _read_after(words, chunk, after)
    if not (own.across or own.down or own.centre):
        own.across, own.down, own.centre = after.across, after.down, after.centre
    said = frozenset(word for word in words if word != "\0" and word not in STOP_WORDS)
    bare = NounPhrase(
        tokens[0].start, tokens[chunk - 1].end if chunk else tokens[0].end, 0, chunk, None, "definite",
        features=frozenset(own.features), position=own.position(), words=said, related=related,
    )  # fmt: skip
    return bare, rest


def head_length(words: list[str]) -> int:
    """How many words of a phrase stand before the first preposition, verb or mark."""
    for place, word in enumerate(words):
        if place and (word in PREPOSITIONS or word in BREAKS or word == "\0"):
            return place
    return len(words)


def unknown_head(text: str, nouns: Nouns) -> str | None:
    """The noun of a referring phrase that holds no known one: the last of its first words that is no look and no place."""
    words = [token.text if token.kind == "word" else "\0" for token in _phrase_tokens(text)]
    words = words[: head_length(words)]
    if any(nouns.match(words, place) for place in range(len(words))):
        return None
    named = [word for word in words if len(word) > 2 and word.isalpha() and not _says_no_name(word)]
    return named[-1] if named else None


def _says_no_name(word: str) -> bool:
    return says_looks_or_place(word) or word in STOP_WORDS or word.endswith(("ing", "est"))


def coordinated(phrases: list[NounPhrase], tokens: list[Token]) -> Iterator[list[int]]:
    """Runs of phrases that a list joins ("the dog, the cat and the bird"), as positions: they name different things."""
    run = [0] if phrases else []
    for position in range(1, len(phrases)):
        between = tokens[phrases[position - 1].last : phrases[position].first]
        joined = all(token.kind == "tag" or token.text in (",", "and", "or") for token in between)
        if joined and any(token.kind != "tag" for token in between):
            run.append(position)
        else:
            if len(run) > 1:
                yield run
            run = [position]
    if len(run) > 1:
        yield run
