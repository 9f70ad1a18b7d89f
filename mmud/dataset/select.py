"""Some samples of a dataset, streamed: row groups without any of them are not read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmud.dataset import codes
from mmud.dataset.schema import ANNOTATION_COLUMNS, COLUMNS
from mmud.dataset.store import Dataset, ShardFile, open_shard
from mmud.errors import MmudError, Place
from mmud.records import Sample

_ROWS = 32


def selected_samples(
    dataset: Dataset, chosen: NDArray[np.bool_], advance: Callable[[int], None] | None = None
) -> Iterator[Sample]:
    """The chosen samples in the dataset's order, with their images as the dataset keeps them.

    Args:
        dataset: where they come from.
        chosen: one flag a sample, over all splits in order.
        advance: told how many samples were yielded.

    Raises:
        MmudError: MM101 for a row that is no sample, MM104, MM106 or MM107 when a shard cannot be read.
    """
    start = 0
    for shard in dataset.shards():
        flags = chosen[start : start + shard.rows]
        start += shard.rows
        if flags.any():
            for row, content in _rows(shard, flags):
                yield Sample.from_row(content, Place(sample=content["sample_id"], file=shard.file, row=row))
                if advance is not None:
                    advance(1)


def _rows(shard: ShardFile, flags: NDArray[np.bool_]) -> Iterator[tuple[int, dict[str, Any]]]:
    with open_shard(shard.path, shard.file) as parquet:
        first = 0
        for group in range(parquet.metadata.num_row_groups):
            size = parquet.metadata.row_group(group).num_rows
            if flags[first : first + size].any():
                try:
                    for batch in parquet.iter_batches(
                        _ROWS, row_groups=[group], columns=list(COLUMNS), use_threads=False
                    ):
                        wanted = np.flatnonzero(flags[first : first + batch.num_rows])
                        for row, content in zip(wanted.tolist(), batch.take(pa.array(wanted)).to_pylist(), strict=True):
                            yield first + row, content
                        first += batch.num_rows
                except (pa.ArrowException, OSError) as error:
                    raise MmudError(codes.SHARD_UNREADABLE, str(error), Place(file=shard.file, row=first)) from error
            else:
                first += size


def annotation_rows(dataset: Dataset, chosen: NDArray[np.bool_]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Positions and labels of the chosen samples, without images."""
    position = 0
    for batch in dataset.batches(None, ANNOTATION_COLUMNS):
        wanted = np.flatnonzero(chosen[position : position + batch.table.num_rows])
        if len(wanted):
            taken = batch.table.take(pa.array(wanted)).to_pylist()
            yield from zip((wanted + position).tolist(), taken, strict=True)
        position += batch.table.num_rows
