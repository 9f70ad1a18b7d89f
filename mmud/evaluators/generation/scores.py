"""Scores of the generation task from feature matrices, each with its interval and signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmud.errors import Finding, MmudError
from mmud.evaluators.generation import codes
from mmud.evaluators.generation.clip_scores import clip_score_rows, clip_similarity_rows
from mmud.evaluators.generation.extractors import ExtractorIdentity
from mmud.evaluators.generation.features import (
    Matrix,
    as_feature_matrix,
    at_least,
    canonical_order,
    same_dimension,
    size_findings,
)
from mmud.evaluators.generation.inception_score import SPLIT_SEED, SPLITS, inception_score
from mmud.evaluators.generation.metrics import Measured, measure, metrics_of_sets, reported_name, row_mean
from mmud.evaluators.generation.resampling import draw_weights
from mmud.evaluators.signatures import signature
from mmud.evaluators.statistics.bootstrap import CONFIDENCE, METHOD, REPLICATES, interval

Groups = Sequence[Any] | NDArray[Any]
UNNAMED = ExtractorIdentity("features")


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How intervals are made; ``replicates=0`` makes none."""

    replicates: int = REPLICATES
    seed: int = 0
    confidence: float = CONFIDENCE


DEFAULT_BOOTSTRAP = Bootstrap()


