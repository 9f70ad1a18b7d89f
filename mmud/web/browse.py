"""A dataset as gallery cards: which samples are shown, and what is wrong with them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmud import codes
from mmud.dataset.build import FINDINGS_NAME
from mmud.dataset.store import Dataset
from mmud.errors import Finding, MmudError, Place, catalogue
from mmud.records import Sample
from mmud.web.gallery import Card, write_page
from mmud.web.sheets import write_sheets


@dataclass(frozen=True, slots=True)
class Selection:
    """Which samples to show.

    Attributes:
        split: one split; all when None.
        limit: at most so many, spread evenly over the dataset; all when None.
        ids: exactly these, in this order, when there are any.
        code: only those with a finding of this code, or of a family such as MM2.
    """

    split: str | None = None
    limit: int | None = 200
    ids: Sequence[str] = ()
    code: str | None = None


def write_gallery(
    dataset: Dataset,
    page: Path,
    selection: Selection,
    sheets: Path | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> tuple[int, list[Path]]:
    """Write the page, and contact sheets where a folder is given.

    Returns:
        The number of samples shown, and the sheets.

    Raises:
        MmudError: MM001 when nothing is left to show, MM108 or MM109 for an unknown split or id.
    """
    findings = known_findings(dataset)
    chosen = _choose(dataset, selection, findings)
    if not chosen:
        raise MmudError(codes.USAGE, "no sample fits: nothing to show", Place(file=str(dataset.path)))

    def cards() -> Iterator[Card]:
        for split, sample in _read(dataset, chosen):
            yield Card(sample, split, findings.get(sample.sample_id, []))
            advance(1)

    splits = ", ".join(f"{name} {dataset.length(name):,}" for name in dataset.splits)
    summary = f"{len(dataset):,} samples ({splits}), {dataset.manifest.counts['objects']:,} objects · {dataset.fingerprint[:16]}"
    count = write_page(page, dataset.name, summary, cards())
    written = write_sheets(sheets, (sample for _, sample in _read(dataset, chosen))) if sheets else []
    return count, written


def _read(dataset: Dataset, chosen: Sequence[tuple[str, int]]) -> Iterator[tuple[str, Sample]]:
    for split, index in chosen:
        yield split, dataset.sample(split, index, images=True)


def _choose(dataset: Dataset, selection: Selection, findings: dict[str, list[Finding]]) -> list[tuple[str, int]]:
    if selection.ids:
        return [dataset.position(sample_id) for sample_id in selection.ids]
    splits = dataset.splits if selection.split is None else [selection.split]
    fitting = [(split, index) for split in splits for index in range(dataset.length(split))]
    if selection.code is not None:
        prefix = selection.code.upper()
        with_code = {name for name, found in findings.items() if any(one.code.id.startswith(prefix) for one in found)}
        wanted = {dataset.position(name) for name in sorted(with_code)}
        fitting = [place for place in fitting if place in wanted]
    limit = selection.limit
    if limit is None or len(fitting) <= limit:
        return fitting
    return [fitting[position * len(fitting) // limit] for position in range(limit)]


def known_findings(dataset: Dataset, reports: Sequence[Path] = ()) -> dict[str, list[Finding]]:
    """The findings of the build and of reports, by sample.

    Args:
        dataset: the dataset.
        reports: what `mmud validate --json` printed, or findings one a line, as the build leaves them.

    Raises:
        MmudError: MM001 when a report cannot be read as one.
    """
    file = dataset.path / FINDINGS_NAME
    known = catalogue()
    found: dict[str, list[Finding]] = {}
    for path in [*([file] if file.exists() else []), *reports]:
        try:
            for row in _finding_rows(path):
                place = Place(**row["place"])
                if place.sample is not None and row["code"] in known:
                    found.setdefault(place.sample, []).append(Finding(known[row["code"]], place, str(row["message"])))
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            message = f"cannot be read as findings: {type(error).__name__}: {error}"
            raise MmudError(codes.USAGE, message, Place(file=str(path))) from error
    return found


def _finding_rows(path: Path) -> Iterator[dict[str, Any]]:
    with open(path, encoding="utf-8") as lines:
        first = lines.readline()
        lines.seek(0)
        # A report is one object over many lines; findings one a line are an object each.
        if first.strip() == "{":
            yield from json.load(lines)["findings"]
        else:
            yield from map(json.loads, itertools.filterfalse(str.isspace, lines))
