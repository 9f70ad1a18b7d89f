"""Sufficient statistics: exact sums, order, shards, weights; and the properties that any caption metric must have."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import fields

import numpy as np
import pytest
from captions_corpora import Candidates, References, captions, corpora
from hypothesis import given, settings
from hypothesis import strategies as st

from mmud.evaluators.captions.columns import SUMMED, CaptionColumns, sums_of, weighted_sums
from mmud.evaluators.captions.distinct import distinct_share
from mmud.evaluators.captions.document_frequencies import DocumentFrequencies
from mmud.evaluators.captions.metrics import (
    METRICS,
    METRICS_FROM_SUMS,
    METRICS_FROM_TEXT,
    metric_from_sums,
    reduce_columns,
)
from mmud.evaluators.captions.score import score_captions, score_tokens


def realistic(images: int, seed: int = 0) -> tuple[References, Candidates]:
    draw = random.Random(seed)
    words = [f"w{int(draw.paretovariate(0.8))}" for _ in range(4000)]
    references = {str(index): [draw.choices(words, k=draw.randint(6, 16)) for _ in range(3)] for index in range(images)}
    candidates = {name: group[0][:7] + draw.choices(words, k=draw.randint(0, 6)) for name, group in references.items()}
    return references, candidates


def same(a: CaptionColumns, b: CaptionColumns) -> None:
    for field in fields(CaptionColumns):
        np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name), err_msg=field.name)


@settings(deadline=None, max_examples=60)
@given(corpora(), st.randoms(use_true_random=False))
def test_the_order_of_images_changes_no_bit(corpus: tuple[References, Candidates], shuffler: random.Random) -> None:
    references, candidates = corpus
    names = list(references)
    shuffler.shuffle(names)
    first = score_tokens(references, candidates)
    second = score_tokens({name: references[name] for name in names}, candidates)
    assert first.metrics == second.metrics
    same(first.columns.take([first.columns.ids.index(name) for name in names]), second.columns)


@pytest.mark.parametrize("shards", [1, 2, 7])
def test_shards_change_no_bit(shards: int) -> None:
    references, candidates = realistic(300)
    frequencies = DocumentFrequencies.from_tokens(list(references.values()))
    whole = score_tokens(references, candidates, frequencies=frequencies)
    parts = []
    for shard in range(shards):
        own = {name: group for index, (name, group) in enumerate(references.items()) if index % shards == shard}
        said = {name: candidates[name] for name in own}
        parts.append(score_tokens(own, said, frequencies=frequencies).columns)
    merged = CaptionColumns.merge(parts)
    assert reduce_columns(merged) == whole.metrics
    same(merged, whole.columns.take([whole.columns.ids.index(name) for name in merged.ids]))


def test_weights_are_repetitions() -> None:
    """A weighting by how often each image was drawn gives what the drawn rows give."""
    columns = score_tokens(*realistic(80)).columns
    rows = np.random.default_rng(0).integers(0, 80, (20, 80))
    weights = np.stack([np.bincount(drawn, minlength=80) for drawn in rows])
    sums = weighted_sums(columns, weights)
    for index, drawn in enumerate(rows):
        expected = reduce_columns(columns.take(drawn.tolist()))
        for name in METRICS_FROM_SUMS:
            assert metric_from_sums(name, sums)[index] == pytest.approx(expected[name], rel=1e-12), name


def test_no_image_has_no_figure() -> None:
    columns = score_tokens(*realistic(5)).columns
    sums = weighted_sums(columns, np.zeros((1, 5)))
    for name in METRICS_FROM_SUMS:
        assert np.isnan(metric_from_sums(name, sums)).all(), name


def test_the_matrix_has_the_columns_that_are_named() -> None:
    columns = score_tokens(*realistic(9)).columns
    assert columns.matrix().shape == (9, len(SUMMED))
    assert tuple(columns.numbers()) != ()
    assert set(columns.numbers()) == set(SUMMED)
    np.testing.assert_allclose(columns.matrix().sum(axis=0), [sums_of(columns.numbers())[name][0] for name in SUMMED])


@settings(deadline=None, max_examples=80)
@given(corpora())
def test_figures_keep_their_bounds(corpus: tuple[References, Candidates]) -> None:
    for name, figure in score_tokens(*corpus).metrics.items():
        metric = METRICS[name]
        assert metric.low is not None
        assert figure >= metric.low - 1e-12, name
        if metric.high is not None:
            assert figure <= metric.high + 1e-9, name


@settings(deadline=None, max_examples=80)
@given(st.lists(captions(most=12).filter(bool), min_size=2, max_size=6), st.data())
def test_no_caption_beats_its_only_reference_repeated(references: list[list[str]], data: st.DataObject) -> None:
    expected = {str(index): [words] for index, words in enumerate(references)}
    perfect = score_tokens(expected, {name: group[0] for name, group in expected.items()})
    other = score_tokens(expected, {name: data.draw(captions(most=12)) for name in expected})
    for name in ("cider_d", "cider", "rouge_l"):
        assert (perfect.per_image(name) >= other.per_image(name) - 1e-9).all(), name
    np.testing.assert_allclose(perfect.per_image("rouge_l"), 1)
    np.testing.assert_allclose(perfect.per_image("bleu_1"), 1, atol=1e-8)
    assert perfect.metrics["length_ratio"] == 1


def test_a_perfect_caption_of_rare_words_scores_ten() -> None:
    references = {"a": [["one", "red", "dog", "sits"]], "b": [["two", "blue", "cats", "run"]]}
    scores = score_tokens(references, {name: group[0] for name, group in references.items()})
    assert scores.metrics["cider_d"] == pytest.approx(10)
    assert scores.metrics["cider"] == pytest.approx(10)


def test_the_length_penalty_is_what_tells_the_two_ciders_apart() -> None:
    """A known trap: a 90-word reference less 20 words scores next to nothing, though all that is said is right."""
    draw = random.Random(1)
    references = {str(index): [[f"w{draw.randint(0, 900)}" for _ in range(90)]] for index in range(50)}
    shorter = score_tokens(references, {name: group[0][:70] for name, group in references.items()})
    assert shorter.metrics["cider_d"] < 0.1
    assert shorter.metrics["cider"] > 7
    assert shorter.metrics["length_ratio"] == pytest.approx(70 / 90)


@settings(deadline=None, max_examples=60)
@given(st.lists(captions(), min_size=1, max_size=6), st.sampled_from([1, 2]))
def test_distinct_shares_are_those_that_counting_gives(said: list[list[str]], order: int) -> None:
    counted = Counter(tuple(words[i : i + order]) for words in said for i in range(len(words) - order + 1))
    expected = len(counted) / counted.total() if counted else 0.0
    assert distinct_share(said, order) == expected


def test_distinct_within_captions_counts_each_caption_for_itself() -> None:
    references = {"a": [["x"]], "b": [["y"]]}
    scores = score_tokens(references, {"a": ["u", "u", "v"], "b": ["u", "u", "v"]})
    assert scores.metrics["distinct_1_within"] == pytest.approx(4 / 6)
    assert scores.metrics["distinct_1"] == pytest.approx(2 / 6)
    assert scores.metrics["distinct_2"] == pytest.approx(2 / 4)
    assert set(METRICS_FROM_TEXT) == {"distinct_1", "distinct_2"}


def test_signatures_tell_how_figures_were_made() -> None:
    references = {"1": ["A dog runs.", "The dog."], "2": ["Two cats."]}
    scores = score_captions(references, {"1": "A dog."}, missing="empty")
    assert scores.filled == ("2",)
    fields_of = dict(part.split(":", 1) for part in scores.signature("cider_d").split("|"))
    assert fields_of | {"version": ""} == {
        "metric": "cider_d",
        "refs": "1-2",
        "orders": "1-4",
        "sigma": "6",
        "clip": "yes",
        "scale": "10",
        "tok": "ptb.1",
        "df": "self",
        "missing": "empty",
        "n": "2",
        "version": "",
    }
    signatures = [scores.signature(name) for name in METRICS]
    assert len(set(signatures)) == len(METRICS)
    frozen = DocumentFrequencies.from_references(references)
    assert f"df:{frozen.name}" in score_captions(references, {"1": "", "2": ""}, frequencies=frozen).signature("cider")


def test_a_thousand_replicates_are_one_product() -> None:
    columns = score_tokens(*realistic(200)).columns
    weights = np.random.default_rng(0).multinomial(200, np.full(200, 1 / 200), 1000)
    sums = weighted_sums(columns, weights)
    for name in METRICS_FROM_SUMS:
        replicates = metric_from_sums(name, sums)
        assert replicates.shape == (1000,)
        assert abs(replicates.mean() - reduce_columns(columns)[name]) < 4 * replicates.std() + 1e-9, name
