"""CIDEr and CIDEr-D (Vedantam, Zitnick and Parikh, CVPR 2015, arXiv 1411.5726, equations 1 to 3 and section 4).

Each caption becomes, for n from 1 to 4, a vector of tf-idf weights: count of the n-gram times log(images / document
frequency). A pair of captions scores the cosine of its vectors, averaged over n; an image scores the mean over its
references, times ten.

CIDEr-D clips the candidate's weight at the reference's and multiplies by exp(-d^2 / (2 sigma^2)), d the difference in length.
The plain figure here is the same without that factor: it keeps the clipping (the paper's first form does not clip), so the
distance between the two is the length penalty and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmud.evaluators.captions.corpus import Integers, TokenizedCorpus
from mmud.evaluators.captions.ngrams import Matches, NgramCounts

Floats = NDArray[np.float64]

#: The standard deviation of the length penalty, in words.
SIGMA = 6.0
_SCALE = 10.0


@dataclass(frozen=True)
class CiderScores:
    """CIDEr of each image, from 0 to 10; shape ``(images,)`` each.

    Attributes:
        cider_d: With the length penalty: what pycocoevalcap calls CIDEr.
        cider: Without it.
    """

    cider_d: Floats
    cider: Floats


def inverse_frequencies(frequency: Integers, documents: int) -> Floats:
    """log(documents) - log(max(1, frequency)) of each n-gram.

    The logarithms come from a table of `math.log`, one for each number, since a vectorised logarithm may round a value in
    two ways depending on where in the array it stands.
    """
    table = np.array([math.log(max(1, value)) for value in range(int(frequency.max(initial=0)) + 1)])
    inverse: Floats = math.log(documents) - table[frequency]
    return inverse


def _length_penalty(corpus: TokenizedCorpus, sigma: float) -> Floats:
    """exp(-d^2 / (2 sigma^2)) of each caption against its image's candidate; shape ``(captions,)``.

    The length is the number of bigrams, as in the reference implementation: no word and one word are equally long.
    """
    bigrams = np.maximum(corpus.words.lengths - 1, 0)
    difference = np.abs(bigrams - bigrams[corpus.candidate][corpus.image])
    table = np.array([math.exp(-(d * d) / (2.0 * sigma * sigma)) for d in range(int(difference.max(initial=0)) + 1)])
    penalty: Floats = table[difference]
    return penalty


def score_cider(
    corpus: TokenizedCorpus,
    counted: Sequence[tuple[NgramCounts, Matches]],
    frequencies: Sequence[Integers],
    documents: int,
    sigma: float = SIGMA,
) -> CiderScores:
    """CIDEr of each image.

    Args:
        corpus: Candidates and references.
        counted: For each order, the counts and which entries the candidates share with their references.
        frequencies: For each order, the document frequency of each distinct n-gram.
        documents: The number of images in which those were counted, at least 1.
        sigma: Standard deviation of the length penalty, in words.

    Every sum runs in the alphabetical order of the n-grams (``bincount`` adds in the order of its input), so an image's score
    does not depend on what is scored beside it.
    """
    captions = len(corpus.image)
    similarity = np.zeros(captions)
    for (counts, matches), frequency in zip(counted, frequencies, strict=True):
        inverse = inverse_frequencies(frequency, documents)
        weight = counts.count * inverse[counts.gram]
        norm = np.sqrt(np.bincount(counts.caption, weights=weight * weight, minlength=captions))
        reference_weight = weight[matches.entry]
        clipped = np.minimum(weight[matches.candidate_entry], reference_weight)
        dot = np.bincount(counts.caption[matches.entry], weights=clipped * reference_weight, minlength=captions)
        scale = norm * norm[corpus.candidate][corpus.image]
        similarity += np.divide(dot, scale, out=np.zeros(captions), where=scale != 0)
    similarity *= _SCALE / len(counted)
    penalised = similarity * _length_penalty(corpus, sigma)
    return CiderScores(_mean_over_references(penalised, corpus), _mean_over_references(similarity, corpus))


def _mean_over_references(values: Floats, corpus: TokenizedCorpus) -> Floats:
    reference = np.flatnonzero(corpus.is_reference)
    totals = np.bincount(corpus.image[reference], weights=values[reference], minlength=corpus.images)
    return totals / corpus.references
