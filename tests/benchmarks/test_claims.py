"""The claims' arithmetic and bookkeeping: against values worked out by hand, scipy, and properties of a known world.

That the port of the published way says what `mmud predict` says is tested in test_published_way.py.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats as scipy_stats

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def claims() -> Iterator[SimpleNamespace]:
    """The benchmark's modules; they are scripts, found beside one another."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        names = ("statistics", "runs", "efficiency", "ablations")
        modules: dict[str, ModuleType] = {name: importlib.import_module(f"claims_{name}") for name in names}
        yield SimpleNamespace(**modules)
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


# -- one score ----------------------------------------------------------------------------------------------------------------


def test_the_four_task_score_is_one_for_perfect_outputs(claims: SimpleNamespace) -> None:
    perfect = {"referring gIoU": 1.0, "reasoning gIoU": 1.0, "CIDEr-D": 10.0, "feature cosine": 1.0}
    assert claims.statistics.four_task_score(perfect) == 1.0
    # By hand: (.6 + .4 + .5 + .9) / 4.
    mixed = {"referring gIoU": 0.6, "reasoning gIoU": 0.4, "CIDEr-D": 5.0, "feature cosine": 0.9}
    assert claims.statistics.four_task_score(mixed) == pytest.approx(0.6)


def test_three_tasks_have_no_four_task_score(claims: SimpleNamespace) -> None:
    with pytest.raises(KeyError):
        claims.statistics.four_task_score({"referring gIoU": 1.0, "reasoning gIoU": 1.0, "CIDEr-D": 10.0})
    broken = {"referring gIoU": math.nan, "reasoning gIoU": 1.0, "CIDEr-D": 10.0, "feature cosine": 1.0}
    with pytest.raises(ValueError, match="finite"):
        claims.statistics.four_task_score(broken)


# -- the smallest budget ------------------------------------------------------------------------------------------------------


def test_the_smallest_budget_is_read_off_a_line_over_the_logarithm(claims: SimpleNamespace) -> None:
    """By hand: half the way from .2 to .4 is half the way from 100 to 400 on the logarithm, 200."""
    found = claims.statistics.smallest_budgets([100, 400, 1600], np.array([[0.2, 0.4, 0.5]]), 0.3)
    assert found[0] == pytest.approx(200)


@pytest.mark.parametrize(
    ("means", "target", "budget"),
    [
        ([0.2, 0.4, 0.5], 0.4, 400),
        ([0.2, 0.4, 0.5], 0.1, 100),
        ([0.2, 0.4, 0.5], 0.6, math.inf),
        # A fall after the first crossing changes nothing: the budget is the smallest one.
        ([0.2, 0.4, 0.1], 0.3, 200),
        ([0.5, 0.1, 0.6], 0.4, 100),
    ],
)
def test_where_a_target_is_reached(claims: SimpleNamespace, means: list[float], target: float, budget: float) -> None:
    found = claims.statistics.smallest_budgets([100, 400, 1600], np.array([means]), target)
    assert found[0] == pytest.approx(budget)


def test_between_budgets_it_is_numpys_interpolation(claims: SimpleNamespace) -> None:
    generator = np.random.default_rng(0)
    budgets = np.array([10, 30, 70, 200, 900])
    for _ in range(50):
        means = np.sort(generator.random(5))
        target = generator.uniform(means[0], means[-1])
        expected = math.exp(np.interp(target, means, np.log(budgets)))
        assert claims.statistics.smallest_budgets(budgets, means[None], target)[0] == pytest.approx(expected)


# -- intervals ----------------------------------------------------------------------------------------------------------------


def test_differences_have_the_interval_of_scipys_t_test(claims: SimpleNamespace) -> None:
    a, b = [0.50, 0.54, 0.49], [0.41, 0.47, 0.46]
    deviation, freedom = claims.statistics.pooled_deviation([a, b])
    width = claims.statistics.half_width(deviation, freedom, [3, 3])
    expected = scipy_stats.ttest_ind(a, b).confidence_interval(0.95)
    difference = np.mean(a) - np.mean(b)
    assert (difference - width, difference + width) == pytest.approx((expected.low, expected.high))


