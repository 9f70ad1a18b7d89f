"""Confidence intervals by a bootstrap over images.

Several expressions share an image, so images are drawn, with replacement, and all that belongs to one comes along (the
cluster bootstrap; Field and Welsh 2007). A figure is a function of sums, so a thousand replicates are one product of a
matrix of weights with the matrix of each image's sums.

The interval is the percentile interval, widened for small numbers of images as Hesterberg (2015, "What Teachers Should Know
About the Bootstrap", section 4.2) proposes: the plain one is too narrow by the factor by which a normal interval is narrower
than Student's. BCa was tried and covers less for cIoU; docs/metrics/statistics.md has the simulation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from mmud.evaluators.base import Numbers, Reduce
from mmud.evaluators.statistics.sums import GroupSums

METHOD = "percentile-expanded"
CONFIDENCE = 0.95
REPLICATES = 1000
_BLOCK_ENTRIES = 1 << 18
"""Weights drawn at once; 2 MB, which stay in the processor's cache while they are counted."""

_KEPT_ENTRIES = 1 << 22
"""Weights kept for the next figure over as many images; 32 MB."""

Interval = tuple[float, float]


@dataclass
class Resampler:
    """Draws of images, the same for every figure over the same number of images.

    Attributes:
        replicates: how many.
        seed: of numpy's PCG64.
        confidence: of intervals.
    """

    replicates: int = REPLICATES
    seed: int = 0
    confidence: float = CONFIDENCE
    _drawn: dict[int, list[Numbers]] = field(default_factory=dict, repr=False)

    def blocks(self, groups: int) -> Iterator[Numbers]:
        """Weights in blocks of replicates: how often each group was drawn, shape (block, groups)."""
        if groups in self._drawn:
            yield from self._drawn[groups]
            return
        generator = np.random.default_rng([self.seed, groups])
        rows = max(1, _BLOCK_ENTRIES // groups)
        kept: list[Numbers] | None = [] if groups * self.replicates <= _KEPT_ENTRIES else None
        for start in range(0, self.replicates, rows):
            weights = draw(generator, min(rows, self.replicates - start), groups)
            if kept is not None:
                kept.append(weights)
            yield weights
        if kept is not None:
            self._drawn[groups] = kept

    def replicate(self, sums: GroupSums, reduce: Reduce) -> Mapping[str, Numbers]:
        """Metrics under each drawing, shape (replicates,) each."""
        groups = len(sums.matrix)
        parts = [reduce(sums.weighted(weights)) for weights in self.blocks(groups)]
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def intervals(self, sums: GroupSums, reduce: Reduce) -> dict[str, Interval | None]:
        """The interval of each metric; None where there are fewer than two images or no replicate has a value."""
        groups = len(sums.matrix)
        if groups < 2 or self.replicates < 1:
            return {}
        return {
            name: interval(np.asarray(values), groups, self.confidence)
            for name, values in self.replicate(sums, reduce).items()
        }


def draw(generator: np.random.Generator, replicates: int, groups: int) -> Numbers:
    """How often each of ``groups`` is drawn when as many are drawn with replacement, shape (replicates, groups)."""
    drawn = generator.integers(0, groups, size=(replicates, groups), dtype=np.int64)
    drawn += np.arange(replicates)[:, None] * groups
    counts: Numbers = (
        np.bincount(drawn.ravel(), minlength=replicates * groups).reshape(replicates, groups).astype(float)
    )
    return counts


def interval(values: NDArray[np.float64], groups: int, confidence: float = CONFIDENCE) -> Interval | None:
    """The expanded percentile interval of replicates; those without a value are left out."""
    defined = values[np.isfinite(values)]
    if not len(defined):
        return None
    tail = expanded_tail(groups, confidence)
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)


def expanded_tail(groups: int, confidence: float = CONFIDENCE) -> float:
    """The share of replicates cut off on each side: Phi(sqrt(n / (n - 1)) t), t Student's quantile at n - 1."""
    from scipy.special import stdtrit

    quantile = float(stdtrit(groups - 1, (1 - confidence) / 2))
    return NormalDist().cdf(math.sqrt(groups / (groups - 1)) * quantile)
