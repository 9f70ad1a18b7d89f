"""Ablations of neural tuning: one setting at a time against the default, with the spread of seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from claims_runs import TEST, Run, Runs, Scored
from claims_statistics import PARTS, half_width, pooled_deviation

DEFAULT = "default"


@dataclass(frozen=True)
class Ablation:
    """A change to the default: its options are merged over the default's."""

    setting: str
    value: str
    options: Mapping[str, Any]


ABLATIONS = (
    Ablation("active rate", "0.1", {"adapter_options": {"active_rate": 0.1}}),
    Ablation("active rate", "0.2", {"adapter_options": {"active_rate": 0.2}}),
    Ablation("active rate", "0.7", {"adapter_options": {"active_rate": 0.7}}),
    Ablation(
        "active rate", "1 (dense), no jitter", {"adapter_options": {"active_rate": 1.0, "active_rate_jitter": 0.0}}
    ),
    Ablation("EMA", "0 (none)", {"adapter_options": {"ema": 0.0}}),
    Ablation("EMA", "0.5", {"adapter_options": {"ema": 0.5}}),
    Ablation("dimension", "16", {"dimension": 16}),
    Ablation("dimension", "32", {"dimension": 32}),
    Ablation("dimension", "128", {"dimension": 128}),
    Ablation("start layer", "0 (all layers)", {"start_layer": 0}),
    Ablation("start layer", "the last alone", {"start_layer": -1}),
    Ablation("tokens", "whole embeddings", {"changes": {"tokens": "whole"}}),
)
"""The default: active rate 0.4, EMA 0.2, dimension 64, the upper half of the layers, rows of the tags alone."""

SETTINGS = tuple(dict.fromkeys(ablation.setting for ablation in ABLATIONS))


@dataclass(frozen=True)
class Outcome:
    """An ablation, and what each seed scored on the test split; None for the default."""

    ablation: Ablation | None
    seeds: tuple[Scored, ...]

    @property
    def scores(self) -> tuple[float, ...]:
        return tuple(one.score for one in self.seeds)

    @property
    def mean(self) -> float:
        return sum(self.scores) / len(self.scores)


@dataclass(frozen=True)
class Plan:
    """What is to be trained.

    Attributes:
        common: options of every run.
        seeds: of each setting.
        layers: of the language model, to say which is the last.
        settings: that are changed.
    """

    common: Mapping[str, Any]
    layers: int
    seeds: Sequence[int] = (0, 1, 2)
    settings: Sequence[str] = SETTINGS

    @property
    def chosen(self) -> list[Ablation]:
        return [ablation for ablation in ABLATIONS if ablation.setting in self.settings]

    def run(self, ablation: Ablation | None, seed: int) -> Run:
        options = dict(ablation.options) if ablation else {}
        if options.get("start_layer") == -1:
            options["start_layer"] = self.layers - 1
        return Run("neural-tuning", {**self.common, **options}, seed)

    def runs(self) -> list[Run]:
        return [self.run(ablation, seed) for ablation in (None, *self.chosen) for seed in self.seeds]


def measure(plan: Plan, runs: Runs) -> list[Outcome]:
    """The default first, then each ablation."""
    return [
        Outcome(ablation, tuple(runs.scored(plan.run(ablation, seed), TEST) for seed in plan.seeds))
        for ablation in (None, *plan.chosen)
    ]


def difference(outcome: Outcome, default: Outcome, outcomes: Sequence[Outcome]) -> tuple[float, float]:
    """The mean less the default's, and half its 95 % interval (nan with one seed). Not adjusted for how many are compared."""
    deviation, freedom = pooled_deviation([one.scores for one in outcomes])
    width = half_width(deviation, freedom, [len(outcome.seeds), len(default.seeds)])
    return outcome.mean - default.mean, width


def tables(outcomes: Sequence[Outcome]) -> str:
    """Everything that was measured, as Markdown."""
    default = outcomes[0]
    header = ["setting", "value", "adapter", "all trained", *PARTS, "four-task score", "seeds", "less the default"]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for one in outcomes:
        names = (DEFAULT, "") if one.ablation is None else (one.ablation.setting, one.ablation.value)
        change, width = difference(one, default, outcomes)
        less = "" if one.ablation is None else f"{change:+.4f}" + ("" if math.isnan(width) else f" ± {width:.4f}")
        parts = [sum(seed.figures[name] for seed in one.seeds) / len(one.seeds) for name in PARTS]
        cells = [
            *names,
            f"{one.seeds[0].adapter:,}",
            f"{one.seeds[0].trained:,}",
            *(f"{part:.3f}" for part in parts),
            f"{one.mean:.4f}",
            f"{min(one.scores):.4f} to {max(one.scores):.4f}",
            less,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    deviation, freedom = pooled_deviation([one.scores for one in outcomes])
    note = f"{len(default.seeds)} seeds each. "
    if freedom:
        note += f"± is half the 95 % interval, by the pooled deviation {deviation:.4f} ({freedom} degrees of freedom); "
        note += f"{len(outcomes) - 1} comparisons with one default, not adjusted for their number."
    else:
        note += "One seed has no spread, so no interval is given."
    return "\n".join(lines) + f"\n\n{note}"


def as_data(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The same as JSON-compatible data."""
    default = outcomes[0]
    rows = []
    for one in outcomes:
        change, width = difference(one, default, outcomes)
        rows.append(
            {
                "setting": DEFAULT if one.ablation is None else one.ablation.setting,
                "value": None if one.ablation is None else one.ablation.value,
                "scores": list(one.scores),
                "less_default": change,
                "half_width": None if math.isnan(width) else width,
                "seeds": [vars(seed) for seed in one.seeds],
            }
        )
    return {"outcomes": rows}
