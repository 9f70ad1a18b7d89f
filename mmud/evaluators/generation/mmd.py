"""The maximum mean discrepancy between two sets of features under any kernel (Gretton et al. 2012, eq. 3 and 5).

Kernel sums run over blocks of rows, so memory does not grow with the square of the number of samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmud.errors import MmudError
from mmud.evaluators.generation import codes
from mmud.evaluators.generation.features import Matrix, as_feature_matrix, at_least, canonical_order, same_dimension
from mmud.evaluators.generation.resampling import Vector

Kernel = Callable[[Matrix, Matrix], Matrix]
"""Rows against rows: shapes (n, d) and (m, d) to (n, m)."""

_BLOCK_ROWS = 2048


@dataclass(frozen=True, slots=True)
class KernelEstimate:
    """A squared maximum mean discrepancy and its bootstrap.

    Unbiased: the mean of k over pairs of two different samples within A, plus the same within B, minus twice the mean over
    pairs across. Biased: pairs of a sample with itself count within the sets too.

    In a replicate, copies of one sample never pair with each other (nor, in a paired bootstrap, sample i of A with sample i
    of B more than once a draw). Otherwise the large k(x, x) would enter with the weight of the copies and shift every
    replicate upwards by about twice the mean of k(x, x) over n.

    Attributes:
        a, b: The features, shapes (n, d) and (m, d).
        kernel: The kernel.
        unbiased: Which estimator.
        scale: A factor on the result.
        paired: Whether row i of A and row i of B are drawn together.
    """

    a: Matrix
    b: Matrix
    kernel: Kernel
    unbiased: bool
    scale: float = 1.0
    paired: bool = False

    @property
    def value(self) -> float:
        """Bit-identical for the rows in any order.

        Raises:
            MmudError: MM878 when it is not finite.
        """
        a, b = self.a[canonical_order(self.a)], self.b[canonical_order(self.b)]
        within = self._within_mean(a) + self._within_mean(b)
        across = math.fsum(float(block.sum()) for _, block in self._blocks(a, b)) / (len(a) * len(b))
        value = self.scale * (within - 2 * across)
        if not math.isfinite(value):
            raise MmudError(codes.UNDEFINED, f"the kernel distance is {value}")
        return value

    def _within_mean(self, rows: Matrix) -> float:
        count = len(rows)
        sums = [(float(block.sum()), float(block.trace(part.start))) for part, block in self._blocks(rows, rows)]
        total, diagonal = (math.fsum(column) for column in zip(*sums, strict=True))
        return (total - diagonal) / (count * (count - 1)) if self.unbiased else total / count**2

    def _blocks(self, left: Matrix, right: Matrix) -> Iterator[tuple[slice, Matrix]]:
        for start in range(0, len(left), _BLOCK_ROWS):
            part = slice(start, min(start + _BLOCK_ROWS, len(left)))
            yield part, self.kernel(left[part], right)

    def replicates(self, weights_a: Matrix, weights_b: Matrix) -> Vector:
        """See ``SetEstimate``. One product of weights and kernel matrix for each of the three terms."""
        within_a = self._mean_over_pairs(self.a, self.a, weights_a)
        within_b = self._mean_over_pairs(self.b, self.b, weights_b)
        if self.paired:
            across = self._mean_over_pairs(self.a, self.b, weights_a, keep_diagonal=True)
        else:
            sums, _ = self._weighted_sums(self.a, self.b, weights_a, weights_b)
            across = sums / (weights_a.sum(axis=1) * weights_b.sum(axis=1))
        result: Vector = self.scale * (within_a + within_b - 2 * across)
        return result

    def _weighted_sums(
        self, left: Matrix, right: Matrix, weights_left: Matrix, weights_right: Matrix
    ) -> tuple[Vector, Vector]:
        """The sum over all pairs for each weighting, and the kernel's diagonal."""
        total = np.zeros(len(weights_left))
        diagonal = []
        columns = np.ascontiguousarray(weights_right.T)
        for part, block in self._blocks(left, right):
            total += np.einsum("ir,ri->r", block @ columns, weights_left[:, part])
            diagonal.append(block.diagonal(part.start))
        return total, np.concatenate(diagonal)

    def _mean_over_pairs(
        self, left: Matrix, right: Matrix, weights: Matrix, keep_diagonal: bool | None = None
    ) -> Vector:
        """For equal weights on both sides: over pairs i != j, plus, where kept, each pair i = i as often as i was drawn."""
        keep = not self.unbiased if keep_diagonal is None else keep_diagonal
        sums, diagonal = self._weighted_sums(left, right, weights, weights)
        squared = np.square(weights)
        total = sums - squared @ diagonal
        pairs = np.square(weights.sum(axis=1)) - squared.sum(axis=1)
        if keep:
            total += weights @ diagonal
            pairs += weights.sum(axis=1)
        # a replicate that drew one sample only has no pair, and no value
        result: Vector = np.divide(total, pairs, out=np.full_like(total, np.nan), where=pairs > 0)
        return result


def kernel_estimate(
    a: Any, b: Any, kernel: Kernel, unbiased: bool, scale: float = 1.0, paired: bool = False
) -> KernelEstimate:
    """Check two sets of features and set up their discrepancy.

    Raises:
        MmudError: MM860 or MM861 for values that are no features, MM862 for different dimensions, MM864 for fewer than two
            samples on a side, MM879 for paired sets of different size.
    """
    first, second = as_feature_matrix(a, "A"), as_feature_matrix(b, "B")
    same_dimension(first, second)
    at_least(len(first), 2, "A")
    at_least(len(second), 2, "B")
    if paired and len(first) != len(second):
        raise MmudError(codes.NOT_PAIRED, f"{len(first)} rows against {len(second)}")
    return KernelEstimate(first, second, kernel, unbiased, scale, paired)
