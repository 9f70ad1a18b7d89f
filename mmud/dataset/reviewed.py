"""The next version of a dataset: what its reviewers decided, put in. The dataset itself is never touched."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmud.annotations.review import codes
from mmud.annotations.review.agreement import agreements, progress
from mmud.annotations.review.apply import Summary, revise, texts_of
from mmud.annotations.review.decisions import Decisions, Judgements, fitting_decisions, outcome_of
from mmud.annotations.review.journal import read_journals
from mmud.annotations.review.labels import label_hash
from mmud.annotations.review.policy import Policy
from mmud.dataset.label_index import LabelHashes, LabelIndex
from mmud.dataset.next_version import write_next_version
from mmud.dataset.store import Dataset
from mmud.errors import Finding, MmudError, Place
from mmud.files import refuse_existing, sha256_of
from mmud.records import Sample

REVIEW_NAME = "review.json"
"""In the new dataset: what was decided, by how many, and how far they agreed."""

MAX_DISPUTES_NAMED = 20


def default_journal(dataset: Path) -> Path:
    """Where the journal of a dataset lies unless another is named: beside its folder."""
    folder = dataset.resolve()
    return folder.with_name(f"{folder.name}.review.jsonl")


@dataclass
class Applied:
    """What applying a review did, or would do.

    Attributes:
        dataset: the new version; None after a dry run.
        splits: split -> samples that are kept.
        summary: counts of the decisions.
        findings: entries that did not count, lines that could not be read.
        facts: progress and agreement, JSON-compatible.
    """

    dataset: Dataset | None = None
    splits: dict[str, int] = field(default_factory=dict)
    summary: Summary = field(default_factory=Summary)
    findings: list[Finding] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "output": None if self.dataset is None else str(self.dataset.path),
            "fingerprint": None if self.dataset is None else self.dataset.fingerprint,
            "splits": self.splits,
            **self.summary.to_dict(),
            **self.facts,
            "findings": [finding.to_dict() for finding in self.findings],
        }


def load_decisions(index: LabelIndex, journals: Sequence[Path]) -> tuple[Decisions, list[Finding]]:
    """The decisions of journals that count for a dataset, and what does not count.

    Raises:
        MmudError: MM002 when a journal cannot be read, MM981 when none of their entries is about this dataset.
    """
    entries, findings = read_journals(journals)
    decisions, more = fitting_decisions(entries, index.dataset.fingerprint, LabelHashes(index))
    return decisions, findings + more


def disputed_samples(index: LabelIndex, decisions: Decisions) -> list[str]:
    """The samples on which reviewers disagree and that nobody settled."""
    found = []
    for name, judgements in decisions.samples.items():
        dispute = outcome_of(judgements).dispute if len(judgements) > 1 else ""
        # Texts that were edited and put back are no dispute; few samples have to be read to know.
        if dispute == "text":
            dispute = outcome_of(judgements, texts_of(index.sample(index.numbers[name]))).dispute
        if dispute:
            found.append(name)
    return found


def review_facts(index: LabelIndex, decisions: Decisions) -> dict[str, Any]:
    """Progress and agreement, as ``--status --json`` prints them."""
    return {
        "progress": progress(decisions, len(index)),
        "agreement": [agreement.to_dict() for agreement in agreements(decisions)],
        "disputes": len(disputed_samples(index, decisions)),
    }


def apply_review(
    dataset: Dataset,
    journals: Sequence[Path],
    output: Path,
    policy: Policy,
    *,
    dry_run: bool = False,
    force: bool = False,
    advance: Callable[[int], None] = lambda count: None,
) -> Applied:
    """Write the next version of a dataset.

    Everything is decided before anything is written, so that a dispute or a broken edit leaves nothing behind.

    Args:
        dataset: what was reviewed.
        journals: of all its reviewers.
        output: the folder to make.
        policy: what becomes of samples that are not accepted.
        dry_run: decide and count, write nothing.
        force: replace the folder if it is there.
        advance: told how many samples were written.

    Raises:
        MmudError: MM003 when the output exists; MM981 for journals of another dataset; MM983 for an edit that breaks the grammar
            of tags; MM986 when reviewers disagree and the policy refuses that.
    """
    if not dry_run:
        refuse_existing(output, force)
    index = LabelIndex(dataset)
    decisions, findings = load_decisions(index, journals)
    applied = Applied(findings=findings, facts=review_facts(index, decisions))
    judged = _checked(index, decisions, applied.findings)
    _decide(index, judged, policy, applied)
    if dry_run:
        return applied
    texts = {REVIEW_NAME: json.dumps(_record(dataset, journals, policy, applied), indent=2, ensure_ascii=False) + "\n"}

    def revised(split: str) -> Iterator[Sample]:
        for sample in dataset.samples(split, images=True):
            kept = revise(sample, judged.get(sample.sample_id, {}), policy, Summary())
            advance(1)
            if kept is not None:
                yield kept

    applied.dataset = write_next_version(
        dataset,
        output,
        revised,
        name=f"review of {dataset.name}",
        title=f"the review of {dataset.name}, fingerprint {dataset.fingerprint[:16]}",
        made_from=_journal_files(journals),
        files=texts,
        force=force,
    )
    return applied


def _checked(index: LabelIndex, decisions: Decisions, findings: list[Finding]) -> dict[str, Judgements]:
    """The judgements whose every entry is about the labels that the dataset has now."""
    judged = {}
    for sample_id, judgements in decisions.samples.items():
        labels = label_hash(index.sample(index.numbers[sample_id]))
        entries = [
            entry
            for judgement in judgements.values()
            for entry in (judgement.verdict, judgement.final, *judgement.edits.values())
            if entry is not None
        ]
        if all(entry.labels == labels for entry in entries):
            judged[sample_id] = judgements
        else:
            message = "the decisions carry this dataset's fingerprint and the hash of other labels"
            findings.append(Finding(codes.LABELS_CHANGED, Place(sample=sample_id), message))
    return judged


def _decide(index: LabelIndex, judged: Mapping[str, Judgements], policy: Policy, applied: Applied) -> None:
    disputes: list[MmudError] = []
    applied.splits = {split: index.dataset.length(split) for split in index.splits}
    untouched = len(index) - len(judged)
    for sample_id, judgements in judged.items():
        number = index.numbers[sample_id]
        try:
            if revise(index.sample(number), judgements, policy, applied.summary) is None:
                applied.splits[index.place(number)[0]] -= 1
        except MmudError as error:
            if error.code is not codes.IN_DISPUTE:
                raise
            disputes.append(error)
    if disputes:
        shown = ", ".join(str(error.where.sample) for error in disputes[:MAX_DISPUTES_NAMED])
        more = f" and {len(disputes) - MAX_DISPUTES_NAMED:,} more" if len(disputes) > MAX_DISPUTES_NAMED else ""
        message = f"{len(disputes):,} samples are in dispute: {shown}{more}"
        raise MmudError(codes.IN_DISPUTE, message, disputes[0].where)
    counts = applied.summary.counts
    counts["undecided"] += untouched
    dropped = policy.undecided.value == "drop"
    counts["dropped" if dropped else "kept"] += untouched
    if dropped:
        for sample_id in index.ids:
            if sample_id not in judged:
                applied.splits[index.place(index.numbers[sample_id])[0]] -= 1


def _record(dataset: Dataset, journals: Sequence[Path], policy: Policy, applied: Applied) -> dict[str, Any]:
    return {
        "dataset": {"name": dataset.name, "fingerprint": dataset.fingerprint},
        "journals": _journal_files(journals),
        "policy": {"rejected": policy.rejected, "undecided": policy.undecided, "disputed": policy.disputed},
        **applied.summary.to_dict(),
        **applied.facts,
    }


def _journal_files(journals: Sequence[Path]) -> dict[str, str]:
    return {path.name: sha256_of(path) for path in journals}
