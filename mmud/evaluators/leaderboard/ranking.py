"""Ranks with their ranges: two systems are told apart only where a paired test says so.

A system's rank range goes from one more than the number of systems that are significantly better to the number of systems less
those that are significantly worse. The tests are paired permutation tests over images, corrected over all pairs of a task by
Holm's method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mmud.errors import MmudError
from mmud.evaluators import codes as evaluation_codes
from mmud.evaluators.base import BUILT_IN, EVALUATORS, Evaluator, Figures, Reduce, Sums
from mmud.evaluators.evaluation import options_of_rows
from mmud.evaluators.rows import RowTable, image_numbers
from mmud.evaluators.scoring import Scorer, number
from mmud.evaluators.statistics.bootstrap import Resampler
from mmud.evaluators.statistics.paired import compare, holm
from mmud.evaluators.statistics.sums import exact_sums, group_sums
from mmud.records import Task

ALPHA = 0.05
PERMUTATIONS = 5_000


@dataclass(frozen=True, slots=True)
class Standing:
    """One system in one task.

    Attributes:
        value: of the primary metric.
        rank: its place by value, from 1; systems of equal value share the better place.
        best, worst: its rank range.
    """

    value: float
    rank: int
    best: int
    worst: int


@dataclass(frozen=True)
class TaskFigures:
    """A system's numbers for one metric of a task.

    Attributes:
        figures: what adds up.
        images: the image of each unit, shape (units,).
        image_names: every image of the rows, sorted.
        samples: the ids of the rows, in order.
    """

    figures: Figures
    images: NDArray[np.int64]
    image_names: tuple[str, ...]
    samples: tuple[str, ...]


def task_figures(rows: RowTable, task: Task, metric: str) -> TaskFigures:
    """The numbers behind one metric of a task.

    Raises:
        MmudError: MM821 when the rows hold no such metric.
    """
    for evaluator in Scorer(options_of_rows(rows)).evaluators(rows, task):
        if metric in {declared.name for declared in evaluator.metrics}:
            return _of(evaluator, rows, task, metric)
    raise MmudError(evaluation_codes.ROWS_LACK, f"the rows hold no {metric} of {task.value}")


def _of(evaluator: Evaluator, rows: RowTable, task: Task, metric: str) -> TaskFigures:
    of_evaluator, common = rows.select(task, evaluator.name)
    figures = evaluator.figures(task, of_evaluator, evaluator.variants()[0])
    names = tuple(sorted(set(common.column("image").to_pylist())))
    kept = Figures(
        columns=figures.columns,
        owner=figures.owner,
        reduce=_only(figures.reduce, metric),
        counts=figures.counts,
        fields=figures.fields,
        values={name: value for name, value in figures.values.items() if name == metric},
    )
    return TaskFigures(kept, image_numbers(common)[figures.owner], names, tuple(common.column("sample_id").to_pylist()))


def _only(reduce: Reduce, metric: str) -> Reduce:
    def reduced(sums: Sums) -> Mapping[str, NDArray[np.float64]]:
        found = reduce(sums)
        return {metric: found[metric]} if metric in found else {}

    return reduced


def value_of(part: TaskFigures, metric: str) -> float | None:
    """The metric over everything."""
    if metric in part.figures.values:
        return number(part.figures.values[metric])
    found = part.figures.reduce(exact_sums(part.figures.columns))
    return number(np.asarray(found[metric]).ravel()[0]) if metric in found else None


def sample_values(part: TaskFigures, metric: str) -> dict[str, float]:
    """The metric of each sample by itself, where it has one."""
    rows = len(part.samples)
    sums = group_sums(part.figures.columns, part.figures.owner.astype(np.int64), rows)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.asarray(part.figures.reduce(sums.each).get(metric, np.full(rows, np.nan)), dtype=np.float64)
    return {sample: float(value) for sample, value in zip(part.samples, values, strict=True) if np.isfinite(value)}


def higher_is_better(task: Task, metric: str) -> bool:
    """The direction of a task's metric; True where neither direction is better."""
    # Built-in ones first: a broken plug-in is loaded only where none of them has the metric.
    for name in dict.fromkeys((*BUILT_IN, *(f"{entry.provider}:{entry.name}" for entry in EVALUATORS.entries))):
        evaluator = EVALUATORS.get(name)
        for declared in evaluator.metrics:
            if task in evaluator.tasks and declared.name == metric:
                return declared.higher_is_better is not False
    return True


def standings(
    systems: Mapping[str, RowTable], task: Task, metric: str, *, seed: int = 0, permutations: int = PERMUTATIONS
) -> dict[str, Standing]:
    """Values, ranks and rank ranges of systems in one task.

    Args:
        systems: name -> rows, all over the same samples.
        task, metric: what is ranked by.
        seed, permutations: of the tests.

    Raises:
        MmudError: MM824 when two systems were scored on different images.
    """
    parts = {name: task_figures(rows, task, metric) for name, rows in systems.items()}
    values = {name: value for name, part in parts.items() if (value := value_of(part, metric)) is not None}
    sign = 1 if higher_is_better(task, metric) else -1
    better = _told_apart({name: parts[name] for name in values}, values, metric, sign, seed, permutations)
    found = {}
    for name, value in values.items():
        ahead = sum(name in worse for worse in better.values())
        found[name] = Standing(
            value,
            1 + sum(sign * other > sign * value for other in values.values()),
            1 + ahead,
            len(values) - len(better[name]),
        )
    return dict(sorted(found.items(), key=lambda item: (item[1].rank, item[0])))


def _told_apart(
    parts: Mapping[str, TaskFigures],
    values: Mapping[str, float],
    metric: str,
    sign: int,
    seed: int,
    permutations: int,
) -> dict[str, set[str]]:
    """System -> the systems that it is significantly better than."""
    pairs = list(combinations(parts, 2))
    resampler = Resampler(replicates=1, seed=seed)
    p_values: list[float | None] = []
    sums = {}
    for name, part in parts.items():
        _same_images(parts, name)
        sums[name] = group_sums(part.figures.columns, part.images, len(part.image_names))
    for first, second in pairs:
        both = {metric: values[first]}, {metric: values[second]}
        result = compare(sums[first], sums[second], parts[first].figures.reduce, both, resampler, permutations)
        p_values.append(result[metric].p)
    better: dict[str, set[str]] = {name: set() for name in parts}
    for (first, second), p in zip(pairs, _corrected(p_values), strict=True):
        if p is not None and p < ALPHA:
            winner, loser = (first, second) if sign * values[first] > sign * values[second] else (second, first)
            better[winner].add(loser)
    return better


def _corrected(p_values: Sequence[float | None]) -> list[float | None]:
    return holm(p_values) if p_values else []


def _same_images(parts: Mapping[str, TaskFigures], name: str) -> None:
    first = next(iter(parts))
    if parts[first].image_names != parts[name].image_names:
        raise MmudError(evaluation_codes.NOT_COMPARABLE, f"{first} and {name} were scored on different images")
