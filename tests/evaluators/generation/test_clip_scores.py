"""Scores of one sample at a time, against torch's cosine, the official code's expression and torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmud.errors import MmudError
from mmud.evaluators.generation.clip_scores import (
    clip_score_rows,
    clip_similarity_rows,
    feature_cosine_rows,
    feature_error_rows,
    unit_rows,
)
from mmud.evaluators.generation.features import exact_mean


@pytest.fixture
def embeddings():
    random = np.random.default_rng(0)
    return random.standard_normal((30, 16)).astype(np.float32), random.standard_normal((30, 16)).astype(np.float32)


def test_cosine_equals_torch(embeddings):
    torch = pytest.importorskip("torch")
    a, b = (torch.from_numpy(rows).double() for rows in embeddings)
    expected = torch.nn.functional.cosine_similarity(a, b).numpy()
    assert feature_cosine_rows(*embeddings) == pytest.approx(expected, abs=1e-12)
    assert clip_similarity_rows(*embeddings) == pytest.approx(100 * expected, abs=1e-10)
    assert clip_score_rows(*embeddings) == pytest.approx(2.5 * np.maximum(expected, 0), abs=1e-12)


def test_clip_score_equals_the_published_expression(embeddings):
    """Hessel et al.'s code: rows over the root of their squares' sum, products clipped at 0, times 2.5."""
    images, texts = (rows.astype(float) for rows in embeddings)
    images = images / np.sqrt(np.sum(images**2, axis=1, keepdims=True))
    texts = texts / np.sqrt(np.sum(texts**2, axis=1, keepdims=True))
    expected = 2.5 * np.clip(np.sum(images * texts, axis=1), 0, None)
    assert clip_score_rows(*embeddings) == pytest.approx(expected, abs=1e-12)


def test_feature_error_equals_the_official_expression(embeddings):
    """The official solver: |p/|p| - r/|r|| over all entries of a batch, then over batches of one size."""
    torch = pytest.importorskip("torch")
    predicted, reference = (torch.from_numpy(rows).double() for rows in embeddings)
    batches = []
    for p, r in zip(predicted.split(10), reference.split(10), strict=True):
        p, r = p / p.norm(dim=-1, keepdim=True), r / r.norm(dim=-1, keepdim=True)
        batches.append(torch.abs(p - r).mean().item())
    assert exact_mean(feature_error_rows(*embeddings)) == pytest.approx(np.mean(batches), abs=1e-12)


@settings(deadline=None)
@given(
    rows=arrays(np.float64, st.tuples(st.integers(1, 6), st.just(3)), elements=st.floats(-1e3, 1e3)).filter(
        lambda rows: bool((np.abs(rows).max(axis=1) > 1e-3).all())
    ),
    scale=st.floats(1e-25, 1e25),
)
def test_laws(rows, scale):
    """A feature equals itself at any scale and is opposite to its negative; scores stay within their bounds."""
    assert feature_cosine_rows(rows, rows * scale) == pytest.approx(1, abs=1e-12)
    assert feature_error_rows(rows, rows * scale) == pytest.approx(0, abs=1e-12)
    assert feature_cosine_rows(rows, -rows) == pytest.approx(-1, abs=1e-12)
    assert clip_score_rows(rows, -rows) == pytest.approx(0, abs=1e-12)
    assert np.linalg.norm(unit_rows(rows), axis=1) == pytest.approx(1, abs=1e-12)


def test_refusals():
    with pytest.raises(MmudError, match="row of zeros") as caught:
        feature_cosine_rows(np.array([[1.0, 0], [0, 0]]), np.ones((2, 2)))
    assert (caught.value.code.id, caught.value.where.row) == ("MM867", 2)
    with pytest.raises(MmudError, match="images has 2 rows and texts has 3") as caught:
        clip_score_rows(np.ones((2, 2)), np.ones((3, 2)))
    assert caught.value.code.id == "MM879"
    with pytest.raises(MmudError) as caught:
        clip_score_rows(np.ones((2, 2)), np.ones((2, 3)))
    assert caught.value.code.id == "MM862"
