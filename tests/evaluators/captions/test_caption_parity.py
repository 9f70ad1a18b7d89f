"""CIDEr, BLEU and ROUGE-L against pycocoevalcap's scorers on the same tokens: each image and in total, within 1e-9."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from captions_corpora import Candidates, References, corpora, pycocoevalcap_scores
from hypothesis import given, settings
from hypothesis import strategies as st

from mmud.evaluators.captions import ngrams
from mmud.evaluators.captions.document_frequencies import DocumentFrequencies
from mmud.evaluators.captions.score import score_tokens
from mmud.evaluators.captions.tokenizer import tokenize


def assert_equal_to_reference(references: References, candidates: Candidates, but: tuple[str, ...] = ()) -> None:
    """Equal in every metric ``but`` those that the reference implementation takes too long for."""
    scores = score_tokens(references, candidates)
    for name, (figure, values) in pycocoevalcap_scores(references, candidates, but).items():
        np.testing.assert_allclose(scores.per_image(name), values, rtol=0, atol=1e-9, err_msg=name)
        assert scores.metrics[name] == pytest.approx(figure, abs=1e-9), name


@settings(deadline=None, max_examples=150)
@given(corpora())
def test_small_corpora(corpus: tuple[References, Candidates]) -> None:
    """Empty candidates and references, repeated words, ties in length: all of it as in the reference implementation."""
    assert_equal_to_reference(*corpus)


@settings(deadline=None, max_examples=80)
@given(corpora(words=["a", "1\xa01/2", "1", "1/2", "555\xa0123\xa04567", "\xa0"]))
def test_tokens_that_hold_spaces(corpus: tuple[References, Candidates]) -> None:
    """The reference implementation splits at single spaces for ROUGE-L and at any white space for the others."""
    assert_equal_to_reference(*corpus)


@pytest.mark.data
def test_real_captions(shared_data: Path) -> None:
    """val2017: the first caption against the others, with every tenth one spoiled."""
    content = json.loads((shared_data / "captions" / "captions_val2017.json").read_text())
    captions: dict[str, list[list[str]]] = {}
    for annotation in content["annotations"]:
        captions.setdefault(str(annotation["image_id"]), []).append(tokenize(annotation["caption"]))
    draw = random.Random(3)
    names = list(captions)[:1500]
    references = {name: captions[name][1:] for name in names}
    candidates = {name: captions[name][0] for name in names}
    for name in draw.sample(names, 150):
        other = candidates[draw.choice(names)]
        candidates[name] = draw.choice([[], other, candidates[name] + other, ["the"] * 12, references[name][0]])
    assert_equal_to_reference(references, candidates)


def test_long_captions_with_one_reference() -> None:
    draw = random.Random(4)
    words = [f"w{int(draw.paretovariate(0.7))}" for _ in range(3000)]
    references = {str(index): [draw.choices(words, k=94)] for index in range(40)}
    candidates = {
        name: group[0][: draw.randint(60, 94)] + draw.choices(words, k=5) for name, group in references.items()
    }
    assert_equal_to_reference(references, candidates)


@settings(deadline=None, max_examples=60)
@given(corpora())
def test_frozen_frequencies_of_the_same_references_change_nothing(corpus: tuple[References, Candidates]) -> None:
    references, candidates = corpus
    frozen = DocumentFrequencies.from_tokens(list(references.values()))
    own, by_table = score_tokens(references, candidates), score_tokens(references, candidates, frequencies=frozen)
    np.testing.assert_array_equal(own.columns.cider_d, by_table.columns.cider_d)
    np.testing.assert_array_equal(own.columns.cider, by_table.columns.cider)


def test_the_score_of_an_image_in_its_split_is_its_score_alone() -> None:
    """One image against the whole split's frequencies, as pycocoevalcap scores it among the whole split."""
    draw = random.Random(5)
    words = [f"w{index}" for index in range(40)]
    references = {str(index): [draw.choices(words, k=12) for _ in range(5)] for index in range(60)}
    candidates = {name: group[0][:9] + draw.choices(words, k=3) for name, group in references.items()}
    expected = pycocoevalcap_scores(references, candidates)["cider_d"][1]
    frozen = DocumentFrequencies.from_tokens(list(references.values()))
    alone = [
        score_tokens({name: references[name]}, {name: candidates[name]}, frequencies=frozen).metrics["cider_d"]
        for name in references
    ]
    np.testing.assert_allclose(alone, expected, rtol=0, atol=1e-9)


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**40)), st.booleans())
def test_sorting_by_digits_is_stable_sorting(values: list[int], few: bool) -> None:
    """numpy's stable argsort is the reference; vocabularies beyond 65,536 words take more than one pass."""
    numbers = np.array(values, dtype=np.int64) % (7 if few else 2**40)
    bound = int(numbers.max(initial=0)) + 1
    np.testing.assert_array_equal(ngrams.stable_order(numbers, bound), np.argsort(numbers, kind="stable"))


def test_a_vocabulary_beyond_sixteen_bits() -> None:
    draw = random.Random(6)
    words = [f"w{index}" for index in range(70_000)]
    references = {str(index): [words[index * 700 : (index + 1) * 700]] for index in range(100)}
    candidates = {name: group[0][:650] + draw.choices(words, k=50) for name, group in references.items()}
    assert_equal_to_reference(references, candidates, but=("rouge_l",))
