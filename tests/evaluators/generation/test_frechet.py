"""The Fréchet distance against SciPy's matrix root, torchmetrics, torch-fidelity's formula, and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from mmud.errors import MmudError
from mmud.evaluators.generation import frechet as frechet_module
from mmud.evaluators.generation.frechet import FeatureStatistics, frechet_distance, frechet_estimate, nuclear_norm

Array = NDArray[np.float64]

# (samples of A, samples of B, dimension): both below the dimension, both above, one of each, exactly at it
SHAPES = [(40, 40, 96), (30, 55, 96), (300, 300, 48), (40, 300, 96), (96, 97, 96), (2, 2, 16), (2, 200, 16)]


def by_sqrtm(a: Array, b: Array) -> float:
    """clean-fid's and pytorch-fid's way: a root of the product of covariances by scipy.linalg.sqrtm."""
    from scipy.linalg import sqrtm

    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    difference = a.mean(0) - b.mean(0)
    root = sqrtm(first @ second)
    return float(difference @ difference + np.trace(first) + np.trace(second) - 2 * np.trace(root).real)


def by_eigenvalues(a: Array, b: Array) -> float:
    """torch-fidelity's formula: the roots of the product's eigenvalues, real parts, summed."""
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    difference = a.mean(0) - b.mean(0)
    roots = np.sqrt(np.linalg.eigvals(first @ second).astype(np.complex128)).real
    return float(difference @ difference + np.trace(first) + np.trace(second) - 2 * roots.sum())


@pytest.mark.parametrize(("count_a", "count_b", "dimension"), SHAPES)
def test_equals_torch_fidelity_formula(network_features, count_a, count_b, dimension):
    a, b = network_features(count_a, dimension, 1), network_features(count_b, dimension, 2, shift=0.1)
    expected = by_eigenvalues(a.astype(np.float64), b.astype(np.float64))
    assert frechet_distance(a, b) == pytest.approx(expected, abs=1e-6, rel=1e-7)


def test_peers_add_the_noise_of_directions_without_variance(network_features):
    """Below the dimension the product of covariances has null eigenvalues, which peers' eigensolvers return as +-1e-13 or so.

    The roots of the positive ones add up; without them torch-fidelity's formula gives the same nine digits.
    """
    a, b = network_features(150, 512, 1).astype(float), network_features(150, 512, 2, shift=0.1).astype(float)
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    difference = a.mean(0) - b.mean(0)
    rest = difference @ difference + np.trace(first) + np.trace(second)
    eigenvalues = np.sort(np.linalg.eigvals(first @ second).real)[::-1]
    ours = frechet_distance(a, b)
    assert ours == pytest.approx(rest - 2 * np.sqrt(eigenvalues[:149]).sum(), abs=1e-8)
    noisy = rest - 2 * np.sqrt(np.maximum(eigenvalues, 0)).sum()
    assert 1e-8 < ours - noisy < 1e-5


@pytest.mark.parametrize(("count_a", "count_b", "dimension"), [(300, 300, 48), (97, 120, 48)])
def test_equals_scipy_root_where_covariances_are_regular(network_features, count_a, count_b, dimension):
    a, b = network_features(count_a, dimension, 3), network_features(count_b, dimension, 4, shift=0.1)
    expected = by_sqrtm(a.astype(np.float64), b.astype(np.float64))
    assert frechet_distance(a, b) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("count_a", "count_b", "dimension"), [(40, 60, 96), (300, 250, 48)])
def test_equals_torchmetrics_with_a_custom_module(network_features, count_a, count_b, dimension):
    torch = pytest.importorskip("torch")
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Flatten(torch.nn.Module):
        num_features = dimension

        def forward(self, images):
            return images.flatten(1)

    metric = FrechetInceptionDistance(feature=Flatten(), normalize=True).set_dtype(torch.float64)
    a, b = network_features(count_a, dimension, 5), network_features(count_b, dimension, 6, shift=0.1)
    metric.update(torch.from_numpy(a).double()[:, :, None, None], real=False)
    metric.update(torch.from_numpy(b).double()[:, :, None, None], real=True)
    assert frechet_distance(a, b) == pytest.approx(float(metric.compute()), abs=1e-6)


def test_closed_form_of_uncorrelated_gaussians():
    """With diagonal covariances the distance is sum (m - n)^2 + sum (s - t)^2; here covariances are exact by design."""
    signs = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=float)  # orthogonal, mean 0
    s, t, shift = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 0.5]), np.array([0.0, 1.0, -2.0])
    expected = (shift**2).sum() + ((s - t) ** 2).sum() * 4 / 3  # the divisor n - 1
    assert frechet_distance(signs * s, signs * t + shift) == pytest.approx(expected, abs=1e-12)


def test_one_dimension():
    a, b = np.array([[0.0], [2.0]]), np.array([[5.0], [9.0], [13.0]])
    expected = 8.0**2 + (np.sqrt(2.0) - 4.0) ** 2
    assert frechet_distance(a, b) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("rank", [0, 1, 20])
@pytest.mark.parametrize("count", [40, 400])
def test_features_of_low_rank(network_features, rank, count):
    """Dead dimensions, as after a ReLU: singular covariances above and below the dimension, down to rank 0."""
    a, b = network_features(count, 64, 7), network_features(count, 64, 8, shift=0.2)
    a[:, rank:], b[:, rank:] = 0.5, 0.0
    small = frechet_distance(a[:, :rank], b[:, :rank]) if rank else 0.0
    assert frechet_distance(a, b) == pytest.approx(small + 0.25 * (64 - rank), abs=1e-6)


def test_singular_covariance_of_repeated_dimensions(network_features):
    """A rank-deficient covariance that no zero row or column shows: eigh's path, against torch-fidelity's formula."""
    a, b = network_features(300, 24, 9), network_features(280, 24, 10, shift=0.1)
    wide_a, wide_b = np.hstack([a, a[:, ::-1]]).astype(float), np.hstack([b, b[:, ::-1]]).astype(float)
    assert frechet_distance(wide_a, wide_b) == pytest.approx(2 * frechet_distance(a, b), abs=1e-6)
    assert frechet_distance(wide_a, wide_b) == pytest.approx(by_eigenvalues(wide_a, wide_b), abs=1e-5)


def test_nuclear_norm_when_divide_and_conquer_fails(monkeypatch):
    """LAPACK's gesdd does fail on matrices of low rank; the plain QR iteration takes over."""
    matrix = np.random.default_rng(0).standard_normal((9, 5))
    expected = np.linalg.norm(matrix, "nuc")

    def fails(*args, **kwargs):
        raise np.linalg.LinAlgError("SVD did not converge")

    monkeypatch.setattr(frechet_module.np.linalg, "svd", fails)
    assert nuclear_norm(matrix) == pytest.approx(expected, rel=1e-12)


