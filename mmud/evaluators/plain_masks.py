"""Masks from plain files: references and predictions as JSON lines, scored by a protocol, without a dataset.

A reference is ``{"id", "segmentation"}``: an RLE, a list of RLEs (the parts of one object), or null for an expression that means
nothing in the image. ``"ignore"`` is an RLE of pixels to be left out, ``"image_id"`` names the image for intervals, and
``"source"`` the set. A prediction is ``{"id", "segmentation"}``: an RLE, or null for "no target"; ``"no_target": true`` beside an
RLE says that the system denies the target although it draws a mask.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, StrictInt, StrictStr, ValidationError

from mmud.annotations.masks import Mask
from mmud.errors import Finding, MmudError, Place, Severity
from mmud.evaluators import codes
from mmud.evaluators.base import Figures, Sums
from mmud.evaluators.checking import FindingLog, RefusedPredictions, check_counts
from mmud.evaluators.predictions import read_lines
from mmud.evaluators.protocols import PROTOCOLS, Protocol
from mmud.evaluators.scoring import Figure, summarise
from mmud.evaluators.segmentation.cases import GREFCOCO
from mmud.evaluators.segmentation.labels import Label
from mmud.evaluators.segmentation.pixels import union
from mmud.evaluators.segmentation.plan import Plan, PlannedUnit
from mmud.evaluators.segmentation.scoring import (
    BOUNDARY,
    COUNTED_BY,
    METRICS,
    contributions,
    reduce,
    signature_fields,
)
from mmud.evaluators.statistics.bootstrap import Resampler
from mmud.files import require

NAMES = tuple(metric.name for metric in METRICS if not metric.name.startswith("tag_"))


class _Rle(BaseModel):
    model_config = ConfigDict(extra="ignore")

    size: tuple[StrictInt, StrictInt]
    counts: StrictStr | list[int]


class _Reference(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: StrictStr | StrictInt
    segmentation: _Rle | list[_Rle] | None
    ignore: _Rle | None = None
    image_id: StrictStr | StrictInt | None = None
    source: str = ""


class _Prediction(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: StrictStr | StrictInt
    segmentation: _Rle | None
    no_target: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One line: its id and number, its masks (the parts of one object), and what else it says."""

    id: str
    line: int
    masks: tuple[Mask, ...]
    ignored: Mask | None = None
    image: str = ""
    source: str = ""
    no_target: bool = False


@dataclass(frozen=True, slots=True)
class MaskScores:
    """The figures of one protocol or several, over the rows of a file.

    Attributes:
        protocols: name -> metric -> figure; the first one is the main one.
        rows, images: how many were scored.
        missing: ids without a prediction, where these were allowed.
        findings: warnings.
    """

    protocols: Mapping[str, Mapping[str, Figure]]
    rows: int
    images: int
    missing: tuple[str, ...] = ()

    @property
    def metrics(self) -> Mapping[str, Figure]:
        return next(iter(self.protocols.values()))

    def to_dict(self) -> dict[str, Any]:
        by_protocol = {
            name: {"metrics": {metric: figure.to_dict() for metric, figure in figures.items()}}
            for name, figures in self.protocols.items()
        }
        first = next(iter(by_protocol))
        found = {
            "metrics": by_protocol[first]["metrics"],
            "protocol": first,
            "rows": self.rows,
            "images": self.images,
            "partial": bool(self.missing),
            "missing": list(self.missing),
        }
        return found if len(by_protocol) == 1 else {**found, "protocols": by_protocol}


def read_masks(path: Path, kind: type[_Reference] | type[_Prediction], log: FindingLog) -> dict[str, Row]:
    """The rows of a file by id, their masks checked all at once; problems are reported to ``log``."""
    name = str(path)
    parsed: list[tuple[int, Any]] = []
    for line, value in read_lines(require(path), name, log):
        try:
            parsed.append((line, kind.model_validate(value)))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            sample = value.get("id")
            place = Place(sample=None if sample is None else str(sample), file=name, line=line)
            log(Finding(codes.FIELD_WRONG, place, f"{field}: {first['msg']}"))
    rles = [rle for _, row in parsed for rle in _rles_of(row)]
    masks = iter(_masks_of(rles))
    found: dict[str, Row] = {}
    for line, row in parsed:
        place = Place(sample=str(row.id), file=name, line=line)
        own = [next(masks) for _ in _rles_of(row)]
        problem = next((mask for mask in own if isinstance(mask, MmudError)), None)
        good = [mask for mask in own if isinstance(mask, Mask)]
        if problem is not None:
            log(Finding(codes.MASK_INVALID, place, problem.message))
        elif len({mask.size for mask in good}) > 1:
            log(Finding(codes.MASK_OTHER_SIZE, place, "the masks of one row differ in size"))
        elif str(row.id) in found:
            log(Finding(codes.REPEATED_ID, place, f"{row.id!r} has a line already"))
        else:
            found[str(row.id)] = _row(row, line, good)
    return found


def _rles_of(row: Any) -> list[_Rle]:
    segmentation = row.segmentation
    own = [] if segmentation is None else segmentation if isinstance(segmentation, list) else [segmentation]
    if isinstance(row, _Prediction) or row.ignore is None:
        return own
    return [*own, row.ignore]


