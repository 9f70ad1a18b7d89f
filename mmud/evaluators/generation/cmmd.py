"""CMMD: maximum mean discrepancy of CLIP embeddings under a Gaussian kernel (Jayasumana et al. 2024, section 4).

    k(x, y) = exp(-|x - y|^2 / (2 sigma^2)),  sigma = 10;  the result is multiplied by 1000

Embeddings are scaled to length 1 first. The estimator is the published code's: biased, pairs of a sample with itself
included, so it is never negative and 0 for equal sets.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mmud.evaluators.generation.clip_scores import unit_rows
from mmud.evaluators.generation.features import Matrix
from mmud.evaluators.generation.mmd import discrepancy
from mmud.evaluators.generation.resampling import LinearisedEstimate

SIGMA = 10.0
SCALE = 1000.0


def gaussian_kernel(left: Matrix, right: Matrix) -> Matrix:
    """exp(-|x - y|^2 / (2 sigma^2)) for each pair of rows."""
    squares_left = np.einsum("ij,ij->i", left, left)
    squares_right = np.einsum("ij,ij->i", right, right)
    distances = squares_left[:, None] + squares_right[None, :] - 2 * (left @ right.T)
    kernel: Matrix = np.exp(np.clip(distances, 0.0, None) * (-0.5 / SIGMA**2))
    return kernel


def cmmd_estimate(a: Any, b: Any) -> LinearisedEstimate:
    """CMMD of two sets of CLIP embeddings, with each sample's influence for intervals.

    Args:
        a: Embeddings of shape (n, d), of any length; n >= 2.
        b: Embeddings of shape (m, d); m >= 2.

    Raises:
        MmudError: as ``discrepancy``; MM867 for an embedding of length zero.
    """
    return discrepancy(unit_rows(a, "A"), unit_rows(b, "B"), gaussian_kernel, unbiased=False, scale=SCALE)


def cmmd(a: Any, b: Any) -> float:
    """CMMD: 0 for equal sets, at most 2,000 times 1 - exp(-0.02).

    Raises:
        MmudError: as ``cmmd_estimate``.
    """
    return cmmd_estimate(a, b).value
