"""Bootstrap weights, and intervals of metrics of sets: by simulation, and against computing them on drawn samples."""

from __future__ import annotations

import numpy as np
import pytest

from mmud.evaluators.generation.cmmd import cmmd_estimate
from mmud.evaluators.generation.frechet import frechet_distance, frechet_estimate
from mmud.evaluators.generation.kid import kid_estimate
from mmud.evaluators.generation.resampling import LinearisedEstimate, draw_weights
from mmud.evaluators.statistics.bootstrap import interval


def test_weights_are_whole_draws():
    weights = draw_weights(np.arange(50), 2000, 0)
    assert weights.shape == (2000, 50)
    assert np.array_equal(weights, np.round(weights))
    assert (weights.sum(1) == 50).all()
    assert weights.mean() == pytest.approx(1)
    assert weights.var() == pytest.approx(1 - 1 / 50, abs=0.03)  # of a multinomial count
    assert np.array_equal(weights, draw_weights(np.arange(50), 2000, 0))
    assert not np.array_equal(weights, draw_weights(np.arange(50), 2000, 1))


def test_clusters_are_drawn_whole_and_by_value():
    groups = np.array(["b", "a", "b", "c"])
    weights = draw_weights(groups, 100, 0)
    assert np.array_equal(weights[:, 0], weights[:, 2])
    assert np.array_equal(weights[:, [0, 1, 3]].sum(1), np.full(100, 3))
    order = [3, 2, 1, 0]
    assert np.array_equal(draw_weights(groups[order], 100, 0), weights[:, order])


def test_linearised_replicates():
    estimate = LinearisedEstimate(1.0, np.array([1.0, -1.0]), np.array([4.0, -4.0]), lower_bound=0.0)
    weights_a, weights_b = np.array([[1.0, 1], [2, 0], [0, 4]]), np.array([[1.0, 1], [2, 0], [0, 2]])
    assert estimate.replicates(weights_a, weights_b).tolist() == [1.0, 6.0, 0.0]


def spread(values) -> float:
    low, high = np.quantile(values, [0.16, 0.84])
    return float(high - low) / 2


def test_linearised_frechet_has_the_spread_of_drawn_samples_without_their_bias(network_features):
    """Against the distance computed on 300 drawn sets: the same spread (within a third), and centred on the estimate.

    Drawn sets hold 63 % of the samples, so they have the bias of smaller sets: all of them lie above the estimate.
    """
    a, b = network_features(150, 64, 1), network_features(150, 64, 2, shift=0.15)
    estimate = frechet_estimate(a, b)
    weights = draw_weights(np.arange(150), 300, 0)
    linear = estimate.replicates(weights, weights)
    drawn = [frechet_distance(*(np.repeat(rows, row.astype(int), axis=0) for rows in (a, b))) for row in weights]
    assert linear.mean() == pytest.approx(estimate.value, abs=4 * linear.std() / np.sqrt(300))
    assert spread(linear) == pytest.approx(spread(drawn), rel=0.35)
    assert min(drawn) > estimate.value


@pytest.mark.parametrize(
    ("count", "dimension", "shift", "paired"),
    [(200, 12, 0.15, False), (200, 12, 0.15, True), (60, 96, 0.15, False), (60, 96, 0.15, True)],
)
def test_coverage_of_the_frechet_interval(count, dimension, shift, paired):
    """300 simulated experiments: the interval holds the mean of the distance at this n in at least 92 of 100.

    Above the dimension it is close to 95; below it is too wide rather than too narrow.
    """
    random = np.random.default_rng(0)
    rotation = np.linalg.qr(random.standard_normal((dimension, dimension)))[0]
    scales = np.exp(-np.arange(dimension) / (dimension / 4))
    values, intervals = [], []
    for _ in range(300):
        first, second = random.standard_normal((2, count, dimension))
        second = 0.7 * first + 0.7 * second if paired else second
        a = np.maximum(first * scales @ rotation + 0.2, 0)
        b = np.maximum(1.2 * second * scales @ rotation + 0.2 + shift, 0)
        estimate = frechet_estimate(a, b)
        weights_a = draw_weights(np.arange(count), 400, (7, 1))
        weights_b = weights_a if paired else draw_weights(np.arange(count), 400, (7, 2))
        values.append(estimate.value)
        intervals.append(interval(estimate.replicates(weights_a, weights_b), count))
    low, high = np.array(intervals).T
    covered = ((low <= np.mean(values)) & (np.mean(values) <= high)).mean()
    assert 0.92 <= covered <= 1.0
    if count > dimension:
        assert covered <= 0.99


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize(("estimate", "shift"), [(kid_estimate, 0.4), (kid_estimate, 0.1), (cmmd_estimate, 0.4)])
def test_coverage_of_kernel_intervals(estimate, shift, paired):
    """300 simulated experiments: the interval holds the mean of all figures in at least 90 of 100.

    Where both sets come from nearly one distribution the statistic degenerates and the interval is too wide.
    """
    random = np.random.default_rng(1)
    values, intervals = [], []
    weights_a = draw_weights(np.arange(150), 400, (7, 1))
    weights_b = weights_a if paired else draw_weights(np.arange(150), 400, (7, 2))
    for _ in range(300):
        a, b = random.standard_normal((2, 150, 20))
        b = 0.7 * a + 0.7 * b if paired else b
        figure = estimate(a, b + shift)
        values.append(figure.value)
        intervals.append(interval(figure.replicates(weights_a, weights_b), 150))
    low, high = np.array(intervals).T
    covered = ((low <= np.mean(values)) & (np.mean(values) <= high)).mean()
    assert covered >= 0.90
    if shift >= 0.4:
        assert covered <= 0.98
