"""One checksum for a dataset's labels, whatever its shards look like."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from mmud.dataset.arrow_buffers import elements_of, lengths_of, present, text_of, values_of
from mmud.dataset.schema import ANNOTATION_COLUMNS
from mmud.dataset.store import BATCH_ROWS, Dataset

HASHED_COLUMNS = tuple(name for name in ANNOTATION_COLUMNS if name != "provenance")
"""Who made a label does not change it."""


class _Leaf:
    """The running checksum of one column: its lengths or values, and the positions of its nulls."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.seen = 0

    def update(self, content: memoryview) -> None:
        self.digest.update(content)

    def update_nulls(self, array: pa.Array) -> None:
        there = present(array)
        if there is not None:
            nulls = np.flatnonzero(~there) + self.seen
            self.digest.update(nulls.astype("<i8").data)
        self.seen += len(array)


class LabelDigest:
    """The checksum of labels as they go by, split by split, each split in order and cut into batches anyhow.

    Each leaf column is hashed by itself (lengths, values, positions of nulls), then the columns together.
    """

    def __init__(self) -> None:
        self._leaves: dict[str, dict[str, _Leaf]] = {}

    def add(self, split: str, batch: pa.RecordBatch) -> None:
        """Take in the next rows of a split; columns that are not hashed may be there."""
        leaves = self._leaves.setdefault(split, {})
        for name in HASHED_COLUMNS:
            _hash_array(name, batch.column(name), leaves)

    def hexdigest(self, lengths: Mapping[str, int]) -> str:
        """The checksum as hexadecimal digits.

        Args:
            lengths: split -> its samples, in the dataset's order.
        """
        total = hashlib.sha256()
        for split, length in lengths.items():
            leaves = self._leaves.get(split, {})
            total.update(f"{split}:{length}".encode())
            for path in sorted(leaves):
                total.update(path.encode() + leaves[path].digest.digest())
        return total.hexdigest()


def fingerprint_of(dataset: Dataset) -> str:
    """SHA-256 over every label in order, independent of shard sizes, compression and where images are kept.

    ``provenance`` is left out: who made a label does not change it. See `LabelDigest`.
    """
    digest = LabelDigest()
    for batch in dataset.batches(None, HASHED_COLUMNS, rows=4 * BATCH_ROWS):
        digest.add(batch.split, batch.table)
    return digest.hexdigest({split: dataset.length(split) for split in dataset.splits})


def _hash_array(path: str, array: pa.Array, leaves: dict[str, _Leaf]) -> None:
    kind = array.type
    if pa.types.is_struct(kind):
        for position, child in enumerate(array.flatten()):
            _hash_array(f"{path}.{kind.field(position).name}", child, leaves)
    elif pa.types.is_list(kind):
        _leaf(leaves, path).update(_integers(array))
        _hash_array(f"{path}[]", elements_of(array), leaves)
    elif pa.types.is_string(kind):
        _leaf(leaves, path).update(_integers(array))
        _leaf(leaves, f"{path}$").update(text_of(array.drop_null() if array.null_count else array))
    else:
        # The positions of nulls have their own stream, so that values and nulls never depend on where a batch ended.
        _leaf(leaves, f"{path}?").update_nulls(array)
        _leaf(leaves, path).update(np.ascontiguousarray(values_of(array)).data)


def _leaf(leaves: dict[str, _Leaf], path: str) -> _Leaf:
    found = leaves.get(path)
    if found is None:
        found = leaves[path] = _Leaf()
    return found


def _integers(array: pa.Array) -> memoryview:
    """Lengths as little-endian numbers, -1 for null."""
    return np.ascontiguousarray(lengths_of(array, -1), dtype="<i4").data
