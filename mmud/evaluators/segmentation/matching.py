"""Which predicted mask answers for which object: by tag, or by the assignment with the largest total IoU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmud.annotations.masks import Mask, intersections_and_unions

MATCHES = ("tag", "hungarian")
Pair = tuple[int | None, int | None]
"""Positions of a true and a predicted mask; None where one has no counterpart."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """The masks of one sample.

    Attributes:
        numbers: the number of each true object, as its tag writes it.
        truth: its masks.
        tags: the tag of each predicted mask.
        predicted: the predicted masks.
    """

    numbers: Sequence[int]
    truth: Sequence[Mask]
    tags: Sequence[int | None]
    predicted: Sequence[Mask]


def match_all(samples: Sequence[Candidates], how: str) -> list[list[Pair]]:
    """Pairs for each sample: every true and every predicted mask occurs once.

    Args:
        samples: any number of samples.
        how: "tag" or "hungarian".
    """
    if how == "tag":
        return [by_tag(sample) for sample in samples]
    return [
        optimal(iou) if iou is not None else _in_order(len(sample.truth), len(sample.predicted))
        for sample, iou in zip(samples, _iou_matrices(samples), strict=True)
    ]


def by_tag(sample: Candidates) -> list[Pair]:
    """Object i goes with the mask of tag i; others are left over."""
    position = {tag: index for index, tag in enumerate(sample.tags)}
    pairs: list[Pair] = [(index, position.get(number)) for index, number in enumerate(sample.numbers)]
    taken = {second for _, second in pairs}
    return pairs + [(None, index) for index in range(len(sample.predicted)) if index not in taken]


def optimal(iou: NDArray[np.float64]) -> list[Pair]:
    """The one-to-one assignment of the largest total IoU; what one side has too many of is left over.

    Args:
        iou: shape (true masks, predicted masks).
    """
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(iou, maximize=True)
    pairs: list[Pair] = list(zip(rows.tolist(), columns.tolist(), strict=True))
    pairs += [(row, None) for row in range(iou.shape[0]) if row not in set(rows.tolist())]
    pairs += [(None, column) for column in range(iou.shape[1]) if column not in set(columns.tolist())]
    return sorted(pairs, key=lambda pair: (pair[0] is None, pair[0] or 0, pair[1] or 0))


def _in_order(truth: int, predicted: int) -> list[Pair]:
    both = min(truth, predicted)
    return [
        *((index, index) for index in range(both)),
        *((index, None) for index in range(both, truth)),
        *((None, index) for index in range(both, predicted)),
    ]


def _iou_matrices(samples: Sequence[Candidates]) -> list[NDArray[np.float64] | None]:
    """IoU of every true with every predicted mask of a sample; None where there is nothing to choose."""
    chosen = [
        index
        for index, sample in enumerate(samples)
        if sample.truth and sample.predicted and max(len(sample.truth), len(sample.predicted)) > 1
    ]
    first = [a for index in chosen for a in samples[index].truth for _ in samples[index].predicted]
    second = [b for index in chosen for _ in samples[index].truth for b in samples[index].predicted]
    shared, union = intersections_and_unions(first, second)
    iou = np.divide(shared, union, out=np.zeros(len(shared)), where=union > 0)
    found: list[NDArray[np.float64] | None] = [None] * len(samples)
    start = 0
    for index in chosen:
        shape = len(samples[index].truth), len(samples[index].predicted)
        found[index] = iou[start : start + shape[0] * shape[1]].reshape(shape)
        start += shape[0] * shape[1]
    return found
