"""All labels of a dataset at random and by filter, through the memory-mapped copy: opened at once, whatever its size.

Samples are numbered from 0 over all splits in the dataset's order.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mmud.annotations.review.labels import label_hash
from mmud.dataset.store import Dataset
from mmud.records import Sample

Flags = NDArray[np.bool_]
"""One flag a sample, shape (samples,)."""

_SEARCHED = ("sample_id", "caption", "question", "answer")


class LabelIndex:
    """The labels of a dataset by number.

    Args:
        dataset: the dataset; its labels are memory-mapped, which writes a copy to the cache the first time.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.splits = dataset.splits
        tables = [dataset.labels(split) for split in self.splits]
        self._starts = [0]
        for table in tables:
            self._starts.append(self._starts[-1] + table.num_rows)
        self._table = pa.concat_tables(tables)

    def __len__(self) -> int:
        return self._starts[-1]

    @cached_property
    def ids(self) -> list[str]:
        """The ids in order."""
        found: list[str] = self._table.column("sample_id").to_pylist()
        return found

    @cached_property
    def numbers(self) -> Mapping[str, int]:
        """id -> number."""
        return {sample_id: number for number, sample_id in enumerate(self.ids)}

    def place(self, number: int) -> tuple[str, int]:
        """The split of a sample and its position there."""
        part = bisect.bisect_right(self._starts, number, hi=len(self.splits)) - 1
        return self.splits[part], number - self._starts[part]

    def sample(self, number: int, images: bool = False) -> Sample:
        """The sample of a number; image bytes only when asked for.

        Raises:
            MmudError: MM101 when the row is no sample; what reading its shard can raise.
        """
        return self.dataset.sample(*self.place(number), images=images)

    # -- filters ---------------------------------------------------------------------------------------------------------

    def counts(self, column: str) -> dict[str, int]:
        """How many samples have each value of a text column, the most frequent first."""
        tally = Counter(
            {row["values"]: row["counts"] for row in pc.value_counts(self._table.column(column)).to_pylist()}
        )
        return dict(tally.most_common())

    @cached_property
    def categories(self) -> dict[str, int]:
        """How many objects have each category, the most frequent first."""
        tally: Counter[str] = Counter()
        for objects in self._table.column("objects").chunks:
            for row in pc.value_counts(objects.flatten().field("category")).to_pylist():
                tally[row["values"] or ""] += row["counts"]
        tally.pop("", None)
        return dict(tally.most_common())

    def in_split(self, split: str) -> Flags:
        flags = np.zeros(len(self), dtype=bool)
        if split in self.splits:
            part = self.splits.index(split)
            flags[self._starts[part] : self._starts[part + 1]] = True
        return flags

    def with_value(self, column: str, value: str) -> Flags:
        """Samples whose text column equals a value."""
        return _flags(pc.equal(self._table.column(column), value))

    def with_category(self, category: str) -> Flags:
        """Samples that have an object of a category."""
        parts = []
        for objects in self._table.column("objects").chunks:
            hits = pc.equal(objects.flatten().field("category"), category)
            parts.append(_any_of(objects, _flags(hits)))
        return _joined(parts)

    def with_words(self, text: str) -> Flags:
        """Samples in whose id, texts or phrases every word of ``text`` occurs, whatever its case."""
        flags = np.ones(len(self), dtype=bool)
        for word in text.split():
            found = np.zeros(len(self), dtype=bool)
            for column in _SEARCHED:
                found |= _flags(pc.match_substring(self._table.column(column), word, ignore_case=True))
            flags &= found | _joined(list(self._phrase_hits(word)))
        return flags

    def _phrase_hits(self, word: str) -> Iterator[Flags]:
        for objects in self._table.column("objects").chunks:
            phrases = objects.flatten().field("phrases")
            hits = _flags(pc.match_substring(phrases.flatten(), word, ignore_case=True))
            yield _any_of(objects, _any_of(phrases, hits))

    def of_ids(self, ids: Sequence[str]) -> Flags:
        """The samples with these ids; unknown ones are passed over."""
        flags = np.zeros(len(self), dtype=bool)
        flags[[self.numbers[sample_id] for sample_id in ids if sample_id in self.numbers]] = True
        return flags


class LabelHashes(Mapping[str, str]):
    """sample id -> hash of its labels, computed when asked for."""

    def __init__(self, index: LabelIndex) -> None:
        self._index = index

    def __getitem__(self, sample_id: str) -> str:
        return label_hash(self._index.sample(self._index.numbers[sample_id]))

    def __contains__(self, sample_id: object) -> bool:
        return sample_id in self._index.numbers

    def __iter__(self) -> Iterator[str]:
        return iter(self._index.ids)

    def __len__(self) -> int:
        return len(self._index)


def _flags(array: pa.Array | pa.ChunkedArray) -> Flags:
    if not len(array):
        return np.zeros(0, dtype=bool)
    return np.asarray(pc.fill_null(array, False).to_numpy(zero_copy_only=False), dtype=bool)


def _any_of(lists: pa.ListArray, flags: Flags) -> Flags:
    """Whether any element of each list is flagged."""
    owners = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
    return np.bincount(owners[flags], minlength=len(lists)).astype(bool)


def _joined(parts: list[Flags]) -> Flags:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=bool)
