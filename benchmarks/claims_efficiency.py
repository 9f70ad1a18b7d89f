"""Parameter efficiency: four-task scores against the adapter's parameters, for neural tuning, LoRA and no adapter at all.

1. heads-only is trained at each of ``head_rates`` with the first seed; the rate with the best four-task score on the valid split
   is the rate of the heads in every arm.
2. Each arm at each budget is trained at each of ``adapter_rates`` with the first seed; the best on the valid split is its rate.
3. The other seeds are trained at the chosen rates. All scores in the tables are of the test split, free-running.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from claims_runs import TEST, VALID, NoComparison, Run, Runs, Scored
from claims_statistics import (
    PARTS,
    Cell,
    Ratio,
    half_width,
    pooled_deviation,
    ratio_of_budgets,
    target_scores,
)

OURS, THEIRS, NEITHER = "neural-tuning", "lora", "heads-only"
ARMS = (NEITHER, OURS, THEIRS)
SHARES = (0.5, 0.75, 0.9, 1.0)
HEADLINE = 0.9
"""The share of the way at which the claim is judged; settled before anything was measured."""

CLAIM = 0.63


@dataclass(frozen=True)
class Plan:
    """What is to be trained.

    Attributes:
        common: options of every run: steps, batch and the like.
        budgets: dimensions of the sparse task network; LoRA gets the rank that comes nearest in parameters.
        seeds: the first of them chooses the rates.
        head_rates, adapter_rates: the grids.
        arms: that are trained now; the others come from lines that are there.
    """

    common: Mapping[str, Any]
    budgets: Sequence[int] = (8, 16, 32, 64, 128)
    seeds: Sequence[int] = (0, 1, 2)
    head_rates: Sequence[float] = (5e-4, 1e-3, 2e-3)
    adapter_rates: Sequence[float] = (1e-3, 3e-3, 1e-2)
    arms: Sequence[str] = ARMS

    def heads(self, rate: float, seed: int) -> Run:
        return Run(NEITHER, {**self.common, "learning_rate": rate}, seed)

    def adapted(self, arm: str, budget: int, head_rate: float, rate: float, seed: int) -> Run:
        rates = {"learning_rate": head_rate, "learning_rates": {"adapter": rate}}
        return Run(arm, {**self.common, "dimension": budget, **rates}, seed)


@dataclass(frozen=True)
class Setting:
    """One arm at one budget: the rate that was chosen, and what each seed scored on the test split."""

    arm: str
    budget: int | None
    rate: float
    seeds: tuple[Scored, ...]

    @property
    def cell(self) -> Cell:
        return Cell(self.seeds[0].adapter, tuple(one.score for one in self.seeds))

    def part(self, name: str) -> float:
        return sum(one.figures[name] for one in self.seeds) / len(self.seeds)


def best_rate(runs: Runs, candidates: Mapping[float, Run]) -> float:
    """The rate whose run scores best on the valid split; the test split is not looked at. Of equal ones the lowest."""
    return max(sorted(candidates), key=lambda rate: runs.scored(candidates[rate], VALID).score)


def planned(plan: Plan, runs: Runs) -> list[Run]:
    """Every run, for the estimate of time; the lowest rate stands for one that is yet to be chosen."""

    def rate_of(candidates: Mapping[float, Run]) -> float:
        tried = all(runs.known(run, VALID) is not None for run in candidates.values())
        return best_rate(runs, candidates) if tried else min(candidates)

    first, others = plan.seeds[0], plan.seeds[1:]
    heads = {rate: plan.heads(rate, first) for rate in plan.head_rates}
    head_rate, found = rate_of(heads), list[Run]()
    if NEITHER in plan.arms:
        found += [*heads.values(), *(plan.heads(head_rate, seed) for seed in others)]
    for arm in (arm for arm in (OURS, THEIRS) if arm in plan.arms):
        for budget in plan.budgets:
            tried = {rate: plan.adapted(arm, budget, head_rate, rate, first) for rate in plan.adapter_rates}
            rate = rate_of(tried)
            found += [*tried.values(), *(plan.adapted(arm, budget, head_rate, rate, seed) for seed in others)]
    return found


def measure(plan: Plan, runs: Runs) -> list[Setting]:
    """All settings of the arms that are asked for, heads-only first.

    Raises:
        NoComparison: when the rate of the heads is needed and heads-only was not trained yet.
    """
    first, settings = plan.seeds[0], []
    heads = {rate: plan.heads(rate, first) for rate in plan.head_rates}
    if NEITHER not in plan.arms and any(runs.known(run, VALID) is None for run in heads.values()):
        raise NoComparison("heads-only chooses the rate of the heads: train it first, with --arms heads-only")
    head_rate = best_rate(runs, heads)
    if NEITHER in plan.arms:
        found = tuple(runs.scored(plan.heads(head_rate, seed), TEST) for seed in plan.seeds)
        settings.append(Setting(NEITHER, None, head_rate, found))
    for arm in (arm for arm in (OURS, THEIRS) if arm in plan.arms):
        for budget in plan.budgets:
            tried = {rate: plan.adapted(arm, budget, head_rate, rate, first) for rate in plan.adapter_rates}
            rate = best_rate(runs, tried)
            chosen = [plan.adapted(arm, budget, head_rate, rate, seed) for seed in plan.seeds]
            settings.append(Setting(arm, budget, rate, tuple(runs.scored(run, TEST) for run in chosen)))
    return settings


# -- what it says -----------------------------------------------------------------------------------------------------------


def arm_of(settings: Sequence[Setting], arm: str) -> list[Setting]:
    return sorted((one for one in settings if one.arm == arm), key=lambda one: one.cell.parameters)


def ratios(settings: Sequence[Setting]) -> dict[float, Ratio]:
    """The ratio of the adapters' parameters at each target; empty where the weaker arm never beats heads-only."""
    ours, theirs, neither = (arm_of(settings, arm) for arm in (OURS, THEIRS, NEITHER))
    cells = [[one.cell for one in arm] for arm in (ours, theirs)]
    targets = target_scores(neither[0].cell.mean, cells, SHARES)
    return {share: ratio_of_budgets(cells[0], cells[1], target) for share, target in targets.items()}


