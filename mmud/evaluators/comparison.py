"""Two systems on the same samples: differences with intervals, tests, wins and losses, and where they differ most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmud.errors import MmudError
from mmud.evaluators import codes
from mmud.evaluators.base import Evaluator, Figures, Metric
from mmud.evaluators.evaluation import options_of_rows
from mmud.evaluators.rows import RowTable, image_numbers
from mmud.evaluators.scoring import Scorer, number
from mmud.evaluators.statistics.bootstrap import Resampler
from mmud.evaluators.statistics.paired import PERMUTATIONS, PairedResult, compare, holm
from mmud.evaluators.statistics.sums import exact_sums, group_sums
from mmud.records import Task

TIE = 1e-9
"""Two samples' values that are no further apart are a tie."""

MOST_DIFFERENT = 10


@dataclass(frozen=True, slots=True)
class SampleDifference:
    """One sample on which two systems differ."""

    sample_id: str
    first: float
    second: float
    difference: float


@dataclass
class MetricComparison:
    """One metric of two systems.

    Attributes:
        metric: what it is.
        result: values, difference, interval and p-value.
        p_holm: corrected over the tasks' first metrics; None for other metrics.
        wins, ties, losses: samples on which the second system is better, equal or worse; None where a metric has no value for
            a sample, or no direction.
        different: the samples that differ most.
    """

    metric: Metric
    result: PairedResult
    p_holm: float | None = None
    wins: int | None = None
    ties: int | None = None
    losses: int | None = None
    different: list[SampleDifference] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {**asdict(self.result), "p_holm": self.p_holm}
        found |= {"wins": self.wins, "ties": self.ties, "losses": self.losses}
        found["higher_is_better"] = self.metric.higher_is_better
        found["different"] = [asdict(sample) for sample in self.different]
        return found


@dataclass(frozen=True)
class Comparison:
    """Two systems, task by task.

    Attributes:
        first, second: their names.
        tasks: task -> metric -> what was found; the first metric of a task is the one that is tested over tasks.
        samples: task -> how many samples both were scored on.
    """

    first: str
    second: str
    tasks: Mapping[str, Mapping[str, MetricComparison]]
    samples: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        return {
            "first": self.first,
            "second": self.second,
            "tasks": {
                task: {
                    "samples": self.samples[task],
                    "metrics": {name: one.to_dict() for name, one in metrics.items()},
                }
                for task, metrics in self.tasks.items()
            },
        }


def compare_rows(
    first: RowTable,
    second: RowTable,
    *,
    names: tuple[str, str] = ("A", "B"),
    protocol: str | None = None,
    tasks: Sequence[Task] | None = None,
    metrics: Sequence[str] | None = None,
    resampler: Resampler | None = None,
    permutations: int = PERMUTATIONS,
) -> Comparison:
    """Compare two systems from their rows.

    Args:
        first, second: rows of the two systems.
        names: what to call them.
        protocol: of segmentation; the first one that the first system's rows were made with when left out.
        tasks: to compare; those that both have when left out.
        metrics: names; all when left out.
        resampler: how intervals are made; its seed is the test's as well.
        permutations: random swaps of the test.

    Raises:
        MmudError: MM824 when the two were not scored on the same samples by the same rules, MM821 when the rows do not hold
            the protocol that is asked for.
    """
    _check_comparable(first, second)
    options = options_of_rows(first)
    chosen = replace(options, protocols=(protocol or options.protocols[0],), metrics=None)
    resampler = resampler or Resampler()
    found: dict[str, dict[str, MetricComparison]] = {}
    samples: dict[str, int] = {}
    shared = [task for task in first.tasks if task in second.tasks and (tasks is None or task in tasks)]
    for task in shared:
        scorer = Scorer(chosen)
        of_first = {evaluator.name: evaluator for evaluator in scorer.evaluators(first, task)}
        of_second = {evaluator.name: evaluator for evaluator in scorer.evaluators(second, task)}
        result: dict[str, MetricComparison] = {}
        for name, evaluator in of_first.items():
            if name not in of_second:
                continue
            pair = _Pair(task, evaluator, of_second[name], first, second)
            result |= pair.compare(resampler, permutations, metrics)
            samples[task.value] = max(samples.get(task.value, 0), len(pair.ids))
        if result:
            found[task.value] = result
    if not found:
        raise MmudError(codes.NOT_COMPARABLE, "the two systems share no task, or no metric that was asked for")
    _correct(found)
    return Comparison(*names, found, samples)


