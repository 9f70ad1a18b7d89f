"""Paired comparison: the permutation test against scipy's, exact values, and Holm's correction against a known example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from scipy import stats

from mmud.evaluators.statistics.bootstrap import Resampler
from mmud.evaluators.statistics.paired import PairedResult, compare, holm
from mmud.evaluators.statistics.sums import GroupSums, group_sums


def mean(sums: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {"mean": sums["value"] / sums["n"]}


def ratio(sums: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {"ratio": sums["value"] / sums["n"]}


def sums_of(values: np.ndarray, n: np.ndarray | None = None) -> GroupSums:
    count = len(values)
    columns = {"value": values, "n": np.ones(count) if n is None else n}
    return group_sums(columns, np.arange(count), count)


def run(a: np.ndarray, b: np.ndarray, permutations: int = 10_000) -> PairedResult:
    values = ({"mean": float(a.mean())}, {"mean": float(b.mean())})
    return compare(sums_of(a), sums_of(b), mean, values, Resampler(500), permutations)["mean"]


def test_identical_systems_give_p_one_and_a_zero_interval() -> None:
    values = np.random.default_rng(0).random(200)
    found = run(values, values)
    assert found.p == 1.0
    assert (found.difference, found.low, found.high) == (0.0, 0.0, 0.0)


def test_small_samples_try_every_swap_as_scipy_does() -> None:
    generator = np.random.default_rng(1)
    a = generator.random(10)
    b = a + generator.normal(0.1, 0.2, 10)
    found = run(a, b)
    expected = stats.permutation_test(
        (b, a),
        lambda x, y, axis: (x - y).mean(axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    )
    assert found.exact
    assert found.permutations == 2**10
    assert found.p == pytest.approx(float(expected.pvalue))


def test_many_samples_agree_with_scipy_within_noise() -> None:
    generator = np.random.default_rng(2)
    a = generator.random(100)
    b = a + generator.normal(0.02, 0.1, 100)
    found = run(a, b, permutations=20_000)
    expected = stats.permutation_test(
        (b, a),
        lambda x, y, axis: (x - y).mean(axis=axis),
        permutation_type="samples",
        n_resamples=20_000,
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    assert not found.exact
    assert found.p == pytest.approx(float(expected.pvalue), abs=0.02)


def test_p_values_are_uniform_when_nothing_differs() -> None:
    """Under the null, a level-0.05 test rejects about 5 % of the time; 400 trials, so 0.05 plus or minus 0.03."""
    generator = np.random.default_rng(3)
    rejected = 0
    for _ in range(400):
        shared = generator.random(40)
        found = run(shared + generator.normal(0, 0.1, 40), shared + generator.normal(0, 0.1, 40), permutations=400)
        assert found.p is not None
        rejected += found.p < 0.05
    assert 0.02 <= rejected / 400 <= 0.08


def test_a_pooled_ratio_swaps_whole_images() -> None:
    """cIoU is no mean of differences: the test must swap numerators and denominators together. Checked by trying all swaps."""
    generator = np.random.default_rng(4)
    a, b = generator.random(8), generator.random(8)
    na, nb = generator.random(8) + 1, generator.random(8) + 1
    seen = b.sum() / nb.sum() - a.sum() / na.sum()
    extreme = 0
    for bits in range(2**8):
        swap = np.array([(bits >> position) & 1 for position in range(8)], dtype=bool)
        x, nx = np.where(swap, b, a), np.where(swap, nb, na)
        y, ny = np.where(swap, a, b), np.where(swap, na, nb)
        extreme += abs(y.sum() / ny.sum() - x.sum() / nx.sum()) >= abs(seen) - 1e-12
    values = ({"ratio": float(a.sum() / na.sum())}, {"ratio": float(b.sum() / nb.sum())})
    found = compare(sums_of(a, na), sums_of(b, nb), ratio, values, Resampler(100))["ratio"]
    assert found.p == pytest.approx(extreme / 2**8)


def test_the_interval_of_the_difference_is_paired() -> None:
    """Two systems that move together differ by a sure amount, though each of them is unsure."""
    generator = np.random.default_rng(5)
    a = generator.random(300)
    found = run(a, a + 0.05)
    assert found.low == pytest.approx(0.05)
    assert found.high == pytest.approx(0.05)


def test_holm_against_a_worked_example() -> None:
    """Holm (1979): four p-values in the order 0.005, 0.01, 0.03, 0.04 become 0.02, 0.03, 0.06, 0.06."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, None, 0.9]) == [1.0, None, 1.0]
    assert holm([]) == []
