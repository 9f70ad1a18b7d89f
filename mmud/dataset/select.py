"""Some samples of a dataset, streamed: row groups without any of them are not read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmud.dataset import codes
from mmud.dataset.schema import COLUMNS
from mmud.dataset.store import Dataset, ShardFile, open_shard
from mmud.dataset.writer import write_dataset
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


def write_selection(
    dataset: Dataset,
    splits: Mapping[str, NDArray[np.bool_]],
    output: Path,
    files: Mapping[str, str],
    force: bool = False,
    advance: Callable[[int], None] | None = None,
) -> Dataset:
    """Write chosen samples as a dataset of its own: images kept as they are, sources carried over, order unchanged.

    The dataset is read once for each split; row groups that hold none of it are skipped.

    Args:
        dataset: where they come from.
        splits: split -> one flag a sample of ``dataset``, over all its splits in order.
        output: the folder to make.
        files: further text files for the folder, name -> content.
        force: replace a folder that is there.
        advance: told how many samples were written.

    Raises:
        MmudError: MM003 when the output exists, MM008 when it cannot be written, and what reading can raise.
    """
    return write_dataset(
        output,
        {name: selected_samples(dataset, chosen, advance) for name, chosen in splits.items()},
        images=dataset.manifest.images,
        sources=dataset.manifest.sources,
        files=files,
        force=force,
    )
