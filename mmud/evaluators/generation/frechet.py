"""The Fréchet distance between two sets of features (Heusel et al. 2017, eq. 6; Dowson and Landau 1982).

    |mean_a - mean_b|^2 + tr C_a + tr C_b - 2 tr (C_a C_b)^(1/2),    C with divisor n - 1

The last trace needs no matrix square root. Let F be any matrix with F^T F = C (the centred rows over sqrt(n - 1) are one).
Then C_a C_b has the non-zero eigenvalues of (F_a F_b^T)(F_a F_b^T)^T, so its root's trace is the sum of the singular values
(the nuclear norm) of F_a F_b^T. With n below the dimension that matrix is n_a x n_b and no matrix of dimension x dimension
is ever formed; above it, F is the Cholesky factor of C (or its eigen-decomposition where C is singular).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mmud.errors import MmudError
from mmud.evaluators.generation import codes
from mmud.evaluators.generation.features import Matrix, as_feature_matrix, at_least, canonical_order, same_dimension
from mmud.evaluators.generation.resampling import LinearisedEstimate, Vector, unsorted

_FOLD_ROWS = 1024


class FeatureStatistics:
    """Mean and scatter of a stream of features, in float64, mergeable across shards.

    Rows are kept as they are until there are more of them than dimensions, then folded into a mean and a centred scatter
    in blocks of a fixed size (Chan, Golub and LeVeque 1983, which does not cancel as sums of squares do). The blocks do
    not depend on how the rows were batched, so any batching of one order gives the same bits; another order, or another
    order of merging, agrees within rounding.
    """

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._block = max(dimension + 1, _FOLD_ROWS)
        self._pending: list[Matrix] = []
        self._pending_count = 0
        self._folded_count = 0
        self._folded_mean: Vector = np.zeros(dimension)
        self._folded_scatter: Matrix | None = None

    @classmethod
    def of(cls, features: Any, name: str = "features") -> FeatureStatistics:
        """The statistics of one matrix, its rows in canonical order."""
        matrix = as_feature_matrix(features, name)
        statistics = cls(matrix.shape[1])
        statistics.update(matrix[canonical_order(matrix)])
        return statistics

    @property
    def count(self) -> int:
        return self._folded_count + self._pending_count

    def update(self, features: Any) -> None:
        """Add a batch, shape (images, dimension).

        Raises:
            MmudError: MM860, MM861 for values that are no features, MM862 for another dimension.
        """
        matrix = as_feature_matrix(features, "the batch")
        if matrix.shape[1] != self.dimension:
            message = f"the batch has {matrix.shape[1]} dimensions, the statistics {self.dimension}"
            raise MmudError(codes.DIMENSION_MISMATCH, message)
        self._pending.append(matrix)
        self._pending_count += len(matrix)
        if self._pending_count >= self._block:
            rows = np.concatenate(self._pending)
            while len(rows) >= self._block:
                self._fold(*_moments(rows[: self._block]))
                rows = rows[self._block :]
            self._pending, self._pending_count = ([rows.copy()] if len(rows) else []), len(rows)

    def merge(self, other: FeatureStatistics) -> None:
        """Add the samples of another shard.

        Raises:
            MmudError: MM862 for another dimension.
        """
        if other.dimension != self.dimension:
            message = f"cannot merge {other.dimension} dimensions into {self.dimension}"
            raise MmudError(codes.DIMENSION_MISMATCH, message)
        if other._folded_scatter is not None:
            self._fold(other._folded_count, other._folded_mean, other._folded_scatter)
        for rows in other._pending:
            self.update(rows)

    def _fold(self, count: int, mean: Vector, scatter: Matrix) -> None:
        total = self._folded_count + count
        shift = mean - self._folded_mean
        weight = self._folded_count * count / total
        joined = scatter + weight * np.outer(shift, shift)
        self._folded_scatter = joined if self._folded_scatter is None else self._folded_scatter + joined
        self._folded_mean = self._folded_mean + shift * (count / total)
        self._folded_count = total

    def moments(self) -> Moments:
        """Mean, and a factor of the covariance.

        Raises:
            MmudError: MM864 for fewer than two samples.
        """
        at_least(self.count, 2, "the set")
        rows = np.concatenate(self._pending) if self._pending else np.empty((0, self.dimension))
        if self._folded_scatter is None and len(rows) <= self.dimension:
            mean = rows.mean(axis=0)
            return Moments(len(rows), mean, (rows - mean) / np.sqrt(len(rows) - 1), None)
        whole = FeatureStatistics(self.dimension)
        if self._folded_scatter is not None:
            whole._fold(self._folded_count, self._folded_mean, self._folded_scatter)
        if len(rows):
            whole._fold(*_moments(rows))
        assert whole._folded_scatter is not None
        factor, inverse = _factorise(whole._folded_scatter / (whole.count - 1))
        return Moments(whole.count, whole._folded_mean, factor, inverse)


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean and covariance of a set, the latter as a factor F with F^T F = C.

    Attributes:
        count: Samples.
        mean: Shape (dimension,).
        factor: Shape (rank, dimension); the centred rows over sqrt(count - 1) where ``inverse`` is None.
        inverse: Shape (dimension, rank): centred rows over sqrt(count - 1) times this are orthonormal columns.
    """

    count: int
    mean: Vector
    factor: Matrix
    inverse: Matrix | None

    @property
    def trace(self) -> float:
        return float(np.einsum("ij,ij->", self.factor, self.factor))


def _moments(rows: Matrix) -> tuple[int, Vector, Matrix]:
    mean = rows.mean(axis=0)
    centred = rows - mean
    return len(rows), mean, centred.T @ centred


