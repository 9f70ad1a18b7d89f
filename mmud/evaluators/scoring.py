"""From rows to figures: every metric with its value, interval, n and signature, whole and by slice."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmud import codes as general_codes
from mmud.errors import Finding, MmudError, Place
from mmud.evaluators import codes
from mmud.evaluators.base import EVALUATORS, Evaluator, Figures, Options, blamed_on
from mmud.evaluators.rows import RowTable, image_numbers
from mmud.evaluators.signatures import signature
from mmud.evaluators.slices import ordered, row_labels
from mmud.evaluators.statistics.bootstrap import Interval, Resampler
from mmud.evaluators.statistics.sums import exact_sums, group_sums
from mmud.records import Task

ALL_METRICS = "all"


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric: what ``scores.json`` holds of it."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    signature: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "n": self.n,
            "signature": self.signature,
        }


def number(value: Any) -> float | None:
    """A figure as JSON holds it: None where it has no value."""
    return None if value is None or not math.isfinite(value) else float(value)


def summarise(
    figures: Figures, images: NDArray[np.int64], resampler: Resampler, wanted: Iterable[str] | None = None
) -> dict[str, Figure]:
    """The metrics of units.

    Args:
        figures: what adds up.
        images: the image of each unit, shape (units,).
        resampler: how intervals are made.
        wanted: metric names; all when left out.
    """
    exact = exact_sums(figures.columns)
    values = {name: np.asarray(value).ravel()[0] for name, value in figures.reduce(exact).items()}
    values.update(figures.values)
    _, group = np.unique(images, return_inverse=True)
    groups = int(group.max()) + 1 if len(group) else 0
    intervals: Mapping[str, Interval | None] = {}
    if groups > 1:
        intervals = resampler.intervals(group_sums(figures.columns, group, groups), figures.reduce)
    found = {}
    for name, value in values.items():
        if wanted is not None and name not in wanted:
            continue
        n = int(exact[figures.counts[name]][0])
        bounds = intervals.get(name) if number(value) is not None else None
        low, high = bounds if bounds is not None else (None, None)
        found[name] = Figure(number(value), low, high, n, signature(name, figures.fields[name], n))
    return found


def restrict(figures: Figures, keep: NDArray[np.bool_]) -> Figures:
    """The figures over some units. Values that are no function of sums are gone."""
    return replace(
        figures,
        columns={name: column[keep] for name, column in figures.columns.items()},
        owner=figures.owner[keep],
        labels={name: column[keep] for name, column in figures.labels.items()},
        values=dict.fromkeys(figures.values),
    )


@dataclass
class Scorer:
    """Scores rows.

    Args:
        options: protocols, matching and the metrics that are wanted.
        resampler: how intervals are made.
        by: names of slices.
    """

    options: Options = field(default_factory=Options)
    resampler: Resampler = field(default_factory=Resampler)
    by: Sequence[str] = ()
    findings: list[Finding] = field(default_factory=list)

    def score(self, rows: RowTable) -> dict[str, Any]:
        """``{TASK: {"metrics", "samples", "images", "protocols", "slices"}}``; the last two only where asked for.

        Raises:
            MmudError: MM821 when the rows do not hold what is asked for, MM006 when two evaluators report one metric.
        """
        found: dict[str, Any] = {}
        for task in rows.tasks:
            scored = self._score_task(rows, task)
            if scored["metrics"]:
                found[task.value] = scored
        self._note_absent(rows, found)
        return found

    def _note_absent(self, rows: RowTable, found: Mapping[str, Any]) -> None:
        """A finding for metrics that were named and that no task reports."""
        wanted = self.options.metrics or frozenset()
        registered = rows.description["options"]["registered"].values()
        known = {metric.name for name in registered for metric in EVALUATORS.get(name).metrics}
        if wanted.issuperset(known):  # all were asked for, which means all that there are
            return
        absent = sorted(wanted.difference(*(task["metrics"] for task in found.values())))
        if absent:
            message = f"no task that was scored reports {', '.join(absent)}"
            self._note([Finding(codes.METRIC_NOT_REPORTED, Place(), message)])

    def _score_task(self, rows: RowTable, task: Task) -> dict[str, Any]:
        result: dict[str, Any] = {"metrics": {}, "samples": 0, "images": 0}
        seen_images: set[str] = set()
        seen_samples: set[str] = set()
        for evaluator in self.evaluators(rows, task):
            of_evaluator, common = rows.select(task, evaluator.name)
            seen_samples.update(common.column("sample_id").to_pylist())
            seen_images.update(common.column("image").to_pylist())
            for position, variant in enumerate(evaluator.variants()):
                metrics = self._metrics(evaluator, task, of_evaluator, common, variant)
                if position == 0:
                    _join(result["metrics"], metrics, evaluator)
                if len(evaluator.variants()) > 1:
                    result.setdefault("protocols", {})[variant] = {"metrics": metrics}
            for by in self.by:
                self._slice(result, evaluator, task, of_evaluator, common, by)
        result["samples"], result["images"] = len(seen_samples), len(seen_images)
        return result

    def evaluators(self, rows: RowTable, task: Task) -> list[Evaluator]:
        """The evaluators that made the rows of a task, as they were."""
        found = []
        for name in rows.evaluators:
            evaluator = EVALUATORS.get(rows.description["options"]["registered"][name])(self.options)
            states = rows.description["states"].get(name, {})
            if task in evaluator.tasks and len(rows.select(task, name)[0]):
                evaluator.restore(task, states.get(task.value, {}))
                found.append(evaluator)
        return found

    def _metrics(
        self, evaluator: Evaluator, task: Task, rows: pa.StructArray, common: pa.Table, variant: str
    ) -> dict[str, Any]:
        with blamed_on(evaluator):
            figures = evaluator.figures(task, rows, variant)
            _check_declared(evaluator, figures)
        self._note(figures.findings)
        images = image_numbers(common)[figures.owner]
        found = summarise(figures, images, self.resampler, self.options.metrics)
        return {name: figure.to_dict() for name, figure in found.items()}

    def _slice(
        self, result: dict[str, Any], evaluator: Evaluator, task: Task, rows: pa.StructArray, common: pa.Table, by: str
    ) -> None:
        """Add one evaluator's figures by one slice to a task's result."""
        figures = evaluator.figures(task, rows, evaluator.variants()[0])
        of_rows = row_labels(by, common)
        if by not in figures.labels and of_rows is None:
            message = f"{evaluator.name}: {task.value} has no {by}"
            self._note([Finding(codes.UNSUITABLE_SLICE, Place(), message)])
            return
        slices = result.setdefault("slices", {}).setdefault(by, {})
        images = image_numbers(common)
        of_units = figures.labels.get(by)
        present = of_units if of_units is not None else of_rows
        values = np.unique(np.asarray(present, dtype=str))
        for value in ordered(by, values.tolist()):
            if of_units is not None:
                part = restrict(figures, of_units == value)
                part_images = images[part.owner]
            else:
                assert of_rows is not None
                chosen = np.flatnonzero(of_rows == value)
                part = evaluator.figures(task, rows.take(pa.array(chosen)), evaluator.variants()[0])
                part_images = images[chosen][part.owner]
            found = summarise(part, part_images, self.resampler, self.options.metrics)
            metrics = {name: figure.to_dict() for name, figure in found.items() if figure.value is not None}
            if metrics:
                slices.setdefault(value or "(none)", {"metrics": {}})["metrics"].update(metrics)

    def _note(self, findings: Iterable[Finding]) -> None:
        self.findings.extend(finding for finding in findings if finding not in self.findings)


def _join(metrics: dict[str, Any], more: Mapping[str, Any], evaluator: Evaluator) -> None:
    for name, figure in more.items():
        if name in metrics:
            message = f"two evaluators report a metric called {name!r}; one of them is {evaluator.name!r}"
            raise MmudError(general_codes.PLUGIN_CLASH, message)
        metrics[name] = figure


def _check_declared(evaluator: Evaluator, figures: Figures) -> None:
    """A metric that an evaluator reports must be one that it declares, and have an n and a signature."""
    declared = {metric.name for metric in evaluator.metrics}
    reported = set(figures.reduce(exact_sums(figures.columns)))
    for name in reported:
        if name not in declared or name not in figures.counts or name not in figures.fields:
            message = f"evaluator {evaluator.name!r} reports {name!r}, which it does not declare"
            raise MmudError(codes.ROW_MALFORMED, message)


def wanted_metrics(names: Sequence[str] | None, evaluators: Sequence[type[Evaluator]]) -> frozenset[str] | None:
    """The metric names that were asked for; None for each evaluator's own choice, every name for "all".

    Raises:
        MmudError: MM004 for a name that no evaluator has, with the nearest ones.
    """
    if not names:
        return None
    known = {metric.name for evaluator in evaluators for metric in evaluator.metrics}
    if ALL_METRICS in names:
        return frozenset(known)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.4)
            guess = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(sorted(known))}."
            raise MmudError(general_codes.UNKNOWN_NAME, f"no metric is called {name!r}", hint=guess)
    return frozenset(names)
