"""Penn Treebank tokens of captions, as the COCO caption metrics make them, without Java.

``tokenize`` gives what pycocoevalcap's ``PTBTokenizer`` gives: the Stanford tokenizer 3.4.1 with ``-preserveLines
-lowerCase``, then a list of punctuation tokens left out. ``-lrb-`` and the other spelt brackets stay, because that list
spells them in capitals and the tokens are in lower case by then.

Two differences are on purpose. A line separator inside a caption (carriage return, vertical tab, form feed, U+2028,
U+2029) is a space here; there it starts a new line and moves every later caption to the wrong image. And a caption's
tokens depend on that caption alone; there the lexer reads on into the next line, so that "on route B." ends in ``b`` when
the next caption starts with "A" or another word that starts sentences, and in ``b.`` when it does not; here in ``b``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain

from mmud.evaluators.captions.lexer import plain_word, scanner_for

#: What signatures call this tokenizer; the number goes up when any caption's tokens change.
TOKENIZER_NAME = "ptb.1"

# The punctuation that pycocoevalcap leaves out, in the case in which it can still occur after lower-casing.
_PUNCTUATION = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])
_LINE_SEPARATORS = str.maketrans(dict.fromkeys("\n\r\x0b\x0c\x85\u2028\u2029", " "))
_LINE_SEPARATOR = re.compile("[\n\r\x0b\x0c\x85\u2028\u2029]")
# Distinct chunks kept before the cache starts anew, between two captions; a corpus has some ten thousand.
_CACHE_LIMIT = 1 << 20

# A chunk is what stands between two spaces. Its tokens are found once and remembered. A few tokens reach across a space,
# though ("1 1/2", "(555) 123 4567", ". . .", a tag with attributes), and an initial's full stop depends on the word after
# it: for each such ending of a chunk, the beginnings of the next one that may change the tokens.
_AFTER_CHUNK = " \n"
_OPEN_TAG = re.compile(r"<[!?/A-Za-z][^>]*\Z")
_ANYTHING = re.compile("")
_JOINING: tuple[tuple[re.Pattern[str], re.Pattern[str]], ...] = (
    (re.compile(r"(?i:pt[ey])\.\Z"), re.compile(r"[\d.lL]")),
    (re.compile(r"[\d.)]\Z"), re.compile(r"[\d.]")),
)
_INITIAL = re.compile(r"[a-z]\.")
_AFTER_INITIAL = re.compile(r"\Z|[\t\d.<A-Z]")
# Spaces that an address may hold or begin with; a caption that has one is read as a whole.
_WIDE_SPACE = re.compile("[\xa0\u2000-\u200a\u3000]")
# What follows a caption: another sentence, so that the full stop of "on route B." is not the initial's.
_NEXT_CAPTION = "\nA \n"


def normalize_lines(caption: str) -> str:
    """The caption on one line: each line separator becomes a space."""
    return caption.translate(_LINE_SEPARATORS) if _LINE_SEPARATOR.search(caption) else caption


def _scan(text: str, stop: int, at_end: bool = True) -> list[str]:
    """The tokens that start before ``stop``, in lower case and without punctuation.

    Args:
        text: What is read: a caption or a part of it, and what follows.
        stop: Where what follows begins.
        at_end: Whether ``stop`` is the caption's end, where pycocoevalcap strips what an address may end in: wide spaces.
    """
    if not text.isascii() and max(text) > "\uffff":
        before = text[:stop]
        text = _as_code_units(text)
        stop = len(_as_code_units(before))
    next_token = scanner_for(text).next_token
    tokens: list[str] = []
    position = 0
    last: str | None = None
    while position < stop:
        token, position = next_token(text, position)
        if token is not None:
            last = _joined_surrogates(token).lower()
            tokens.append(last)
    if at_end and last is not None:
        tokens[-1] = last.rstrip()
    return [token for token in tokens if token and token not in _PUNCTUATION]


def _as_code_units(text: str) -> str:
    """Characters beyond the Basic Multilingual Plane as the two halves that the Stanford tokenizer sees."""
    units = []
    for character in text:
        code = ord(character) - 0x10000
        units.append(character if code < 0 else chr(0xD800 + (code >> 10)) + chr(0xDC00 + (code & 0x3FF)))
    return "".join(units)


def _joined_surrogates(token: str) -> str:
    if token.isascii():
        return token
    return token.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _chunk_tokens(chunk: str, following: str, at_end: bool) -> tuple[str, ...]:
    word = plain_word(chunk)
    return (word.lower(),) if word is not None else tuple(_scan(chunk + following, len(chunk), at_end))


class _InnerChunks(dict[str, "tuple[str, ...] | None"]):
    """Tokens of the chunks met so far; None for a chunk in ``joining``, whose tokens the next chunk may change."""

    def __init__(self) -> None:
        super().__init__()
        self.joining: dict[str, tuple[tuple[str, ...], re.Pattern[str]]] = {}

    def __missing__(self, chunk: str) -> tuple[str, ...] | None:
        tokens = _chunk_tokens(chunk, _AFTER_CHUNK, at_end=False)
        beginning = self._changed_by(chunk, tokens)
        if beginning is None:
            self[chunk] = tokens
            return tokens
        self.joining[chunk] = (tokens, beginning)
        self[chunk] = None
        return None

    @staticmethod
    def _changed_by(chunk: str, tokens: tuple[str, ...]) -> re.Pattern[str] | None:
        if _OPEN_TAG.search(chunk):
            return _ANYTHING
        if tokens and _INITIAL.fullmatch(tokens[-1]):
            return _AFTER_INITIAL
        return next((beginning for ending, beginning in _JOINING if ending.search(chunk)), None)


class _LastChunks(dict[str, tuple[str, ...]]):
    """Tokens of the chunks met so far at a caption's end."""

    def __missing__(self, chunk: str) -> tuple[str, ...]:
        tokens = _chunk_tokens(chunk, _NEXT_CAPTION, at_end=True)
        self[chunk] = tokens
        return tokens


