"""MM1xx: every field of a row there, of its length and within its bounds; and the manifest's counts."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from mmud import codes as common
from mmud.annotations.masks import MAX_SIDE
from mmud.dataset.checks.base import Check, Row, Scope, ShardFacts, printable
from mmud.dataset.checks.batch import SampleContext
from mmud.dataset.checks.codes import structure as codes
from mmud.dataset.manifest import MANIFEST_NAME
from mmud.errors import Code, Finding, Place

_TEXTS = ("source", "source_image_id", "caption", "question", "answer", "license", "provenance")

Problem = tuple[Code, int | None, str, str]
"""Code, object (from 1), field, message."""


class StructureCheck(Check):
    """Fields, lengths, bounds; counts of samples and objects."""

    codes = (
        common.RECORD_TYPE,
        codes.LIST_LENGTH,
        codes.NUMBER_BOUNDS,
        codes.PROVENANCE_UNREADABLE,
        codes.NOT_UTF8,
        codes.COUNTS_DISAGREE,
        codes.LICENCE_UNKNOWN,
    )

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)
        self._tally: dict[str, Counter[str]] = {}
        self._licensed = any(source.get("license") or source.get("licence") for source in scope.manifest.sources)

    def check(self, row: Row, context: SampleContext) -> Iterator[Finding]:
        source = row["source"]
        tally = self._tally.setdefault(source or "", Counter())
        tally["samples"] += 1
        tally["objects"] += len(row["objects"] or ())
        for code, item, field, message in self._problems(row, context):
            yield Finding(code, context.place(item, field), message)
        if row["license"] == "" and not self._licensed:
            yield Finding(codes.LICENCE_UNKNOWN, context.place(field="license"), "no licence is named")
        if not context.batch.utf8:
            for field, item in _undecodable(row):
                yield Finding(codes.NOT_UTF8, context.place(item, field), "a text has bytes that are not UTF-8")

    def _problems(self, row: Row, context: SampleContext) -> Iterator[Problem]:
        if not row["sample_id"]:
            yield common.RECORD_TYPE, None, "sample_id", "the sample has no id"
        for field in _TEXTS:
            if row[field] is None:
                yield _null(field)
        for field in ("width", "height"):
            if row[field] is None:
                yield _null(field)
            elif not 0 < row[field] <= MAX_SIDE:
                yield codes.NUMBER_BOUNDS, None, field, f"{field} is {row[field]}, not 1 to {MAX_SIDE}"
        if row["provenance"] and not _is_json_object(row["provenance"]):
            message = f"provenance is {printable(row['provenance'])}"
            yield codes.PROVENANCE_UNREADABLE, None, "provenance", message
        if row["objects"] is None:
            yield _null("objects")
            return
        for number, (item, mask) in enumerate(zip(row["objects"], context.masks, strict=True), start=1):
            if item is None:
                yield _null("objects", number)
            else:
                yield from _object_problems(number, item, mask is not None and mask.usable)

    def facts(self) -> dict[str, dict[str, int]]:
        """Source -> samples and objects."""
        return {source: dict(tally) for source, tally in self._tally.items()}

    def finish(self, shards: Sequence[ShardFacts]) -> Iterator[Finding]:
        if not self.scope.whole:
            return
        total: dict[str, Counter[str]] = {}
        by_split: Counter[str] = Counter()
        for part in shards:
            for source, tally in part.facts.items():
                total.setdefault(source, Counter()).update(tally)
                by_split[part.shard.split] += tally["samples"]
        place = Place(file=MANIFEST_NAME)
        for split, listed in self.scope.manifest.splits.items():
            if listed.samples != by_split[split]:
                message = f"split {split} has {by_split[split]} samples, the manifest says {listed.samples}"
                yield Finding(codes.COUNTS_DISAGREE, place, message)
        counts = self.scope.manifest.counts
        for name in ("samples", "objects"):
            found = sum(tally[name] for tally in total.values())
            if counts.get(name, found) != found:
                message = f"there are {found} {name}, the manifest says {printable(repr(counts[name]))}"
                yield Finding(codes.COUNTS_DISAGREE, place, message)
        by_source = {source: {name: tally[name] for name in ("samples", "objects")} for source, tally in total.items()}
        if counts.get("by_source", by_source) != by_source:
            yield Finding(codes.COUNTS_DISAGREE, place, "the manifest's counts by source are not those of the shards")


def _null(field: str, item: int | None = None) -> Problem:
    return common.RECORD_TYPE, item, field, f"{field} is null"


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _object_problems(number: int, item: dict[str, Any], masked: bool) -> Iterator[Problem]:
    for field in ("category", "iscrowd"):
        if item[field] is None:
            yield _null(field, number)
    phrases = item["phrases"]
    if phrases is None:
        yield _null("phrases", number)
    elif None in phrases:
        yield _null("a phrase", number)
    if item["polygons"] is not None and None in item["polygons"]:
        yield _null("a polygon", number)
    if item["segmentation"] is not None:
        yield from _segmentation_problems(number, item["segmentation"])
    # An absent box or area beside a mask has codes of its own, as it can be computed.
    if item["area"] is None:
        if not masked:
            yield _null("area", number)
    elif not 0 <= item["area"] < math.inf:
        yield codes.NUMBER_BOUNDS, number, "area", f"the area is {item['area']}"
    box = item["bbox"]
    if box is None:
        if not masked:
            yield _null("bbox", number)
    elif len(box) != 4:
        yield codes.LIST_LENGTH, number, "bbox", f"the box has {len(box)} numbers, not 4"
    elif None in box:
        yield _null("a number of the box", number)
    elif not all(map(math.isfinite, box)):
        yield codes.NUMBER_BOUNDS, number, "bbox", f"the box is {box}"


def _segmentation_problems(number: int, segmentation: dict[str, Any]) -> Iterator[Problem]:
    size = segmentation["size"]
    if segmentation["counts"] is None:
        yield _null("segmentation.counts", number)
    if size is None:
        yield _null("segmentation.size", number)
    elif len(size) != 2:
        yield codes.LIST_LENGTH, number, "segmentation.size", f"the mask's size has {len(size)} numbers, not 2"
    elif None in size:
        yield _null("a number of segmentation.size", number)


def _undecodable(row: Row) -> Iterator[tuple[str, int | None]]:
    """Field and object of each text that holds a lone surrogate, which stands for a byte that is not UTF-8."""
    for field, value in row.items():
        if field == "objects":
            for number, item in enumerate(value or (), start=1):
                for name in [name for name, part in (item or {}).items() if _has_surrogate(part)]:
                    yield name, number
        elif _has_surrogate(value):
            yield field, None


def _has_surrogate(value: Any) -> bool:
    if isinstance(value, str):
        return any("\udc80" <= character <= "\udcff" for character in value)
    if isinstance(value, dict):
        return any(map(_has_surrogate, value.values()))
    if isinstance(value, list):
        return any(map(_has_surrogate, value))
    return False