def test_one_seed_has_no_interval(claims: SimpleNamespace) -> None:
    deviation, freedom = claims.statistics.pooled_deviation([[0.5], [0.6]])
    assert math.isnan(deviation)
    assert freedom == 0
    assert math.isnan(claims.statistics.half_width(deviation, freedom, [1, 1]))
    cell = claims.statistics.Cell
    ratio = claims.statistics.ratio_of_budgets(
        [cell(10, (0.1,)), cell(40, (0.5,))], [cell(10, (0.1,)), cell(40, (0.4,))], 0.3
    )
    assert ratio.value is not None
    assert (ratio.low, ratio.high) == (None, None)
    assert ratio.interval_text() == "-"


def arm(
    claims: SimpleNamespace, shift: float, generator: np.random.Generator, noise: float, seeds: int = 3
) -> list[Any]:
    """Scores that rise by .1 with each doubling of the budget: a line over the logarithm, as it is interpolated."""
    budgets = (500, 1000, 2000, 4000, 8000)
    line = [0.2 + 0.1 * (math.log2(budget / 500) + shift) for budget in budgets]
    return [
        claims.statistics.Cell(budget, tuple(mean + noise * generator.standard_normal(seeds)))
        for budget, mean in zip(budgets, line, strict=True)
    ]


def test_an_arm_that_is_half_a_doubling_ahead_needs_the_root_of_a_half(claims: SimpleNamespace) -> None:
    generator = np.random.default_rng(0)
    ours, theirs = arm(claims, 0.5, generator, 1e-9), arm(claims, 0.0, generator, 1e-9)
    ratio = claims.statistics.ratio_of_budgets(ours, theirs, 0.45)
    assert ratio.value == pytest.approx(math.sqrt(0.5), abs=1e-6)
    assert ratio.low == pytest.approx(ratio.high, abs=1e-5)
    assert ratio.decided == 1


def test_the_interval_holds_the_true_ratio_as_often_as_it_says(claims: SimpleNamespace) -> None:
    """A world in which the ratio is known: of 300 measurements with three seeds about 95 % must hold it."""
    generator = np.random.default_rng(1)
    held = 0
    for _ in range(300):
        ours, theirs = arm(claims, 0.5, generator, 0.02), arm(claims, 0.0, generator, 0.02)
        ratio = claims.statistics.ratio_of_budgets(ours, theirs, 0.45, replicates=1000)
        assert ratio.low is not None
        held += ratio.low <= math.sqrt(0.5) <= ratio.high
    # Three standard errors of a share of 300 around 95 %, and half of one more for the few replicates.
    assert 0.91 <= held / 300 <= 0.99


def test_the_ratio_turned_round_is_the_inverse(claims: SimpleNamespace) -> None:
    generator = np.random.default_rng(2)
    ours, theirs = arm(claims, 0.5, generator, 0.01), arm(claims, 0.0, generator, 0.01)
    there = claims.statistics.ratio_of_budgets(ours, theirs, 0.45)
    back = claims.statistics.ratio_of_budgets(theirs, ours, 0.45)
    assert there.value == pytest.approx(1 / back.value)
    # Other draws, so the ends agree as far as ten thousand replicates do.
    assert there.low == pytest.approx(1 / back.high, rel=0.03)


def test_what_is_not_reached_has_no_ratio(claims: SimpleNamespace) -> None:
    generator = np.random.default_rng(3)
    ours, theirs = arm(claims, 0.0, generator, 1e-3), arm(claims, 2.0, generator, 1e-3)
    ratio = claims.statistics.ratio_of_budgets(ours, theirs, 0.75)
    assert ratio.value is None
    assert ratio.ours.text() == "not reached"
    assert ratio.theirs.text() != "not reached"
    assert ratio.text() == "none: not reached"
    assert (ratio.low, ratio.high) == (None, None)


def test_what_the_smallest_budget_reaches_is_a_bound(claims: SimpleNamespace) -> None:
    generator = np.random.default_rng(4)
    ours, theirs = arm(claims, 2.0, generator, 1e-3), arm(claims, 0.0, generator, 1e-3)
    ratio = claims.statistics.ratio_of_budgets(ours, theirs, 0.35)
    assert ratio.ours.text() == "at most 500"
    assert ratio.text().startswith("at most 0.3")
    assert claims.statistics.ratio_of_budgets(theirs, ours, 0.35).text().startswith("at least 2.8")
    assert "smallest budget" in claims.statistics.ratio_of_budgets(ours, ours, 0.2).text()


