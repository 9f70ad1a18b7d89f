"""One checksum for a dataset's labels, whatever its shards look like."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmud.dataset.schema import ANNOTATION_COLUMNS
from mmud.dataset.store import BATCH_ROWS, Dataset


class _Leaf:
    """The running checksum of one column: its lengths or values, and the positions of its nulls."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.seen = 0

    def update(self, array: pa.Array, content: bytes) -> None:
        if array.null_count:
            nulls = np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False)) + self.seen
            self.digest.update(nulls.astype("<i8").tobytes())
        self.digest.update(content)
        self.seen += len(array)


def fingerprint_of(dataset: Dataset) -> str:
    """SHA-256 over every label in order, independent of shard sizes, compression and where images are kept.

    Each leaf column is hashed by itself (lengths, values, positions of nulls), then the columns together, split by split.
    ``provenance`` is left out: who made a label does not change it.
    """
    total = hashlib.sha256()
    names = [name for name in ANNOTATION_COLUMNS if name != "provenance"]
    for split in dataset.splits:
        leaves: dict[str, _Leaf] = {}
        for batch in dataset.batches(split, names, rows=4 * BATCH_ROWS):
            for name, column in zip(batch.table.schema.names, batch.table.columns, strict=True):
                _hash_array(name, column, leaves)
        total.update(f"{split}:{dataset.length(split)}".encode())
        for path in sorted(leaves):
            total.update(path.encode() + leaves[path].digest.digest())
    return total.hexdigest()


def _hash_array(path: str, array: pa.Array, leaves: dict[str, _Leaf]) -> None:
    kind = array.type
    if pa.types.is_struct(kind):
        for position, child in enumerate(array.flatten()):
            _hash_array(f"{path}.{kind.field(position).name}", child, leaves)
    elif pa.types.is_list(kind):
        leaves.setdefault(path, _Leaf()).update(array.slice(0, 0), _integers(pc.list_value_length(array)))
        _hash_array(f"{path}[]", array.flatten(), leaves)
    elif pa.types.is_string(kind):
        leaves.setdefault(path, _Leaf()).update(array.slice(0, 0), _integers(pc.binary_length(array)))
        leaves.setdefault(f"{path}$", _Leaf()).update(array.slice(0, 0), _text(array.drop_null()))
    else:
        # The positions of nulls have their own stream, so that values and nulls never depend on where a batch ended.
        leaves.setdefault(f"{path}?", _Leaf()).update(array, b"")
        leaves.setdefault(path, _Leaf()).update(
            array.slice(0, 0), array.drop_null().to_numpy(zero_copy_only=False).tobytes()
        )


def _integers(lengths: pa.Array) -> bytes:
    """Lengths as little-endian bytes, -1 for null."""
    return bytes(pc.fill_null(lengths, -1).cast(pa.int32()).to_numpy(zero_copy_only=False).astype("<i4").tobytes())


def _text(array: pa.Array) -> bytes:
    if not len(array):
        return b""
    offsets = np.frombuffer(array.buffers()[1], dtype=np.int32)[array.offset : array.offset + len(array) + 1]
    data = array.buffers()[2]
    return b"" if data is None else memoryview(data)[int(offsets[0]) : int(offsets[-1])].tobytes()
