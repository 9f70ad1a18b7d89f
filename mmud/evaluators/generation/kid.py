"""The kernel distance: maximum mean discrepancy under the cubic polynomial kernel (Binkowski et al. 2018, eq. 4).

    k(x, y) = (x . y / d + 1)^3

Two estimators. The default takes all samples once (``kid``): unbiased, no randomness, the least variance. The other is the
mean over random subsets (``kid_of_subsets``), as torch-fidelity and clean-fid report it: the same expectation, plus the
noise of the draw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmud import codes as general_codes
from mmud.errors import MmudError
from mmud.evaluators.generation import codes
from mmud.evaluators.generation.features import Matrix, as_feature_matrix, canonical_order, same_dimension
from mmud.evaluators.generation.mmd import discrepancy
from mmud.evaluators.generation.resampling import LinearisedEstimate

SUBSETS = 100
SUBSET_SIZE = 1000
SUBSET_SEED = 2020
"""torch-fidelity's default seed; the draws are numpy's frozen ``RandomState``, as there."""

_WHOLE_ROWS = 6000


def polynomial_kernel(left: Matrix, right: Matrix) -> Matrix:
    """(x . y / d + 1)^3 for each pair of rows."""
    base = left @ right.T
    base /= left.shape[1]
    base += 1.0
    cubed: Matrix = base * base * base
    return cubed


def kid_estimate(a: Any, b: Any) -> LinearisedEstimate:
    """The full unbiased estimator, with each sample's influence for intervals.

    Args:
        a: Features of shape (n, d); n >= 2.
        b: Features of shape (m, d); m >= 2.

    Raises:
        MmudError: as ``discrepancy``.
    """
    return discrepancy(a, b, polynomial_kernel, unbiased=True)


def kid(a: Any, b: Any) -> float:
    """The unbiased kernel distance over all samples; may be slightly below 0 for sets of one distribution.

    Raises:
        MmudError: as ``discrepancy``.
    """
    return kid_estimate(a, b).value


@dataclass(frozen=True, slots=True)
class SubsetKid:
    """Mean and standard deviation over random subsets, and how they were drawn."""

    mean: float
    deviation: float
    subsets: int
    size: int
    seed: int


def kid_of_subsets(
    a: Any, b: Any, subsets: int = SUBSETS, size: int | None = None, seed: int = SUBSET_SEED
) -> SubsetKid:
    """The kernel distance as the mean of the unbiased estimator over random subsets of both sets.

    Rows are put in canonical order first, so the draw does not depend on the order they came in. For rows in that order the
    result equals torch-fidelity's at the same seed.

    Args:
        subsets: How many subsets are drawn, each without replacement.
        size: Samples in a subset; the least of n, m and 1,000 when left out (clean-fid's rule).
        seed: Of numpy's ``RandomState``.

    Raises:
        MmudError: MM860 or MM861 for values that are no features, MM862 for different dimensions, MM864 when ``size`` is
            more than a set holds, MM001 for a number of subsets or a size that make no draw.
    """
    first, second = as_feature_matrix(a, "A"), as_feature_matrix(b, "B")
    same_dimension(first, second)
    first, second = first[canonical_order(first)], second[canonical_order(second)]
    chosen = min(len(first), len(second), SUBSET_SIZE) if size is None else size
    _check_subsets(subsets, chosen, len(first), len(second))
    parts_of = _kernel_parts(first, second)
    random = np.random.RandomState(seed)
    values = np.empty(subsets)
    for index in range(subsets):
        rows_a = random.choice(len(first), chosen, replace=False)
        rows_b = random.choice(len(second), chosen, replace=False)
        part_a, part_b, across = parts_of(rows_a, rows_b)
        within = part_a.sum() - part_a.trace() + part_b.sum() - part_b.trace()
        values[index] = within / (chosen * (chosen - 1)) - 2 * across.mean()
    return SubsetKid(float(values.mean()), float(values.std()), subsets, chosen, seed)


def _kernel_parts(
    first: Matrix, second: Matrix
) -> Callable[[NDArray[np.intp], NDArray[np.intp]], tuple[Matrix, Matrix, Matrix]]:
    """The three kernel matrices of a subset: read from whole ones where those fit, else computed for each subset."""
    if max(len(first), len(second)) > _WHOLE_ROWS:
        return lambda rows_a, rows_b: (
            polynomial_kernel(first[rows_a], first[rows_a]),
            polynomial_kernel(second[rows_b], second[rows_b]),
            polynomial_kernel(first[rows_a], second[rows_b]),
        )
    within_a, within_b = polynomial_kernel(first, first), polynomial_kernel(second, second)
    across = polynomial_kernel(first, second)
    return lambda rows_a, rows_b: (
        within_a[np.ix_(rows_a, rows_a)],
        within_b[np.ix_(rows_b, rows_b)],
        across[np.ix_(rows_a, rows_b)],
    )


def _check_subsets(subsets: int, size: int, count_a: int, count_b: int) -> None:
    if subsets < 1 or size < 2:
        raise MmudError(general_codes.USAGE, f"{subsets} subsets of {size} samples cannot be drawn")
    if size > min(count_a, count_b):
        raise MmudError(
            codes.TOO_FEW_SAMPLES, f"a subset of {size} cannot be drawn from {min(count_a, count_b)} samples"
        )
