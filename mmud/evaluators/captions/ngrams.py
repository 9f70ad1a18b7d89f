"""All n-grams of a corpus, counted for each caption by sorting; BLEU, CIDEr and distinct-n read the same counts.

An n-gram is known by its first word and by the number of the rest, an n-gram one shorter. Where the shorter ones are sorted
already, one stable pass over the first words sorts the longer ones: each order costs one radix pass over as many small
integers as there are words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmud.evaluators.captions.corpus import Booleans, Integers, Sequences

#: The longest n-grams that BLEU and CIDEr count.
MAX_ORDER = 4
_DIGIT_BITS = 16


@dataclass(frozen=True)
class NgramCounts:
    """The n-grams of one order: which there are, and how often each caption has each.

    Distinct n-grams are numbered in the alphabetical order of their words.

    Attributes:
        order: n.
        first: For each distinct n-gram, its first word.
        rest: The number of its other words in the table of order n - 1; 0 for n = 1.
        gram: For each entry, the n-gram's number. Entries are sorted by n-gram, then by caption.
        caption: The entry's caption.
        count: How often the caption has the n-gram, at least 1.
    """

    order: int
    first: Integers
    rest: Integers
    gram: Integers
    caption: Integers
    count: Integers

    @property
    def distinct(self) -> int:
        return len(self.first)


def stable_order(values: NDArray[Any], bound: int) -> Integers:
    """The order that sorts ``values`` (from 0 to below ``bound``), equal ones as they stand.

    numpy sorts 16-bit integers stably by radix, several times faster than wider ones; wider ones take a pass a digit.
    """
    order = np.argsort((values & 0xFFFF).astype(np.uint16), kind="stable")
    shift = _DIGIT_BITS
    while bound > 1 << shift:
        digit = ((values[order] >> shift) & 0xFFFF).astype(np.uint16)
        order = order[np.argsort(digit, kind="stable")]
        shift += _DIGIT_BITS
    return order


def first_of_each(values: NDArray[Any], *others: NDArray[Any]) -> Booleans:
    """Where ``values`` (or any of ``others``) differs from the entry before; the first entry counts as different."""
    first = np.ones(len(values), dtype=np.bool_)
    if len(values):
        np.not_equal(values[1:], values[:-1], out=first[1:])
        for other in others:
            first[1:] |= other[1:] != other[:-1]
    return first


def count_ngrams(captions: Sequences, max_order: int = MAX_ORDER) -> Iterator[NgramCounts]:
    """The counts of each order from 1 to ``max_order``."""
    words = captions.words.astype(np.int32)
    caption_at = np.repeat(np.arange(len(captions.lengths), dtype=np.int32), captions.lengths)
    begins = first_of_each(caption_at)
    # The number, in the table one order down, of the n-gram that begins at each position.
    gram_at = np.zeros(len(words) + 1, dtype=np.int32)
    positions = stable_order(words, len(captions.vocabulary))
    for order in range(1, max_order + 1):
        first, rest, caption = words[positions], gram_at[positions + 1], caption_at[positions]
        if order == 1:
            rest = np.zeros(len(positions), dtype=np.int32)
        new_gram = first_of_each(first, rest)
        gram = np.cumsum(new_gram, dtype=np.int32) - 1
        new_entry = first_of_each(caption) | new_gram
        starts = np.flatnonzero(new_entry)
        yield NgramCounts(
            order=order,
            first=first[new_gram].astype(np.int64),
            rest=rest[new_gram].astype(np.int64),
            gram=gram[starts].astype(np.int64),
            caption=caption[starts].astype(np.int64),
            count=np.diff(starts, append=len(positions)),
        )
        if order < max_order:
            gram_at[positions] = gram
            # The n-grams one longer begin a word earlier, where their caption has one. They stand in the order of their
            # rest; sorted stably by their first word they are in alphabetical order.
            positions = positions[~begins[positions]] - 1
            positions = positions[stable_order(words[positions], len(captions.vocabulary))]


@dataclass(frozen=True)
class Matches:
    """Entries of references whose n-gram the image's candidate has too.

    Attributes:
        entry: Index of the reference's entry in the ``NgramCounts``.
        candidate_entry: Index of the candidate's entry of the same n-gram.
    """

    entry: Integers
    candidate_entry: Integers


def match_candidates(counts: NgramCounts, image: Integers, is_reference: Booleans) -> Matches:
    """Join each image's references with its candidate, n-gram by n-gram.

    A candidate stands before its references, so within one n-gram and one image its entry is the first.
    """
    entry_image = image[counts.caption]
    group_starts = np.flatnonzero(first_of_each(counts.gram, entry_image))
    sizes = np.diff(group_starts, append=len(counts.gram))
    first = np.repeat(group_starts, sizes)
    from_reference = is_reference[counts.caption]
    entry = np.flatnonzero(from_reference & ~from_reference[first]) if len(first) else np.zeros(0, dtype=np.int64)
    return Matches(entry, first[entry])
