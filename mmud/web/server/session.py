"""What the server knows and does, without HTTP: samples, queues, decisions."""

from __future__ import annotations

import io
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from mmud.annotations.review import codes
from mmud.annotations.review.agreement import progress
from mmud.annotations.review.apply import texts_of
from mmud.annotations.review.decisions import Decisions, Judgement, Outcome, fitting_decisions, outcome_of
from mmud.annotations.review.journal import FIELDS, Entry, Journal, Kind, Verdict
from mmud.annotations.review.labels import label_hash, text_as_stored, text_problems
from mmud.dataset.label_index import Flags, LabelHashes, LabelIndex
from mmud.dataset.reviewed import disputed_samples, review_facts
from mmud.dataset.store import Dataset
from mmud.errors import Finding, MmudError, Place
from mmud.images import decode_image
from mmud.records import Sample
from mmud.web.browse import known_findings

if TYPE_CHECKING:
    from mmud.web.server.overlays import PredictionOverlay, Scores

LONGEST_SIDE = 1400
"""Images are sent at most so large, in pixels; masks keep their own resolution."""

IMAGES_HELD = 96
_JPEG_QUALITY = 88
_MOST_CATEGORIES = 500

STATUSES = ("all", "todo", "open", "accept", "reject", "skip", "edited", "disputed", "settled")
"""Filters by decision: mine (todo, accept, reject, skip, edited), anybody's (open: nobody decided; disputed; settled)."""