def test_an_arm_that_may_miss_the_target_has_no_upper_bound(claims: SimpleNamespace) -> None:
    """With a target at the very top, seeds decide whether it is reached: half the replicates say that it is not."""
    cell = claims.statistics.Cell
    ours = [cell(100, (0.20, 0.22, 0.18)), cell(1000, (0.49, 0.51, 0.5))]
    theirs = [cell(100, (0.20, 0.22, 0.18)), cell(1000, (0.79, 0.81, 0.8))]
    ratio = claims.statistics.ratio_of_budgets(ours, theirs, 0.5)
    assert ratio.value is not None
    assert ratio.high == math.inf
    assert ratio.interval_text().endswith("no bound")


def test_targets_are_shares_of_what_the_weaker_arm_gains(claims: SimpleNamespace) -> None:
    cell = claims.statistics.Cell
    strong, weak = [cell(1, (0.5,)), cell(2, (0.9,))], [cell(1, (0.6,)), cell(2, (0.4,))]
    found = claims.statistics.target_scores(0.2, [strong, weak], (0.5, 1.0))
    assert found == pytest.approx({0.5: 0.4, 1.0: 0.6})
    assert claims.statistics.target_scores(0.7, [strong, weak], (0.5,)) == {}


# -- bookkeeping --------------------------------------------------------------------------------------------------------------


class World:
    """Stands for training: scores by a rule, and a list of what was asked of it."""

    def __init__(self, claims: SimpleNamespace, rule: Any) -> None:
        self.claims = claims
        self.rule = rule
        self.asked: list[tuple[Any, str]] = []

    def __call__(self, run: Any, split: str, folder: Path, limit: int | None = None) -> Any:
        self.asked.append((run, split))
        score = self.rule(run, split)
        figures = {name: score * scale for name, (_, _, scale) in self.claims.statistics.PARTS.items()}
        adapter = 0 if run.baseline == "heads-only" else 100 * run.options.get("dimension", 64)
        return self.claims.runs.Scored(figures, {"adapter": adapter, "vision": 1000}, 2.0, 0.5, 0.25)


def runs_of(claims: SimpleNamespace, folder: Path, world: World, said: list[str] | None = None, **more: Any) -> Any:
    context = more.pop("context", {"dataset": "d"})
    return claims.runs.Runs(folder, context, world, say=(said if said is not None else []).append, **more)


def test_a_result_is_measured_once(claims: SimpleNamespace, tmp_path: Path) -> None:
    world = World(claims, lambda run, split: 0.25)
    run = claims.runs.Run("lora", {"steps": 3, "batch": 2}, 1)
    first = runs_of(claims, tmp_path, world).scored(run, "test")
    again = runs_of(claims, tmp_path, world).scored(run, "test")
    assert first == again
    assert len(world.asked) == 1
    (line,) = map(json.loads, (tmp_path / "runs.jsonl").read_text().splitlines())
    assert line["run"] == {"baseline": "lora", "options": {"steps": 3, "batch": 2}, "seed": 1}
    assert line["score"] == pytest.approx(0.25)


@pytest.mark.parametrize(
    "other",
    [{"context": {"dataset": "other"}}, {"context": {"dataset": "d", "weights": "new"}}, {"samples": 5}],
)
def test_results_of_other_data_weights_or_samples_do_not_count(
    claims: SimpleNamespace, tmp_path: Path, other: Mapping[str, Any]
) -> None:
    world = World(claims, lambda run, split: 0.25)
    run = claims.runs.Run("lora", {"steps": 3, "batch": 2}, 1)
    runs_of(claims, tmp_path, world).scored(run, "test")
    assert runs_of(claims, tmp_path, world, **other).known(run, "test") is None


def test_a_line_that_was_cut_off_is_measured_again_and_spoils_nothing(claims: SimpleNamespace, tmp_path: Path) -> None:
    world = World(claims, lambda run, split: 0.25)
    one, two = (claims.runs.Run("lora", {"steps": 3, "batch": 2}, seed) for seed in (1, 2))
    runs = runs_of(claims, tmp_path, world)
    runs.scored(one, "test")
    runs.scored(two, "test")
    file = tmp_path / "runs.jsonl"
    file.write_bytes(file.read_bytes()[:-40])
    runs = runs_of(claims, tmp_path, world)
    assert runs.known(one, "test") is not None
    assert runs.known(two, "test") is None
    runs.scored(two, "test")
    assert runs_of(claims, tmp_path, world).known(two, "test") is not None
    assert len(world.asked) == 3


