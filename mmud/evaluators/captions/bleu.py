"""BLEU (Papineni et al., ACL 2002) as the COCO caption tools compute it: closest reference length, its two small constants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmud.evaluators.captions.corpus import Integers, TokenizedCorpus
from mmud.evaluators.captions.ngrams import MAX_ORDER, Matches, NgramCounts, first_of_each

Floats = NDArray[np.float64]

# The reference implementation keeps divisions defined with these; zero matches give 1e-15, not zero.
_TINY = 1e-15
_SMALL = 1e-9


@dataclass(frozen=True)
class BleuCounts:
    """What BLEU is made of, for each image; all integers.

    Attributes:
        matches: N-grams of the candidate that a reference has, each at most as often as the reference that has it most
            often; shape ``(images, 4)``.
        totals: N-grams of the candidate; shape ``(images, 4)``.
        candidate_words: Words of the candidate; shape ``(images,)``.
        closest_reference_words: Words of the reference closest in length, the shorter one of two; shape ``(images,)``.
    """

    matches: Integers
    totals: Integers
    candidate_words: Integers
    closest_reference_words: Integers


def count_bleu(corpus: TokenizedCorpus, counted: Sequence[tuple[NgramCounts, Matches]]) -> BleuCounts:
    """BLEU's counts of each image."""
    lengths = corpus.words.lengths
    candidate_words = lengths[corpus.candidate]
    orders = np.arange(1, MAX_ORDER + 1)
    totals = np.maximum(candidate_words[:, None] - orders + 1, 0)
    matches = np.zeros_like(totals)
    for counts, found in counted:
        # Matches of one n-gram and image stand together: the candidate's entry tells where the next group begins.
        starts = np.flatnonzero(first_of_each(found.candidate_entry))
        if len(starts):
            most = np.maximum.reduceat(counts.count[found.entry], starts)
            candidate_entry = found.candidate_entry[starts]
            clipped = np.minimum(most, counts.count[candidate_entry])
            image = corpus.image[counts.caption[candidate_entry]]
            np.add.at(matches[:, counts.order - 1], image, clipped)
    return BleuCounts(matches, totals, candidate_words, _closest_lengths(corpus))


def _closest_lengths(corpus: TokenizedCorpus) -> Integers:
    """Of the references closest in length, the shortest one's length."""
    lengths = corpus.words.lengths
    reference = np.flatnonzero(corpus.is_reference)
    image = corpus.image[reference]
    distance = np.abs(lengths[reference] - lengths[corpus.candidate][image])
    width = int(lengths.max(initial=0)) + 1
    return np.minimum.reduceat(distance * width + lengths[reference], np.flatnonzero(first_of_each(image))) % width


def bleu_scores(
    matches: NDArray[np.generic], totals: NDArray[np.generic], words: Floats, reference_words: Floats
) -> Floats:
    """BLEU-1 to BLEU-4 from counts, of one image or summed over any number of them.

    Args:
        matches: Shape ``(..., 4)``.
        totals: Shape ``(..., 4)``.
        words: The candidates' words; shape ``(...)``.
        reference_words: The closest references' words; shape ``(...)``.

    Returns:
        Shape ``(..., 4)``, each from 0 to 1.
    """
    precisions = (np.asarray(matches, np.float64) + _TINY) / (np.asarray(totals, np.float64) + _SMALL)
    products = np.cumprod(precisions, axis=-1)
    scores = products ** (1.0 / np.arange(1, MAX_ORDER + 1))
    ratio = (words + _TINY) / (reference_words + _SMALL)
    penalty = np.where(ratio < 1, np.exp(np.minimum(1 - 1 / ratio, 0.0)), 1.0)
    return scores * penalty[..., None]
