"""One pass over a dataset's columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from mmud.dataset.statistics.columns import READ_COLUMNS, Columns, read
from mmud.dataset.statistics.summary import Summary
from mmud.dataset.store import Dataset

GROUPINGS = ("split", "source", "category")
Grouping = Literal["split", "source", "category"]
_BATCH = 4096


@dataclass
class Statistics:
    """What `collect` found.

    Attributes:
        overall: every sample.
        groups: each group by name, in order: splits as the dataset lists them, else by name.
        by: what the groups are; None where there are none.
        partial: whether not every sample was read.
    """

    overall: Summary = field(default_factory=Summary)
    groups: dict[str, Summary] = field(default_factory=dict)
    by: Grouping | None = None
    partial: bool = False

    def to_dict(self) -> dict[str, Any]:
        result: dict[str, Any] = {"partial": self.partial, "overall": self.overall.to_dict(), "by": self.by}
        return result | {"groups": {name: group.to_dict() for name, group in self.groups.items()}}


def collect(
    dataset: Dataset,
    by: Grouping | None = None,
    split: str | None = None,
    limit: int | None = None,
    advance: Callable[[int], None] | None = None,
) -> Statistics:
    """Count a dataset, streaming: memory does not grow with the number of samples.

    Args:
        dataset: what to count.
        by: also for each split, source or category. A category's samples are those with an object of it, and only its own
            objects count.
        split: one split only.
        limit: stop after so many samples.
        advance: told how many samples were read.

    Raises:
        MmudError: MM104, MM106 or MM107 when a shard cannot be read, MM108 for an unknown split.
    """
    found = Statistics(by=by)
    left = limit
    for batch in dataset.batches(split, READ_COLUMNS, rows=_BATCH):
        table = batch.table if left is None else batch.table.slice(0, left)
        columns = read(table)
        found.overall.update(columns)
        if by == "split":
            found.groups.setdefault(batch.split, Summary()).update(columns)
        elif by == "source":
            _by_source(columns, found.groups)
        elif by == "category":
            _by_category(columns, found.groups)
        if advance is not None:
            advance(table.num_rows)
        if left is not None:
            left -= table.num_rows
            if left == 0:
                break
    total = len(dataset) if split is None else dataset.length(split)
    found.partial = found.overall.counts["samples"] < total
    if by != "split":
        found.groups = dict(sorted(found.groups.items()))
    return found


def _by_source(columns: Columns, groups: dict[str, Summary]) -> None:
    for name in np.unique(columns.source).tolist():
        groups.setdefault(name, Summary()).update(columns, columns.source == name)


def _by_category(columns: Columns, groups: dict[str, Summary]) -> None:
    for name in np.unique(columns.category).tolist():
        objects = columns.category == name
        samples = np.zeros(len(columns.width), dtype=bool)
        samples[columns.owner[objects]] = True
        groups.setdefault(name, Summary()).update(columns, samples, objects)
