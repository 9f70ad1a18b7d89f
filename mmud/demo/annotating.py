"""The demo's images with labels that were drafted, tagged, filtered and reviewed, as a person's own images would get them.

Drafts come from objects and phrases alone, by rule. The review is a stand-in for a person: it accepts what still has a caption
and a pair of question and answer after the filters, and rejects the rest.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmud.dataset.store import Dataset
from mmud.files import write_json

REVIEWER = "stand-in"
FOLDER = "annotation"
REPORT_NAME = "annotation.json"
PARTS = ("drafts", "linked", "filtered", "reviewed", f"{REVIEWER}.review.jsonl", REPORT_NAME)
"""All that lies in the folder, a person's own journal aside."""


def annotate_demo(dataset: Dataset, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Draft, link, filter, review, apply and validate, each into a folder of its own under ``folder/annotation``.

    Steps that an interrupted demo finished are kept.

    Args:
        dataset: whose images and objects are used; its own captions and pairs are not looked at.
        folder: of the demo.
        say: told what came of it.

    Returns:
        Counts of each step, as ``annotation/annotation.json`` holds them.
    """
    work = folder / FOLDER
    kept = work / REPORT_NAME
    if kept.exists():
        report: dict[str, Any] = json.loads(kept.read_bytes())
        say(f"annotated already: {work / 'reviewed'}")
        return report
    work.mkdir(exist_ok=True)
    drafted = _draft(dataset, work / "drafts")
    linked = _link(drafted, work / "linked")
    filtered, labels = _filter(linked, work / "filtered")
    reviewed, decided = _review(filtered, work)
    report = {
        "filtered": labels,
        "review": decided,
        "samples": len(reviewed),
        "findings": _findings(reviewed.path),
    }
    write_json(kept, report)
    _tell(report, work, say)
    return report


def _tell(report: dict[str, Any], work: Path, say: Callable[[str], None]) -> None:
    names = {"captions": "captions", "pairs": "question-answer pairs"}
    kept = ", ".join(
        f"{found['kept']:,} of {found['read']:,} {names[name]} kept" for name, found in report["filtered"].items()
    )
    decided, errors = report["review"], report["findings"]
    say(f"drafted from objects and phrases alone: {kept} by the filters")
    say(
        f"a stand-in for a reviewer accepted {decided['accepted']:,} and rejected {decided['rejected']:,}: "
        f"{report['samples']:,} samples, {errors or 'no error'}: {work / 'reviewed'}"
    )
    say(f"decide yourself (with the extra 'review'): mmud review {work / 'filtered'}")


def _made(path: Path) -> Dataset | None:
    """The dataset of a step that was finished before."""
    return Dataset(path) if (path / "mmud.json").exists() else None


def _draft(dataset: Dataset, target: Path) -> Dataset:
    from mmud.annotations.drafting.base import ANNOTATORS
    from mmud.dataset.annotating.planning import AnnotateRequest
    from mmud.dataset.annotating.run import annotate

    found = _made(target)
    if found is not None:
        return found
    annotate(dataset, target, ANNOTATORS.get("template")({}, 0), AnnotateRequest(replace=True), force=True)
    return Dataset(target)


def _link(drafted: Dataset, target: Path) -> Dataset:
    from mmud.annotations.linking import LEAST_SCORE
    from mmud.dataset.linked import link_dataset

    return _made(target) or _written(link_dataset(drafted, target, "answer", LEAST_SCORE, force=True).dataset)


def _filter(linked: Dataset, target: Path) -> tuple[Dataset, dict[str, Any]]:
    from mmud.dataset.filtered import filter_dataset, plan_of

    # What the filters did is told by their report, which a finished folder alone does not give: it takes a second.
    shutil.rmtree(target, ignore_errors=True)
    done = filter_dataset(linked, target, plan_of(linked))
    return _written(done.dataset), done.report.to_dict()["labels"]


def _review(filtered: Dataset, work: Path) -> tuple[Dataset, dict[str, Any]]:
    from mmud.annotations.review.journal import Entry, Journal, Kind, Verdict
    from mmud.annotations.review.labels import label_hash
    from mmud.annotations.review.policy import Policy, Undecided
    from mmud.dataset.reviewed import apply_review

    # Beside the journal that `mmud review` keeps of a person's decisions, and never that one.
    path = work / f"{REVIEWER}.review.jsonl"
    path.unlink(missing_ok=True)
    with Journal(path) as journal:
        for sample in filtered.samples():
            complete = bool(sample.caption and sample.question and sample.answer)
            journal.append(
                Entry.new(
                    reviewer=REVIEWER,
                    dataset=filtered.fingerprint,
                    sample=sample.sample_id,
                    labels=label_hash(sample),
                    kind=Kind.VERDICT,
                    verdict=Verdict.ACCEPT if complete else Verdict.REJECT,
                    reason="" if complete else "the filters left it incomplete",
                )
            )
    applied = apply_review(filtered, [path], work / "reviewed", Policy(undecided=Undecided.DROP), force=True)
    return _written(applied.dataset), applied.summary.to_dict()


def _written(dataset: Dataset | None) -> Dataset:
    assert dataset is not None, "a step that was not a dry run wrote a dataset"
    return dataset


def _findings(path: Path) -> dict[str, int]:
    """The errors among what validation finds, by code."""
    from mmud.dataset.checks.engine import validate
    from mmud.errors import Severity

    with validate(path) as report:
        return {code.id: report.counts[code.id] for code in report.found_codes() if code.severity is Severity.ERROR}
