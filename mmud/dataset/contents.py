"""A quick look at what a dataset holds: counts by split and source, and licences; the card is made from it.

Lengths and validity are all that is looked at, column by column, so that it costs a small part of writing the dataset.
`mmud.dataset.statistics` counts in depth.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmud.annotations.provenance import LABELS, editors, label_origins
from mmud.dataset.arrow_buffers import containing, elements_of, lengths_of, strings_of
from mmud.dataset.store import Dataset
from mmud.records import Task

COLUMNS = ("source", "license", "caption", "question", "answer", "objects.list.element.phrases", "provenance")
_BATCH = 4096


@dataclass
class Contents:
    """What `look` found.

    Attributes:
        counts: (split, source) -> samples, objects, phrases, captions, questions, answers, and samples that can serve each task.
        licenses: source -> the images' licences, with how many samples have each.
        origins: (label, annotator, model, prompt) -> how many labels were made by it, of those that the sources did not bring.
        spans: the same key -> the first and the last time at which one was made, as the provenance writes it.
        edited: (label, by) -> how many were changed since, by a person or by a rule.
    """

    counts: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    licenses: dict[str, Counter[str]] = field(default_factory=dict)
    origins: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    spans: dict[tuple[str, str, str, str], tuple[str, str]] = field(default_factory=dict)
    edited: Counter[tuple[str, str]] = field(default_factory=Counter)

    def total(self, split: str | None = None, source: str | None = None) -> Counter[str]:
        """The sum over splits, sources, or both."""
        found: Counter[str] = Counter()
        for (one_split, one_source), counts in self.counts.items():
            if split in (None, one_split) and source in (None, one_source):
                found.update(counts)
        return found

    @property
    def sources(self) -> list[str]:
        return sorted({source for _, source in self.counts})

    def add(self, split: str, table: pa.RecordBatch) -> None:
        """Count further rows of a split; columns that are not looked at may be there."""
        sources = strings_of(table.column("source"))
        licenses = strings_of(table.column("license"))
        figures = _figures(table)
        named = sorted(set(sources))
        for source in named:
            rows = np.array([one == source for one in sources]) if len(named) > 1 else np.ones(len(sources), dtype=bool)
            counts = self.counts.setdefault((split, source), Counter())
            counts["samples"] += int(rows.sum())
            for name, values in figures.items():
                counts[name] += int(values[rows].sum())
            self.licenses.setdefault(source, Counter()).update(compress(licenses, rows.tolist()))
        self._add_origins(table.column("provenance"))

    def _add_origins(self, provenance: pa.Array) -> None:
        """Count who made which label; only rows that say so are parsed."""
        for row in np.flatnonzero(containing(provenance, f'"{LABELS}"')).tolist():
            try:
                found = json.loads(provenance[row].as_py())
            except ValueError:
                # That provenance is no JSON is for `mmud validate` to say.
                continue
            for label, origin in label_origins(found if isinstance(found, dict) else {}).items():
                if "annotator" in origin:
                    annotator, model, prompt = (str(origin.get(key, "")) for key in ("annotator", "model", "prompt"))
                    key = label, annotator, model, prompt
                    self.origins[key] += 1
                    time = str(origin.get("time", ""))
                    first, last = self.spans.get(key, (time, time))
                    self.spans[key] = min(first, time), max(last, time)
                self.edited.update((label, name) for name in editors(origin))


def look(dataset: Dataset) -> Contents:
    """Count a dataset.

    Raises:
        MmudError: MM104, MM106 or MM107 when a shard cannot be read.
    """
    found = Contents()
    for batch in dataset.batches(None, COLUMNS, rows=_BATCH):
        found.add(batch.split, batch.table)
    return found


def _figures(table: pa.RecordBatch) -> dict[str, NDArray[Any]]:
    """An array a figure, one number a sample."""
    filled = {name: lengths_of(table.column(name), 0) > 0 for name in ("caption", "question", "answer")}
    objects = table.column("objects")
    total = table.num_rows
    counts = lengths_of(objects, 0)
    owners = np.repeat(np.arange(total), counts)
    lengths = lengths_of(elements_of(objects).field("phrases"), 0)
    return {
        "objects": counts,
        "phrases": np.bincount(owners, weights=lengths, minlength=total).astype(np.int64),
        "captions": filled["caption"],
        "questions": filled["question"],
        "answers": filled["answer"],
        Task.REFERRING_SEGMENTATION: np.bincount(owners, weights=lengths > 0, minlength=total) > 0,
        Task.REASONING_SEGMENTATION: filled["question"] & containing(table.column("answer"), "<LCL-"),
        Task.CAPTIONING: filled["caption"],
        Task.GENERATION: filled["caption"],
    }