@settings(deadline=None, max_examples=60)
@given(
    a=arrays(np.float32, st.tuples(st.integers(2, 9), st.just(5)), elements=st.floats(-8, 8, width=32)),
    b=arrays(np.float32, st.tuples(st.integers(2, 9), st.just(5)), elements=st.floats(-8, 8, width=32)),
    shift=st.floats(-5, 5),
    scale=st.floats(0.1, 10),
    seed=st.integers(0, 2**16),
)
def test_laws(a, b, shift, scale, seed):
    """Zero on itself, symmetric, unmoved by a common shift or rotation, quadratic in scale, at least the means' part."""
    value = frechet_distance(a, b)
    size = 1 + float(np.square(a.astype(float)).sum() + np.square(b.astype(float)).sum())
    rotation = np.linalg.qr(np.random.default_rng(seed).standard_normal((5, 5)))[0]
    assert frechet_distance(a, a) <= 1e-12 * size
    assert frechet_distance(b, a) == pytest.approx(value, abs=1e-9 * size)
    assert frechet_distance(a + shift, b + shift) == pytest.approx(value, abs=1e-6 * (size + shift**2))
    assert frechet_distance(a @ rotation, b @ rotation) == pytest.approx(value, abs=1e-6 * size)
    assert frechet_distance(a.astype(float) * scale, b.astype(float) * scale) == pytest.approx(
        value * scale**2, abs=1e-6 * size * scale**2
    )
    means = a.mean(0, dtype=float) - b.mean(0, dtype=float)
    assert value >= means @ means - 1e-9 * size


@pytest.mark.parametrize(("count", "dimension"), [(60, 96), (300, 48), (2500, 32)])
def test_same_bits_in_any_order(network_features, count, dimension):
    a, b = network_features(count, dimension, 11), network_features(count + 7, dimension, 12)
    value = frechet_distance(a, b)
    for seed in range(3):
        random = np.random.default_rng(seed)
        assert frechet_distance(a[random.permutation(count)], b[random.permutation(count + 7)]) == value


@settings(deadline=None, max_examples=15)
@given(cuts=st.lists(st.integers(1, 2599), max_size=8), dimension=st.sampled_from([8, 1100]))
def test_same_bits_for_any_batches(network_features, cuts, dimension):
    rows = network_features(2600, dimension, 13)
    whole, batched = FeatureStatistics(dimension), FeatureStatistics(dimension)
    whole.update(rows)
    for part in np.split(rows, sorted(set(cuts))):
        batched.update(part)
    if dimension == 8:  # the factor of 1,100 dimensions takes a while
        assert np.array_equal(whole.moments().factor, batched.moments().factor)
        assert np.array_equal(whole.moments().mean, batched.moments().mean)
    assert whole.count == batched.count == 2600
    assert np.array_equal(whole._folded_scatter, batched._folded_scatter)


