"""Corpora to draw from, and the reference implementation's scorers, for the tests of caption metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from hypothesis import strategies as st

Tokens = list[str]
References = dict[str, list[Tokens]]
Candidates = dict[str, Tokens]


def captions(words: Sequence[str] = "abcde", most: int = 9) -> st.SearchStrategy[Tokens]:
    """Captions of few different words, so that n-grams repeat and match."""
    return st.lists(st.sampled_from(list(words)), max_size=most)


@st.composite
def corpora(draw: st.DrawFn, fewest: int = 2, words: Sequence[str] = "abcde") -> tuple[References, Candidates]:
    """References with at least one word among them, and a candidate for each image."""
    count = draw(st.integers(fewest, 7))
    names = [f"image {index}" for index in range(count)]
    references = {name: draw(st.lists(captions(words), min_size=1, max_size=4)) for name in names}
    references[names[0]][0] = [*references[names[0]][0], words[0]]
    return references, {name: draw(captions(words)) for name in names}


def as_text(references: Mapping[str, Sequence[Tokens]], candidates: Mapping[str, Tokens]) -> tuple[dict, dict]:
    """The form that pycocoevalcap's scorers take: strings of tokens."""
    return (
        {name: [" ".join(tokens) for tokens in group] for name, group in references.items()},
        {name: [" ".join(tokens)] for name, tokens in candidates.items()},
    )


def pycocoevalcap_scores(
    references: Mapping[str, Sequence[Tokens]], candidates: Mapping[str, Tokens], but: tuple[str, ...] = ()
) -> dict[str, tuple[float, np.ndarray]]:
    """Metric -> the reference implementation's figure and its figures of each image; ``but`` are left out.

    ``cider`` is its CIDEr with a length penalty so wide that it is 1.
    """
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    expected, said = as_text(references, candidates)
    scores = {
        "cider_d": Cider().compute_score(expected, said),
        "cider": Cider(sigma=1e15).compute_score(expected, said),
    }
    if "rouge_l" not in but:
        scores["rouge_l"] = Rouge().compute_score(expected, said)
    figures, values = Bleu(4).compute_score(expected, said, verbose=0)
    scores |= {f"bleu_{n}": (figures[n - 1], np.array(values[n - 1])) for n in range(1, 5)}
    return scores
