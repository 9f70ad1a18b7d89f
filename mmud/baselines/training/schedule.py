"""Learning rates over time: warm-up, then a schedule."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

ScheduleName = Literal["cosine", "constant", "tail"]
TAIL = 0.6
"""Share of the budget over which the schedule "tail" goes down."""


@dataclass(frozen=True)
class Budget:
    """How long to train: until the first of the bounds is met.

    Attributes:
        steps: at most so many; None for no bound.
        minutes: of training, interruptions left out; None for no bound.
    """

    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise ValueError("a budget has steps, minutes or both")

    def fraction(self, step: int, seconds: float) -> float:
        """How much of the budget is used up after so many steps and seconds, 0 to 1."""
        by_steps = step / self.steps if self.steps else 0.0
        by_time = seconds / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_steps, by_time))


def rate_factor(
    step: int,
    seconds: float,
    budget: Budget,
    warmup: int,
    schedule: ScheduleName = "cosine",
    final: float = 0.0,
) -> float:
    """What the learning rates are multiplied by in a step.

    Linear from 1/warmup to 1 over the first ``warmup`` steps; then half a cosine wave from 1 to ``final`` over what is left of
    the budget; or, with "tail", 1 until the last TAIL of the budget and linear from there: such a run can be made longer. With
    a bound on steps alone this depends on the step alone.

    Args:
        step: counting from 0.
        seconds: trained before this step.
        budget: of the whole training.
        warmup: steps of the linear part.
        schedule: "constant" stays at 1 after the warm-up; "tail" goes down at the end.
        final: the factor at the end of the budget.
    """
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    if schedule == "tail":
        left = min(1.0, (1.0 - budget.fraction(step, seconds)) / TAIL)
        return final + (1 - final) * left
    begun = min(warmup / budget.steps, 1.0) if budget.steps else 0.0
    used = budget.fraction(step, seconds)
    progress = 0.0 if begun >= 1 else min(1.0, max(0.0, (used - begun) / (1 - begun)))
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))
