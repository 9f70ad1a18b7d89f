"""The Inception Score (Salimans et al. 2016, section 4): exp of the mean Kullback-Leibler divergence from the marginal.

exp( mean_i sum_c p(c | i) (log p(c | i) - log p(c)) ),   p(c) = mean_i p(c | i)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mmud.errors import MmudError, Place
from mmud.evaluators.generation import codes
from mmud.evaluators.generation.features import Matrix, as_feature_matrix, at_least, canonical_order, exact_mean
from mmud.evaluators.generation.resampling import LinearisedEstimate, Vector

SPLITS = 10
SPLIT_SEED = 2020
"""torch-fidelity's default; the permutation is numpy's frozen ``RandomState``, as there."""


@dataclass(frozen=True, slots=True)
class InceptionScore:
    """Mean and standard deviation over splits, with the estimate for intervals."""

    mean: float
    deviation: float
    splits: int
    seed: int
    estimate: LinearisedEstimate


def probabilities_of(scores: Any) -> Matrix:
    """The softmax of each row of class scores (logits), in float64.

    Raises:
        MmudError: MM860 or MM861 for values that are no finite numbers.
    """
    logits = as_feature_matrix(scores, "the class scores")
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: Matrix = exponentials / exponentials.sum(axis=1, keepdims=True)
    return result


def inception_score(probabilities: Any, splits: int = SPLITS, seed: int = SPLIT_SEED) -> InceptionScore:
    """The score as the mean over random splits.

    Rows are put in canonical order and then shuffled by ``seed``, so the splits do not depend on the order they came in.
    For rows in canonical order the result equals torch-fidelity's at the same seed. One split uses all rows at once.

    Args:
        probabilities: p(c | i), shape (images, classes); each row sums to 1 (within 1e-3, then rescaled).
        splits: Each has n / splits images; the score falls as they get smaller than the number of classes.
        seed: Of the shuffle.

    Returns:
        The mean lies between 1 and the number of classes.

    Raises:
        MmudError: MM860 or MM861 for values that are no finite numbers, MM875 for rows that are no distribution, MM864 for
            fewer images than splits.
    """
    given = as_feature_matrix(probabilities, "the probabilities")
    rows = _distributions(given)
    at_least(splits, 1, "the number of splits")
    at_least(len(rows), splits, "the set")
    order = canonical_order(given)
    order = order[np.random.RandomState(seed).permutation(len(rows))]
    scores = np.empty(splits)
    influence = np.empty(len(rows))
    for index in range(splits):
        part = order[index * len(rows) // splits : (index + 1) * len(rows) // splits]
        divergences = _divergences(rows[part])
        mean = exact_mean(divergences)
        scores[index] = np.exp(mean)
        # d exp(mean KL) for one more image of this split; the marginal's own change is zero to first order
        influence[part] = scores[index] * (divergences - mean) * (len(rows) / (splits * len(part)))
    value = exact_mean(scores)
    estimate = LinearisedEstimate(value, influence, lower_bound=1.0)
    return InceptionScore(value, float(scores.std()), splits, seed, estimate)


def _divergences(rows: Matrix) -> Vector:
    """KL(p(. | i) || p) of each row, with 0 log 0 = 0."""
    marginal = rows.mean(axis=0)
    logs = np.log(np.where(rows > 0, rows, 1.0)) - np.log(np.where(marginal > 0, marginal, 1.0))
    result: Vector = np.einsum("ij,ij->i", rows, logs)
    return result


def _distributions(rows: Matrix) -> Matrix:
    sums = rows.sum(axis=1)
    wrong = (rows < 0).any(axis=1) | (np.abs(sums - 1) > 1e-3)
    if wrong.any():
        row = int(np.argmax(wrong))
        message = (
            f"{int(wrong.sum())} of {len(rows)} rows; the first sums to {sums[row]:.6g}, least {rows[row].min():.6g}"
        )
        raise MmudError(codes.NOT_PROBABILITIES, message, Place(row=row + 1))
    result: Matrix = rows / sums[:, None]
    return result