def test_when_the_minutes_are_over_nothing_is_begun_and_known_results_stay(
    claims: SimpleNamespace, tmp_path: Path
) -> None:
    world = World(claims, lambda run, split: 0.25)
    one, two = (claims.runs.Run("lora", {"steps": 3, "batch": 2}, seed) for seed in (1, 2))
    runs_of(claims, tmp_path, world).scored(one, "test")
    late = runs_of(claims, tmp_path, world, minutes=-1.0)
    assert late.scored(one, "test").score == pytest.approx(0.25)
    with pytest.raises(claims.runs.OutOfTime):
        late.scored(two, "test")


def test_the_expected_time_is_that_of_the_runs_that_are_left(claims: SimpleNamespace, tmp_path: Path) -> None:
    """By hand: a step takes half a second and a sample a quarter: 4 runs of 10 steps and 4 predictions of 8 samples, 28 s."""
    world = World(claims, lambda run, split: 0.25)
    said: list[str] = []
    runs = runs_of(claims, tmp_path, world, said)
    todo = [claims.runs.Run("lora", {"steps": 10, "batch": 2}, seed) for seed in range(4)]
    assert runs.announce("block", todo, 4, 8) == pytest.approx(28)
    assert said[-1] == "block: 4 runs, 4 of them to be done; expected time about 28 s"
    runs.scored(todo[0], "test")
    assert said[-1].endswith("about 6 s left")
    assert runs.announce("block", todo, 4, 8) == pytest.approx(21)
    # The few steps that tell how long it takes were taken once.
    assert [run.options["steps"] for run, _ in world.asked] == [4, 10]


# -- efficiency ---------------------------------------------------------------------------------------------------------------


def rule(run: Any, split: str) -> float:
    """A world where the best rates are known, and where the test split would choose others."""
    head = 0.05 if run.options["learning_rate"] == 1e-3 else 0.0
    rate = run.options.get("learning_rates", {}).get("adapter")
    wanted = {"neural-tuning": 1e-2, "lora": 3e-3}.get(run.baseline)
    best = 0.05 if rate == wanted else 0.0
    if split == "test":
        best, head = -best, -head
    gain = 0.0 if run.baseline == "heads-only" else 0.1 * math.log2(run.options["dimension"])
    ahead = 0.05 if run.baseline == "neural-tuning" else 0.0
    return 0.3 + head + best + gain + ahead + 0.001 * run.seed


def plan_of(claims: SimpleNamespace, **more: Any) -> Any:
    return claims.efficiency.Plan({"steps": 10, "batch": 2}, budgets=(2, 4, 8, 16), **more)


def test_rates_are_chosen_on_the_valid_split_alone(claims: SimpleNamespace, tmp_path: Path) -> None:
    world = World(claims, rule)
    settings = claims.efficiency.measure(plan_of(claims), runs_of(claims, tmp_path, world))
    assert {(one.arm, one.rate) for one in settings} == {
        ("heads-only", 1e-3),
        ("neural-tuning", 1e-2),
        ("lora", 3e-3),
    }
    heads = {run.options["learning_rate"] for run, _ in world.asked if run.baseline != "heads-only"}
    assert heads == {1e-3}
    # Runs that lost on valid are never shown the test split.
    tested = [run for run, split in world.asked if split == "test"]
    assert len(tested) == 3 * 9
    assert all(run.options["learning_rates"]["adapter"] == 1e-2 for run in tested if run.baseline == "neural-tuning")
    # Three rates by the first seed, two more seeds: for heads-only and for two arms at four budgets.
    assert len({runs_of(claims, tmp_path, world).key(run) for run, _ in world.asked}) == 5 * 9


def test_the_estimate_counts_the_runs_that_are_done(claims: SimpleNamespace, tmp_path: Path) -> None:
    world = World(claims, rule)
    runs, plan = runs_of(claims, tmp_path, world), plan_of(claims)
    assert len(claims.efficiency.planned(plan, runs)) == 5 * 9
    claims.efficiency.measure(plan, runs)
    done = {(runs.key(run)) for run, _ in world.asked}
    assert {runs.key(run) for run in claims.efficiency.planned(plan, runs)} == done


def test_the_table_says_what_the_world_is(claims: SimpleNamespace, tmp_path: Path) -> None:
    """Both arms gain .1 a doubling and ours is .05 ahead, half a doubling: the ratio is the root of a half."""
    settings = claims.efficiency.measure(plan_of(claims), runs_of(claims, tmp_path, World(claims, rule)))
    found = claims.efficiency.ratios(settings)
    assert found[0.9].value == pytest.approx(math.sqrt(0.5))
    text = claims.efficiency.tables(settings)
    assert "Neural tuning needs fewer parameters than LoRA; the claimed 0.63 is outside the interval." in text
    differences = [line for line in text.splitlines() if line.count("|") == 6 and line.startswith(("| 2 |", "| 16 |"))]
    assert all("| +0.0500 |" in line for line in differences)
    assert len(differences) == 2
    data = json.loads(json.dumps(claims.efficiency.as_data(settings), allow_nan=False))
    assert data["ratios"]["0.9"]["value"] == pytest.approx(math.sqrt(0.5))


