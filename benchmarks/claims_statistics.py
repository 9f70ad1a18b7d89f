"""The arithmetic of the claims: one score for four tasks, the smallest budget that reaches it, and intervals from few seeds.

Three seeds say little about the spread of one setting, so all settings of a block lend each other theirs: the deviation is pooled
over them (as in an analysis of variance), and Student's t has the degrees of freedom of all of them together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Vector = NDArray[np.float64]

PARTS: Mapping[str, tuple[str, str, float]] = {
    "referring gIoU": ("referring_segmentation", "gIoU", 1.0),
    "reasoning gIoU": ("reasoning_segmentation", "gIoU", 1.0),
    "CIDEr-D": ("captioning", "cider_d", 10.0),
    "feature cosine": ("generation", "feature_cosine", 1.0),
}
"""What is scored: name -> task, metric, and what it is divided by so that 1 is perfect."""

CONFIDENCE = 0.95
REPLICATES = 10_000


def four_task_score(figures: Mapping[str, float]) -> float:
    """The mean of the four parts, each brought to a scale on which 1 is perfect: the one score of a system.

    Args:
        figures: by the names of `PARTS`.

    Raises:
        KeyError: when a part is missing: a mean over fewer tasks is no four-task score.
        ValueError: when a figure is not finite.
    """
    parts = [figures[name] / scale for name, (_, _, scale) in PARTS.items()]
    if not all(math.isfinite(part) for part in parts):
        raise ValueError(f"not all of {dict(figures)} are finite")
    return sum(parts) / len(parts)


@dataclass(frozen=True)
class Cell:
    """One setting: its parameters, and the four-task score of each seed."""

    parameters: int
    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        return sum(self.scores) / len(self.scores)


def pooled_deviation(groups: Sequence[Sequence[float]]) -> tuple[float, int]:
    """The deviation within groups, pooled, and its degrees of freedom; (nan, 0) where no group has two members."""
    freedom = sum(len(group) - 1 for group in groups)
    if freedom < 1:
        return math.nan, 0
    squares = sum(float(np.square(np.asarray(group) - np.mean(group)).sum()) for group in groups)
    return math.sqrt(squares / freedom), freedom


def half_width(deviation: float, freedom: int, counts: Sequence[int], confidence: float = CONFIDENCE) -> float:
    """Half the interval of a sum or difference of means over ``counts`` seeds each; nan without degrees of freedom."""
    if freedom < 1:
        return math.nan
    quantile = float(stats.t.ppf((1 + confidence) / 2, freedom))
    return quantile * deviation * math.sqrt(sum(1 / count for count in counts))


def smallest_budgets(parameters: Sequence[float], means: Vector, target: float) -> Vector:
    """The smallest budget at which each row of means reaches the target.

    Between two budgets the score is taken as a straight line over the logarithm of the parameters; nothing is extrapolated.

    Args:
        parameters: ascending, (budgets,).
        means: (rows, budgets).
        target: the score.

    Returns:
        (rows,); the smallest budget itself where it is reached there already, infinity where it never is.
    """
    logs = np.log(np.asarray(parameters, dtype=float))
    reached = means >= target
    rows, place = np.arange(len(means)), reached.argmax(1)
    before = np.maximum(place - 1, 0)
    below, above = means[rows, before], means[rows, place]
    # Where the first budget reaches it there is nothing below, and the share plays no part.
    share = (target - below) / np.where(place > 0, above - below, 1.0)
    found = np.where(place > 0, np.exp(logs[before] + share * (logs[place] - logs[before])), parameters[0])
    return np.where(reached.any(1), found, np.inf)


@dataclass(frozen=True)
class Reached:
    """Where an arm reaches a target.

    Attributes:
        budget: parameters; infinity where it is not reached.
        bound: whether the smallest budget reaches it already, so that the true one is at most this.
    """

    budget: float
    bound: bool

    def text(self) -> str:
        if math.isinf(self.budget):
            return "not reached"
        return f"{'at most ' if self.bound else ''}{self.budget:,.0f}"


@dataclass(frozen=True)
class Ratio:
    """Our budget over theirs at one score.

    Attributes:
        target: the score.
        ours, theirs: where it is reached.
        value: the ratio; None where an arm does not reach the target, or both do at their smallest budgets.
        low, high: its interval, 0 and infinity among the possible; None with one seed, or where ``value`` is None.
        decided: the share of replicates in which at least one arm reaches the target; the others have no ratio.
    """

    target: float
    ours: Reached
    theirs: Reached
    value: float | None
    low: float | None
    high: float | None
    decided: float

    def text(self) -> str:
        """The ratio in words: never a number where there is none."""
        if math.isinf(self.ours.budget) or math.isinf(self.theirs.budget):
            return "none: not reached"
        if self.value is None:
            return "none: both reach it at their smallest budget"
        sign = "at most " if self.ours.bound else "at least " if self.theirs.bound else ""
        return f"{sign}{self.value:.2f}"

    def interval_text(self) -> str:
        if self.low is None or self.high is None:
            return "-"
        low = "0" if self.low == 0 else f"{self.low:.2f}"
        high = "no bound" if math.isinf(self.high) else f"{self.high:.2f}"
        return f"{low} to {high}"


def ratio_of_budgets(
    ours: Sequence[Cell], theirs: Sequence[Cell], target: float, *, replicates: int = REPLICATES, seed: int = 0
) -> Ratio:
    """The ratio of the smallest budgets at which two arms reach a score, with its interval.

    Each replicate draws every mean anew: its own value plus Student's t with the pooled deviation over the seeds, one draw of
    the deviation for all. Replicates in which only our arm reaches the target count as 0, those in which only theirs does as
    infinity. The interval is about seeds; all arms are scored on the same samples.

    Args:
        ours, theirs: by ascending parameters.
        target: the score.
        replicates, seed: of the interval.
    """
    found = [_reached(arm, target) for arm in (ours, theirs)]
    value: float | None = None
    if all(math.isfinite(one.budget) for one in found) and not all(one.bound for one in found):
        value = found[0].budget / found[1].budget
    low = high = None
    decided = math.nan
    deviation, freedom = pooled_deviation([cell.scores for cell in (*ours, *theirs)])
    if freedom:
        generator = np.random.default_rng(seed)
        spread = deviation * np.sqrt(freedom / generator.chisquare(freedom, replicates))
        budgets = []
        for arm in (ours, theirs):
            errors = generator.standard_normal((replicates, len(arm))) * spread[:, None]
            means = np.array([cell.mean for cell in arm]) + errors / np.sqrt([len(cell.scores) for cell in arm])
            budgets.append(smallest_budgets([cell.parameters for cell in arm], means, target))
        some = np.isfinite(budgets[0]) | np.isfinite(budgets[1])
        decided = float(some.mean())
        if value is not None and some.any():
            ratios = np.sort(budgets[0][some] / budgets[1][some])
            tail = (1 - CONFIDENCE) / 2
            # Order statistics: an interpolation between a number and infinity would be neither.
            low, high = (float(one) for one in np.quantile(ratios, [tail, 1 - tail], method="inverted_cdf"))
    return Ratio(target, found[0], found[1], value, low, high, decided)


def _reached(arm: Sequence[Cell], target: float) -> Reached:
    means = np.array([[cell.mean for cell in arm]])
    budget = float(smallest_budgets([cell.parameters for cell in arm], means, target)[0])
    return Reached(budget, bool(means[0, 0] >= target))


def target_scores(without: float, arms: Sequence[Sequence[Cell]], shares: Sequence[float]) -> dict[float, float]:
    """The scores at which budgets are compared: shares of the way from no adapter to the best of the weaker arm.

    Every arm reaches the last of them by its own means, so no arm is asked for more than it ever showed.

    Args:
        without: the mean score of heads-only.
        arms: their cells.
        shares: 1 for the best of the weaker arm.

    Returns:
        share -> score; empty where the weaker arm never beats ``without``.
    """
    weaker = min(max(cell.mean for cell in arm) for arm in arms)
    # Rounding must not put the last of them above what was reached.
    return {share: min(without + share * (weaker - without), weaker) for share in shares} if weaker > without else {}