def tables(settings: Sequence[Setting]) -> str:
    """Everything that was measured, as Markdown."""
    blocks = [_scores(settings)]
    if all(arm_of(settings, arm) for arm in ARMS):
        blocks += [_ratios(settings), _differences(settings), verdict(settings)]
    else:
        missing = [arm for arm in ARMS if not arm_of(settings, arm)]
        blocks.append(f"Budgets are compared when all arms are measured; {', '.join(missing)} is not in this table.")
    return "\n\n".join(blocks)


def _scores(settings: Sequence[Setting]) -> str:
    deviation, freedom = pooled_deviation([one.cell.scores for one in settings])
    header = ["arm", "dimension", "adapter", "all trained", "rate", *PARTS, "four-task score"]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for arm in ARMS:
        for one in arm_of(settings, arm):
            width = half_width(deviation, freedom, [len(one.seeds)])
            cells = [
                arm,
                "-" if one.budget is None else str(one.budget),
                f"{one.cell.parameters:,}",
                f"{one.seeds[0].trained:,}",
                f"{one.rate:g}",
                *(f"{one.part(name):.3f}" for name in PARTS),
                f"{one.cell.mean:.4f}" + ("" if math.isnan(width) else f" ± {width:.4f}"),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    note = f"Means over {len(settings[0].seeds)} seeds; ± is half the 95 % interval"
    if freedom:
        note += f" by the pooled deviation {deviation:.4f} ({freedom} degrees of freedom)."
    else:
        note += ", which one seed has none of."
    return "\n".join(lines) + f"\n\n{note}"


def _ratios(settings: Sequence[Setting]) -> str:
    found = ratios(settings)
    if not found:
        return "The weaker adapter never scores above heads-only: there is no score at which budgets could be compared."
    header = ["share of the gain", "four-task score", OURS, THEIRS, "ratio", "95 % interval"]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for share, ratio in found.items():
        cells = [f"{100 * share:.0f} %", f"{ratio.target:.4f}", ratio.ours.text(), ratio.theirs.text()]
        lines.append("| " + " | ".join([*cells, ratio.text(), ratio.interval_text()]) + " |")
    return "\n".join(lines)


def _differences(settings: Sequence[Setting]) -> str:
    """Neural tuning less LoRA at each budget."""
    deviation, freedom = pooled_deviation([one.cell.scores for one in settings if one.arm != NEITHER])
    lines = ["| dimension | neural-tuning | lora | difference | 95 % interval |", "|---|---|---|---|---|"]
    theirs = {one.budget: one for one in arm_of(settings, THEIRS)}
    for one in arm_of(settings, OURS):
        other = theirs[one.budget]
        difference = one.cell.mean - other.cell.mean
        width = half_width(deviation, freedom, [len(one.seeds), len(other.seeds)])
        interval = "-" if math.isnan(width) else f"{difference - width:+.4f} to {difference + width:+.4f}"
        cells = [str(one.budget), f"{one.cell.mean:.4f}", f"{other.cell.mean:.4f}", f"{difference:+.4f}", interval]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def verdict(settings: Sequence[Setting]) -> str:
    """One paragraph on the claim, by the rule that was settled beforehand."""
    found = ratios(settings)
    if not found:
        return f"The claim ({CLAIM}) cannot be judged here: an adapter gains nothing over heads-only."
    ratio = found[HEADLINE]
    text = f"At {100 * HEADLINE:.0f} % of the gain: ratio {ratio.text()}, 95 % interval {ratio.interval_text()}."
    if ratio.value is None or ratio.low is None or ratio.high is None:
        return f"{text} The claim ({CLAIM}) is neither confirmed nor refuted."
    if ratio.high < 1:
        said = "Neural tuning needs fewer parameters than LoRA"
    elif ratio.low > 1:
        said = "Neural tuning needs more parameters than LoRA"
    else:
        said = "No difference between neural tuning and LoRA was shown"
    inside = ratio.low <= CLAIM <= ratio.high
    bounded = ratio.ours.bound or ratio.theirs.bound
    note = " The ratio is a bound, since one arm reaches the score at its smallest budget." if bounded else ""
    return f"{text} {said}; the claimed {CLAIM} is {'inside' if inside else 'outside'} the interval.{note}"


def as_data(settings: Sequence[Setting]) -> dict[str, Any]:
    """The same as JSON-compatible data; infinity, which JSON has not, is null."""
    rows = [
        {
            "arm": one.arm,
            "dimension": one.budget,
            "rate": one.rate,
            "adapter_parameters": one.cell.parameters,
            "scores": list(one.cell.scores),
            "seeds": [vars(seed) for seed in one.seeds],
        }
        for one in settings
    ]
    compared = ratios(settings) if all(arm_of(settings, arm) for arm in ARMS) else {}
    return {
        "claim": CLAIM,
        "headline_share": HEADLINE,
        "settings": rows,
        "ratios": {str(share): _finite(asdict(ratio)) for share, ratio in compared.items()},
    }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