def test_a_claim_that_fails_is_published_as_failed(claims: SimpleNamespace, tmp_path: Path) -> None:
    def behind(run: Any, split: str) -> float:
        swapped = {"neural-tuning": "lora", "lora": "neural-tuning"}.get(run.baseline, run.baseline)
        return rule(claims.runs.Run(swapped, run.options, run.seed), split)

    settings = claims.efficiency.measure(plan_of(claims), runs_of(claims, tmp_path, World(claims, behind)))
    text = claims.efficiency.verdict(settings)
    assert "Neural tuning needs more parameters than LoRA; the claimed 0.63 is outside the interval." in text


def test_an_adapter_that_gains_nothing_is_not_compared(claims: SimpleNamespace, tmp_path: Path) -> None:
    world = World(claims, lambda run, split: 0.5 if run.baseline == "heads-only" else 0.4)
    settings = claims.efficiency.measure(plan_of(claims), runs_of(claims, tmp_path, world))
    assert claims.efficiency.ratios(settings) == {}
    assert "cannot be judged" in claims.efficiency.tables(settings)


def test_arms_may_be_measured_apart(claims: SimpleNamespace, tmp_path: Path) -> None:
    world = World(claims, rule)
    with pytest.raises(claims.runs.NoComparison, match="heads-only"):
        claims.efficiency.measure(plan_of(claims, arms=("lora",)), runs_of(claims, tmp_path, world))
    assert world.asked == []
    for one in ("heads-only", "lora"):
        found = claims.efficiency.measure(plan_of(claims, arms=(one,)), runs_of(claims, tmp_path, world))
    assert {setting.arm for setting in found} == {"lora"}
    assert "not in this table" in claims.efficiency.tables(found)
    count = len(world.asked)
    claims.efficiency.measure(plan_of(claims), runs_of(claims, tmp_path, world))
    assert {run.baseline for run, _ in world.asked[count:]} == {"neural-tuning"}


# -- ablations ----------------------------------------------------------------------------------------------------------------


def test_ablations_are_told_by_their_difference_to_the_default(claims: SimpleNamespace, tmp_path: Path) -> None:
    def scores(run: Any, split: str) -> float:
        changed = run.options.get("adapter_options", {}).get("ema") == 0.0
        return (0.4 if changed else 0.5) + 0.01 * run.seed

    plan = claims.ablations.Plan({"steps": 10, "batch": 2}, layers=6, settings=("EMA",))
    outcomes = claims.ablations.measure(plan, runs_of(claims, tmp_path, World(claims, scores)))
    without, more = (claims.ablations.difference(one, outcomes[0], outcomes) for one in outcomes[1:])
    assert without[0] == pytest.approx(-0.1)
    assert more[0] == pytest.approx(0.0)
    # All groups have the deviation .01; six degrees of freedom.
    assert without[1] == pytest.approx(scipy_stats.t.ppf(0.975, 6) * 0.01 * math.sqrt(2 / 3))
    lines = claims.ablations.tables(outcomes).splitlines()
    assert lines[2].startswith("| default |")
    assert "-0.1000 ±" in lines[3]


def test_every_ablation_is_a_change_that_the_baseline_takes(claims: SimpleNamespace) -> None:
    """Each differs from the default in the settings of the model, as the baseline itself reads them."""
    from mmud.baselines.neural_tuning.baseline import NeuralTuning
    from mmud.baselines.neural_tuning.options import settings_of

    plan = claims.ablations.Plan({"steps": 10, "batch": 2}, layers=6)

    def settings(ablation: Any) -> Any:
        return settings_of(NeuralTuning(plan.run(ablation, 0).options).options, "stn")

    default = settings(None)
    found = [settings(ablation) for ablation in plan.chosen]
    assert all(one != default for one in found)
    assert len({one.model_dump_json() for one in found}) == len(claims.ablations.ABLATIONS)
    assert default.adapter_options["dimension"] == 64
    assert {one.setting for one in plan.chosen} == {"active rate", "EMA", "dimension", "start layer", "tokens"}
