"""Slices: the same figures over a part of the samples, or over a part of their objects; from rows alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

SLICES = ("source", "category", "size", "objects", "length")

OBJECT_BINS = (1, 2, 3, 4)
"""Upper ends of the bins of "objects"; what lies beyond the last one is a bin too."""

WORD_BINS = (5, 10, 25, 50, 75, 100, 150)
"""Upper ends of the bins of "length", in words of the label, or of the expression in referring."""

Labels = NDArray[np.object_]


def row_labels(by: str, common: pa.Table) -> Labels | None:
    """The slice that each row belongs to, shape (rows,); None for a slice that rows do not have."""
    if by == "source":
        return np.asarray(common.column("source").to_pylist(), dtype=object)
    if by == "objects":
        return binned(common.column("objects").to_numpy(), OBJECT_BINS)
    if by == "length":
        return binned(common.column("words").to_numpy(), WORD_BINS)
    return None


def binned(numbers: NDArray[np.integer], bins: Sequence[int]) -> Labels:
    """Each number's bin, as in "6-10" and "151+"; negative numbers have none, which is ""."""
    names = np.array(["", *bin_names(bins)], dtype=object)
    position = 1 + np.searchsorted(np.asarray(bins), numbers)
    position[np.asarray(numbers) < 0] = 0
    found: Labels = names[position]
    return found


def bin_names(bins: Sequence[int]) -> list[str]:
    """The names of bins, in order."""
    names = []
    low = 0
    for high in bins:
        names.append(str(high) if low == high else f"{low}-{high}")
        low = high + 1
    return [*names, f"{low}+"]


def ordered(by: str, values: Sequence[str]) -> list[str]:
    """The values of a slice in the order in which a person expects them."""
    known: Sequence[str] = ()
    if by == "size":
        known = ("small", "medium", "large")
    elif by == "objects":
        known = bin_names(OBJECT_BINS)
    elif by == "length":
        known = bin_names(WORD_BINS)
    rank = {value: position for position, value in enumerate(known)}
    return sorted(values, key=lambda value: (rank.get(value, len(rank)), value))
