"""From whole numbers to sums, by the rules of a protocol; and from sums to metrics. No mask is seen here.

For a unit with label area G, predicted area P and intersection I, the union is U = G + P - I (P = 0 for an absent mask):

    IoU  = I / (U + eps)                       or what the rules for empty labels and missing masks say
    gIoU = sum IoU / (units + mean_eps)        cIoU = sum I / (sum U + pooled_eps)
    Dice = 2 IoU / (1 + IoU)                   which is 2 I / (G + P), and follows the same rules
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmud.evaluators.base import Metric, Numbers, Sums
from mmud.evaluators.protocols import EmptyRule, MissingRule, Protocol, Targets
from mmud.evaluators.segmentation.boundary import DILATION_RATIO
from mmud.evaluators.segmentation.units import ABSENT, UnitTable

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
FOUND_AT = 0.5
"""IoU from which a tag's mask points at the object."""

BOUNDARY = "boundary_IoU"

METRICS: tuple[Metric, ...] = (
    Metric("gIoU", description="Mean IoU over units."),
    Metric("cIoU", description="Summed intersections over summed unions."),
    *(
        Metric(f"precision@{threshold}", description=f"Share of units whose IoU is at least {threshold}.")
        for threshold in THRESHOLDS
    ),
    Metric("mean_Dice", description="Mean Dice coefficient over units."),
    Metric("N-acc", description="Share of no-target expressions that were recognised as such."),
    Metric("T-acc", description="Share of expressions with a target for which one was predicted."),
    Metric(BOUNDARY, description="Mean boundary IoU (Cheng et al. 2021, dilation 0.02 of the diagonal)."),
    Metric("tag_recall", description=f"Share of true tags whose object a predicted mask covers at IoU {FOUND_AT}."),
    Metric(
        "tag_precision", description=f"Share of predicted tags whose mask covers a tagged object at IoU {FOUND_AT}."
    ),
)

COUNTED_BY: Mapping[str, str] = {
    "gIoU": "units",
    "cIoU": "units",
    **{f"precision@{threshold}": "thresholded" for threshold in THRESHOLDS},
    "mean_Dice": "units",
    "N-acc": "no_target",
    "T-acc": "target",
    BOUNDARY: "boundary_units",
    "tag_recall": "tags_true",
    "tag_precision": "tags_predicted",
}
"""Metric -> the column whose sum is its n."""

_POOLED = frozenset({"cIoU", "tag_recall", "tag_precision"})


def signature_fields(metric: str, protocol: Protocol, match: str | None = None) -> dict[str, object]:
    """What a metric's signature says besides its name, n and version."""
    return {
        **protocol.fields(),
        "dilation": str(DILATION_RATIO) if metric == BOUNDARY else None,
        "match": match,
        "reduction": "pooled" if metric in _POOLED else "mean",
    }


def contributions(units: UnitTable, protocol: Protocol) -> dict[str, NDArray[Any]]:
    """What each unit adds to the sums, by the rules of a protocol.

    Returns:
        Column -> shape (units,). Every column but ``iou``, ``dice`` and ``boundary_iou`` holds whole numbers.
    """
    absent = units.predicted == ABSENT
    extra = units.label == ABSENT
    label = np.where(extra, 0, units.label)
    predicted = np.where(absent, 0, units.predicted)
    silent = units.no_target | absent
    said_nothing = silent if protocol.empty is EmptyRule.FLAGGED else silent | (predicted == 0)
    is_unit = ~extra | ((predicted > 0) & ~silent) if protocol.extra else ~extra
    targeted = label > 0
    right_about_nothing = ~targeted & ~extra & said_nothing

    intersection = units.intersection.copy()
    union = label + predicted - intersection
    _apply_missing_rule(protocol.missing, silent & targeted, absent, label, intersection, union)
    credited = right_about_nothing & _credited(protocol, silent, absent, union)
    iou = np.divide(intersection, union + protocol.eps, out=np.zeros(len(units)), where=union + protocol.eps > 0)
    iou = np.where(credited, 1.0, np.where(extra, 0.0, iou))
    union[credited] = 0
    if protocol.empty_unions is Targets.GREFCOCO:
        union[~targeted & ~units.grefcoco] = 0
    iou, intersection, union = (np.where(is_unit, column, 0) for column in (iou, intersection, union))

    thresholded = is_unit & targeted if protocol.thresholds_over is Targets.TARGETED else is_unit
    columns: dict[str, NDArray[Any]] = {
        "units": is_unit.astype(np.int64),
        "iou": iou,
        "dice": 2 * iou / (1 + iou),
        "intersection": intersection,
        "union": union,
        "thresholded": thresholded.astype(np.int64),
        "no_target": (~targeted & ~extra).astype(np.int64),
        "no_target_right": right_about_nothing.astype(np.int64),
        "target": targeted.astype(np.int64),
        "target_right": (targeted & ~said_nothing).astype(np.int64),
    }
    for threshold in THRESHOLDS:
        columns[f"at_{threshold}"] = (thresholded & (iou >= threshold)).astype(np.int64)
    return columns | _boundary(units, is_unit, credited, silent & targeted, protocol) | _tags(units, iou, absent, extra)


