"""A quick look at what a dataset holds: counts by split and source, and licences; the card is made from it.

Lengths and validity are all that is looked at, column by column, so that it costs a small part of writing the dataset.
`mmud.dataset.statistics` counts in depth.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmud.annotations.provenance import EDITS, LABELS, label_origins
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
        edited: label -> how many were changed since.
    """

    counts: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    licenses: dict[str, Counter[str]] = field(default_factory=dict)
    origins: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    edited: Counter[str] = field(default_factory=Counter)

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
        sources = np.asarray(pc.fill_null(table.column("source"), "").to_numpy(zero_copy_only=False), dtype=object)
        figures = _figures(table)
        for source in np.unique(sources).tolist():
            rows = sources == source
            counts = self.counts.setdefault((split, source), Counter())
            counts["samples"] += int(rows.sum())
            for name, values in figures.items():
                counts[name] += int(values[rows].sum())
            licenses = pc.fill_null(table.column("license"), "").filter(pa.array(rows))
            tally = self.licenses.setdefault(source, Counter())
            for entry in pc.value_counts(licenses).to_pylist():
                tally[entry["values"]] += entry["counts"]
        self._add_origins(table.column("provenance"))

    def _add_origins(self, provenance: pa.Array) -> None:
        """Count who made which label; only rows that say so are parsed."""
        said = provenance.filter(pc.fill_null(pc.match_substring(provenance, f'"{LABELS}"'), False))
        for text in said.to_pylist():
            try:
                found = json.loads(text)
            except ValueError:
                # That provenance is no JSON is for `mmud validate` to say.
                continue
            for label, origin in label_origins(found if isinstance(found, dict) else {}).items():
                if "annotator" in origin:
                    annotator, model, prompt = (str(origin.get(key, "")) for key in ("annotator", "model", "prompt"))
                    self.origins[label, annotator, model, prompt] += 1
                self.edited[label] += bool(origin.get(EDITS))


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
    filled = {name: _filled(table.column(name)) for name in ("caption", "question", "answer")}
    objects = table.column("objects")
    phrases = objects.flatten().field("phrases")
    owners = pc.list_parent_indices(objects).to_numpy(zero_copy_only=False)
    lengths = pc.fill_null(pc.list_value_length(phrases), 0).to_numpy(zero_copy_only=False)
    phrases_of = np.bincount(owners, weights=lengths, minlength=table.num_rows).astype(np.int64)
    named = np.bincount(owners, weights=lengths > 0, minlength=table.num_rows) > 0
    tagged = pc.fill_null(pc.match_substring(table.column("answer"), "<LCL-"), False).to_numpy(zero_copy_only=False)
    return {
        "objects": np.bincount(owners, minlength=table.num_rows),
        "phrases": phrases_of,
        "captions": filled["caption"],
        "questions": filled["question"],
        "answers": filled["answer"],
        Task.REFERRING_SEGMENTATION: named,
        Task.REASONING_SEGMENTATION: filled["question"] & np.asarray(tagged, dtype=bool),
        Task.CAPTIONING: filled["caption"],
        Task.GENERATION: filled["caption"],
    }


def _filled(texts: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(
        pc.greater(pc.fill_null(pc.binary_length(texts), 0), 0).to_numpy(zero_copy_only=False), dtype=bool
    )
