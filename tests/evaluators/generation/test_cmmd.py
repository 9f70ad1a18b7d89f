"""CMMD against the published formula, written with scipy's distances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmud.errors import MmudError
from mmud.evaluators.generation.cmmd import cmmd, cmmd_estimate


def published(a, b) -> float:
    """1000 (mean k_xx + mean k_yy - 2 mean k_xy), all pairs, sigma 10, on embeddings of length 1."""
    from scipy.spatial.distance import cdist

    x, y = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (a.astype(float), b.astype(float)))
    xx, yy, xy = (np.exp(-cdist(left, right, "sqeuclidean") / 200) for left, right in ((x, x), (y, y), (x, y)))
    return float(1000 * (xx.mean() + yy.mean() - 2 * xy.mean()))


@pytest.mark.parametrize(("count_a", "count_b"), [(50, 50), (30, 70), (2, 3)])
def test_equals_the_published_formula(network_features, count_a, count_b):
    a, b = network_features(count_a, 32, 1), network_features(count_b, 32, 2, shift=0.4)
    assert cmmd(a, b) == pytest.approx(published(a, b), abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(
    a=arrays(np.float32, st.tuples(st.integers(2, 7), st.just(4)), elements=st.floats(0.125, 4, width=32)),
    b=arrays(np.float32, st.tuples(st.integers(2, 7), st.just(4)), elements=st.floats(0.125, 4, width=32)),
    scale=st.floats(0.01, 100),
    seed=st.integers(0, 99),
)
def test_laws(a, b, scale, seed):
    """Not negative, zero on itself, symmetric, blind to length and order, bounded by opposite points."""
    value = cmmd(a, b)
    order = np.random.default_rng(seed).permutation(len(a))
    assert 0 <= value <= 2000 * (1 - np.exp(-0.02)) + 1e-9
    assert cmmd(a, a) == pytest.approx(0, abs=1e-9)
    assert cmmd(b, a) == pytest.approx(value, abs=1e-9)
    assert cmmd(a.astype(float) * scale, b) == pytest.approx(value, abs=1e-9)
    assert cmmd(a[order], b) == value


def test_upper_bound_is_reached_by_opposite_points():
    a = np.array([[1.0, 0.0]] * 3)
    assert cmmd(a, -a) == pytest.approx(2000 * (1 - np.exp(-0.02)), abs=1e-9)


def test_influence_is_the_derivative_by_weight(network_features):
    """By weighted means over all pairs, one sample's weight raised a little."""
    from scipy.spatial.distance import cdist

    a, b = network_features(12, 6, 1), network_features(10, 6, 2, shift=0.3)
    estimate = cmmd_estimate(a, b)
    x, y = (rows / np.linalg.norm(rows.astype(float), axis=1, keepdims=True) for rows in (a, b))
    xx, yy, xy = (np.exp(-cdist(left, right, "sqeuclidean") / 200) for left, right in ((x, x), (y, y), (x, y)))

    def weighted(first, second):
        first, second = first / first.sum(), second / second.sum()
        return 1000 * (first @ xx @ first + second @ yy @ second - 2 * first @ xy @ second)

    step = 1e-6
    for index in range(10):
        more = np.ones(12)
        more[index] += step
        change = (weighted(more, np.ones(10)) - weighted(np.ones(12), np.ones(10))) / step * 12
        assert change == pytest.approx(estimate.influence_a[index], rel=1e-3, abs=1e-3)
        more = np.ones(10)
        more[index] += step
        change = (weighted(np.ones(12), more) - weighted(np.ones(12), np.ones(10))) / step * 10
        assert change == pytest.approx(estimate.influence_b[index], rel=1e-3, abs=1e-3)


def test_replicates_stay_within_the_bound(network_features):
    estimate = cmmd_estimate(network_features(20, 6, 1), network_features(20, 6, 2))
    assert (estimate.replicates(np.eye(20), np.eye(20)) >= 0).all()


def test_a_row_of_zeros_is_refused():
    with pytest.raises(MmudError) as caught:
        cmmd(np.array([[1.0, 2.0], [0.0, 0.0]]), np.ones((2, 2)))
    assert caught.value.code.id == "MM867"
    assert caught.value.where.row == 2
