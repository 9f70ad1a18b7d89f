"""What the entries of a journal come to: for each sample, what each reviewer says of it, and what follows.

Entries are replayed in order; an undone entry counts as if it had never been. Later entries of one reviewer replace earlier ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mmud.annotations.review import codes
from mmud.annotations.review.journal import Entry, Kind, Verdict
from mmud.errors import Finding, MmudError, Place


@dataclass(slots=True)
class Judgement:
    """What one reviewer says of one sample.

    Attributes:
        verdict: the latest independent verdict, as an entry; None where there is none.
        final: the latest verdict that settles a dispute; None where there is none.
        edits: field -> the latest edit of it.
    """

    verdict: Entry | None = None
    final: Entry | None = None
    edits: dict[str, Entry] = field(default_factory=dict)

    @property
    def rated(self) -> bool:
        """Whether the reviewer accepted or rejected."""
        said = self.final or self.verdict
        return said is not None and said.verdict is not Verdict.SKIP

    @property
    def texts(self) -> dict[str, str]:
        """field -> the reviewer's text."""
        return {name: entry.text for name, entry in self.edits.items()}


Judgements = dict[str, Judgement]
"""reviewer -> judgement, for one sample."""


class Decisions:
    """The state that entries lead to.

    Attributes:
        samples: sample id -> reviewer -> judgement; only samples of which somebody said something.
        tallies: reviewer -> samples with each verdict, and "edited" samples; kept up to date, so that progress costs nothing.
        decided: samples that anybody accepted or rejected.
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.samples: dict[str, Judgements] = {}
        self.tallies: dict[str, Counter[str]] = {}
        self.decided = 0
        self._entries: dict[str, Entry] = {}
        self._undone: set[str] = set()
        self._of: dict[tuple[str, str], list[Entry]] = {}
        self._by_reviewer: dict[str, list[Entry]] = {}
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> None:
        """Take one more entry into account."""
        if entry.kind is Kind.UNDO:
            undone = self._entries.get(entry.undoes)
            # An undo that names nothing, or another's entry, changes nothing.
            if undone is not None and undone.reviewer == entry.reviewer:
                self._undone.add(undone.id)
                self._refresh(undone.sample, undone.reviewer)
            return
        self._entries[entry.id] = entry
        self._of.setdefault((entry.sample, entry.reviewer), []).append(entry)
        self._by_reviewer.setdefault(entry.reviewer, []).append(entry)
        judgements = self.samples.setdefault(entry.sample, {})
        self._count(entry.sample, entry.reviewer, -1)
        _apply(judgements.setdefault(entry.reviewer, Judgement()), entry)
        self._count(entry.sample, entry.reviewer, 1)

    def _refresh(self, sample: str, reviewer: str) -> None:
        judgement = Judgement()
        left = [entry for entry in self._of[sample, reviewer] if entry.id not in self._undone]
        for entry in left:
            _apply(judgement, entry)
        self._count(sample, reviewer, -1)
        if left:
            self.samples[sample][reviewer] = judgement
        else:
            self.samples[sample].pop(reviewer, None)
        self._count(sample, reviewer, 1)
        if not self.samples[sample]:
            del self.samples[sample]

    def _count(self, sample: str, reviewer: str, sign: int) -> None:
        """Count a sample's judgements in, or out before they change."""
        judgements = self.samples[sample]
        self.decided += sign * any(one.rated for one in judgements.values())
        judgement = judgements.get(reviewer)
        if judgement is None:
            return
        tally = self.tallies.setdefault(reviewer, Counter())
        said = judgement.final or judgement.verdict
        if said is not None and said.verdict is not None:
            tally[said.verdict.value] += sign
        if judgement.edits:
            tally["edited"] += sign

    def last(self, reviewer: str) -> Entry | None:
        """The reviewer's latest entry that is not undone: what an undo would take back."""
        entries = self._by_reviewer.get(reviewer, [])
        while entries and entries[-1].id in self._undone:
            entries.pop()
        return entries[-1] if entries else None

    @property
    def reviewers(self) -> list[str]:
        """Everyone who said something that still counts, by name."""
        return sorted({reviewer for judgements in self.samples.values() for reviewer in judgements})

    def judgement(self, sample: str, reviewer: str) -> Judgement:
        return self.samples.get(sample, {}).get(reviewer, Judgement())


