"""What filtering came to: counts by split, label and code, with examples. The order of the samples changes nothing in it."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from typing import Any

from mmud.annotations.filters.base import Label, quoted
from mmud.annotations.filters.screening import Verdict, label_text
from mmud.annotations.filters.settings import Drop, Plan
from mmud.errors import Code
from mmud.records import Sample

EXAMPLES = 5
_SHOWN = 200


class FilterReport:
    """Counts of one run.

    Args:
        plan: what was looked for.
        codes: id -> code, of everything that may be found.
        filters: name -> ids of its codes, of the filters that looked.
    """

    def __init__(self, plan: Plan, codes: dict[str, Code], filters: dict[str, list[str]]) -> None:
        self.plan = plan
        self._codes = codes
        self._filters = filters
        self.samples: dict[str, Counter[str]] = {}
        """split -> read, kept."""
        self.labels: dict[Label, Counter[str]] = {label: Counter() for label in Label}
        """label -> read, kept."""
        self.found: dict[tuple[str, str], Counter[str]] = {}
        """(filter, code) -> labels by kind, and ``alone``: those that nothing else refuses."""
        self._examples: dict[tuple[str, str], list[tuple[int, str, dict[str, Any]]]] = {}

    def keeps_sample(self, verdict: Verdict) -> bool:
        """Whether a sample stays: it does unless samples go with their refused labels."""
        return self.plan.drop is Drop.LABELS or not verdict.refused

    def add(self, split: str, sample: Sample, verdict: Verdict) -> None:
        """Count one sample."""
        counts = self.samples.setdefault(split, Counter())
        kept = self.keeps_sample(verdict)
        counts.update(read=1, kept=int(kept))
        refused = verdict.refused_labels
        for label in verdict.labels:
            self.labels[label].update(read=1, kept=int(kept and label not in refused))
        by_label = Counter(reason.label for _, reason in verdict.refused)
        for name, reason in (*verdict.refused, *verdict.reported):
            key = (name, reason.code.id)
            tally = self.found.setdefault(key, Counter())
            tally[reason.label.value] += 1
            tally["alone"] += int((name, reason) in verdict.refused and by_label[reason.label] == 1)
            self._keep_example(key, sample, reason.label, reason.message)

    def _keep_example(self, key: tuple[str, str], sample: Sample, label: Label, message: str) -> None:
        # The samples whose hashes are smallest: a draw that does not depend on the order.
        digest = hashlib.blake2b(
            f"{sample.sample_id}\0{label}".encode("utf-8", "surrogatepass"), digest_size=8
        ).digest()
        rank = -int.from_bytes(digest, "big")
        held = self._examples.setdefault(key, [])
        if len(held) < EXAMPLES or rank > held[0][0]:
            entry = {"sample_id": sample.sample_id, "label": label.value, "reason": message}
            entry["text"] = quoted(label_text(sample, label), _SHOWN)
            push = heapq.heappush if len(held) < EXAMPLES else heapq.heapreplace
            push(held, (rank, sample.sample_id + label, entry))

    def to_dict(self) -> dict[str, Any]:
        """Everything, JSON-compatible."""
        filters = []
        for name, ids in self._filters.items():
            for id in ids:
                tally = self.found.get((name, id), Counter())
                filters.append(
                    {
                        "filter": name,
                        "code": id,
                        "title": self._codes[id].title,
                        "actions": {label.value: self.plan.settings[name].action_on(label).value for label in Label},
                        "captions": tally[Label.CAPTION.value],
                        "pairs": tally[Label.PAIR.value],
                        "alone": tally["alone"],
                        "examples": [entry for *_, entry in sorted(self._examples.get((name, id), []), reverse=True)],
                    }
                )
        names = {Label.CAPTION: "captions", Label.PAIR: "pairs"}
        return {
            "settings": self.plan.to_dict(),
            "samples": {split: _balance(counts) for split, counts in self.samples.items()},
            "labels": {names[label]: _balance(counts) for label, counts in self.labels.items()},
            "filters": filters,
        }

    @property
    def refused(self) -> int:
        """Labels that were refused; with ``drop = "samples"`` those that went with their sample as well."""
        return sum(counts["read"] - counts["kept"] for counts in self.labels.values())


def _balance(counts: Counter[str]) -> dict[str, int]:
    return {"read": counts["read"], "kept": counts["kept"], "dropped": counts["read"] - counts["kept"]}
