"""ROUGE-L (Lin, 2004) as the COCO caption tools compute it: the best precision and the best recall over the references.

Precision and recall are the longest common subsequence over the candidate's and the reference's words. The two maxima may
come from two references. F = (1 + b^2) P R / (R + b^2 P) with b = 1.2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmud.evaluators.captions.corpus import Integers, Sequences, TokenizedCorpus
from mmud.evaluators.captions.ngrams import first_of_each

Floats = NDArray[np.float64]

BETA = 1.2
# Pairs compared at once: some 100 words of 4,096 captions in 16 bits stay within a megabyte.
_BATCH = 4096


def _padded(captions: Sequences, chosen: Integers, filler: int) -> NDArray[np.int32]:
    """The words of the chosen captions, one caption a column; shape ``(longest, captions)``."""
    lengths = captions.lengths[chosen]
    rows = np.arange(int(lengths.max(initial=0)))[:, None]
    inside = rows < lengths
    padded = np.full(inside.shape, filler, dtype=np.int32)
    padded[inside] = captions.words[(captions.starts[chosen] + rows)[inside]]
    return padded


def longest_common_subsequences(captions: Sequences, first: Integers, second: Integers) -> Integers:
    """The length of the longest common subsequence of each pair of captions; shape ``(pairs,)``.

    Dynamic programming over the first caption's words, one step for all pairs at once: with L the row before and E where the
    words agree, the new row is the running maximum of max(L[j], L[j - 1] + E[j]).
    """
    result = np.zeros(len(first), dtype=np.int64)
    order = np.argsort(captions.lengths[first] * (int(captions.lengths.max(initial=0)) + 1) + captions.lengths[second])
    for begin in range(0, len(order), _BATCH):
        pairs = order[begin : begin + _BATCH]
        rows = _padded(captions, first[pairs], -1)
        columns = _padded(captions, second[pairs], -2)
        # The narrowest integers that hold a length are the fastest; nearly always one byte each.
        table = np.zeros((len(columns) + 1, len(pairs)), dtype=np.min_scalar_type(-len(rows) - 1))
        longer = np.empty_like(table[1:])
        for row in rows:
            np.add(table[:-1], (columns == row).view(np.int8), out=longer)
            np.maximum(longer, table[1:], out=longer)
            np.maximum.accumulate(longer, axis=0, out=table[1:])
        result[pairs] = table[-1]
    return result


def score_rouge_l(corpus: TokenizedCorpus, beta: float = BETA) -> Floats:
    """ROUGE-L of each image, from 0 to 1; shape ``(images,)``.

    A caption without a token counts as one empty token, as in the reference implementation, where splitting an empty string
    gives one. So an empty candidate scores 0, but 1 against an empty reference.
    """
    captions = corpus.tokens
    reference = np.flatnonzero(corpus.is_reference)
    image = corpus.image[reference]
    candidate = corpus.candidate[image]
    common = longest_common_subsequences(captions, candidate, reference)
    empty = captions.lengths == 0
    common[empty[candidate] & empty[reference]] = 1
    lengths = np.maximum(captions.lengths, 1)
    starts = np.flatnonzero(first_of_each(image))
    precision = np.maximum.reduceat(common / lengths[candidate], starts)
    recall = np.maximum.reduceat(common / lengths[reference], starts)
    weight = beta * beta
    denominator = recall + weight * precision
    product = (1.0 + weight) * precision * recall
    return np.divide(product, denominator, out=np.zeros(corpus.images), where=product != 0)
