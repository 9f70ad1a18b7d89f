"""distinct-n (Li et al., NAACL 2016): the share of n-grams that are different from one another.

Over several captions it is no function of sums, since two captions may share an n-gram; and it falls with the number of
captions, so it only compares systems on the same images. Within one caption it tells repetition, and there it adds up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from mmud.evaluators.captions.corpus import Integers
from mmud.evaluators.captions.ngrams import NgramCounts


def distinct_within(counts: NgramCounts, chosen: Integers) -> Integers:
    """How many distinct n-grams each chosen caption has; shape ``(chosen,)``."""
    captions = int(max(chosen.max(initial=-1), counts.caption.max(initial=-1))) + 1
    return np.bincount(counts.caption, minlength=captions)[chosen]


def distinct_share(captions: Iterable[Sequence[str]], order: int) -> float:
    """Distinct n-grams over n-grams of all captions together, from 0 to 1; 0 where there is none.

    Args:
        captions: Each caption's words.
        order: n. The paper divides by the number of words; here the divisor is the number of n-grams, so that the share can
            reach 1 for bigrams too.
    """
    seen: set[tuple[str, ...]] = set()
    total = 0
    for words in captions:
        seen.update(zip(*(words[shift:] for shift in range(order)), strict=False))
        total += max(0, len(words) - order + 1)
    return len(seen) / total if total else 0.0
