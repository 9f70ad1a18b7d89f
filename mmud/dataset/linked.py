"""The next version of a dataset: with the tags that the linker is sure of. The dataset itself is never touched."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmud.annotations import tags
from mmud.annotations.linking.linker import Proposal, place_tags, propose_tags
from mmud.annotations.linking.measuring import Tally, measure
from mmud.annotations.provenance import with_edit
from mmud.dataset.next_version import first_samples, write_next_version
from mmud.dataset.store import Dataset
from mmud.files import refuse_existing
from mmud.records import Sample

REPORT_NAME = "links.json"
EXAMPLES = 5


@dataclass
class Linked:
    """What linking did, or would do.

    Attributes:
        name: the field whose mentions were tagged.
        least_score: of the proposals that were placed.
        read: samples that have a text there and objects.
        changed: of those, samples that got a tag.
        placed: tags that were placed, by what they rest on.
        unsure: proposals below the least score, by what they rest on.
        objects: objects of the samples that were read, and ``tagged`` and ``tagged before``.
        examples: texts after linking, by sample id; the first ones of the dataset.
        dataset: the new version; None after a dry run.
    """

    name: str
    least_score: float
    read: int = 0
    changed: int = 0
    placed: Counter[str] = field(default_factory=Counter)
    unsure: Counter[str] = field(default_factory=Counter)
    objects: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, Any]] = field(default_factory=list)
    dataset: Dataset | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "output": None if self.dataset is None else str(self.dataset.path),
            "fingerprint": None if self.dataset is None else self.dataset.fingerprint,
            **self.counts(),
        }

    def counts(self) -> dict[str, Any]:
        """Everything but where it was written, JSON-compatible."""
        return {
            "field": self.name,
            "least_score": self.least_score,
            "samples": {"read": self.read, "changed": self.changed},
            "tags": {"placed": self.placed.total(), "by_reason": dict(sorted(self.placed.items()))},
            "unsure": {"proposals": self.unsure.total(), "by_reason": dict(sorted(self.unsure.items()))},
            "objects": {name.replace(" ", "_"): count for name, count in sorted(self.objects.items())},
            "examples": self.examples,
        }


def link_dataset(
    dataset: Dataset,
    output: Path | None,
    name: str,
    least_score: float,
    *,
    limit: int | None = None,
    force: bool = False,
    advance: Callable[[int], None] = lambda count: None,
) -> Linked:
    """Tag the mentions of objects in one field of every sample.

    Args:
        dataset: what is read.
        output: the folder to make; None to count only.
        name: the field, as in "answer".
        least_score: proposals below it are counted and not placed.
        limit: look at so many samples only; then nothing can be written.
        force: replace the folder if it is there.
        advance: told how many samples were looked at.

    Raises:
        MmudError: MM003 when the output exists; what reading and writing raise.
    """
    linked = Linked(name, least_score)
    if output is None:
        for sample in first_samples(dataset, limit):
            _link(sample, linked)
            advance(1)
        return linked
    refuse_existing(output, force)
    # Filled while samples stream by; the writer reads it when all are written.
    files: dict[str, str] = {}

    def tagged(split: str) -> Iterator[Sample]:
        for sample in dataset.samples(split, images=True):
            yield _link(sample, linked)
            advance(1)
        files[REPORT_NAME] = json.dumps(linked.counts(), indent=2, ensure_ascii=False) + "\n"

    linked.dataset = write_next_version(
        dataset,
        output,
        tagged,
        name=f"links of {dataset.name}",
        title=f"{dataset.name} with tags by rule, fingerprint {dataset.fingerprint[:16]} before",
        files=files,
        force=force,
    )
    return linked


def measure_dataset(
    dataset: Dataset,
    name: str,
    least_score: float,
    limit: int | None = None,
    advance: Callable[[int], None] = lambda count: None,
) -> Tally:
    """Take the tags off that a field has, link it anew, and compare; see `mmud.annotations.linking.measuring.measure`."""
    tally = Tally()
    for sample in first_samples(dataset, limit):
        tally.add(measure(getattr(sample, name), sample.objects, sample.width, sample.height, least_score))
        advance(1)
    return tally


def _link(sample: Sample, linked: Linked) -> Sample:
    """The sample with its new tags, and the counts brought up."""
    text: str = getattr(sample, linked.name)
    if not text.strip() or not sample.objects:
        return sample
    linked.read += 1
    proposals = propose_tags(text, sample.objects, sample.width, sample.height)
    sure = [proposal for proposal in proposals if proposal.score >= linked.least_score]
    linked.placed.update(proposal.reason for proposal in sure)
    linked.unsure.update(proposal.reason for proposal in proposals if proposal.score < linked.least_score)
    before = {index for index in tags.indices(text) if index <= len(sample.objects)}
    after = before | {proposal.index for proposal in sure}
    linked.objects.update({"all": len(sample.objects), "tagged": len(after), "tagged before": len(before)})
    return _changed(sample, text, sure, linked) if sure else sample


def _changed(sample: Sample, text: str, sure: list[Proposal], linked: Linked) -> Sample:
    linked.changed += 1
    placed = place_tags(text, sure)
    if len(linked.examples) < EXAMPLES:
        linked.examples.append({"sample_id": sample.sample_id, "before": text, "after": placed})
    edit = {"by": "mmud link", "what": "tagged", "tags": len(sure), "least_score": linked.least_score}
    provenance = with_edit(sample.provenance, linked.name, edit)
    return sample.model_copy(update={linked.name: placed, "provenance": provenance})
