"""Is A better than B? Paired differences, a permutation test, and a correction for many tests.

Both systems saw the same images. Under the null hypothesis it does not matter which system said what, so the two are
swapped, image by image, at random; the p-value is the share of swaps whose difference is at least as large as the one that
was seen. Figures are functions of sums, so a swap moves an image's sums from one side to the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmud.evaluators.base import Numbers, Reduce
from mmud.evaluators.statistics.bootstrap import Interval, Resampler, interval
from mmud.evaluators.statistics.sums import GroupSums

PERMUTATIONS = 10_000
_ALL_SWAPS_UP_TO = 13
"""Up to so many images that differ, all swaps are made, and the p-value is exact."""

_BLOCK_ENTRIES = 4_000_000
_TOLERANCE = 1e-12


@dataclass(frozen=True, slots=True)
class PairedResult:
    """One metric of two systems.

    Attributes:
        first, second: its values; None where it has none.
        difference: second less first.
        low, high: the interval of the difference; None where there is none.
        p: of the permutation test, two-sided.
        permutations: how many swaps the p-value is from.
        exact: whether these were all of them.
    """

    first: float | None
    second: float | None
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    permutations: int
    exact: bool


def compare(
    first: GroupSums,
    second: GroupSums,
    reduce: Reduce,
    values: tuple[Mapping[str, float | None], Mapping[str, float | None]],
    resampler: Resampler,
    permutations: int = PERMUTATIONS,
) -> dict[str, PairedResult]:
    """Compare two systems on every metric.

    Args:
        first, second: each image's sums, groups and columns in one order.
        reduce: from sums to metrics.
        values: the metrics of both, over everything.
        resampler: how intervals are made.
        permutations: how many random swaps, where there are too many to make all.
    """
    differences = _bootstrap_differences(first, second, reduce, resampler)
    swapped, total, exact = _permuted(first, second, reduce, resampler.seed, permutations)
    found = {}
    for name in values[0]:
        a, b = values[0][name], values[1].get(name)
        seen = None if a is None or b is None else b - a
        bounds: Interval | None = None
        if name in differences and seen is not None and len(first.matrix) > 1:
            bounds = interval(differences[name], len(first.matrix), resampler.confidence)
        low, high = bounds if bounds is not None else (None, None)
        p = None if seen is None or name not in swapped else _p_value(swapped[name], seen, exact)
        found[name] = PairedResult(a, b, seen, low, high, p, total, exact)
    return found


def _bootstrap_differences(
    first: GroupSums, second: GroupSums, reduce: Reduce, resampler: Resampler
) -> dict[str, Numbers]:
    a, b = resampler.replicate(first, reduce), resampler.replicate(second, reduce)
    return {name: np.asarray(b[name]) - np.asarray(a[name]) for name in a if name in b}


def _permuted(
    first: GroupSums, second: GroupSums, reduce: Reduce, seed: int, permutations: int
) -> tuple[dict[str, Numbers], int, bool]:
    """Differences after swaps, how many swaps, and whether these were all."""
    moved = second.matrix - first.matrix
    differ = np.flatnonzero((moved != 0).any(axis=1))
    moved = moved[differ]
    exact = len(differ) <= _ALL_SWAPS_UP_TO
    total = 1 << len(differ) if exact else permutations
    totals = first.matrix.sum(axis=0), second.matrix.sum(axis=0)
    generator = np.random.default_rng([seed, len(first.matrix), 1])
    rows = max(1, _BLOCK_ENTRIES // max(1, len(differ)))
    parts: list[dict[str, Numbers]] = []
    for start in range(0, total, rows):
        count = min(rows, total - start)
        if exact:
            swap = ((np.arange(start, start + count)[:, None] >> np.arange(len(differ))) & 1).astype(float)
        else:
            swap = generator.integers(0, 2, size=(count, len(differ)), dtype=np.int8).astype(float)
        shift = swap @ moved
        a, b = reduce(first.named(totals[0] + shift)), reduce(first.named(totals[1] - shift))
        parts.append({name: np.asarray(b[name]) - np.asarray(a[name]) for name in a})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, total, exact


def _p_value(swapped: Numbers, seen: float, exact: bool) -> float:
    """The share of swaps that differ at least as much; the swap that was seen is one of them."""
    defined = swapped[np.isfinite(swapped)]
    extreme = int((np.abs(defined) >= abs(seen) * (1 - _TOLERANCE) - _TOLERANCE).sum())
    if exact:
        return extreme / len(defined) if len(defined) else 1.0
    return (1 + extreme) / (1 + len(defined))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction (1979): adjusted p-values in the order given; None stays None."""
    known = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    running = 0.0
    for rank, (p, index) in enumerate(known):
        running = max(running, min(1.0, (len(known) - rank) * p))
        adjusted[index] = running
    return adjusted
