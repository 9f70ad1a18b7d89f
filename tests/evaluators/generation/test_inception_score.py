"""The Inception Score against torchmetrics, torch-fidelity's formula, and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmud.errors import MmudError
from mmud.evaluators.generation.features import canonical_order
from mmud.evaluators.generation.inception_score import inception_score, probabilities_of


def torch_fidelity(logits, splits: int, seed: int) -> tuple[float, float]:
    """torch-fidelity's way, on scipy's softmax: shuffle by RandomState, equal parts, mean and deviation of exp mean KL."""
    from scipy.special import log_softmax, softmax

    logits = logits[np.random.RandomState(seed).permutation(len(logits))].astype(float)
    values = []
    for part in range(splits):
        rows = logits[part * len(logits) // splits : (part + 1) * len(logits) // splits]
        p = softmax(rows, axis=1)
        divergence = p * (log_softmax(rows, axis=1) - np.log(p.mean(0, keepdims=True)))
        values.append(np.exp(divergence.sum(1).mean()))
    return float(np.mean(values)), float(np.std(values))


@pytest.mark.parametrize(("count", "splits"), [(100, 10), (103, 10), (50, 1), (7, 7)])
def test_equals_torch_fidelity(count, splits):
    logits = np.random.default_rng(0).standard_normal((count, 20)) * 3
    probabilities = probabilities_of(logits)
    order = canonical_order(probabilities)
    result = inception_score(probabilities, splits=splits)
    mean, deviation = torch_fidelity(logits[order], splits, 2020)
    assert result.mean == pytest.approx(mean, abs=1e-10)
    assert result.deviation == pytest.approx(deviation, abs=1e-10)


@pytest.mark.filterwarnings("ignore:Metric `InceptionScore`")
def test_equals_torchmetrics_in_one_split():
    """torchmetrics shuffles by torch's generator, so only one split is comparable."""
    torch = pytest.importorskip("torch")
    from torchmetrics.image.inception import InceptionScore

    logits = np.random.default_rng(1).standard_normal((60, 12)) * 2
    metric = InceptionScore(feature=torch.nn.Identity(), splits=1)
    metric.update(torch.from_numpy(logits))
    with pytest.warns(UserWarning, match="std"):
        expected = float(metric.compute()[0])
    assert inception_score(probabilities_of(logits), splits=1).mean == pytest.approx(expected, abs=1e-9)


def test_certain_and_balanced_classes_score_their_number():
    assert inception_score(np.eye(8), splits=1).mean == pytest.approx(8, abs=1e-12)


def test_equal_rows_score_one():
    assert inception_score(np.tile([0.2, 0.3, 0.5], (20, 1)), splits=4).mean == pytest.approx(1, abs=1e-12)


@settings(deadline=None, max_examples=60)
@given(
    logits=arrays(np.float64, st.tuples(st.integers(4, 12), st.just(5)), elements=st.floats(-30, 30)),
    splits=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_laws(logits, splits, seed):
    """Between 1 and the number of classes; the same bits in any order."""
    rows = probabilities_of(logits)
    value = inception_score(rows, splits=splits).mean
    order = np.random.default_rng(seed).permutation(len(rows))
    assert 1 - 1e-12 <= value <= 5 + 1e-12
    assert inception_score(rows[order], splits=splits).mean == value


@pytest.mark.parametrize("splits", [1, 3])
def test_influence_is_the_derivative_by_weight(splits):
    """One image's weight raised a little; 40 images in three splits of 13, 13 and 14."""
    rows = probabilities_of(np.random.default_rng(2).standard_normal((40, 6)) * 2)
    estimate = inception_score(rows, splits=splits).estimate
    order = canonical_order(rows)[np.random.RandomState(2020).permutation(40)]
    parts = [order[index * 40 // splits : (index + 1) * 40 // splits] for index in range(splits)]

    def score(weights):
        scores = []
        for part in parts:
            share = weights[part] / weights[part].sum()
            marginal = share @ rows[part]
            scores.append(np.exp(share @ (rows[part] * np.log(rows[part] / marginal)).sum(1)))
        return np.mean(scores)

    assert score(np.ones(40)) == pytest.approx(estimate.value, abs=1e-12)
    for index in range(40):
        weights = np.ones(40)
        weights[index] += 1e-6
        change = (score(weights) - score(np.ones(40))) / 1e-6 * 40
        assert change == pytest.approx(estimate.influence_a[index], rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(
    ("rows", "splits", "code"),
    [
        (np.array([[0.5, 0.4], [0.5, 0.5]]), 1, "MM875"),
        (np.array([[1.5, -0.5], [0.5, 0.5]]), 1, "MM875"),
        (np.array([[0.5, 0.5], [0.5, 0.5]]), 3, "MM864"),
        (np.array([[0.5, 0.5], [0.5, 0.5]]), 0, "MM864"),
        (np.array([[np.nan, 0.5], [0.5, 0.5]]), 1, "MM861"),
    ],
)
def test_refusals(rows, splits, code):
    with pytest.raises(MmudError) as caught:
        inception_score(rows, splits=splits)
    assert caught.value.code.id == code
