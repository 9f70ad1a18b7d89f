"""The evaluator of both segmentation tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from mmud.annotations.asking import asked_objects
from mmud.errors import MmudError
from mmud.evaluators import codes
from mmud.evaluators.base import Case, Evaluator, Figures, Sums
from mmud.evaluators.protocols import PROTOCOLS, Protocol, Unit, View
from mmud.evaluators.segmentation.cases import case_masks
from mmud.evaluators.segmentation.matching import match_all
from mmud.evaluators.segmentation.plan import Plan
from mmud.evaluators.segmentation.scoring import (
    BOUNDARY,
    COUNTED_BY,
    METRICS,
    contributions,
    reduce,
    signature_fields,
)
from mmud.evaluators.segmentation.units import UnitTable, unit_rows, unit_type
from mmud.evaluators.slices import WORD_BINS, binned
from mmud.records import Prediction, Sample, Task


class SegmentationEvaluator(Evaluator):
    """gIoU, cIoU, precision, Dice, no-target accuracy, boundary IoU and grounding, by any protocol."""

    name = "segmentation"
    tasks = (Task.REFERRING_SEGMENTATION, Task.REASONING_SEGMENTATION)
    metrics = METRICS

    def applies(self, sample: Sample, task: Task) -> bool:
        return bool(asked_objects(sample, task, self.options.by_category))

    def variants(self) -> tuple[str, ...]:
        return self.options.protocols

    def protocols(self) -> list[Protocol]:
        return [PROTOCOLS.get(name) for name in self.options.protocols]

    @property
    def wants_boundary(self) -> bool:
        return self.options.metrics is not None and BOUNDARY in self.options.metrics

    def row_type(self) -> pa.DataType:
        return pa.struct([("units", pa.list_(unit_type()))])

    def row(self, sample: Sample, prediction: Prediction) -> Mapping[str, Any]:
        return self.rows([Case(sample, prediction)])[0]

    def rows(self, cases: Sequence[Case]) -> Sequence[Mapping[str, Any]]:
        found: list[list[dict[str, Any]]] = [[] for _ in cases]
        referring = all(case.prediction.task is Task.REFERRING_SEGMENTATION for case in cases)
        # In referring, each object has its own expression: the two units are one.
        wanted = {
            (protocol.view.key, unit): protocol.view
            for protocol in self.protocols()
            for unit in [Unit.OBJECT if referring else protocol.unit]
        }
        plans = self._plans(cases, {unit for _, unit in wanted})
        for (key, unit), view in wanted.items():
            planned = plans[unit].units
            table = plans[unit].measure(view, self.wants_boundary)
            where = [{"view": key, "unit": unit.value, "object": one.number, "tag": one.tag} for one in planned]
            for one, row in zip(planned, unit_rows(where, table), strict=True):
                found[one.row].append(row)
        return [{"units": units} for units in found]

    def _plans(self, cases: Sequence[Case], units: set[Unit]) -> dict[Unit, Plan]:
        masks = case_masks(cases, self.options.by_category)
        plans = {unit: Plan() for unit in units}
        reasoning = [case.prediction.task is Task.REASONING_SEGMENTATION for case in cases]
        if Unit.OBJECT in units:
            candidates = [one.candidates() for one, wanted in zip(masks, reasoning, strict=True) if wanted]
            matched = iter(match_all(candidates, self.options.match))
            for one, wanted in zip(masks, reasoning, strict=True):
                plans[Unit.OBJECT].units.extend(one.matched(next(matched)) if wanted else one.in_order())
        if Unit.EXPRESSION in units:
            plans[Unit.EXPRESSION].units.extend(
                one.expression() for one, wanted in zip(masks, reasoning, strict=True) if wanted
            )
        return plans

    def figures(self, task: Task, rows: pa.StructArray, variant: str = "") -> Figures:
        protocol = PROTOCOLS.get(variant or self.options.protocols[0])
        kind = Unit.OBJECT if task is Task.REFERRING_SEGMENTATION else protocol.unit
        units, owner = _units_of(rows, protocol.view, kind)
        table = UnitTable.from_arrow(units)
        columns = contributions(table, protocol)
        match = self.options.match if task is Task.REASONING_SEGMENTATION else None
        labels = {"category": table.category, "size": table.sizes()}
        if task is Task.REFERRING_SEGMENTATION:
            labels["length"] = binned(table.words, WORD_BINS)
        names = [metric.name for metric in METRICS if _shown(metric.name, task, kind, columns)]
        return Figures(
            columns=columns,
            owner=owner,
            reduce=partial(_reduced, protocol, tuple(names)),
            counts={name: COUNTED_BY[name] for name in names},
            fields={name: signature_fields(name, protocol, match) for name in names},
            labels=labels,
        )

    def reduce(self, sums: Sums) -> Mapping[str, Any]:
        return reduce(sums, self.protocols()[0])


def _shown(metric: str, task: Task, unit: Unit, columns: Mapping[str, Any]) -> bool:
    """Whether a metric means anything here: grounding is about the objects of an answer, boundaries must be measured."""
    if metric.startswith("tag_"):
        return task is Task.REASONING_SEGMENTATION and unit is Unit.OBJECT
    return metric != BOUNDARY or bool(columns["boundary_units"].any())


def _reduced(protocol: Protocol, names: tuple[str, ...], sums: Sums) -> Mapping[str, Any]:
    found = reduce(sums, protocol)
    return {name: found[name] for name in names}


def _units_of(rows: pa.StructArray, view: View, kind: Unit) -> tuple[pa.StructArray, Any]:
    """The units of a view, and the number of the row that each belongs to.

    Raises:
        MmudError: MM821 when the rows were made without that view.
    """
    listed = rows.field("units")
    lengths = listed.value_lengths().to_numpy(zero_copy_only=False)
    owner = np.repeat(np.arange(len(rows)), lengths)
    units = listed.flatten()
    views = units.field("view").dictionary_encode()
    kinds = units.field("unit").dictionary_encode()
    wanted = _equal(views, view.key) & _equal(kinds, kind.value)
    if len(units) and not wanted.any():
        held = ", ".join(sorted(views.dictionary.to_pylist()))
        message = f"the rows hold no statistics of {kind.value}s in the view {view.key}; they hold {held}"
        hint = "Evaluate the predictions with --protocol all: its rows can be scored by every protocol."
        raise MmudError(codes.ROWS_LACK, message, hint=hint)
    chosen = np.flatnonzero(wanted)
    return units.take(pa.array(chosen)), owner[chosen]


def _equal(encoded: pa.DictionaryArray, value: str) -> Any:
    known = encoded.dictionary.to_pylist()
    if value not in known:
        return np.zeros(len(encoded), dtype=bool)
    return encoded.indices.to_numpy(zero_copy_only=False) == known.index(value)
