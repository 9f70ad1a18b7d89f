"""Counting the pixels of pairs of masks, and joining the parts of one, without decoding where that can be avoided."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pycocotools import _mask as coco

from mmud.annotations.masks import Mask, areas, intersections_and_unions
from mmud.annotations.runs import compress_runs
from mmud.evaluators.protocols import Join
from mmud.evaluators.segmentation.units import ABSENT

Int64 = NDArray[np.int64]


def count_pairs(labels: Sequence[Mask | None], predictions: Sequence[Mask | None]) -> tuple[Int64, Int64, Int64]:
    """Areas of both masks of each pair, and of what they share.

    Args:
        labels: n true masks; None for an extra prediction.
        predictions: n predicted masks; None for an absent one.

    Returns:
        Label areas and predicted areas (ABSENT for None), and intersections (0 where either is None), each of shape (n,).
    """
    label = np.full(len(labels), ABSENT, dtype=np.int64)
    predicted = label.copy()
    intersection = np.zeros(len(labels), dtype=np.int64)
    with_label = [index for index, mask in enumerate(labels) if mask is not None]
    label[with_label] = areas([mask for mask in labels if mask is not None])
    both, first, second = [], [], []
    for index in with_label:
        a, b = labels[index], predictions[index]
        if a is not None and b is not None:
            both.append(index)
            first.append(a)
            second.append(b)
    shared, union = intersections_and_unions(first, second)
    intersection[both] = shared
    predicted[both] = union + shared - label[both]
    alone = [index for index, mask in enumerate(labels) if mask is None and predictions[index] is not None]
    predicted[alone] = areas([mask for index in alone if (mask := predictions[index]) is not None])
    return label, predicted, intersection


def complement(mask: Mask) -> Mask:
    """The pixels that a mask leaves."""
    runs = mask.runs
    return Mask(mask.height, mask.width, compress_runs(runs[1:] if runs[0] == 0 else [0, *runs]))


def without(mask: Mask, removed: Mask) -> Mask:
    """A mask less the pixels of another one of its size."""
    return Mask.intersection([mask, complement(removed)])


def join(parts: Sequence[Mask], how: Join) -> Mask:
    """The parts of one object, or the objects of one expression, as one mask; at least one, all of one size."""
    whole = Mask.union(parts)
    if how is Join.UNION or len(parts) == 1 or int(areas(parts).sum()) == whole.area:
        return whole  # nothing overlaps: every rule gives the union
    total = np.zeros(whole.size, dtype=np.uint8)
    for part in parts:
        total += part.decode()
    if how is Join.ONCE:
        return Mask.from_array(total == 1)
    encoded = coco.encode(np.asfortranarray(total)[:, :, None])[0]["counts"]
    return Mask.from_counts(encoded, *whole.size)