def _apply_missing_rule(
    rule: MissingRule,
    missing: NDArray[np.bool_],
    absent: NDArray[np.bool_],
    label: NDArray[np.int64],
    intersection: NDArray[np.int64],
    union: NDArray[np.int64],
) -> None:
    """Change intersections and unions, in place, where a target was denied."""
    if rule is MissingRule.NOTHING:
        intersection[missing] = 0
        union[missing] = label[missing]
    elif rule is MissingRule.NO_INTERSECTION:
        # The denied mask still lies where it lies: its union with the label stays.
        intersection[missing] = 0
    elif rule is MissingRule.LEFT_OUT:
        intersection[absent] = 0
        union[absent] = 0


def _credited(
    protocol: Protocol, silent: NDArray[np.bool_], absent: NDArray[np.bool_], union: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which units with an empty label score 1, given that nothing was predicted."""
    if protocol.empty is EmptyRule.NEVER:
        return np.zeros_like(silent)
    if protocol.empty is EmptyRule.EMPTY_UNION:
        empty: NDArray[np.bool_] = union == 0
        return empty & ~absent if protocol.missing is MissingRule.LEFT_OUT else empty
    if protocol.empty is EmptyRule.FLAGGED:
        return silent
    return np.ones_like(silent)


def _boundary(
    units: UnitTable,
    is_unit: NDArray[np.bool_],
    credited: NDArray[np.bool_],
    denied: NDArray[np.bool_],
    protocol: Protocol,
) -> dict[str, NDArray[Any]]:
    """Boundary IoU by the protocol's rules for empty and missing masks; nothing where boundaries were not measured."""
    measured = units.boundary_union != ABSENT
    value = np.divide(
        units.boundary_intersection,
        units.boundary_union,
        out=np.zeros(len(units)),
        where=measured & (units.boundary_union > 0),
    )
    if protocol.missing is not MissingRule.AS_IT_IS:
        value[denied] = 0.0
    value[credited] = 1.0
    counted = measured & is_unit
    return {"boundary_units": counted.astype(np.int64), "boundary_iou": np.where(counted, value, 0.0)}


def _tags(
    units: UnitTable, iou: Numbers, absent: NDArray[np.bool_], extra: NDArray[np.bool_]
) -> dict[str, NDArray[Any]]:
    found = units.tagged & ~extra & ~absent & (iou >= FOUND_AT)
    return {
        "tags_true": (units.tagged & ~extra).astype(np.int64),
        # A true object without a mask has no predicted tag; an extra unit without one is a tag that was only mentioned.
        "tags_predicted": (units.tagged & (extra | ~absent)).astype(np.int64),
        "tags_found": found.astype(np.int64),
    }


def reduce(sums: Sums, protocol: Protocol) -> dict[str, Numbers]:
    """Metrics from sums; NaN where a metric is over nothing.

    Args:
        sums: column of `contributions` -> shape (weightings,).
        protocol: the one that the sums were made by.
    """
    found = {
        "gIoU": _ratio(sums["iou"], sums["units"], protocol.mean_eps),
        "cIoU": _ratio(sums["intersection"], sums["union"], protocol.pooled_eps),
        "mean_Dice": _ratio(sums["dice"], sums["units"], protocol.mean_eps),
        "N-acc": _ratio(sums["no_target_right"], sums["no_target"]),
        "T-acc": _ratio(sums["target_right"], sums["target"]),
        BOUNDARY: _ratio(sums["boundary_iou"], sums["boundary_units"], protocol.mean_eps),
        "tag_recall": _ratio(sums["tags_found"], sums["tags_true"]),
        "tag_precision": _ratio(sums["tags_found"], sums["tags_predicted"]),
    }
    for threshold in THRESHOLDS:
        found[f"precision@{threshold}"] = _ratio(sums[f"at_{threshold}"], sums["thresholded"])
    return {metric.name: found[metric.name] for metric in METRICS}


def _ratio(numerator: Numbers, denominator: Numbers, eps: float = 0.0) -> Numbers:
    """A quotient that is NaN over nothing; ``eps`` only rounds a denominator that is there."""
    out = np.full(np.shape(denominator), np.nan)
    np.divide(numerator, denominator + eps, out=out, where=np.asarray(denominator) > 0)
    return out
