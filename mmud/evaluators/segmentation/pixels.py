"""Counting the pixels of pairs of masks, and joining the parts of one, without decoding where that can be avoided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import _mask as coco

from mmud.annotations.masks import Mask, areas, areas_of_rles
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
    # One RLE a mask serves both countings: making them is a fifth of the work.
    first, second = _rles(labels), _rles(predictions)
    intersection = np.zeros(len(labels), dtype=np.int64)
    both, shared = [], []
    for index, (a, b) in enumerate(zip(first, second, strict=True)):
        if a is not None and b is not None:
            if a["size"] != b["size"]:
                raise ValueError(f"masks of {a['size']} and {b['size']} (height, width) were planned as a pair")
            both.append(index)
            shared.append(coco.merge([a, b], 1))
    intersection[both] = areas_of_rles(shared)
    return _areas(first), _areas(second), intersection


def _rles(masks: Sequence[Mask | None]) -> list[dict[str, Any] | None]:
    return [None if mask is None else mask.to_coco() for mask in masks]


def _areas(rles: Sequence[dict[str, Any] | None]) -> Int64:
    """Foreground pixels, ABSENT for None."""
    found = np.full(len(rles), ABSENT, dtype=np.int64)
    present = [index for index, rle in enumerate(rles) if rle is not None]
    found[present] = areas_of_rles([rle for rle in rles if rle is not None])
    return found


def union(masks: Sequence[Mask]) -> Mask:
    """The pixels of any of ``masks``, at least one; one mask is its own union."""
    return masks[0] if len(masks) == 1 else Mask.union(masks)


def complement(mask: Mask) -> Mask:
    """The pixels that a mask leaves."""
    runs = mask.runs
    return Mask(mask.height, mask.width, compress_runs(runs[1:] if runs[0] == 0 else [0, *runs]))


def without(mask: Mask, removed: Mask) -> Mask:
    """A mask less the pixels of another one of its size."""
    return Mask.intersection([mask, complement(removed)])


def join(parts: Sequence[Mask], how: Join) -> Mask:
    """The parts of one object, or the objects of one expression, as one mask; at least one, all of one size."""
    whole = union(parts)
    if how is Join.UNION or len(parts) == 1 or int(areas(parts).sum()) == whole.area:
        return whole  # nothing overlaps: every rule gives the union
    total = np.zeros(whole.size, dtype=np.uint8)
    for part in parts:
        total += part.decode()
    if how is Join.ONCE:
        return Mask.from_array(total == 1)
    encoded = coco.encode(np.asfortranarray(total)[:, :, None])[0]["counts"]
    return Mask.from_counts(encoded, *whole.size)
