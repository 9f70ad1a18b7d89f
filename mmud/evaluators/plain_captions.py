"""Captions from plain files: COCO's captions and results, scored without a dataset."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmud.evaluators.base import UNITS, Figures, Sums
from mmud.evaluators.captions.coco_files import read_references, read_results
from mmud.evaluators.captions.document_frequencies import DocumentFrequencies
from mmud.evaluators.captions.inputs import Missing
from mmud.evaluators.captions.metrics import (
    CIDER_METRICS,
    METRICS,
    METRICS_FROM_SUMS,
    METRICS_FROM_TEXT,
    metric_from_sums,
)
from mmud.evaluators.captions.oracles import OracleScores, score_with_pycocoevalcap
from mmud.evaluators.captions.score import CaptionScores, score_captions
from mmud.evaluators.scoring import Figure, number, summarise
from mmud.evaluators.signatures import signature
from mmud.evaluators.statistics.bootstrap import Resampler

BACKENDS = ("mmud", "pycocoevalcap")
_OF_THE_WHOLE = frozenset({"bleu_1", "bleu_2", "bleu_3", "bleu_4", "meteor"})
"""What pycocoevalcap computes from sums over all images, which it does not hand out."""


def score_caption_files(
    references: Path,
    candidates: Path,
    *,
    metrics: Iterable[str] | None = None,
    frequencies: DocumentFrequencies | None = None,
    missing: Missing = "refuse",
    resampler: Resampler | None = None,
) -> tuple[dict[str, Figure], CaptionScores]:
    """Score a COCO results file against a COCO captions file.

    Args:
        references: COCO captions json.
        candidates: a list of ``{"image_id", "caption"}``.
        metrics: names; all when left out.
        frequencies: frozen document frequencies; those of the references when left out.
        missing: what to do with images that have no caption.
        resampler: how intervals are made.

    Raises:
        MmudError: MM850 to MM858 for what is wrong with either file; of one image, MM855 where CIDEr is named. It is left out
            there where no metric is, or all are.
    """
    truth, said = read_references(references), read_results(candidates)
    wanted = None if metrics is None else set(metrics)
    named = wanted is not None and not wanted.issuperset(METRICS) and bool(wanted & set(CIDER_METRICS))
    single = frequencies is None and len(truth) < 2 and not named
    scores = score_captions(truth, said, frequencies=frequencies, cider=not single, missing=missing)
    return caption_figures(scores, wanted, resampler or Resampler()), scores


def caption_figures(scores: CaptionScores, metrics: Iterable[str] | None, resampler: Resampler) -> dict[str, Figure]:
    """The figures of captions with their intervals; each image is drawn by itself."""
    names = [name for name in scores.metrics if metrics is None or name in set(metrics)]
    from_sums = tuple(name for name in names if name in METRICS_FROM_SUMS)
    numbers = {
        name: column
        for name, column in scores.columns.numbers().items()
        if column.dtype.kind in "iu" or not np.isnan(column).any()
    }
    figures = Figures(
        columns=numbers,
        owner=np.arange(len(scores.columns)),
        reduce=partial(_reduced, from_sums),
        counts=dict.fromkeys(names, "images"),
        fields={name: {} for name in names},
        values={name: scores.metrics[name] for name in names if name in METRICS_FROM_TEXT},
    )
    _, images = np.unique(np.asarray(scores.columns.ids), return_inverse=True)
    found = summarise(figures, images.astype(np.int64), resampler)
    return {
        name: Figure(figure.value, figure.low, figure.high, figure.n, scores.signature(name))
        for name, figure in ((name, found[name]) for name in names)
    }


def _reduced(names: Sequence[str], sums: Sums) -> Mapping[str, Any]:
    return {name: metric_from_sums(name, sums) for name in names}


def score_with_oracle(
    references: Path,
    candidates: Path,
    *,
    scorers: Sequence[str] | None = None,
    missing: Missing = "refuse",
    resampler: Resampler | None = None,
) -> tuple[dict[str, Figure], OracleScores]:
    """The same files through pycocoevalcap's own scorers. BLEU and METEOR are no means over images: no interval.

    Raises:
        MmudError: MM859 (exit code 4) when pycocoevalcap or Java is missing; else as `score_caption_files`.
    """
    scores = score_with_pycocoevalcap(read_references(references), read_results(candidates), scorers, missing)
    return {name: _oracle_figure(scores, name, resampler or Resampler()) for name in scores.metrics}, scores


def _oracle_figure(scores: OracleScores, name: str, resampler: Resampler) -> Figure:
    n = len(scores.ids)
    low = high = None
    if name not in _OF_THE_WHOLE:
        columns = {UNITS: np.ones(n, dtype=np.int64), name: np.asarray(scores.per_image[name], dtype=np.float64)}
        _, images = np.unique(np.asarray(scores.ids), return_inverse=True)
        figures = Figures(columns, np.arange(n), partial(_mean, name), {name: UNITS}, {name: {}})
        figure = summarise(figures, images.astype(np.int64), resampler)[name]
        low, high = figure.low, figure.high
    return Figure(number(scores.metrics[name]), low, high, n, signature(name, {"backend": "pycocoevalcap"}, n))


def _mean(name: str, sums: Sums) -> dict[str, Any]:
    return {name: sums[name] / np.where(sums[UNITS] > 0, sums[UNITS], np.nan)}