def _apply(judgement: Judgement, entry: Entry) -> None:
    if entry.kind is Kind.EDIT:
        judgement.edits[entry.field] = entry
    elif entry.final:
        judgement.final = entry
    else:
        judgement.verdict = entry


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the judgements of a sample come to.

    Attributes:
        verdict: ACCEPT or REJECT; None while nobody decided, or where reviewers disagree.
        dispute: what they disagree on; empty where they do not.
        edits: the edits that hold, one a field.
        by: the entries that decided.
        pending: whether there are edits that nobody accepted.
    """

    verdict: Verdict | None = None
    dispute: str = ""
    edits: tuple[Entry, ...] = ()
    by: tuple[Entry, ...] = ()
    pending: bool = False


def outcome_of(judgements: Mapping[str, Judgement], original: Mapping[str, str] | None = None) -> Outcome:
    """What a sample's judgements come to.

    The latest settling verdict holds, with its reviewer's texts. Without one, all who accepted or rejected must agree, those who
    accepted in their texts too.

    Args:
        judgements: of one sample, by reviewer.
        original: field -> the dataset's text: a text that was edited and put back is no edit. Where it is left out, every edit
            counts as one.
    """
    texts = original or {}
    finals = [(reviewer, judgement.final) for reviewer, judgement in judgements.items() if judgement.final is not None]
    if finals:
        reviewer, final = max(finals, key=lambda pair: (pair[1].time, pair[0]))
        return Outcome(final.verdict, "", _edits(judgements[reviewer], texts), (final,))
    decided = {
        reviewer: judgement
        for reviewer, judgement in sorted(judgements.items())
        if judgement.verdict is not None and judgement.verdict.verdict is not Verdict.SKIP
    }
    by = tuple(judgement.verdict for judgement in decided.values() if judgement.verdict is not None)
    verdicts = {entry.verdict for entry in by}
    if not verdicts:
        return Outcome(pending=any(_edits(judgement, texts) for judgement in judgements.values()))
    if len(verdicts) > 1:
        return Outcome(None, "verdict", (), by)
    (verdict,) = verdicts
    if verdict is Verdict.REJECT:
        return Outcome(verdict, "", (), by)
    edits = [_edits(judgement, texts) for judgement in decided.values()]
    if len({tuple((edit.field, edit.text) for edit in own) for own in edits}) > 1:
        return Outcome(None, "text", (), by)
    return Outcome(verdict, "", edits[0], by)


def _edits(judgement: Judgement, original: Mapping[str, str]) -> tuple[Entry, ...]:
    edits = sorted(judgement.edits.items())
    return tuple(entry for name, entry in edits if original.get(name) != entry.text)


def bound_entries(
    entries: Iterable[Entry], fingerprint: str, labels: Mapping[str, str]
) -> Iterator[tuple[Entry, Finding | None]]:
    """Each entry, with why it does not count for a dataset, or None where it does.

    An entry that carries the dataset's own fingerprint is about its labels; one of another fingerprint counts where the sample
    is there and has the labels that were decided on.

    Args:
        entries: of one or more journals.
        fingerprint: of the dataset.
        labels: sample id -> hash of its labels; asked for only where it matters, so it may compute them on demand.
    """
    for entry in entries:
        place = Place(sample=entry.sample)
        try:
            same = labels[entry.sample] == entry.labels if entry.dataset != fingerprint else entry.sample in labels
        except KeyError:
            same = False
        if same:
            yield entry, None
        elif entry.sample not in labels:
            yield (
                entry,
                Finding(codes.UNKNOWN_SAMPLE, place, f"{entry.reviewer}'s {entry.kind} is about no sample here"),
            )
        else:
            message = f"{entry.reviewer}'s {entry.kind} of {entry.time} is about other labels than the dataset has"
            yield entry, Finding(codes.LABELS_CHANGED, place, message)


def fitting_decisions(
    entries: Iterable[Entry], fingerprint: str, labels: Mapping[str, str]
) -> tuple[Decisions, list[Finding]]:
    """The decisions that count for a dataset, and a finding for each entry that does not; see `bound_entries`.

    Raises:
        MmudError: MM981 when there are entries and none of them counts.
    """
    decisions, findings, kept = Decisions(), [], 0
    for entry, finding in bound_entries(entries, fingerprint, labels):
        if finding is None:
            decisions.add(entry)
            kept += 1
        else:
            findings.append(finding)
    if findings and not kept:
        raise MmudError(codes.OTHER_DATASET, f"none of {len(findings):,} entries is about this dataset")
    return decisions, findings
