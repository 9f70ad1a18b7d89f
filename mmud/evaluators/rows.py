"""Rows of statistics: one for each sample and task, kept as Parquet, enough to score again without predictions or labels.

Rows are held in one order, by task and sample id, however they were made. So figures computed from them are the same to the
last bit for any order of the predictions and any number of shards.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mmud import __version__
from mmud.errors import MmudError, Place
from mmud.evaluators import codes
from mmud.files import atomic_write
from mmud.records import Task

ROWS_NAME = "rows.parquet"
FORMAT = "mmud-rows"
FORMAT_VERSION = 1
_METADATA_KEY = b"mmud"

COMMON = pa.schema(
    [
        ("sample_id", pa.string()),
        ("task", pa.string()),
        ("source", pa.string()),
        ("image", pa.string()),
        ("objects", pa.int32()),
        ("words", pa.int32()),
    ]
)
"""What every row has: ``image`` names the image, which several samples may share; ``words`` is the label's length."""


@dataclass(frozen=True)
class RowTable:
    """Rows, and the description that lets them be scored.

    Attributes:
        table: the columns of COMMON and one struct column for each evaluator, null where it does not score the row.
        description: dataset, predictions, options, evaluators' states, what is missing; JSON-compatible.
    """

    table: pa.Table
    description: Mapping[str, Any]

    @classmethod
    def of(cls, table: pa.Table, description: Mapping[str, Any]) -> Self:
        """Rows in any order, put into theirs."""
        keys = list(zip(table.column("task").to_pylist(), table.column("sample_id").to_pylist(), strict=True))
        order = sorted(range(len(keys)), key=keys.__getitem__)
        return cls(table.take(pa.array(order, type=pa.int64())).combine_chunks(), description)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def tasks(self) -> list[Task]:
        present = set(self.table.column("task").to_pylist())
        return [task for task in Task if task.value in present]

    @property
    def evaluators(self) -> list[str]:
        return [name for name in self.table.schema.names if name not in COMMON.names]

    def select(self, task: Task, evaluator: str) -> tuple[pa.StructArray, pa.Table]:
        """The rows of a task that an evaluator scores, as it made them, and their common columns."""
        chosen = self.table.column(evaluator).is_valid().to_numpy() & (
            np.asarray(self.table.column("task").to_pylist()) == task.value
        )
        part = self.table.take(pa.array(np.flatnonzero(chosen)))
        rows = part.column(evaluator).combine_chunks()
        return (rows.chunk(0) if isinstance(rows, pa.ChunkedArray) else rows), part.select(COMMON.names)

    def write(self, path: Path) -> None:
        """Write as Parquet, atomically, the description in the file's metadata."""
        described = {"format": FORMAT, "format_version": FORMAT_VERSION, "mmud_version": __version__}
        text = json.dumps({**described, **self.description}, ensure_ascii=False, allow_nan=False)
        table = self.table.replace_schema_metadata({_METADATA_KEY: text.encode("utf-8")})
        with atomic_write(path) as stream:
            pq.write_table(table, stream, compression="zstd")

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read what `write` wrote; ``path`` may be the folder that holds it.

        Raises:
            MmudError: MM820 when the file is not there or is none of ours.
        """
        file = Path(path)
        if file.is_dir():
            file = file / ROWS_NAME
        place = Place(file=str(file))
        try:
            table = pq.read_table(file, use_threads=False)
            description = json.loads((table.schema.metadata or {})[_METADATA_KEY])
        except (OSError, KeyError, ValueError, pa.ArrowException) as error:
            raise MmudError(codes.ROWS_UNREADABLE, f"cannot be read as rows: {error}", place) from error
        if description.get("format") != FORMAT or any(name not in table.schema.names for name in COMMON.names):
            raise MmudError(codes.ROWS_UNREADABLE, "no rows of mmud evaluate", place)
        if description["format_version"] > FORMAT_VERSION:
            raise MmudError(codes.ROWS_UNREADABLE, f"format version {description['format_version']} is newer", place)
        return cls.of(table.replace_schema_metadata(None), description)


def merge(parts: Sequence[RowTable]) -> RowTable:
    """The rows of all shards of one evaluation; an evaluation in one piece is its own only shard.

    Raises:
        MmudError: MM822 when a shard is missing or repeated, or they come from different evaluations.
    """
    first = parts[0].description
    if len(parts) == 1 and first["shard"] is None:
        return parts[0]  # what --shard 1/1 gives
    for part in parts:
        for key in ("dataset", "predictions", "options", "states"):
            if part.description[key] != first[key]:
                raise MmudError(codes.MERGE_MISMATCH, f"the shards differ in {key}")
    names = [part.description["shard"] for part in parts]
    if any(name is None for name in names):
        raise MmudError(codes.MERGE_MISMATCH, "one of them is no shard but a whole evaluation")
    shards = sorted((name["index"], name["of"]) for name in names)
    total = shards[0][1]
    if shards != [(index, total) for index in range(1, total + 1)]:
        had = ", ".join(f"{index}/{of}" for index, of in shards)
        raise MmudError(codes.MERGE_MISMATCH, f"needed are the shards 1/{total} to {total}/{total}, given {had}")
    tasks: dict[str, dict[str, Any]] = {}
    for part in parts:
        for task, facts in part.description["tasks"].items():
            joined = tasks.setdefault(task, {"required": 0, "scored": 0, "missing": []})
            joined["required"] += facts["required"]
            joined["scored"] += facts["scored"]
            joined["missing"] = sorted([*joined["missing"], *facts["missing"]])
    description = {
        **first,
        "shard": None,
        "tasks": {task.value: tasks[task.value] for task in Task if task.value in tasks},
        "partial": any(part.description["partial"] for part in parts),
    }
    return RowTable.of(pa.concat_tables([part.table for part in parts], promote_options="permissive"), description)


def image_numbers(common: pa.Table) -> NDArray[np.int64]:
    """The number of each row's image among the images of the rows, by name, shape (rows,)."""
    names = np.asarray(common.column("image").to_pylist(), dtype=object)
    if not len(names):
        return np.zeros(0, dtype=np.int64)
    numbers: NDArray[np.int64] = np.unique(names.astype(str), return_inverse=True)[1].astype(np.int64)
    return numbers