@pytest.mark.parametrize("counts", [(10, 20), (10, 2000), (2000, 10), (1500, 1600, 7), (1, 1, 1)])
def test_merged_shards_equal_the_whole(network_features, counts):
    parts = [network_features(count, 32, 20 + index) for index, count in enumerate(counts)]
    merged = FeatureStatistics(32)
    for part in parts:
        shard = FeatureStatistics(32)
        shard.update(part)
        merged.merge(shard)
    reference = network_features(100, 32, 30, shift=0.2)
    assert merged.count == sum(counts)
    whole = frechet_distance(np.concatenate(parts), reference)
    assert frechet_distance(merged, reference) == pytest.approx(whole, rel=1e-10, abs=1e-10)


def test_a_large_offset_does_not_cancel(network_features):
    """Sums of squares lose all digits of a variance of 1 around a mean of 1e8; centred scatters do not."""
    a, b = network_features(1400, 16, 40).astype(float), network_features(1500, 16, 41).astype(float)
    assert frechet_distance(a + 1e8, b + 1e8) == pytest.approx(frechet_distance(a, b), abs=1e-6)


@pytest.mark.parametrize(("count_a", "count_b", "dimension"), SHAPES)
def test_estimate_has_the_same_value_to_the_bit(network_features, count_a, count_b, dimension):
    a, b = network_features(count_a, dimension, 50), network_features(count_b, dimension, 51)
    assert frechet_estimate(a, b).value == frechet_distance(a, b)


@pytest.mark.parametrize(("count_a", "count_b", "dimension"), [(20, 24, 40), (120, 90, 12), (20, 90, 40)])
def test_influence_is_the_derivative_by_weight(network_features, count_a, count_b, dimension):
    """Give one sample more weight by repeating all others: the change of the distance is its influence over the total.

    With every sample repeated k times, one of them k + 1 times, the distribution moves by 1/(k n) towards that sample.
    The divisor n - 1 becomes k n - 1, which is undone by scaling.
    """
    a, b = network_features(count_a, dimension, 60), network_features(count_b, dimension, 61, shift=0.1)
    estimate = frechet_estimate(a, b)
    times = 400

    def weighted(rows: Array, weights: Array) -> Array:
        share = weights / weights.sum()
        centred = rows - share @ rows
        return np.sqrt(share * len(rows) / (len(rows) - 1))[:, None] * centred

    def distance(weights_a: Array, weights_b: Array) -> float:
        first, second = weighted(a, weights_a), weighted(b, weights_b)
        means = weights_a / weights_a.sum() @ a - weights_b / weights_b.sum() @ b
        roots = np.linalg.svd(first @ second.T, compute_uv=False).sum()
        return float(means @ means + (first**2).sum() + (second**2).sum() - 2 * roots)

    ones_a, ones_b = np.full(count_a, float(times)), np.full(count_b, float(times))
    base = distance(ones_a, ones_b)
    assert base == pytest.approx(estimate.value, abs=1e-9)
    for index in (0, 7, 19):
        more = ones_a.copy()
        more[index] += 1
        change = (distance(more, ones_b) - base) * more.sum()
        assert change == pytest.approx(estimate.influence_a[index], rel=0.02, abs=0.02 * np.std(estimate.influence_a))
        more = ones_b.copy()
        more[index] += 1
        change = (distance(ones_a, more) - base) * more.sum()
        assert change == pytest.approx(estimate.influence_b[index], rel=0.02, abs=0.02 * np.std(estimate.influence_b))


def test_influence_follows_the_rows(network_features):
    a, b = network_features(30, 50, 70), network_features(35, 50, 71)
    order = np.random.default_rng(0).permutation(30)
    assert np.array_equal(frechet_estimate(a[order], b).influence_a, frechet_estimate(a, b).influence_a[order])


@pytest.mark.parametrize(
    ("a", "b", "code"),
    [
        (np.zeros((1, 4)), np.zeros((5, 4)), "MM864"),
        (np.zeros((5, 4)), np.zeros((1, 4)), "MM864"),
        (np.zeros((5, 4)), np.zeros((5, 3)), "MM862"),
        (np.zeros((5, 0)), np.zeros((5, 0)), "MM860"),
        (np.zeros(5), np.zeros(5), "MM860"),
        (np.zeros((5, 4), complex), np.zeros((5, 4)), "MM860"),
        (np.array([["a", "b"]] * 3), np.zeros((5, 2)), "MM860"),
        ([[1.0, 2.0], [1.0]], np.zeros((5, 2)), "MM860"),
        (np.full((5, 4), np.nan), np.zeros((5, 4)), "MM861"),
        (np.full((5, 4), 1e200), np.zeros((5, 4)), "MM861"),
    ],
)
def test_refusals(a, b, code):
    with pytest.raises(MmudError) as caught:
        frechet_distance(a, b)
    assert caught.value.code.id == code
    with pytest.raises(MmudError) as caught:
        frechet_estimate(a, b)
    assert caught.value.code.id == code


def test_statistics_refuse_other_dimensions():
    statistics = FeatureStatistics(4)
    with pytest.raises(MmudError, match="3 dimensions"):
        statistics.update(np.zeros((2, 3)))
    with pytest.raises(MmudError, match="merge 3"):
        statistics.merge(FeatureStatistics(3))
    with pytest.raises(MmudError, match="0 samples"):
        statistics.moments()
