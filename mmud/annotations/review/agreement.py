"""How far reviewers agree: Cohen's kappa of each two of them, on accept and reject."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmud.annotations.review.decisions import Decisions
from mmud.annotations.review.journal import Verdict

RATED = (Verdict.ACCEPT, Verdict.REJECT)


def cohen_kappa(table: Sequence[Sequence[int]]) -> float | None:
    """Cohen's kappa of a square table of counts; rows are one rater's categories, columns the other's.

    ``(p_o - p_e) / (1 - p_e)`` with p_o the share of equal ratings and p_e what the raters' own shares would give by chance
    (Cohen 1960, "A coefficient of agreement for nominal scales", equation 1).

    Returns:
        None where nothing was rated by both, or both always gave one and the same category: chance alone then agrees.
    """
    total = sum(map(sum, table))
    if total == 0:
        return None
    rows = [sum(row) for row in table]
    columns = [sum(column) for column in zip(*table, strict=True)]
    # In whole numbers until the end, so that perfect agreement is 1 and not nearly 1.
    observed = total * sum(table[i][i] for i in range(len(table)))
    expected = sum(row * column for row, column in zip(rows, columns, strict=True))
    return None if expected == total * total else (observed - expected) / (total * total - expected)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two reviewers on the samples that both accepted or rejected.

    Attributes:
        first, second: their names.
        table: counts; rows are the first's accept and reject, columns the second's.
    """

    first: str
    second: str
    table: tuple[tuple[int, int], tuple[int, int]]

    @property
    def samples(self) -> int:
        return sum(map(sum, self.table))

    @property
    def share(self) -> float | None:
        """The share of samples with equal verdicts."""
        return (self.table[0][0] + self.table[1][1]) / self.samples if self.samples else None

    @property
    def kappa(self) -> float | None:
        return cohen_kappa(self.table)

    def to_dict(self) -> dict[str, Any]:
        return {
            "reviewers": [self.first, self.second],
            "samples": self.samples,
            "table": [list(row) for row in self.table],
            "agreement": self.share,
            "kappa": self.kappa,
        }


def agreements(decisions: Decisions) -> list[Agreement]:
    """Each two reviewers with a sample in common. Verdicts that settle a dispute are left out: they are not independent."""
    counts: dict[tuple[str, str], Counter[tuple[Verdict, Verdict]]] = {}
    for judgements in decisions.samples.values():
        rated = [
            (reviewer, judgement.verdict.verdict)
            for reviewer, judgement in sorted(judgements.items())
            if judgement.verdict is not None and judgement.verdict.verdict in RATED
        ]
        for (first, one), (second, other) in itertools.combinations(rated, 2):
            if one is not None and other is not None:
                counts.setdefault((first, second), Counter())[one, other] += 1
    accept, reject = RATED
    return [
        Agreement(
            *pair,
            (
                (tally[accept, accept], tally[accept, reject]),
                (tally[reject, accept], tally[reject, reject]),
            ),
        )
        for pair, tally in sorted(counts.items())
    ]


def progress(decisions: Decisions, total: int) -> dict[str, Any]:
    """How far everybody is.

    Returns:
        ``total`` samples; ``decided`` by anybody; and for each reviewer the counts of accept, reject, skip and edited samples.
    """
    names = [*(verdict.value for verdict in Verdict), "edited"]
    return {
        "total": total,
        "decided": decisions.decided,
        "reviewers": {
            reviewer: {name: tally[name] for name in names}
            for reviewer, tally in sorted(decisions.tallies.items())
            if any(tally.values())
        },
    }
