"""The maximum mean discrepancy between two sets of features under any kernel (Gretton et al. 2012, eq. 3 and 5).

Kernel sums run over blocks of rows, so memory does not grow with the square of the number of samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mmud.errors import MmudError
from mmud.evaluators.generation import codes
from mmud.evaluators.generation.features import Matrix, as_feature_matrix, at_least, canonical_order, same_dimension
from mmud.evaluators.generation.resampling import LinearisedEstimate, Vector, unsorted

Kernel = Callable[[Matrix, Matrix], Matrix]
"""Rows against rows: shapes (n, d) and (m, d) to (n, m)."""

_BLOCK_ROWS = 2048


def discrepancy(a: Any, b: Any, kernel: Kernel, unbiased: bool, scale: float = 1.0) -> LinearisedEstimate:
    """The squared maximum mean discrepancy, with each sample's influence for intervals.

    Unbiased: the mean of k over pairs of two different samples within A, plus the same within B, minus twice the mean over
    pairs across. Biased: pairs of a sample with itself count within the sets too. The influence of a sample of A is twice
    its mean k with A minus its mean k with B, less the mean of that over A (the Hájek projection of the U-statistic).

    Args:
        a: Features of shape (n, d); n >= 2.
        b: Features of shape (m, d); m >= 2.
        kernel: The kernel.
        unbiased: Which estimator.
        scale: A factor on the result.

    Returns:
        The value, bit-identical for rows in any order; influences in the order of the rows given.

    Raises:
        MmudError: MM860 or MM861 for values that are no features, MM862 for different dimensions, MM864 for fewer than two
            samples on a side, MM878 when the result is not finite.
    """
    first, second = as_feature_matrix(a, "A"), as_feature_matrix(b, "B")
    same_dimension(first, second)
    at_least(len(first), 2, "A")
    at_least(len(second), 2, "B")
    order_a, order_b = canonical_order(first), canonical_order(second)
    first, second = first[order_a], second[order_b]
    within_a, within_b = _means_within(first, kernel, unbiased), _means_within(second, kernel, unbiased)
    across_a, across_b = _means_across(first, second, kernel)
    value = scale * (_mean(within_a) + _mean(within_b) - 2 * _mean(across_a))
    if not math.isfinite(value):
        raise MmudError(codes.UNDEFINED, f"the kernel distance is {value}")
    floor = (
        None if unbiased else 0.0
    )  # the biased estimator is a squared length; rounding can leave equal sets at -1e-13
    value = value if floor is None else max(value, floor)
    influence_a, influence_b = (2 * scale * (within_a - across_a), 2 * scale * (within_b - across_b))
    return LinearisedEstimate(
        value,
        unsorted(influence_a - influence_a.mean(), order_a),
        unsorted(influence_b - influence_b.mean(), order_b),
        lower_bound=floor,
    )


def _mean(values: Vector) -> float:
    return math.fsum(values) / len(values)


def _blocks(left: Matrix, right: Matrix, kernel: Kernel) -> Iterator[tuple[slice, Matrix]]:
    for start in range(0, len(left), _BLOCK_ROWS):
        part = slice(start, min(start + _BLOCK_ROWS, len(left)))
        yield part, kernel(left[part], right)


def _means_within(rows: Matrix, kernel: Kernel, unbiased: bool) -> Vector:
    """Each sample's mean k with its own set: with the others only, or with itself too."""
    sums = np.empty(len(rows))
    for part, block in _blocks(rows, rows, kernel):
        sums[part] = block.sum(axis=1)
        if unbiased:
            sums[part] -= block.diagonal(part.start)
    means: Vector = sums / (len(rows) - 1 if unbiased else len(rows))
    return means


def _means_across(first: Matrix, second: Matrix, kernel: Kernel) -> tuple[Vector, Vector]:
    """Each sample's mean k with the other set, for both sets."""
    rows, columns = np.empty(len(first)), np.zeros(len(second))
    for part, block in _blocks(first, second, kernel):
        rows[part] = block.sum(axis=1)
        columns += block.sum(axis=0)
    return rows / len(second), columns / len(first)
