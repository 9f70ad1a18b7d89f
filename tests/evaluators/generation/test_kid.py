"""The kernel distance against torchmetrics, clean-fid's and torch-fidelity's formulas, and a plain double loop."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmud.errors import MmudError
from mmud.evaluators.generation import kid as kid_module
from mmud.evaluators.generation import mmd
from mmud.evaluators.generation.features import canonical_order
from mmud.evaluators.generation.kid import kid, kid_estimate, kid_of_subsets


def by_loops(a, b) -> float:
    def kernel(x, y):
        return (float(np.dot(x, y)) / len(x) + 1) ** 3

    within_a = np.mean([kernel(x, y) for x, y in itertools.permutations(a, 2)])
    within_b = np.mean([kernel(x, y) for x, y in itertools.permutations(b, 2)])
    return within_a + within_b - 2 * np.mean([kernel(x, y) for x in a for y in b])


def torch_fidelity(a, b, subsets: int, size: int, seed: int) -> tuple[float, float]:
    """torch-fidelity's loop: numpy's RandomState, first set drawn first, unbiased estimator, mean and deviation."""
    random = np.random.RandomState(seed)
    values = []
    for _ in range(subsets):
        x, y = a[random.choice(len(a), size, replace=False)], b[random.choice(len(b), size, replace=False)]
        xx, yy, xy = ((left @ right.T / a.shape[1] + 1) ** 3 for left, right in ((x, x), (y, y), (x, y)))
        within = (xx.sum() - np.trace(xx) + yy.sum() - np.trace(yy)) / (size * (size - 1))
        values.append(within - 2 * xy.sum() / size**2)
    return float(np.mean(values)), float(np.std(values))


def test_equals_plain_loops(network_features):
    a, b = network_features(23, 12, 1).astype(float), network_features(17, 12, 2, shift=0.3).astype(float)
    assert kid(a, b) == pytest.approx(by_loops(a, b), abs=1e-12)


def test_equals_torchmetrics_on_whole_sets(network_features):
    """One subset that holds everything is the full estimator."""
    torch = pytest.importorskip("torch")
    from torchmetrics.image.kid import poly_mmd

    a, b = network_features(60, 32, 3), network_features(60, 32, 4, shift=0.1)
    expected = float(poly_mmd(torch.from_numpy(a).double(), torch.from_numpy(b).double()))
    assert kid(a, b) == pytest.approx(expected, abs=1e-12)


def test_subsets_equal_torch_fidelity(network_features):
    a, b = network_features(80, 16, 5).astype(float), network_features(70, 16, 6, shift=0.1).astype(float)
    a, b = a[canonical_order(a)], b[canonical_order(b)]
    result = kid_of_subsets(a, b, subsets=20, size=30, seed=2020)
    mean, deviation = torch_fidelity(a, b, 20, 30, 2020)
    assert result.mean == pytest.approx(mean, abs=1e-13)
    assert result.deviation == pytest.approx(deviation, abs=1e-13)
    assert (result.subsets, result.size, result.seed) == (20, 30, 2020)


def test_subsets_have_the_same_expectation_as_the_whole(network_features):
    a, b = network_features(300, 16, 7), network_features(260, 16, 8, shift=0.2)
    result = kid_of_subsets(a, b, subsets=400, size=100)
    assert abs(result.mean - kid(a, b)) < 4 * result.deviation / np.sqrt(400)


def test_subset_size_is_the_smallest_of_both_sets_and_1000(network_features):
    assert kid_of_subsets(network_features(40, 8, 1), network_features(50, 8, 2), subsets=2).size == 40
    assert kid_of_subsets(network_features(1100, 8, 1), network_features(1200, 8, 2), subsets=2).size == 1000


def test_large_sets_draw_the_same_subsets(network_features, monkeypatch):
    """Above a size the kernel is computed for each subset, not once: the same figure."""
    a, b = network_features(60, 8, 1), network_features(50, 8, 2)
    once = kid_of_subsets(a, b, subsets=5, size=20)
    monkeypatch.setattr(kid_module, "_WHOLE_ROWS", 10)
    each = kid_of_subsets(a, b, subsets=5, size=20)
    assert each.mean == pytest.approx(once.mean, abs=1e-13)
    assert each.deviation == pytest.approx(once.deviation, abs=1e-13)


@settings(deadline=None, max_examples=50)
@given(
    a=arrays(np.float32, st.tuples(st.integers(2, 8), st.just(4)), elements=st.floats(-4, 4, width=32)),
    b=arrays(np.float32, st.tuples(st.integers(2, 8), st.just(4)), elements=st.floats(-4, 4, width=32)),
    seed=st.integers(0, 999),
    block=st.integers(1, 5),
)
def test_laws(a, b, seed, block):
    """Symmetric; the same bits in any order; the size of blocks only rounds."""
    value = kid(a, b)
    largest = float(max(np.abs(a).max(), np.abs(b).max()))
    size = (3 * largest**2 + 1) ** 3
    random = np.random.default_rng(seed)
    assert kid(b, a) == pytest.approx(value, abs=1e-12 * size)
    assert kid(a[random.permutation(len(a))], b[random.permutation(len(b))]) == value
    before = mmd._BLOCK_ROWS
    try:
        mmd._BLOCK_ROWS = block
        assert kid(a, b) == pytest.approx(value, abs=1e-12 * size)
    finally:
        mmd._BLOCK_ROWS = before


def test_influence_is_the_derivative_by_weight(network_features):
    """By a double loop over weighted pairs of different samples, one sample's weight raised a little."""
    a, b = network_features(9, 5, 1).astype(float), network_features(7, 5, 2, shift=0.2).astype(float)
    estimate = kid_estimate(a, b)

    def weighted(weights_a, weights_b):
        def mean(left, right, first, second, different):
            pairs = [
                (first[i] * second[j], (left[i] @ right[j] / 5 + 1) ** 3)
                for i, j in itertools.product(range(len(left)), range(len(right)))
                if not different or i != j
            ]
            weights, values = np.array(pairs).T
            return weights @ values / weights.sum()

        within = mean(a, a, weights_a, weights_a, True) + mean(b, b, weights_b, weights_b, True)
        return within - 2 * mean(a, b, weights_a, weights_b, False)

    base, step = weighted(np.ones(9), np.ones(7)), 1e-6
    assert base == pytest.approx(estimate.value, abs=1e-12)
    for index in range(9):
        more = np.ones(9)
        more[index] += step
        change = (weighted(more, np.ones(7)) - base) / step * 9
        assert change == pytest.approx(estimate.influence_a[index], rel=1e-3, abs=1e-4)
    for index in range(7):
        more = np.ones(7)
        more[index] += step
        change = (weighted(np.ones(9), more) - base) / step * 7
        assert change == pytest.approx(estimate.influence_b[index], rel=1e-3, abs=1e-4)


def test_influence_follows_the_rows(network_features):
    a, b = network_features(30, 8, 1), network_features(35, 8, 2)
    order = np.random.default_rng(0).permutation(30)
    assert np.array_equal(kid_estimate(a[order], b).influence_a, kid_estimate(a, b).influence_a[order])


@pytest.mark.parametrize(
    ("a", "b", "code"),
    [
        (np.zeros((1, 4)), np.zeros((5, 4)), "MM864"),
        (np.zeros((5, 4)), np.zeros((5, 3)), "MM862"),
        (np.full((5, 4), np.inf), np.zeros((5, 4)), "MM861"),
    ],
)
def test_refusals(a, b, code):
    with pytest.raises(MmudError) as caught:
        kid(a, b)
    assert caught.value.code.id == code


def test_subsets_that_cannot_be_drawn():
    rows = np.random.default_rng(0).random((10, 3))
    with pytest.raises(MmudError, match="11 cannot be drawn from 10"):
        kid_of_subsets(rows, rows, size=11)
    with pytest.raises(MmudError, match="0 subsets"):
        kid_of_subsets(rows, rows, subsets=0)
