"""Pairs of true and predicted masks that are to be measured, and their measurement in one view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mmud.annotations.masks import Mask
from mmud.evaluators.protocols import View
from mmud.evaluators.segmentation.boundary import boundary_areas, boundary_pairs
from mmud.evaluators.segmentation.labels import Label, label_masks, predicted_masks
from mmud.evaluators.segmentation.pixels import count_pairs, union
from mmud.evaluators.segmentation.units import ABSENT, Int64, UnitTable


@dataclass(slots=True)
class PlannedUnit:
    """One pair to be measured.

    Attributes:
        row: the number of the row that it belongs to.
        labels: the objects that are meant; None for an extra prediction.
        predicted: the masks that were predicted for them, whose union counts; empty where there is none.
        no_target: whether the system says that nothing is meant.
        number: of the object, from 1; None for an expression or an extra prediction.
        tag: of the predicted mask; None where masks have none.
        category: of the object.
        pixels: its area; ABSENT for an extra prediction.
        tagged: whether it counts for grounding.
        grefcoco: whether the sample comes from gRefCOCO.
        words: of the expression; ABSENT where there is none.
        ignored: pixels that are to be left out.
    """

    row: int
    labels: tuple[Label, ...] | None
    predicted: tuple[Mask, ...]
    no_target: bool
    number: int | None = None
    tag: int | None = None
    category: str = ""
    pixels: int = ABSENT
    tagged: bool = False
    grefcoco: bool = False
    words: int = ABSENT
    ignored: Mask | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Units of one kind, in the order of rows."""

    units: list[PlannedUnit] = field(default_factory=list)

    def measure(self, view: View, boundary: bool = False) -> UnitTable:
        """The numbers of each unit in a view.

        Args:
            view: how masks are drawn.
            boundary: whether boundaries are measured as well; only at the image's own size.
        """
        labels, predictions = self._drawn(view)
        label, predicted, intersection = count_pairs(labels, predictions)
        units = self.units
        edges = _boundaries(labels, predictions) if boundary and view.resolution is None else {}
        return UnitTable.of(
            label,
            predicted,
            intersection,
            [unit.no_target for unit in units],
            pixels=[unit.pixels for unit in units],
            grefcoco=[unit.grefcoco for unit in units],
            tagged=[unit.tagged for unit in units],
            words=[unit.words for unit in units],
            category=[unit.category for unit in units],
            **edges,
        )

    def _drawn(self, view: View) -> tuple[list[Mask | None], list[Mask | None]]:
        """True and predicted masks in a view, None where there is none."""
        units = self.units
        ignored = [unit.ignored for unit in units] if any(unit.ignored is not None for unit in units) else None
        with_label = [index for index, unit in enumerate(units) if unit.labels is not None]
        labels: list[Mask | None] = [None] * len(units)
        drawn = label_masks(
            [group for index in with_label if (group := units[index].labels) is not None],
            view,
            [ignored[index] for index in with_label] if ignored else None,
        )
        for index, mask in zip(with_label, drawn, strict=True):
            labels[index] = mask
        with_mask = [index for index, unit in enumerate(units) if unit.predicted]
        predictions: list[Mask | None] = [None] * len(units)
        shown = predicted_masks(
            [union(units[index].predicted) for index in with_mask],
            view,
            [ignored[index] for index in with_mask] if ignored else None,
        )
        for index, mask in zip(with_mask, shown, strict=True):
            predictions[index] = mask
        return labels, predictions


def _boundaries(labels: Sequence[Mask | None], predictions: Sequence[Mask | None]) -> dict[str, Int64]:
    """Shared and joined boundaries; where one side is absent, the union is the other's boundary."""
    shared = np.zeros(len(labels), dtype=np.int64)
    joined = np.zeros(len(labels), dtype=np.int64)
    both, first, second = [], [], []
    alone, single = [], []
    for index, (a, b) in enumerate(zip(labels, predictions, strict=True)):
        if a is not None and b is not None:
            both.append(index)
            first.append(a)
            second.append(b)
        elif (one := a or b) is not None:
            alone.append(index)
            single.append(one)
    shared[both], joined[both] = boundary_pairs(first, second)
    joined[alone] = boundary_areas(single)
    return {"boundary_intersection": shared, "boundary_union": joined}
