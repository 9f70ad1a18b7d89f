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
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from mmud.annotations.masks import Mask
from mmud.errors import Code, Finding, MmudError, Place, Severity
from mmud.evaluators import codes
from mmud.evaluators.base import Figures, Sums
from mmud.evaluators.checking import FindingLog, RefusedPredictions, check_counts
from mmud.evaluators.predictions import read_lines
from mmud.evaluators.protocols import MMUD, PROTOCOLS, Protocol
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


_ANY_SIZE = Mask.empty(1, 1)
"""Where neither side has a mask there is nothing to measure, and any size will do."""


class _Malformed(ValueError):
    """A field of a row that is missing or of the wrong type."""


@dataclass(slots=True)
class Row:
    """One line: its id and number, its masks (the parts of one object), and what else it says."""

    id: str
    line: int
    masks: tuple[Mask, ...]
    ignored: Mask | None
    image: str
    source: str
    no_target: bool


@dataclass(frozen=True, slots=True)
class MaskScores:
    """The figures of one protocol or several, over the rows of a file.

    Attributes:
        protocols: name -> metric -> figure; the first one is the main one.
        rows, images: how many were scored.
        missing: ids without a prediction, where these were allowed.
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


def _read(
    lines: Iterable[tuple[int, Mapping[str, Any]]], reference: bool, log: FindingLog, file: str | None
) -> dict[str, Row]:
    """Rows by id, their masks checked all at once; problems are reported to ``log``.

    Args:
        lines: each row with its number.
        reference: whether they are references, which may have parts, pixels to ignore, an image and a source.
        log: called with each finding.
        file: named in findings.
    """
    parsed: list[tuple[int, str, str | None, int, Mapping[str, Any]]] = []
    encodings = _Encodings()
    for line, row in lines:
        try:
            name = _id(row, "id")
            image = _id(row, "image_id") if reference and row.get("image_id") is not None else None
            parsed.append((line, name, image, encodings.add(row, reference), row))
        except _Malformed as error:
            sample = row.get("id")
            place = Place(sample=None if sample is None else str(sample), file=file, line=line)
            log(Finding(codes.FIELD_WRONG, place, str(error)))
    masks = encodings.masks()
    found: dict[str, Row] = {}
    stop = 0
    for line, name, image, count, row in parsed:
        own = tuple(masks[stop : stop + count])
        stop += count
        problem = (codes.REPEATED_ID, f"{name!r} has a line already") if name in found else _problem_of(own)
        if problem is not None:
            log(Finding(problem[0], Place(sample=name, file=file, line=line), problem[1]))
            continue
        good = cast("tuple[Mask, ...]", own)
        ignored = None
        if reference and row.get("ignore") is not None:
            *others, ignored = good
            good = tuple(others)
        silent = bool(row.get("no_target")) or row["segmentation"] is None
        found[name] = Row(name, line, good, ignored, image or name, str(row.get("source", "")), silent)
    return found


def _problem_of(masks: Sequence[Mask | MmudError]) -> tuple[Code, str] | None:
    """What is wrong with the masks of one row: one that is invalid, or sizes that differ."""
    for mask in masks:
        if isinstance(mask, MmudError):
            return codes.MASK_INVALID, mask.message
    if len(masks) > 1 and len({mask.size for mask in masks if isinstance(mask, Mask)}) > 1:
        return codes.MASK_OTHER_SIZE, "the masks of one row differ in size"
    return None


class _Encodings:
    """The run-length encodings of many rows, gathered to be checked together."""

    def __init__(self) -> None:
        self._texts: list[bytes] = []
        self._sizes: list[tuple[int, int]] = []
        self._uncompressed: dict[int, Any] = {}

    def add(self, row: Mapping[str, Any], reference: bool) -> int:
        """Take the encodings of a row: of its segmentation, then of the pixels to ignore; says how many there are."""
        if "segmentation" not in row:
            raise _Malformed("segmentation: missing")
        segmentation = row["segmentation"]
        several = isinstance(segmentation, list) and reference
        given = segmentation if several else [] if segmentation is None else [segmentation]
        if reference and row.get("ignore") is not None:
            given = [*given, row["ignore"]]
        if not isinstance(row.get("no_target", False), bool):
            raise _Malformed("no_target: true or false")
        # All are looked at before any is taken, so that a row is taken whole or not at all.
        for size, counts in [_rle(value) for value in given]:
            if isinstance(counts, list):
                self._uncompressed[len(self._texts)] = counts
                counts = ""
            self._texts.append(counts.encode("utf-8", "surrogatepass"))
            self._sizes.append(size)
        return len(given)

    def masks(self) -> list[Mask | MmudError]:
        found = check_counts(self._texts, self._sizes)
        for position, counts in self._uncompressed.items():
            try:
                found[position] = Mask.from_counts(counts, *self._sizes[position])
            except MmudError as error:
                found[position] = error
        return found


def _id(row: Mapping[str, Any], field: str) -> str:
    """An id as text: 7 and "7" are the same row."""
    value = row.get(field)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _Malformed(f"{field}: a text or a whole number, not {type(value).__name__}")
    return str(value)


def _rle(value: Any) -> tuple[tuple[int, int], Any]:
    """Size and counts of an encoding, its types checked and nothing else."""
    if not isinstance(value, dict):
        raise _Malformed(f"segmentation: an RLE or null, not {type(value).__name__}")
    size, counts = value.get("size"), value.get("counts")
    if not isinstance(size, list | tuple) or len(size) != 2 or type(size[0]) is not int or type(size[1]) is not int:
        raise _Malformed("segmentation.size: [height, width]")
    if not isinstance(counts, str | list):
        raise _Malformed("segmentation.counts: a text, or a list of run lengths")
    return (size[0], size[1]), counts


def score_mask_files(
    references: Path,
    predictions: Path,
    protocols: Sequence[str],
    *,
    metrics: Iterable[str] | None = None,
    allow_partial: bool = False,
    resampler: Resampler | None = None,
) -> MaskScores:
    """Score a file of predicted masks; as `score_masks`, from JSON lines.

    Raises:
        RefusedPredictions: MM801 to MM808 for what is wrong in either file.
        MmudError: MM002 when a file is not there, MM815 when there is nothing to score.
    """
    log = FindingLog()
    names = (str(references), str(predictions))
    truth = _read(read_lines(require(references), names[0], log), True, log, names[0])
    said = _read(read_lines(require(predictions), names[1], log), False, log, names[1])
    return _scored(truth, said, log, protocols, metrics, allow_partial, resampler, names[1])


def score_masks(
    references: Iterable[Mapping[str, Any]],
    predictions: Iterable[Mapping[str, Any]],
    protocols: Sequence[str] = (MMUD.name,),
    *,
    metrics: Iterable[str] | None = None,
    allow_partial: bool = False,
    resampler: Resampler | None = None,
) -> MaskScores:
    """Score predicted masks.

    Args:
        references: rows ``{"id", "segmentation"}``; the module says what else they may hold.
        predictions: rows ``{"id", "segmentation"}``.
        protocols: names; the first gives the main figures.
        metrics: names; every metric but boundary IoU, which costs most, when left out.
        allow_partial: score what is there when predictions are missing.
        resampler: how intervals are made.

    Raises:
        RefusedPredictions: MM801 to MM807 for what is wrong on either side; lines count from 1.
        MmudError: MM815 when there is nothing to score.
    """
    log = FindingLog()
    truth = _read(enumerate(references, start=1), True, log, None)
    said = _read(enumerate(predictions, start=1), False, log, None)
    return _scored(truth, said, log, protocols, metrics, allow_partial, resampler, None)


def _scored(
    truth: Mapping[str, Row],
    said: Mapping[str, Row],
    log: FindingLog,
    protocols: Sequence[str],
    metrics: Iterable[str] | None,
    allow_partial: bool,
    resampler: Resampler | None,
    file: str | None,
) -> MaskScores:
    for name in said.keys() - truth.keys():
        place = Place(sample=name, file=file, line=said[name].line)
        log(Finding(codes.UNKNOWN_ID, place, f"the references have no {name!r}"))
    missing = sorted(truth.keys() - said.keys())
    if not allow_partial:
        for name in missing:
            log(Finding(codes.MISSING_IDS, Place(sample=name, file=file), "no prediction"))
    units = _units(truth, said, file, log)
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


def _units(truth: Mapping[str, Row], said: Mapping[str, Row], file: str | None, log: FindingLog) -> list[PlannedUnit]:
    units = []
    for position, name in enumerate(sorted(truth.keys() & said.keys())):
        reference, prediction = truth[name], said[name]
        first, *others = (*reference.masks, *prediction.masks, reference.ignored or _ANY_SIZE)
        if any(mask.size != first.size for mask in others if mask is not _ANY_SIZE):
            sizes = sorted({mask.size for mask in (first, *others) if mask is not _ANY_SIZE})
            place = Place(sample=name, file=file, line=prediction.line)
            log(Finding(codes.MASK_OTHER_SIZE, place, f"sizes differ: {sizes} (height, width)"))
            continue
        whole = union(reference.masks) if reference.masks else Mask.empty(*first.size)
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
