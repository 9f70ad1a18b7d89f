"""The metrics that compare two feature matrices, by name: what each is, and how it is computed with its bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mmud import codes as general_codes
from mmud.errors import MmudError
from mmud.evaluators.base import Metric
from mmud.evaluators.generation import codes
from mmud.evaluators.generation.clip_scores import feature_cosine_rows, feature_error_rows
from mmud.evaluators.generation.cmmd import SCALE, SIGMA, cmmd_estimate
from mmud.evaluators.generation.extractors import ExtractorIdentity
from mmud.evaluators.generation.features import Matrix, exact_mean
from mmud.evaluators.generation.frechet import frechet_distance, frechet_estimate
from mmud.evaluators.generation.kid import kid_estimate, kid_of_subsets
from mmud.evaluators.generation.resampling import LinearisedEstimate, Vector


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure, its bootstrap (None when not asked for or not to be had), and what its signature must say."""

    value: float
    estimate: LinearisedEstimate | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("fid", "distance", 0.0, None, False, "Fréchet distance in the published Inception network's space."),
        Metric("frechet_distance", "distance", 0.0, None, False, "Fréchet distance in any other feature space."),
        Metric("kid", "distance", None, None, False, "Kernel distance, cubic polynomial, unbiased, all samples."),
        Metric("kid_subsets", "distance", None, None, False, "Kernel distance as the mean over random subsets."),
        Metric("cmmd", "distance", 0.0, None, False, "Gaussian kernel distance of CLIP embeddings, times 1000."),
        Metric("inception_score", "score", 1.0, None, True, "How sure and how varied the classes of the images are."),
        Metric("feature_mae", "distance", 0.0, None, False, "Mean absolute error of the normalised feature."),
        Metric("feature_cosine", "cosine", -1.0, 1.0, True, "Cosine of the feature with its reference."),
        Metric(
            "clip_score", "score", 0.0, 2.5, True, "CLIPScore: 2.5 times the cosine of image and caption, at least 0."
        ),
        Metric("clip_similarity", "score", -100.0, 100.0, True, "100 times the cosine of image and caption."),
    )
}

TEXT_METRICS = ("clip_score", "clip_similarity")
"""The metrics of an image and its caption."""

ALL = "all"
"""In the place of names: every metric that there is."""

PAIRED = frozenset({"feature_mae", "feature_cosine", *TEXT_METRICS})
"""The metrics that need row i of A to belong with row i of B."""


def default_metrics(identity: ExtractorIdentity, paired: bool) -> tuple[str, ...]:
    """Fréchet and kernel distance; CMMD in CLIP's space; the error and cosine of the feature where rows pair up."""
    names = ["frechet_distance", "kid"]
    if identity.name == "clip":
        names.append("cmmd")
    if paired:
        names += ["feature_mae", "feature_cosine"]
    return tuple(names)


def metrics_of_sets(names: Sequence[str] | None, identity: ExtractorIdentity, paired: bool) -> tuple[str, ...]:
    """The names that were asked for; the usual ones for none, and the costly ones besides for "all"."""
    usual = default_metrics(identity, paired)
    if names and ALL in names:
        return tuple(dict.fromkeys((*usual, "cmmd", "kid_subsets")))
    return tuple(names or usual)


def reported_name(name: str, identity: ExtractorIdentity) -> str:
    """The name under which a figure is reported: FID only in the published Inception network's space.

    Raises:
        MmudError: MM001 for a metric that does not exist, MM872 for FID by another network.
    """
    if name not in METRICS:
        raise MmudError(general_codes.USAGE, f"no metric is called {name!r}; known: {', '.join(METRICS)}")
    if name == "frechet_distance" and identity.inception:
        return "fid"
    if name == "fid" and not identity.inception:
        message = f"FID needs the published Inception network, not `{identity.name}`; ask for frechet_distance"
        raise MmudError(codes.EXTRACTOR_UNUSABLE, message)
    return name


def measure(name: str, a: Matrix, b: Matrix, paired: bool, with_bootstrap: bool) -> Measured:
    """Compute one metric of two feature matrices.

    Args:
        name: From ``METRICS``.
        a: Features of shape (n, d).
        b: Features of shape (m, d).
        paired: Row i of A belongs with row i of B.
        with_bootstrap: Whether influences are needed; without them some metrics are cheaper.

    Raises:
        MmudError: MM879 for a metric of pairs on unpaired sets, MM872 for one that features alone do not give, and what
            the metric itself raises.
    """
    if name in PAIRED and not paired:
        raise MmudError(codes.NOT_PAIRED, f"{name} compares row i with row i; say that the rows are paired")
    if name not in _MEASURES:
        raise MmudError(codes.EXTRACTOR_UNUSABLE, f"{name} is not computed from two sets of image features")
    return _MEASURES[name](a, b, with_bootstrap)


def row_mean(rows: Vector) -> Measured:
    """The mean of one value a sample; its bootstrap is exact."""
    mean = exact_mean(rows)
    return Measured(mean, LinearisedEstimate(mean, rows - mean), {"reduction": "mean"})


def _frechet(a: Matrix, b: Matrix, with_bootstrap: bool) -> Measured:
    fields = {"covariance": "n-1"}
    if not with_bootstrap:
        return Measured(frechet_distance(a, b), None, fields)
    estimate = frechet_estimate(a, b)
    return Measured(estimate.value, estimate, fields)


def _kid(a: Matrix, b: Matrix, with_bootstrap: bool) -> Measured:
    estimate = kid_estimate(a, b)
    return Measured(estimate.value, estimate, {"estimator": "unbiased"})


def _kid_subsets(a: Matrix, b: Matrix, with_bootstrap: bool) -> Measured:
    drawn = kid_of_subsets(a, b)
    # the full estimator has the same expectation, and its influences serve for the mean over subsets
    estimate = replace(kid_estimate(a, b), value=drawn.mean) if with_bootstrap else None
    fields = {"estimator": "unbiased", "subsets": f"{drawn.subsets}x{drawn.size}", "subset_seed": drawn.seed}
    return Measured(drawn.mean, estimate, fields)


def _cmmd(a: Matrix, b: Matrix, with_bootstrap: bool) -> Measured:
    estimate = cmmd_estimate(a, b)
    fields = {"estimator": "biased", "sigma": f"{SIGMA:g}", "scale": f"{SCALE:g}"}
    return Measured(estimate.value, estimate, fields)


def _feature_mae(a: Matrix, b: Matrix, with_bootstrap: bool) -> Measured:
    return row_mean(feature_error_rows(a, b))


def _feature_cosine(a: Matrix, b: Matrix, with_bootstrap: bool) -> Measured:
    return row_mean(feature_cosine_rows(a, b))


_MEASURES: Mapping[str, Callable[[Matrix, Matrix, bool], Measured]] = {
    "fid": _frechet,
    "frechet_distance": _frechet,
    "kid": _kid,
    "kid_subsets": _kid_subsets,
    "cmmd": _cmmd,
    "feature_mae": _feature_mae,
    "feature_cosine": _feature_cosine,
}