@dataclass(frozen=True, slots=True)
class Score:
    """A figure.

    Attributes:
        value: The figure.
        low, high: Its interval; None when none was asked for or none is defined.
        n: Samples of A.
        signature: What the figure depends on.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    signature: str

    def to_dict(self) -> dict[str, Any]:
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n, "signature": self.signature}


@dataclass(frozen=True, slots=True)
class GenerationScores:
    """Every figure of one comparison, what made the features, and what a reader must be warned of."""

    metrics: Mapping[str, Score]
    extractor: ExtractorIdentity
    warnings: tuple[Finding, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "metrics": {name: score.to_dict() for name, score in self.metrics.items()},
            "extractor": self.extractor.to_dict(),
            "warnings": [warning.to_dict() for warning in self.warnings],
        }

    def joined(self, other: GenerationScores) -> GenerationScores:
        """The figures of both; warnings that both have appear once."""
        extra = tuple(warning for warning in other.warnings if warning not in self.warnings)
        return GenerationScores({**self.metrics, **other.metrics}, self.extractor, self.warnings + extra)


def score_features(
    a: Any,
    b: Any,
    *,
    metrics: Sequence[str] | None = None,
    identity: ExtractorIdentity = UNNAMED,
    paired: bool = False,
    groups_a: Groups | None = None,
    groups_b: Groups | None = None,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> GenerationScores:
    """Compare two sets of features.

    Figures and intervals are bit-identical for rows in any order (pairs in any order, where rows are paired).

    Args:
        a: The generated images' features, shape (n, d).
        b: The reference images', shape (m, d).
        metrics: Names from ``METRICS``; ``default_metrics`` when left out; "all" adds the costly ones.
        identity: What made the features; decides whether the Fréchet distance is called FID.
        paired: Row i of A belongs with row i of B (its prediction and its reference). They are then drawn together.
        groups_a: The cluster of each row of A, drawn as one; each row by itself when left out.
        groups_b: The same for B; not for paired rows, which share A's.
        bootstrap: How intervals are made.

    Raises:
        MmudError: MM860 or MM861 for values that are no features, MM862 for different dimensions, MM864 for fewer than two
            samples on a side, MM879 for paired sets of different size, MM001 for an unknown metric, MM872 for FID by
            another network than the published one.
    """
    first, second = as_feature_matrix(a, "A"), as_feature_matrix(b, "B")
    same_dimension(first, second)
    at_least(len(first), 2, "A")
    at_least(len(second), 2, "B")
    if paired and len(first) != len(second):
        raise MmudError(codes.NOT_PAIRED, f"A has {len(first)} rows and B has {len(second)}")
    names = {name: reported_name(name, identity) for name in metrics_of_sets(metrics, identity, paired)}
    order_a = canonical_order(first, second) if paired else canonical_order(first)
    order_b = order_a if paired else canonical_order(second)
    first, second = first[order_a], second[order_b]
    weights = (
        _paired_weights(_ordered(groups_a, order_a), bootstrap)
        if paired
        else _separate_weights(_ordered(groups_a, order_a), _ordered(groups_b, order_b), bootstrap)
    )
    fields: dict[str, object] = {**identity.signature_fields(), "pairs": paired}
    if len(first) != len(second):
        fields["n_reference"] = len(second)
    scores = {
        reported: _score(
            reported, measure(name, first, second, paired, bootstrap.replicates > 0), weights, fields, bootstrap
        )
        for name, reported in names.items()
    }
    return GenerationScores(scores, identity, tuple(size_findings(len(first), len(second), first.shape[1])))


def score_probabilities(
    probabilities: Any,
    *,
    identity: ExtractorIdentity,
    groups: Groups | None = None,
    splits: int = SPLITS,
    seed: int = SPLIT_SEED,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> GenerationScores:
    """The Inception Score of one set; errors as ``inception_score``."""
    rows = as_feature_matrix(probabilities, "the probabilities")
    order = canonical_order(rows)
    result = inception_score(rows[order], splits, seed)
    weights = _paired_weights(_ordered(groups, order), bootstrap)
    fields = {**identity.signature_fields(), "classes": rows.shape[1]}
    measured = Measured(result.mean, result.estimate, {"splits": result.splits, "split_seed": result.seed})
    score = _score("inception_score", measured, weights, fields, bootstrap)
    return GenerationScores({"inception_score": score}, identity)


def score_text_match(
    images: Any,
    prompted_texts: Any,
    plain_texts: Any,
    *,
    identity: ExtractorIdentity,
    groups: Groups | None = None,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> GenerationScores:
    """CLIPScore and plain CLIP score of images against their captions, from embeddings.

    Args:
        images: Image embeddings, shape (samples, d).
        prompted_texts: The captions' embeddings behind CLIPScore's prompt.
        plain_texts: The captions' embeddings by themselves.
        identity: The model.
        groups: The cluster of each sample.
        bootstrap: How intervals are made.

    Raises:
        MmudError: as ``cosines``.
    """
    rows = {
        "clip_score": clip_score_rows(images, prompted_texts),
        "clip_similarity": clip_similarity_rows(images, plain_texts),
    }
    table = np.column_stack(list(rows.values()))
    order = canonical_order(table)
    weights = _paired_weights(_ordered(groups, order), bootstrap)
    fields = identity.signature_fields()
    prompts = {"clip_score": "A photo depicts", "clip_similarity": "none"}
    scores = {
        name: _score(name, row_mean(values[order]), weights, {**fields, "prompt": prompts[name]}, bootstrap)
        for name, values in rows.items()
    }
    return GenerationScores(scores, identity)


@dataclass(frozen=True, slots=True)
class _Weights:
    """Bootstrap weights of both sets, and of how many clusters the interval is (the fewer of both)."""

    a: Matrix
    b: Matrix
    clusters: int


def _ordered(groups: Groups | None, order: NDArray[np.intp]) -> NDArray[Any]:
    """The clusters in the canonical order of rows; each row its own where there are none."""
    if groups is None:
        return np.arange(len(order))
    array = np.asarray(groups)
    if array.shape != (len(order),):
        raise MmudError(codes.NOT_PAIRED, f"{array.shape[0] if array.ndim else 0} clusters for {len(order)} rows")
    return array[order]


def _paired_weights(groups: NDArray[Any], bootstrap: Bootstrap) -> _Weights:
    weights = draw_weights(groups, bootstrap.replicates, bootstrap.seed)
    return _Weights(weights, weights, len(np.unique(groups)))


def _separate_weights(groups_a: NDArray[Any], groups_b: NDArray[Any], bootstrap: Bootstrap) -> _Weights:
    return _Weights(
        draw_weights(groups_a, bootstrap.replicates, (bootstrap.seed, 1)),
        draw_weights(groups_b, bootstrap.replicates, (bootstrap.seed, 2)),
        min(len(np.unique(groups_a)), len(np.unique(groups_b))),
    )


def _score(
    name: str, measured: Measured, weights: _Weights, fields: Mapping[str, object], bootstrap: Bootstrap
) -> Score:
    low = high = None
    described = "none"
    if bootstrap.replicates and measured.estimate is not None and weights.clusters > 1:
        values = measured.estimate.replicates(weights.a, weights.b)
        low, high = interval(values, weights.clusters, bootstrap.confidence) or (None, None)
        described = f"linearised,{METHOD},{bootstrap.replicates},seed={bootstrap.seed},{bootstrap.confidence:g}"
    count = weights.a.shape[1]
    whole = {**fields, **measured.fields, "interval": described}
    return Score(measured.value, low, high, count, signature(name, whole, count))
