"""The next version of a dataset: without the labels, or the samples, that filters refuse. The dataset itself is never touched."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmud.annotations.filters.base import FILTERS, Label, Reason, Tools
from mmud.annotations.filters.report import FilterReport
from mmud.annotations.filters.screening import Screening, Verdict, without
from mmud.annotations.filters.settings import TABLE, Plan, make_plan, switched
from mmud.annotations.provenance import with_edit
from mmud.dataset.checks.selection import selected_codes
from mmud.dataset.next_version import first_samples, write_next_version
from mmud.dataset.store import Dataset
from mmud.errors import Code
from mmud.files import refuse_existing
from mmud.records import Sample

REPORT_NAME = "filters.json"
LOG_NAME = "filtered.jsonl"
"""In the new dataset: each label that was refused, word for word, with the reasons."""


@dataclass
class Filtered:
    """What filtering did, or would do.

    Attributes:
        report: the counts.
        dataset: the new version; None after a dry run.
    """

    report: FilterReport
    dataset: Dataset | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "output": None if self.dataset is None else str(self.dataset.path),
            "fingerprint": None if self.dataset is None else self.dataset.fingerprint,
            **self.report.to_dict(),
        }


def plan_of(dataset: Dataset) -> Plan:
    """The plan of the recipe that the dataset was built by; all defaults where that has none."""
    return make_plan((dataset.manifest.recipe or {}).get(TABLE, {}))


def filter_codes() -> dict[str, Code]:
    """Every code that some filter gives, by id."""
    found: dict[str, Code] = {}
    for name in dict.fromkeys(entry.name for entry in FILTERS.entries):
        found |= {code.id: code for code in FILTERS.get(name).codes}
    return dict(sorted(found.items()))


def filter_dataset(
    dataset: Dataset,
    output: Path | None,
    plan: Plan,
    *,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    tools: Tools = Tools(),  # noqa: B008
    limit: int | None = None,
    force: bool = False,
    advance: Callable[[int], None] = lambda count: None,
) -> Filtered:
    """Look at every sample, and write those that stay.

    Verdicts are taken before anything is written: a model that fails half-way leaves nothing behind.

    Args:
        dataset: what is filtered.
        output: the folder to make; None to count only.
        plan: filters, thresholds, and what goes.
        select, ignore: codes or families that count, or do not.
        tools: what filters may use.
        limit: look at so many samples only; then nothing can be written.
        force: replace the folder if it is there.
        advance: told how many samples were looked at.

    Raises:
        MmudError: MM001 for a code that no filter gives; MM003 when the output exists; what reading, writing and filters raise.
    """
    if output is not None:
        refuse_existing(output, force)
    codes = filter_codes()
    selected = selected_codes(codes, select, ignore)
    settings = switched(plan, selected)
    looked = {name: [code.id for code in FILTERS.get(name).codes if code.id in selected] for name in settings}
    filtered = Filtered(FilterReport(plan, codes, looked))
    refused: dict[str, Verdict] = {}
    with Screening(settings, selected, tools) as screening:
        screening.survey(first_samples(dataset, limit))
        for split in dataset.splits:
            filtered.report.samples[split] = Counter()
        places = _places(dataset)
        for sample, verdict in screening.verdicts(first_samples(dataset, limit)):
            filtered.report.add(next(places), sample, verdict)
            if verdict.refused:
                refused[sample.sample_id] = verdict
            advance(1)
    if output is not None:
        filtered.dataset = _write(dataset, output, filtered.report, refused, force)
    return filtered


def _places(dataset: Dataset) -> Iterator[str]:
    """The split of each sample in order."""
    for split in dataset.splits:
        for _ in range(dataset.length(split)):
            yield split


def _write(dataset: Dataset, output: Path, report: FilterReport, refused: dict[str, Verdict], force: bool) -> Dataset:
    # Filled while samples stream by; the writer reads the files when all are written.
    log: list[str] = []
    files = {REPORT_NAME: json.dumps(report.to_dict(), indent=2, ensure_ascii=False) + "\n"}

    def kept(split: str) -> Iterator[Sample]:
        for sample in dataset.samples(split, images=True):
            verdict = refused.get(sample.sample_id)
            if verdict is None:
                yield sample
                continue
            log.append(json.dumps(_entry(split, sample, verdict), ensure_ascii=False) + "\n")
            if report.keeps_sample(verdict):
                yield _emptied(sample, verdict)
        files[LOG_NAME] = "".join(log)

    return write_next_version(
        dataset,
        output,
        kept,
        name=f"filters of {dataset.name}",
        title=f"what filters kept of {dataset.name}, fingerprint {dataset.fingerprint[:16]}",
        files=files,
        force=force,
    )


def _emptied(sample: Sample, verdict: Verdict) -> Sample:
    """The sample without its refused labels; its provenance says what spoke against each."""
    provenance = sample.provenance
    for label in Label:
        ids = sorted({reason.code.id for _, reason in verdict.refused if reason.label is label})
        for field in label.fields if ids else ():
            provenance = with_edit(provenance, field, {"by": "mmud filter", "what": "refused", "codes": ids})
    return without(sample, verdict.refused_labels).model_copy(update={"provenance": provenance})


def _entry(split: str, sample: Sample, verdict: Verdict) -> dict[str, Any]:
    """A line of the log."""
    labels = sorted(verdict.refused_labels)
    texts = {field: getattr(sample, field) for label in labels for field in label.fields}
    return {
        "sample_id": sample.sample_id,
        "split": split,
        "labels": [label.value for label in labels],
        "reasons": [_reason(name, reason) for name, reason in verdict.refused],
        **texts,
    }


def _reason(name: str, reason: Reason) -> dict[str, str]:
    return {"filter": name, "code": reason.code.id, "label": reason.label.value, "message": reason.message}