def _row(row: Any, line: int, masks: list[Mask]) -> Row:
    name = str(row.id)
    if isinstance(row, _Prediction):
        return Row(name, line, tuple(masks), no_target=row.no_target or row.segmentation is None)
    ignored = masks.pop() if row.ignore is not None else None
    image = name if row.image_id is None else str(row.image_id)
    return Row(name, line, tuple(masks), ignored, image, row.source)


def _masks_of(rles: Sequence[_Rle]) -> list[Mask | MmudError]:
    texts, sizes = [], []
    listed: dict[int, Mask | MmudError] = {}
    for position, rle in enumerate(rles):
        if isinstance(rle.counts, list):
            try:
                listed[position] = Mask.from_counts(rle.counts, *rle.size)
            except MmudError as error:
                listed[position] = error
        text = rle.counts if isinstance(rle.counts, str) else ""
        texts.append(text.encode("utf-8", "surrogatepass"))
        sizes.append(rle.size)
    found = check_counts(texts, sizes)
    for position, mask in listed.items():
        found[position] = mask
    return found


def score_mask_files(
    references: Path,
    predictions: Path,
    protocols: Sequence[str],
    *,
    metrics: Iterable[str] | None = None,
    allow_partial: bool = False,
    resampler: Resampler | None = None,
) -> MaskScores:
    """Score a file of predicted masks.

    Args:
        references: JSON lines; see the module.
        predictions: JSON lines.
        protocols: names; the first gives the main figures.
        metrics: names; every metric but boundary IoU, which costs most, when left out.
        allow_partial: score what is there when predictions are missing.
        resampler: how intervals are made.

    Raises:
        RefusedPredictions: MM801 to MM808 for what is wrong in either file.
        MmudError: MM002 when a file is not there, MM815 when there is nothing to score.
    """
    log = FindingLog()
    truth = read_masks(references, _Reference, log)
    said = read_masks(predictions, _Prediction, log)
    for name in said.keys() - truth.keys():
        place = Place(sample=name, file=str(predictions), line=said[name].line)
        log(Finding(codes.UNKNOWN_ID, place, f"the references have no {name!r}"))
    missing = sorted(truth.keys() - said.keys())
    if not allow_partial:
        for name in missing:
            log(Finding(codes.MISSING_IDS, Place(sample=name, file=str(predictions)), "no prediction"))
    units = _units(truth, said, str(predictions), log)
    errors = [finding for finding in log.kept if finding.severity >= Severity.ERROR]
    if errors:
        raise RefusedPredictions(errors, log.counts)
    if not units:
        raise MmudError(codes.NOTHING_TO_SCORE, "no row has both a reference and a prediction")
    wanted = frozenset(NAMES) - {BOUNDARY} if metrics is None else frozenset(metrics)
    names = sorted(truth.keys() & said.keys())
    _, images = np.unique([truth[name].image for name in names], return_inverse=True)
    plan = Plan(units)
    scores = {
        name: _score(plan, PROTOCOLS.get(name), images.astype(np.int64), wanted, resampler or Resampler())
        for name in protocols
    }
    return MaskScores(scores, len(names), int(images.max()) + 1, tuple(missing))


def _units(truth: Mapping[str, Row], said: Mapping[str, Row], file: str, log: FindingLog) -> list[PlannedUnit]:
    units = []
    for position, name in enumerate(sorted(truth.keys() & said.keys())):
        reference, prediction = truth[name], said[name]
        sizes = {mask.size for mask in (*reference.masks, *prediction.masks)}
        if reference.ignored is not None:
            sizes.add(reference.ignored.size)
        if len(sizes) > 1:
            place = Place(sample=name, file=file, line=prediction.line)
            log(Finding(codes.MASK_OTHER_SIZE, place, f"sizes differ: {sorted(sizes)} (height, width)"))
            continue
        # Where neither side has a mask there is nothing to measure, and any size will do.
        height, width = next(iter(sizes), (1, 1))
        whole = union(reference.masks) if reference.masks else Mask.empty(height, width)
        label = Label(whole, parts=reference.masks if len(reference.masks) > 1 else ())
        units.append(
            PlannedUnit(
                row=position,
                labels=(label,),
                predicted=prediction.masks,
                no_target=prediction.no_target,
                grefcoco=reference.source == GREFCOCO,
                ignored=reference.ignored,
            )
        )
    return units


def _score(
    plan: Plan, protocol: Protocol, images: NDArray[np.int64], wanted: frozenset[str], resampler: Resampler
) -> dict[str, Figure]:
    table = plan.measure(protocol.view, BOUNDARY in wanted)
    figures = Figures(
        columns=contributions(table, protocol),
        owner=np.arange(len(table)),
        reduce=partial(_named, protocol),
        counts={name: COUNTED_BY[name] for name in NAMES},
        fields={name: signature_fields(name, protocol) for name in NAMES},
    )
    return summarise(figures, images, resampler, wanted)


def _named(protocol: Protocol, sums: Sums) -> dict[str, Any]:
    found = reduce(sums, protocol)
    return {name: found[name] for name in NAMES}
