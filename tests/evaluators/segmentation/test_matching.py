"""Matching masks of an answer with objects: by tag, or the best of all assignments (found here by trying them all)."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mmud.annotations.masks import Mask
from mmud.evaluators.segmentation.matching import Candidates, match_all


def masks(generator: np.random.Generator, count: int) -> list[Mask]:
    found = []
    for _ in range(count):
        array = np.zeros((30, 30), dtype=bool)
        top, left = generator.integers(0, 22, size=2)
        array[top : top + int(generator.integers(4, 14)), left : left + int(generator.integers(4, 14))] = True
        found.append(Mask.from_array(array))
    return found


def iou(first: Mask, second: Mask) -> float:
    a, b = first.decode().astype(bool), second.decode().astype(bool)
    return float((a & b).sum() / (a | b).sum())


def best_total(truth: list[Mask], predicted: list[Mask]) -> float:
    short, long = (truth, predicted) if len(truth) <= len(predicted) else (predicted, truth)
    return max(
        sum(iou(a, b) for a, b in zip(short, order, strict=True)) for order in itertools.permutations(long, len(short))
    )


@pytest.mark.parametrize(("truth", "predicted"), [(4, 4), (2, 5), (5, 2), (1, 3), (3, 1), (1, 1)])
def test_hungarian_is_the_best_assignment(truth: int, predicted: int) -> None:
    generator = np.random.default_rng(truth * 10 + predicted)
    samples = [
        Candidates(range(1, truth + 1), masks(generator, truth), range(1, predicted + 1), masks(generator, predicted))
        for _ in range(40)
    ]
    for sample, pairs in zip(samples, match_all(samples, "hungarian"), strict=True):
        assert sorted(a for a, _ in pairs if a is not None) == list(range(truth))
        assert sorted(b for _, b in pairs if b is not None) == list(range(predicted))
        assert sum(a is not None and b is not None for a, b in pairs) == min(truth, predicted)
        total = sum(iou(sample.truth[a], sample.predicted[b]) for a, b in pairs if a is not None and b is not None)
        assert total == pytest.approx(best_total(list(sample.truth), list(sample.predicted)))


def test_greedy_would_be_worse_somewhere() -> None:
    """A fixture that only an optimal assignment solves: the best single pair is not part of the best total."""
    wide, left, right = (np.zeros((4, 40), dtype=bool) for _ in range(3))
    wide[:, 0:20] = True
    left[:, 0:12] = True
    right[:, 8:24] = True
    truth = [Mask.from_array(wide), Mask.from_array(left)]
    predicted = [Mask.from_array(np.asarray(wide)), Mask.from_array(right)]
    (pairs,) = match_all([Candidates([1, 2], truth, [1, 2], predicted)], "hungarian")
    total = sum(iou(truth[a], predicted[b]) for a, b in pairs if a is not None and b is not None)
    assert total == pytest.approx(best_total(truth, predicted))


def test_by_tag() -> None:
    generator = np.random.default_rng(0)
    sample = Candidates([3, 1, 2], masks(generator, 3), [1, 9, 3], masks(generator, 3))
    (pairs,) = match_all([sample], "tag")
    assert pairs == [(0, 2), (1, 0), (2, None), (None, 1)]


def test_nothing_to_match() -> None:
    generator = np.random.default_rng(0)
    some = masks(generator, 2)
    assert match_all([Candidates([], [], [], [])], "hungarian") == [[]]
    assert match_all([Candidates([1, 2], some, [], [])], "hungarian") == [[(0, None), (1, None)]]
    assert match_all([Candidates([], [], [1, 2], some)], "hungarian") == [[(None, 0), (None, 1)]]