class Session:
    """One dataset being looked at or reviewed.

    Args:
        dataset: the dataset.
        journal: where decisions go; None to look only.
        reviewer: the name that the page starts with.
        predictions: folders of systems' predictions.
        rows: files of scores by `mmud evaluate`.
        reports: findings beside those of the build; see `mmud.web.browse.known_findings`.

    Raises:
        MmudError: MM981 when the journal is another dataset's; what reading predictions, rows and reports can raise.
    """

    def __init__(
        self,
        dataset: Dataset,
        journal: Journal | None = None,
        reviewer: str = "",
        predictions: Sequence[Path] = (),
        rows: Sequence[Path] = (),
        reports: Sequence[Path] = (),
    ) -> None:
        self.index = LabelIndex(dataset)
        self._known = known_findings(dataset, reports)
        self.journal = journal
        self.reviewer = reviewer
        self.overlays: list[PredictionOverlay] = []
        self.scores: list[Scores] = []
        if predictions or rows:
            # What evaluation needs takes a second to import; a review mostly goes without.
            from mmud.web.server.overlays import read_overlays, read_scores

            self.overlays = read_overlays(predictions)
            self.scores = read_scores(self.index, rows)
        self.findings: list[Finding] = []
        self._decisions = Decisions()
        self._guard = threading.RLock()
        if journal is not None:
            entries = journal.entries
            self._decisions, found = fitting_decisions(entries, dataset.fingerprint, LabelHashes(self.index))
            self.findings = [*journal.findings, *found]
        self.image = lru_cache(maxsize=IMAGES_HELD)(self._image)

    # -- what there is ---------------------------------------------------------------------------------------------------

    def overview(self) -> dict[str, Any]:
        """What the page needs before its first sample."""
        dataset = self.index.dataset
        return {
            "mode": "browse" if self.journal is None else "review",
            "name": dataset.name,
            "fingerprint": dataset.fingerprint[:16],
            "total": len(self.index),
            "splits": {split: dataset.length(split) for split in dataset.splits},
            "sources": self.index.counts("source"),
            "systems": [overlay.name for overlay in self.overlays],
            "scores": [{"name": scores.name, "higher": scores.higher} for scores in self.scores],
            "notes": [str(finding) for finding in self.findings[:20]],
        }

    def facets(self) -> dict[str, Any]:
        """Further values to filter by; apart, because finding them takes longer."""
        tally: Counter[str] = Counter()
        for findings in self._known.values():
            tally.update({finding.code.id for finding in findings})
        titles = {finding.code.id: finding.code.title for found in self._known.values() for finding in found}
        return {
            "categories": dict(list(self.index.categories.items())[:_MOST_CATEGORIES]),
            "codes": {code: [count, titles[code]] for code, count in sorted(tally.items())},
        }

    def progress(self) -> dict[str, Any]:
        """How far everybody is."""
        with self._guard:
            return progress(self._decisions, len(self.index))

    def agreement(self) -> dict[str, Any]:
        """How far everybody is, how far they agree, and how many samples are in dispute."""
        with self._guard:
            return review_facts(self.index, self._decisions)

    # -- queues ----------------------------------------------------------------------------------------------------------

    def queue(self, query: Mapping[str, str]) -> dict[str, Any]:
        """The numbers of the samples that fit, in order.

        Args:
            query: status, reviewer, split, source, category, code, text, score (its number), low, high, order (up or down).

        Returns:
            ``count``; ``numbers``, None where all samples fit in the dataset's order; ``start``: the position in the queue of the
            first sample without a verdict of the reviewer.
        """
        flags, filtered = np.ones(len(self.index), dtype=bool), False
        for name, found in self._filters(query):
            flags &= found
            filtered = filtered or bool(name)
        numbers = np.flatnonzero(flags)
        order = query.get("order", "")
        if order in ("up", "down") and (scores := self._scores(query)) is not None:
            # Samples without a score come last, whichever way.
            keys = scores[numbers] if order == "up" else -scores[numbers]
            numbers, filtered = numbers[np.argsort(keys, kind="stable")], True
        todo = self._status("todo", query.get("reviewer", ""))[numbers]
        start = int(np.argmax(todo)) if todo.any() else 0
        return {"count": len(numbers), "numbers": numbers.tolist() if filtered else None, "start": start}

    def _filters(self, query: Mapping[str, str]) -> list[tuple[str, Flags]]:
        found: list[tuple[str, Flags]] = []
        status = query.get("status") or "all"
        if status not in STATUSES:
            raise MmudError(codes.DECISION_REFUSED, f"no such status: {status}")
        if status != "all":
            found.append(("status", self._status(status, query.get("reviewer", ""))))
        if split := query.get("split"):
            found.append(("split", self.index.in_split(split)))
        if source := query.get("source"):
            found.append(("source", self.index.with_value("source", source)))
        if category := query.get("category"):
            found.append(("category", self.index.with_category(category)))
        if code := query.get("code"):
            ids = [name for name, own in self._known.items() if any(one.code.id.startswith(code) for one in own)]
            found.append(("code", self.index.of_ids(ids)))
        if text := query.get("text", "").strip():
            found.append(("text", self.index.with_words(text)))
        scores = self._scores(query)
        for bound, compare in (("low", np.greater_equal), ("high", np.less_equal)):
            if scores is not None and query.get(bound):
                found.append((bound, compare(scores, _number(query[bound]))))
        return found

    def _scores(self, query: Mapping[str, str]) -> Any:
        number = query.get("score", "")
        return self.scores[int(number)].values if number.isdecimal() and int(number) < len(self.scores) else None

    def _status(self, status: str, reviewer: str) -> Flags:
        with self._guard:
            samples = self._decisions.samples
            if status == "disputed":
                return self.index.of_ids(disputed_samples(self.index, self._decisions))
            if status == "settled":
                return self.index.of_ids(
                    [name for name, found in samples.items() if any(one.final for one in found.values())]
                )
            if status == "open":
                decided = [name for name, found in samples.items() if outcome_of(found).by]
                return ~self.index.of_ids(decided)
            mine = {name: found[reviewer] for name, found in samples.items() if reviewer in found}
            if status == "edited":
                return self.index.of_ids([name for name, judgement in mine.items() if judgement.edits])
            said = {name: entry for name, judgement in mine.items() if (entry := judgement.final or judgement.verdict)}
            if status == "todo":
                return ~self.index.of_ids(list(said))
            return self.index.of_ids([name for name, entry in said.items() if entry.verdict == status])

    def _outcome(self, sample_id: str) -> Outcome:
        judgements = self._decisions.samples.get(sample_id, {})
        edited = any(judgement.edits for judgement in judgements.values())
        original = texts_of(self.index.sample(self.index.numbers[sample_id])) if edited else {}
        return outcome_of(judgements, original)

    # -- one sample ------------------------------------------------------------------------------------------------------

    def sample(self, number: int) -> Sample:
        """The sample of a number.

        Raises:
            MmudError: MM984 when there is no such number; what reading its row can raise.
        """
        if not 0 <= number < len(self.index):
            raise MmudError(codes.DECISION_REFUSED, f"no sample has the number {number}")
        return self.index.sample(number)

    def record(self, number: int, reviewer: str, others: bool = False) -> dict[str, Any]:
        """A sample as the page shows it.

        Args:
            number: of the sample.
            reviewer: whose decisions are shown.
            others: whether everybody else's are shown too, as for settling a dispute.
        """
        sample = self.sample(number)
        overlays = [overlay.of(sample) for overlay in self.overlays]
        return {
            "number": number,
            "id": sample.sample_id,
            "labels": label_hash(sample),
            "split": self.index.place(number)[0],
            "source": sample.source,
            "license": sample.license,
            "size": [sample.height, sample.width],
            "texts": texts_of(sample),
            "objects": [
                {
                    "phrases": list(item.phrases),
                    "category": item.category,
                    "mask": None if item.segmentation is None else item.segmentation.model_dump(mode="json"),
                    "box": list(item.bbox),
                }
                for item in sample.objects
            ],
            "findings": [
                {"code": one.code.id, "severity": one.severity.label, "message": one.message}
                for one in self._known.get(sample.sample_id, [])
            ],
            "provenance": sample.provenance,
            "layers": [
                {**layer, "system": number} for number, overlay in enumerate(overlays) for layer in overlay["layers"]
            ],
            "said": [text for overlay in overlays for text in overlay["texts"]],
            "troubles": [trouble for overlay in overlays for trouble in overlay["troubles"]],
            "scores": [
                [scores.name, float(scores.values[number])]
                for scores in self.scores
                if np.isfinite(scores.values[number])
            ],
            **self._judged(sample, reviewer, others),
        }

    def _judged(self, sample: Sample, reviewer: str, others: bool) -> dict[str, Any]:
        with self._guard:
            mine = self._decisions.judgement(sample.sample_id, reviewer)
            outcome = self._outcome(sample.sample_id)
            shown = {
                "mine": self._judgement(sample, mine),
                "decided": len(outcome.by),
                "dispute": outcome.dispute if others else "",
            }
            if others:
                everybody = self._decisions.samples.get(sample.sample_id, {})
                shown["everybody"] = {name: self._judgement(sample, one) for name, one in sorted(everybody.items())}
            return shown

    @staticmethod
    def _judgement(sample: Sample, judgement: Judgement) -> dict[str, Any]:
        said = judgement.final or judgement.verdict
        texts = {**texts_of(sample), **judgement.texts}
        return {
            "verdict": said.verdict if said else None,
            "reason": said.reason if said else "",
            "final": judgement.final is not None,
            "texts": judgement.texts,
            "problems": {
                name: problems for name in FIELDS if (problems := text_problems(name, texts[name], len(sample.objects)))
            },
        }

    def _image(self, number: int) -> tuple[bytes, str]:
        """The sample's image, decoded within bounds and encoded again; its bytes and media type."""
        self.sample(number)
        sample = self.index.sample(number, images=True)
        picture = Image.fromarray(decode_image(sample.image_bytes(), place=Place(sample=sample.sample_id)))
        picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BILINEAR)
        buffer = io.BytesIO()
        # Small images are drawings and icons more often than photographs: keep their edges.
        small = picture.width * picture.height <= 300 * 300
        picture.save(buffer, **({"format": "PNG"} if small else {"format": "JPEG", "quality": _JPEG_QUALITY}))
        return buffer.getvalue(), "image/png" if small else "image/jpeg"

    # -- deciding --------------------------------------------------------------------------------------------------------

    def decide(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Keep one decision and say what the sample's record says of it now.

        Args:
            request: kind, reviewer, number, labels, and what the kind needs: verdict, reason, final; or field, text.

        Raises:
            MmudError: MM984 for a decision that cannot be kept, MM982 when the labels are not those that were seen, MM983 when
                texts with broken tags would be accepted, MM008 when the journal cannot be written.
        """
        if self.journal is None:
            raise MmudError(codes.DECISION_REFUSED, "this server only shows samples")
        if request.get("kind") == Kind.UNDO:
            return self._undo(str(request.get("reviewer", "")))
        number = request.get("number")
        if not isinstance(number, int) or isinstance(number, bool):
            raise MmudError(codes.DECISION_REFUSED, "number names no sample")
        sample = self.sample(number)
        labels = label_hash(sample)
        place = Place(sample=sample.sample_id)
        if request.get("labels") != labels:
            raise MmudError(codes.LABELS_CHANGED, "the page shows other labels than the dataset has", place)
        entry = self._entry(request, sample, labels)
        with self._guard:
            if entry.verdict is Verdict.ACCEPT:
                judged = self._judgement(sample, self._decisions.judgement(sample.sample_id, entry.reviewer))
                if judged["problems"]:
                    told = "; ".join(f"{name}: {', '.join(found)}" for name, found in judged["problems"].items())
                    raise MmudError(codes.EDIT_BREAKS_TAGS, told, place)
            self._keep(entry)
            return {"number": number, **self._judged(sample, entry.reviewer, bool(request.get("others")))}

    def _entry(self, request: Mapping[str, Any], sample: Sample, labels: str) -> Entry:
        fields: dict[str, Any] = {
            "reviewer": request.get("reviewer", ""),
            "dataset": self.index.dataset.fingerprint,
            "sample": sample.sample_id,
            "labels": labels,
        }
        try:
            kind = Kind(str(request.get("kind")))
            if kind is Kind.VERDICT:
                verdict = Verdict(str(request.get("verdict")))
                return Entry.new(
                    **fields,
                    kind=kind,
                    verdict=verdict,
                    reason=request.get("reason", ""),
                    final=request.get("final", False),
                )
        except ValueError as error:
            raise MmudError(codes.DECISION_REFUSED, str(error), Place(sample=sample.sample_id)) from error
        field, text = request.get("field", ""), request.get("text")
        stored = text_as_stored(field, text) if isinstance(field, str) and isinstance(text, str) else text
        return Entry.new(**fields, kind=kind, field=field, text=stored)

    def _undo(self, reviewer: str) -> dict[str, Any]:
        with self._guard:
            last = self._decisions.last(reviewer)
            if last is None:
                return {"number": None}
            number = self.index.numbers[last.sample]
            fingerprint = self.index.dataset.fingerprint
            self._keep(
                Entry.new(
                    reviewer=reviewer,
                    dataset=fingerprint,
                    sample=last.sample,
                    labels=last.labels,
                    kind=Kind.UNDO,
                    undoes=last.id,
                )
            )
            undone = last.verdict.value if last.verdict else f"the edit of the {last.field}"
            return {"number": number, "undone": undone, **self._judged(self.sample(number), reviewer, False)}

    def _keep(self, entry: Entry) -> None:
        if self.journal is None:
            raise RuntimeError("a decision without a journal")
        self.journal.append(entry)
        self._decisions.add(entry)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise MmudError(codes.DECISION_REFUSED, f"{text!r} is no number") from error
