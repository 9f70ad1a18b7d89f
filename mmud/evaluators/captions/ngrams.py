"""All n-grams of a corpus, counted for each caption by sorting; BLEU, CIDEr and distinct-n read the same counts.

An n-gram is known by the number of its first n - 1 words (a number in the table one order down) and its last word, so each
order costs one sort of as many integers as there are words, whatever n is and however large the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmud.evaluators.captions.corpus import Integers, Sequences

#: The longest n-grams that BLEU and CIDEr count.
MAX_ORDER = 4


@dataclass(frozen=True)
class NgramCounts:
    """The n-grams of one order: which there are, and how often each caption has each.

    Attributes:
        order: n.
        prefix: For each distinct n-gram, the number of its first n - 1 words in the table of order n - 1 (0 for n = 1).
        last: Its last word. Distinct n-grams are numbered in the alphabetical order of their words.
        gram: For each entry, the n-gram's number. Entries are sorted by n-gram, then by caption.
        caption: The entry's caption.
        count: How often the caption has the n-gram, at least 1.
    """

    order: int
    prefix: Integers
    last: Integers
    gram: Integers
    caption: Integers
    count: Integers

    @property
    def distinct(self) -> int:
        return len(self.last)


def _sorted_with_positions(keys: Integers, positions: Integers, size: int) -> tuple[Integers, Integers]:
    """``keys`` sorted, equal ones in the order of ``positions``, and the positions that go with them.

    Both fit into one integer nearly always, and sorting plain integers is several times faster than sorting indices.
    """
    bits = max(1, (size - 1).bit_length())
    largest = int(keys.max(initial=0))
    if largest.bit_length() + bits <= 63:
        packed = (keys << bits) | positions
        packed.sort()
        return packed >> bits, packed & ((1 << bits) - 1)
    order = np.argsort(keys, kind="stable")
    return keys[order], positions[order]


def first_of_each(values: NDArray[np.int64], *others: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where ``values`` (or any of ``others``) differs from the entry before; the first entry counts as different."""
    first = np.ones(len(values), dtype=np.bool_)
    if len(values):
        np.not_equal(values[1:], values[:-1], out=first[1:])
        for other in others:
            first[1:] |= other[1:] != other[:-1]
    return first


def count_ngrams(captions: Sequences, max_order: int = MAX_ORDER) -> Iterator[NgramCounts]:
    """The counts of each order from 1 to ``max_order``."""
    size = len(captions.words)
    caption_at = np.repeat(np.arange(len(captions.lengths)), captions.lengths)
    room = captions.starts[1:][caption_at] - np.arange(size)
    # The number, in the table one order down, of the n-gram that begins at each position.
    gram_at = np.zeros(size, dtype=np.int64)
    vocabulary_size = max(1, len(captions.vocabulary))
    for order in range(1, max_order + 1):
        positions = np.flatnonzero(room >= order)
        keys = gram_at[positions] * vocabulary_size + captions.words[positions + order - 1]
        keys, positions = _sorted_with_positions(keys, positions, size)
        new_gram = first_of_each(keys)
        gram = np.cumsum(new_gram) - 1
        caption = caption_at[positions]
        entry_starts = np.flatnonzero(first_of_each(gram, caption))
        distinct_keys = keys[new_gram]
        yield NgramCounts(
            order=order,
            prefix=distinct_keys // vocabulary_size,
            last=distinct_keys % vocabulary_size,
            gram=gram[entry_starts],
            caption=caption[entry_starts],
            count=np.diff(entry_starts, append=len(keys)),
        )
        gram_at[positions] = gram


@dataclass(frozen=True)
class Matches:
    """Entries of references whose n-gram the image's candidate has too.

    Attributes:
        entry: Index of the reference's entry in the ``NgramCounts``.
        candidate_entry: Index of the candidate's entry of the same n-gram.
    """

    entry: Integers
    candidate_entry: Integers


def match_candidates(counts: NgramCounts, image: Integers, is_reference: NDArray[np.bool_]) -> Matches:
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
