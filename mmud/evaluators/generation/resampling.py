"""Intervals for metrics of sets: bootstrap weights, and estimates that can be re-weighted cheaply.

A metric of a set (a Fréchet distance, a kernel distance) is no mean over samples, so its bootstrap cannot average rows.
Each such metric is given here as a value and the influence of every sample on it, which makes the bootstrap one product of
matrices: weightings (how often each sample was drawn) times influences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmud.evaluators.generation.features import Matrix
from mmud.evaluators.statistics.bootstrap import draw

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LinearisedEstimate:
    """An estimate whose replicates follow the first-order expansion (infinitesimal jackknife; Jaeckel 1972, Efron 1982).

    ``value + sum_i p_i influence_i``, with p the weights scaled to sum 1. For a metric that is biased by sample size this
    is better than computing it on the drawn samples: those hold only 63 % distinct ones, so each replicate has the bias of
    a smaller set, and the interval misses the estimate altogether.

    Attributes:
        value: The figure.
        influence_a: What each sample of A contributes, shape (samples of A,), mean 0.
        influence_b: The same for B; None for a metric of one set.
        lower_bound: The least value the metric can have; replicates are cut off there.
    """

    value: float
    influence_a: Vector
    influence_b: Vector | None = None
    lower_bound: float | None = None

    def replicates(self, weights_a: Matrix, weights_b: Matrix) -> Vector:
        """The figure under each weighting.

        Args:
            weights_a: How often each sample of A was drawn, shape (replicates, samples of A).
            weights_b: The same for B.

        Returns:
            Shape (replicates,).
        """
        values = self.value + _weighted_mean(weights_a, self.influence_a)
        if self.influence_b is not None:
            values += _weighted_mean(weights_b, self.influence_b)
        return values if self.lower_bound is None else np.maximum(values, self.lower_bound)


def _weighted_mean(weights: Matrix, values: Vector) -> Vector:
    result: Vector = weights @ values / weights.sum(axis=1)
    return result


def unsorted(values: Vector, order: NDArray[np.intp]) -> Vector:
    """Values of sorted rows, put back where the rows came from: ``unsorted(x[order], order)`` is ``x``."""
    result = np.empty_like(values)
    result[order] = values
    return result


def draw_weights(groups: Sequence[object] | NDArray[np.generic], replicates: int, seed: int | Sequence[int]) -> Matrix:
    """Bootstrap weights: whole groups are drawn with replacement, as many as there are.

    Args:
        groups: The cluster of each sample (such as its image); samples of one cluster are drawn together. Clusters are
            ranked by value, so the same samples in another order get the same weights.
        replicates: How many weightings.
        seed: Of numpy's PCG64.

    Returns:
        Shape (replicates, samples), whole numbers as float64.
    """
    _, member = np.unique(np.asarray(groups), return_inverse=True)
    return draw(np.random.default_rng(seed), replicates, int(member.max()) + 1)[:, member]