def _factorise(covariance: Matrix) -> tuple[Matrix, Matrix]:
    """F and its right inverse, F^T F = C: Cholesky, or the eigen-decomposition where C is (nearly) singular."""
    from scipy.linalg import solve_triangular

    floor = len(covariance) * np.finfo(np.float64).eps
    try:
        upper = np.linalg.cholesky(covariance).T
    except np.linalg.LinAlgError:
        upper = None
    if upper is not None and np.square(np.diagonal(upper)).min() > floor * np.diagonal(covariance).max():
        identity = np.eye(len(covariance))
        return np.ascontiguousarray(upper), solve_triangular(upper, identity, check_finite=False)
    values, vectors = np.linalg.eigh(covariance)
    kept = values > floor * max(values[-1], 0.0)
    roots = np.sqrt(values[kept])
    basis = vectors[:, kept]
    return roots[:, None] * basis.T, basis / roots


def nuclear_norm(matrix: Matrix) -> float:
    """The sum of the singular values."""
    if 0 in matrix.shape:
        return 0.0
    try:
        values = np.linalg.svd(matrix, compute_uv=False)
    except np.linalg.LinAlgError:  # LAPACK's divide and conquer can fail on matrices of low rank; plain QR does not
        from scipy.linalg import svd

        values = svd(matrix, compute_uv=False, lapack_driver="gesvd", check_finite=False)
    return float(values.sum())


def distance_of_moments(a: Moments, b: Moments) -> float:
    """The squared Fréchet distance of two Gaussians with these moments.

    Raises:
        MmudError: MM878 when the features are so large that it is not finite.
    """
    return _distance(a, b, a.factor @ b.factor.T)


def _distance(a: Moments, b: Moments, cross: Matrix) -> float:
    difference = a.mean - b.mean
    value = float(difference @ difference) + a.trace + b.trace - 2 * nuclear_norm(cross)
    if not np.isfinite(value):
        raise MmudError(codes.UNDEFINED, f"the Fréchet distance is {value}")
    return max(value, 0.0)  # rounding can leave two equal sets at -1e-13


def _statistics(features: Any, name: str) -> FeatureStatistics:
    return features if isinstance(features, FeatureStatistics) else FeatureStatistics.of(features, name)


def frechet_distance(a: Any, b: Any) -> float:
    """The squared Fréchet distance between two sets of features.

    Called FID only where the features are those of the published Inception network.

    Args:
        a: A matrix of shape (images, dimensions), or ``FeatureStatistics``.
        b: The other set.

    Returns:
        The distance; 0 for equal sets, no upper bound. Bit-identical for the rows of a matrix in any order.

    Raises:
        MmudError: MM860 or MM861 for values that are no features, MM862 for different dimensions, MM864 for fewer than
            two samples on a side, MM878 when the result is not finite.
    """
    first, second = _statistics(a, "A"), _statistics(b, "B")
    if first.dimension != second.dimension:
        message = f"A has {first.dimension} dimensions and B has {second.dimension}"
        raise MmudError(codes.DIMENSION_MISMATCH, message)
    return distance_of_moments(first.moments(), second.moments())


def frechet_estimate(a: Any, b: Any) -> LinearisedEstimate:
    """The distance with each sample's influence, for intervals (see ``LinearisedEstimate``).

    The influence of sample x of A is the derivative of the distance as x gains weight:
    ``2 (mean_a - mean_b)(x - mean_a) + |x - mean_a|^2 n/(n-1) - tr C_a - (n u_x - N)``, where N is the nuclear norm and
    u_x the diagonal entry of U S U^T at x, for the singular value decomposition U S V^T of the cross-Gram matrix.

    Returns:
        ``value`` is ``frechet_distance(a, b)`` to the bit; influences are in the order of the rows given.

    Raises:
        MmudError: as ``frechet_distance``.
    """
    first, second = as_feature_matrix(a, "A"), as_feature_matrix(b, "B")
    same_dimension(first, second)
    first_order, second_order = canonical_order(first), canonical_order(second)
    first, second = first[first_order], second[second_order]
    moments_a, moments_b = FeatureStatistics.of(first).moments(), FeatureStatistics.of(second).moments()
    cross = moments_a.factor @ moments_b.factor.T
    squares, left = np.linalg.eigh(cross @ cross.T)
    singular = np.sqrt(np.clip(squares, 0.0, None))
    kept = singular > 1e-7 * singular.max()
    singular, left = singular[kept], left[:, kept]
    right = cross.T @ left / singular
    difference = moments_a.mean - moments_b.mean
    influence_a = _influence(first, moments_a, difference, left, singular)
    influence_b = _influence(second, moments_b, -difference, right, singular)
    return LinearisedEstimate(
        _distance(moments_a, moments_b, cross),
        unsorted(influence_a, first_order),
        unsorted(influence_b, second_order),
        lower_bound=0.0,
    )


def _influence(rows: Matrix, moments: Moments, difference: Vector, vectors: Matrix, singular: Vector) -> Vector:
    """Of each row of one set, in canonical order; ``vectors`` are the cross-Gram matrix's singular vectors on its side."""
    count = moments.count
    centred = rows - moments.mean
    scaled = centred / np.sqrt(count - 1)
    # without an inverse the factor is the rows themselves, so each row of the vectors belongs to a sample
    on_rows = vectors if moments.inverse is None else scaled @ (moments.inverse @ vectors)
    spread = count * np.einsum("ij,ij->i", scaled, scaled)
    overlap = count * (np.square(on_rows) @ singular)
    influence = 2 * centred @ difference + spread - overlap
    balanced: Vector = influence - influence.mean()
    return balanced
