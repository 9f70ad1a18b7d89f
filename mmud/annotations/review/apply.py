"""A sample as its reviewers leave it: edits put in, checked by the grammar of tags, and who decided written down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mmud.annotations.provenance import with_edit
from mmud.annotations.review import codes
from mmud.annotations.review.decisions import Judgement, Outcome, outcome_of
from mmud.annotations.review.journal import FIELDS, Entry, Kind, Verdict
from mmud.annotations.review.labels import text_as_stored, text_problems
from mmud.annotations.review.policy import Disputed, Policy, Rejected, Undecided
from mmud.errors import MmudError, Place
from mmud.records import Sample

PROVENANCE_KEY = "reviews"


@dataclass
class Summary:
    """What applying did.

    Attributes:
        counts: accepted, rejected, undecided, disputed; kept, dropped; edits; pending (edits of nobody's verdict, not applied).
        reasons: why samples were rejected, with how often.
    """

    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def to_dict(self) -> dict[str, Any]:
        names = ("accepted", "rejected", "undecided", "disputed", "kept", "dropped", "edits", "pending")
        return {**{name: self.counts[name] for name in names}, "reasons": dict(self.reasons.most_common())}


def texts_of(sample: Sample) -> dict[str, str]:
    """field -> text, for the fields that people edit."""
    return {name: getattr(sample, name) for name in FIELDS}


def revise(sample: Sample, judgements: Mapping[str, Judgement], policy: Policy, summary: Summary) -> Sample | None:
    """The sample as its reviewers leave it, or None where it is left out.

    Args:
        sample: as the dataset has it.
        judgements: by reviewer; empty where nobody said anything.
        policy: what becomes of samples that are not accepted.
        summary: counts what was done.

    Raises:
        MmudError: MM983 when an accepted edit breaks the grammar of tags; MM986 for a dispute that the policy refuses.
    """
    outcome = outcome_of(judgements, texts_of(sample))
    revised = _revised(sample, judgements, outcome, policy, summary)
    summary.counts["pending"] += outcome.pending
    summary.counts["kept" if revised is not None else "dropped"] += 1
    return revised


def _revised(
    sample: Sample, judgements: Mapping[str, Judgement], outcome: Outcome, policy: Policy, summary: Summary
) -> Sample | None:
    place = Place(sample=sample.sample_id)
    if outcome.dispute:
        summary.counts["disputed"] += 1
        if policy.disputed is Disputed.REFUSE:
            names = ", ".join(entry.reviewer for entry in outcome.by)
            raise MmudError(codes.IN_DISPUTE, f"{names} differ in their {outcome.dispute}", place)
        return sample if policy.disputed is Disputed.KEEP else None
    if outcome.verdict is None:
        summary.counts["undecided"] += 1
        return sample if policy.undecided is Undecided.KEEP else None
    changes = _changes(sample, outcome, policy, summary)
    if changes is None:
        return None
    record: dict[str, Any] = {
        "verdict": outcome.verdict.value,
        "by": [
            {"reviewer": entry.reviewer, "time": entry.time}
            | ({"reason": entry.reason} if entry.reason else {})
            | ({"settles": True} if entry.final else {})
            for entry in outcome.by
        ],
    }
    provenance = dict(sample.provenance)
    for entry, field_, after in changes:
        before = getattr(sample, field_)
        what = {"what": "edited" if entry.kind is Kind.EDIT else "emptied", "before": before, "after": after}
        provenance = with_edit(provenance, field_, {"by": entry.reviewer, "time": entry.time, **what})
    earlier = provenance.get(PROVENANCE_KEY)
    reviews = [*(earlier if isinstance(earlier, list) else []), record]
    texts = {field_: after for _, field_, after in changes}
    return sample.model_copy(update={**texts, "provenance": {**provenance, PROVENANCE_KEY: reviews}})


def _changes(sample: Sample, outcome: Outcome, policy: Policy, summary: Summary) -> list[tuple[Entry, str, str]] | None:
    """The entry, field and new text of each change; None where the sample is left out."""
    if outcome.verdict is Verdict.REJECT:
        summary.counts["rejected"] += 1
        summary.reasons.update({entry.reason for entry in outcome.by})
        if policy.rejected is Rejected.DROP:
            return None
        return [(outcome.by[0], name, "") for name, text in texts_of(sample).items() if text]
    summary.counts["accepted"] += 1
    summary.counts["edits"] += len(outcome.edits)
    changes = []
    for edit in outcome.edits:
        text = text_as_stored(edit.field, edit.text)
        problems = text_problems(edit.field, text, len(sample.objects))
        if problems:
            named = Place(sample=sample.sample_id, field=edit.field)
            raise MmudError(codes.EDIT_BREAKS_TAGS, f"{edit.reviewer}'s text: {'; '.join(problems)}", named)
        changes.append((edit, edit.field, text))
    return changes
