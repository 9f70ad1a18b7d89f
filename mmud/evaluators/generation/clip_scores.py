"""Scores of one sample at a time, from embeddings: CLIPScore, CLIP score, and the paper's error of the CLIP feature.

Each returns one row a sample; the figure of a set is the mean of its rows (``exact_mean``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mmud.errors import MmudError, Place
from mmud.evaluators.generation import codes
from mmud.evaluators.generation.features import Matrix, as_feature_matrix, same_dimension
from mmud.evaluators.generation.resampling import Vector

CLIPSCORE_WEIGHT = 2.5


def unit_rows(features: Any, name: str = "features") -> Matrix:
    """Each row divided by its length.

    Raises:
        MmudError: MM860 or MM861 for values that are no features, MM867 for a row of length zero.
    """
    matrix = as_feature_matrix(features, name)
    largest = np.abs(matrix).max(axis=1, keepdims=True)
    if not largest.all():
        row = int(np.argmin(largest)) + 1
        raise MmudError(codes.ZERO_FEATURE, f"{name} has a row of zeros", Place(row=row))
    scaled = matrix / largest  # so that the squares of very small or large entries stay in range
    unit: Matrix = scaled / np.sqrt(np.einsum("ij,ij->i", scaled, scaled))[:, None]
    return unit


def _paired_units(a: Any, b: Any, name_a: str, name_b: str) -> tuple[Matrix, Matrix]:
    first, second = unit_rows(a, name_a), unit_rows(b, name_b)
    if len(first) != len(second):
        raise MmudError(codes.NOT_PAIRED, f"{name_a} has {len(first)} rows and {name_b} has {len(second)}")
    same_dimension(first, second, name_a, name_b)
    return first, second


def cosines(a: Any, b: Any, name_a: str = "A", name_b: str = "B") -> Vector:
    """The cosine of row i of A with row i of B, shape (samples,), in [-1, 1].

    Raises:
        MmudError: MM860, MM861, MM862, MM867 as the checks of features; MM879 for different numbers of rows.
    """
    first, second = _paired_units(a, b, name_a, name_b)
    products: Vector = np.einsum("ij,ij->i", first, second)
    return np.clip(products, -1.0, 1.0)


def clip_score_rows(images: Any, texts: Any) -> Vector:
    """CLIPScore of each image and its caption: 2.5 max(cosine, 0) (Hessel et al. 2021, eq. 1); in [0, 2.5].

    Args:
        images: Image embeddings, shape (samples, d).
        texts: Text embeddings of the captions, by the paper's prompt "A photo depicts " before each; shape (samples, d).

    Raises:
        MmudError: as ``cosines``.
    """
    return CLIPSCORE_WEIGHT * np.clip(cosines(images, texts, "images", "texts"), 0.0, None)


def clip_similarity_rows(images: Any, texts: Any) -> Vector:
    """The plain CLIP score of each pair, 100 cosine, in [-100, 100]; torchmetrics' ``CLIPScore`` is the mean of these.

    Raises:
        MmudError: as ``cosines``.
    """
    return 100.0 * cosines(images, texts, "images", "texts")


def feature_error_rows(predicted: Any, reference: Any) -> Vector:
    """The mean absolute error of each normalised feature: the mean over dimensions of ``|p/|p| - r/|r||``.

    Neural tuning's official code averages this over all entries of a batch, then over batches; with batches of one size
    that is the mean of these rows.

    Returns:
        Shape (samples,), at least 0.

    Raises:
        MmudError: as ``cosines``.
    """
    first, second = _paired_units(predicted, reference, "predicted", "reference")
    rows: Vector = np.abs(first - second).mean(axis=1)
    return rows


def feature_cosine_rows(predicted: Any, reference: Any) -> Vector:
    """The cosine of each predicted feature with its reference, in [-1, 1].

    Raises:
        MmudError: as ``cosines``.
    """
    return cosines(predicted, reference, "predicted", "reference")