_inner_chunks = _InnerChunks()
_last_chunks = _LastChunks()


def tokenize(caption: str, following: str | None = None) -> list[str]:
    """The caption's tokens, in lower case, without punctuation.

    Args:
        caption: One caption.
        following: The caption on the next line of the file that the Stanford tokenizer would read. It can change the last
            tokens; leave it out to get tokens that depend on the caption alone.

    A token can hold a no-break space where the tokenizer keeps something in one piece ("1 1/2").
    """
    if following is not None:
        caption = normalize_lines(caption)
        return _scan(f"{caption}\n{normalize_lines(following)}\n", len(caption))
    if not (caption.isascii() and caption.isprintable()):
        caption = normalize_lines(caption)
        if _WIDE_SPACE.search(caption):
            return _scan(caption + _NEXT_CAPTION, len(caption))
    if len(_inner_chunks) + len(_last_chunks) > _CACHE_LIMIT:
        _inner_chunks.clear()
        _inner_chunks.joining.clear()
        _last_chunks.clear()
    chunks = caption.rstrip(" ").split(" ")
    last = chunks.pop()
    known = list(map(_inner_chunks.__getitem__, chunks))
    if None in known:
        return _with_joins(known, [*chunks, last])
    known.append(_last_chunks[last])
    return list(chain.from_iterable(known))  # type: ignore[arg-type]  # no None is left


def _with_joins(known: list[tuple[str, ...] | None], chunks: list[str]) -> list[str]:
    """The tokens of a caption in which the chunks of unknown tokens may join the next one."""
    index = -1
    while None in known:
        index = known.index(None, index + 1)
        tokens, beginning = _inner_chunks.joining[chunks[index]]
        if beginning.match(chunks[index + 1]):
            rest = " ".join(chunks[index:])
            return [*chain.from_iterable(known[:index]), *_scan(rest + _NEXT_CAPTION, len(rest))]  # type: ignore[arg-type]
        known[index] = tokens
    return [*chain.from_iterable(known), *_last_chunks[chunks[-1]]]  # type: ignore[arg-type]


def tokenize_all(captions: Iterable[str]) -> list[list[str]]:
    """``tokenize`` of each caption."""
    return [tokenize(caption) for caption in captions]
