"""Intervals: what they cover in simulated populations whose true value is known, and that they do not depend on order."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from scipy import stats
from simulated_populations import population

from mmud.evaluators.statistics.bootstrap import Resampler, draw, expanded_tail, interval
from mmud.evaluators.statistics.sums import exact_sum, exact_sums, group_sums


def ratio(sums: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {"ratio": sums["a"] / sums["b"]}


def coverage(kind: str, images: int, trials: int, replicates: int, seed: int) -> float:
    generator = np.random.default_rng(seed)
    numerator, denominator = population(kind, 1_000_000, generator)
    truth = numerator.sum() / denominator.sum()
    hits = 0
    for trial in range(trials):
        a, b = population(kind, images, generator)
        sums = group_sums({"a": a, "b": b}, np.arange(images), images)
        found = Resampler(replicates, seed=trial).intervals(sums, ratio)["ratio"]
        assert found is not None
        hits += found[0] <= truth <= found[1]
    return hits / trials


@pytest.mark.parametrize("kind", ["gIoU", "cIoU", "CIDEr"])
def test_coverage(kind: str) -> None:
    """300 simulated test sets of 300 images. Sampling error of the coverage is 1.3 points; two of them are allowed for."""
    assert 0.92 <= coverage(kind, images=300, trials=300, replicates=300, seed=3) <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gIoU", "cIoU", "CIDEr"])
@pytest.mark.parametrize("images", [300, 1403])
def test_coverage_between_93_and_97_percent(kind: str, images: int) -> None:
    assert 0.93 <= coverage(kind, images=images, trials=1000, replicates=1000, seed=11) <= 0.97


def test_clusters_matter() -> None:
    """Drawing expressions one by one, as if images were not shared, gives intervals that are too narrow."""
    generator = np.random.default_rng(0)
    images = np.repeat(np.arange(100), 8)
    values = generator.normal(size=100)[images] + 0.1 * generator.normal(size=800)
    columns = {"a": values, "b": np.ones(800)}
    clustered = Resampler().intervals(group_sums(columns, images, 100), ratio)["ratio"]
    single = Resampler().intervals(group_sums(columns, np.arange(800), 800), ratio)["ratio"]
    assert clustered is not None
    assert single is not None
    assert (clustered[1] - clustered[0]) > 2 * (single[1] - single[0])


def test_expansion_makes_the_normal_case_students() -> None:
    """For a mean of normal numbers, the expanded percentile interval is Student's up to the bootstrap's own noise."""
    values = np.random.default_rng(1).normal(size=12)
    sums = group_sums({"a": values, "b": np.ones(12)}, np.arange(12), 12)
    found = Resampler(40_000, seed=0).intervals(sums, ratio)["ratio"]
    expected = stats.t.interval(0.95, 11, values.mean(), stats.sem(values))
    assert found is not None
    assert found[1] - found[0] == pytest.approx(expected[1] - expected[0], rel=0.06)
    assert expanded_tail(100_000) == pytest.approx(0.025, abs=1e-4)


def test_every_draw_has_as_many_images() -> None:
    weights = draw(np.random.default_rng(0), 50, 37)
    assert weights.shape == (50, 37)
    assert (weights.sum(axis=1) == 37).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(37), abs=0.6)


def test_the_same_seed_gives_the_same_interval_in_blocks_or_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(2).random(50)
    sums = group_sums({"a": values, "b": np.ones(50)}, np.arange(50), 50)
    whole = Resampler(200).intervals(sums, ratio)
    monkeypatch.setattr("mmud.evaluators.statistics.bootstrap._BLOCK_ENTRIES", 170)
    monkeypatch.setattr("mmud.evaluators.statistics.bootstrap._KEPT_ENTRIES", 0)
    blocks = Resampler(200).intervals(sums, ratio)
    assert blocks["ratio"] == pytest.approx(whole["ratio"], rel=1e-12)
    assert Resampler(200, seed=1).intervals(sums, ratio) != whole


def test_no_interval_where_there_is_none() -> None:
    one = group_sums({"a": np.ones(3), "b": np.ones(3)}, np.zeros(3, dtype=np.int64), 1)
    assert Resampler().intervals(one, ratio) == {}
    assert interval(np.array([np.nan, np.nan]), 2) is None


def test_sums_are_exact_whatever_the_order() -> None:
    generator = np.random.default_rng(4)
    values = generator.random(10_000) * 10.0 ** generator.integers(-12, 12, 10_000)
    assert exact_sum(values) == exact_sum(generator.permutation(values))
    numbers = generator.integers(0, 2**40, 1000)
    assert exact_sum(numbers) == float(sum(int(value) for value in numbers))
    assert exact_sums({"a": values})["a"].shape == (1,)


def test_a_thousand_replicates_of_all_metrics_take_under_two_seconds() -> None:
    """The bound of the specification: 1,403 samples, the columns of segmentation (both tasks) and of captions (both texts)."""
    from mmud.evaluators.captions.columns import SUMMED
    from mmud.evaluators.captions.metrics import METRICS_FROM_SUMS, metric_from_sums
    from mmud.evaluators.protocols import MMUD
    from mmud.evaluators.segmentation.scoring import contributions, reduce
    from mmud.evaluators.segmentation.units import UnitTable

    generator = np.random.default_rng(0)
    label = generator.integers(100, 50_000, 5000)
    predicted = generator.integers(100, 50_000, 5000)
    units = UnitTable.of(
        label,
        predicted,
        np.minimum(label, predicted) // 2,
        np.zeros(5000),
        boundary_union=label,
        boundary_intersection=label,
    )
    image = np.sort(generator.integers(0, 1403, 5000))
    texts = {name: generator.integers(1, 90, 1403) for name in SUMMED}
    resampler = Resampler(1000)
    start = time.process_time()
    for _ in range(2):
        masks = resampler.intervals(
            group_sums(contributions(units, MMUD), image, 1403), lambda sums: reduce(sums, MMUD)
        )
        captions = resampler.intervals(
            group_sums(texts, np.arange(1403), 1403),
            lambda sums: {name: metric_from_sums(name, sums) for name in METRICS_FROM_SUMS},
        )
    seconds = time.process_time() - start
    assert len(masks) + len(captions) > 20
    assert seconds < 2.0