def _check_comparable(first: RowTable, second: RowTable) -> None:
    a, b = first.description, second.description
    for key, what in (("fingerprint", "dataset"), ("split", "split")):
        if a["dataset"][key] != b["dataset"][key]:
            message = f"another {what}: {a['dataset'][key]} and {b['dataset'][key]}"
            raise MmudError(codes.NOT_COMPARABLE, message)
    if a["options"]["match"] != b["options"]["match"]:
        message = f"masks were matched by {a['options']['match']} and by {b['options']['match']}"
        raise MmudError(codes.NOT_COMPARABLE, message)
    for name, states in a["states"].items():
        for task, state in states.items():
            other = b["states"].get(name, {}).get(task)
            if other is not None and other != state:
                raise MmudError(codes.NOT_COMPARABLE, f"{name} of {task} was measured in two ways: {state} and {other}")


class _Pair:
    """One evaluator's rows of two systems, sample by sample."""

    def __init__(self, task: Task, first: Evaluator, second: Evaluator, rows_a: RowTable, rows_b: RowTable) -> None:
        (of_a, common_a), (of_b, common_b) = rows_a.select(task, first.name), rows_b.select(task, second.name)
        self.ids: list[str] = common_a.column("sample_id").to_pylist()
        if self.ids != common_b.column("sample_id").to_pylist():
            only = sorted(set(self.ids) ^ set(common_b.column("sample_id").to_pylist()))
            message = f"{task.value}: {len(only)} samples were scored for one system only, such as {only[0]!r}"
            raise MmudError(codes.NOT_COMPARABLE, message)
        self.evaluator = first
        self.images = image_numbers(common_a)
        self.figures = (self._figures(first, task, of_a), self._figures(second, task, of_b))

    @staticmethod
    def _figures(evaluator: Evaluator, task: Task, rows: pa.StructArray) -> Figures:
        return evaluator.figures(task, rows, evaluator.variants()[0])

    def compare(
        self, resampler: Resampler, permutations: int, wanted: Sequence[str] | None
    ) -> dict[str, MetricComparison]:
        a, b = self.figures
        groups = int(self.images.max()) + 1 if len(self.images) else 0
        sums = tuple(group_sums(one.columns, self.images[one.owner], groups) for one in (a, b))
        values = tuple(self._values(one) for one in (a, b))
        results = compare(sums[0], sums[1], a.reduce, (values[0], values[1]), resampler, permutations)
        each = tuple(one.reduce(group_sums(one.columns, one.owner, len(self.ids)).each) for one in (a, b))
        found = {}
        for metric in self.evaluator.metrics:
            if metric.name in results and (wanted is None or metric.name in wanted):
                comparison = MetricComparison(metric, results[metric.name])
                if metric.name not in a.values and metric.name in each[0] and metric.name in each[1]:
                    self._count(comparison, np.asarray(each[0][metric.name]), np.asarray(each[1][metric.name]))
                found[metric.name] = comparison
        return found

    def _values(self, figures: Figures) -> dict[str, float | None]:
        exact = figures.reduce(exact_sums(figures.columns))
        values = {name: number(np.asarray(value).ravel()[0]) for name, value in exact.items()}
        return values | {name: number(value) for name, value in figures.values.items()}

    def _count(self, comparison: MetricComparison, first: NDArray[np.float64], second: NDArray[np.float64]) -> None:
        """Wins, ties, losses and the samples that differ most, from each sample's own value."""
        difference = second - first
        defined = np.flatnonzero(np.isfinite(difference))
        better = comparison.metric.higher_is_better
        if better is not None:
            gain = difference[defined] if better else -difference[defined]
            comparison.wins = int((gain > TIE).sum())
            comparison.losses = int((gain < -TIE).sum())
            comparison.ties = len(defined) - comparison.wins - comparison.losses
        # Largest difference first; samples that tie stand in the order of their ids.
        order = defined[np.argsort(-np.abs(difference[defined]), kind="stable")][:MOST_DIFFERENT]
        comparison.different = [
            SampleDifference(self.ids[row], float(first[row]), float(second[row]), float(difference[row]))
            for row in order.tolist()
            if abs(difference[row]) > TIE
        ]


def _correct(found: Mapping[str, Mapping[str, MetricComparison]]) -> None:
    """Holm's correction over the first metric of each task."""
    firsts = [next(iter(metrics.values())) for metrics in found.values()]
    for one, adjusted in zip(firsts, holm([one.result.p for one in firsts]), strict=True):
        one.p_holm = adjusted
