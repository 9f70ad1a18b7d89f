"""The exact distribution of a whole-numbered quantity, in memory that grows with its distinct values only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class Tally:
    """How often each value was seen."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}

    def add(self, values: NDArray[np.integer]) -> None:
        """Count the values of an array of whole numbers."""
        if len(values):
            found, times = np.unique(values, return_counts=True)
            for value, count in zip(found.tolist(), times.tolist(), strict=True):
                self.counts[value] = self.counts.get(value, 0) + count

    def __len__(self) -> int:
        return sum(self.counts.values())

    @property
    def total(self) -> int:
        return sum(value * count for value, count in self.counts.items())

    @property
    def mean(self) -> float | None:
        return self.total / len(self) if self.counts else None

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """Quantiles with linear interpolation between neighbours (Hyndman and Fan's type 7, as numpy's and pandas' default)."""
        if not self.counts:
            raise ValueError("no values: quantiles are undefined")
        values = sorted(self.counts)
        ends = np.fromiter(accumulate(self.counts[value] for value in values), dtype=np.int64)
        last = int(ends[-1]) - 1

        def at(position: int) -> int:
            return values[int(np.searchsorted(ends, position, side="right"))]

        found = []
        for share in shares:
            where = share * last
            low = math.floor(where)
            below, above = at(low), at(min(low + 1, last))
            found.append(below + (above - below) * (where - low))
        return found

    def to_dict(self) -> dict[str, float | int | None]:
        """n, least, quantiles, greatest and mean; n alone where nothing was counted."""
        if not self.counts:
            return {"n": 0}
        found = self.quantiles(QUANTILES)
        return {
            "n": len(self),
            "min": min(self.counts),
            **{f"q{round(100 * share):02d}": value for share, value in zip(QUANTILES, found, strict=True)},
            "max": max(self.counts),
            "mean": self.mean,
        }
