"""The caption metrics by name: what each is, how its figure comes of sums, and what its signature says."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mmud.evaluators.base import Metric
from mmud.evaluators.captions.bleu import bleu_scores
from mmud.evaluators.captions.cider import SIGMA
from mmud.evaluators.captions.columns import DISTINCT_ORDERS, ORDERS, CaptionColumns, sums_of
from mmud.evaluators.captions.distinct import distinct_share
from mmud.evaluators.captions.rouge import BETA

Floats = NDArray[np.float64]

#: CIDEr needs document frequencies; the others do not.
CIDER_METRICS = ("cider_d", "cider")

_FROM_SUMS = (
    Metric("cider_d", "score", 0.0, 10.0, True, "CIDEr-D: consensus with the references, length penalty included."),
    Metric("cider", "score", 0.0, 10.0, True, "The same without the length penalty."),
    *(
        Metric(f"bleu_{order}", description=f"Precision of n-grams up to {order}, with brevity penalty.")
        for order in ORDERS
    ),
    Metric("rouge_l", description="F-measure of the longest common subsequence."),
    Metric("words", "words", 0.0, None, None, "Mean words of a caption."),
    Metric("reference_words", "words", 0.0, None, None, "Mean words of a reference."),
    Metric("length_ratio", "ratio", 0.0, None, None, "Words of the captions over words of the references."),
    Metric("empty_share", "fraction", 0.0, 1.0, False, "Captions without a word."),
    *(
        Metric(f"distinct_{order}_within", description=f"Distinct {order}-grams of a caption over its {order}-grams.")
        for order in DISTINCT_ORDERS
    ),
)
_FROM_TEXT = tuple(
    Metric(f"distinct_{order}", higher_is_better=None, description=f"Distinct {order}-grams over all {order}-grams.")
    for order in DISTINCT_ORDERS
)

#: Every metric by name, in the order of reports.
METRICS: Mapping[str, Metric] = {metric.name: metric for metric in (*_FROM_SUMS, *_FROM_TEXT)}
#: Those that are functions of sums, so have intervals.
METRICS_FROM_SUMS: tuple[str, ...] = tuple(metric.name for metric in _FROM_SUMS)
#: Those that need the text of all captions together: descriptive, without an interval.
METRICS_FROM_TEXT: tuple[str, ...] = tuple(metric.name for metric in _FROM_TEXT)


def metric_from_sums(name: str, sums: Mapping[str, Floats]) -> Floats:
    """One metric from sums of `CaptionColumns.numbers`.

    Args:
        name: One of `METRICS_FROM_SUMS`.
        sums: Column -> its sum for each weighting; shape ``(weightings,)``.

    Returns:
        Shape ``(weightings,)``; NaN for a weighting without images.
    """
    if name.startswith("bleu_"):
        figures = _bleu(int(name.removeprefix("bleu_")), sums)
    else:
        numerator, denominator = _RATIOS[name]
        figures = _ratio(sums[numerator], sums[denominator])
    return np.where(np.asarray(sums["images"]) > 0, figures, np.nan)


# Metric -> the two sums whose quotient it is.
_RATIOS: Mapping[str, tuple[str, str]] = {
    "cider_d": ("cider_d", "images"),
    "cider": ("cider", "images"),
    "rouge_l": ("rouge_l", "images"),
    "words": ("candidate_words", "images"),
    "reference_words": ("mean_reference_words", "images"),
    "length_ratio": ("candidate_words", "mean_reference_words"),
    "empty_share": ("empty_captions", "images"),
    **{f"distinct_{order}_within": (f"distinct_{order}", f"bleu_totals_{order}") for order in DISTINCT_ORDERS},
}


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """The quotient; 0 where there is nothing to divide by, as for the distinct share of captions without a word."""
    quotient: Floats = np.zeros(np.shape(denominator))
    np.divide(numerator, denominator, out=quotient, where=np.asarray(denominator) != 0)
    return quotient


def _bleu(order: int, sums: Mapping[str, Floats]) -> Floats:
    matches = np.stack([sums[f"bleu_matches_{n}"] for n in ORDERS], axis=-1)
    totals = np.stack([sums[f"bleu_totals_{n}"] for n in ORDERS], axis=-1)
    return bleu_scores(matches, totals, sums["candidate_words"], sums["closest_reference_words"])[..., order - 1]


def reduce_columns(columns: CaptionColumns) -> dict[str, float]:
    """Every metric of the rows, the same to the last bit whatever their order."""
    sums = sums_of(columns.numbers())
    figures = {name: float(metric_from_sums(name, sums)[0]) for name in METRICS_FROM_SUMS}
    words = [text.split() for text in columns.text]
    return figures | {f"distinct_{order}": distinct_share(words, order) for order in DISTINCT_ORDERS}


def per_image(name: str, columns: CaptionColumns) -> Floats:
    """A metric of each image alone; shape ``(images,)``.

    For BLEU this is the sentence score that pycocoevalcap lists, whose mean is not the corpus score.
    """
    if name in METRICS_FROM_TEXT:
        name += "_within"
    numbers = {key: column.astype(np.float64) for key, column in columns.numbers().items()}
    return metric_from_sums(name, numbers)


def signature_fields(name: str, references: str, tokenizer: str, frequencies: str) -> dict[str, object]:
    """What a metric's signature says besides its name, n and version.

    Args:
        name: The metric.
        references: How many references an image has, as in "5" or "4-7".
        tokenizer: The tokenizer's name.
        frequencies: "self", or the name of frozen document frequencies.
    """
    if name in CIDER_METRICS:
        sigma = f"{SIGMA:g}" if name == "cider_d" else "none"
        return {
            "refs": references,
            "orders": "1-4",
            "sigma": sigma,
            "clip": True,
            "scale": 10,
            "tok": tokenizer,
            "df": frequencies,
        }
    if name.startswith("bleu_"):
        return {"refs": references, "length": "closest", "smooth": "coco", "tok": tokenizer}
    if name == "rouge_l":
        return {"refs": references, "beta": BETA, "tok": tokenizer}
    if name.startswith("distinct_"):
        return {"over": "caption" if name.endswith("_within") else "all", "tok": tokenizer}
    if name in ("words", "empty_share"):
        return {"tok": tokenizer}
    return {"refs": references, "tok": tokenizer}
