"""What annotating did, for people, for machines and for the folder."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from mmud.annotations.drafting.base import DraftTask
from mmud.annotations.drafting.budget import Usage
from mmud.dataset.store import Dataset
from mmud.errors import Finding


def money(cost: float) -> str:
    """A sum as a person reads it; small ones with more places."""
    return f"{cost:,.2f}" if cost >= 1 else f"{cost:.4f}"


@dataclass
class AnnotateReport:
    """What was done.

    Attributes:
        dataset: the new version; None after a dry run.
        wanted: task -> drafts that were wanted.
        drafted: task -> drafts that are in the new version.
        kept: task -> answers that this run was given.
        found: task -> answers that were there already, from earlier runs or for an equal sample.
        left_out: findings about drafts that could not be made.
        half: pairs of which one half was missing, left as they were.
        usage: all that the file of answers has recorded.
        expected: what is still to be asked is expected to take (dry run).
        cost: of ``usage`` (of ``expected`` after a dry run); None where no price is known.
    """

    dataset: Dataset | None = None
    wanted: Counter[DraftTask] = field(default_factory=Counter)
    drafted: Counter[DraftTask] = field(default_factory=Counter)
    kept: Counter[DraftTask] = field(default_factory=Counter)
    found: Counter[DraftTask] = field(default_factory=Counter)
    left_out: list[Finding] = field(default_factory=list)
    half: int = 0
    usage: Usage = field(default_factory=Usage)
    expected: Usage | None = None
    cost: float | None = None

    @property
    def left_out_codes(self) -> Counter[str]:
        return Counter(finding.code.id for finding in self.left_out)

    def to_dict(self) -> dict[str, Any]:
        return {
            "output": str(self.dataset.path) if self.dataset else None,
            "fingerprint": self.dataset.fingerprint if self.dataset else None,
            **{
                name: {task.value: count for task, count in sorted(getattr(self, name).items())}
                for name in ("wanted", "drafted", "kept", "found")
            },
            "left_out": dict(sorted(self.left_out_codes.items())),
            "half_pairs": self.half,
            "usage": self.usage.to_dict(),
            "expected": None if self.expected is None else self.expected.to_dict(),
            "cost": None if self.cost is None else round(self.cost, 6),
        }
