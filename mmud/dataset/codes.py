"""MM1xx: the dataset folder, its manifest and its shards."""

from __future__ import annotations

from mmud.errors import ExitCode, declare

NOT_A_DATASET = declare(
    "MM102",
    "not an MMUD dataset",
    "Name the folder that `mmud build … -o` made: it holds mmud.json and data/*.parquet.",
    "The folder has no manifest (mmud.json), so nothing is known about its splits and shards.",
)
MANIFEST_INVALID = declare(
    "MM103",
    "manifest unreadable",
    "Build the dataset again, or restore mmud.json from where the dataset came from.",
    "mmud.json is not JSON, lacks a field, or was written by a newer version of the format.",
)
SHARD_MISSING = declare(
    "MM104",
    "shard missing",
    "Copy the dataset again: a file that the manifest lists is not there.",
    "The manifest lists every Parquet file with its checksum; one of them does not exist.",
)
SHARD_CHECKSUM = declare(
    "MM105",
    "shard differs from its checksum",
    "Copy the dataset again, or build it again; a shard is never edited in place.",
    "A Parquet file's SHA-256 is not the one in the manifest: it was edited, or a copy broke off.",
)
SHARD_UNREADABLE = declare(
    "MM106",
    "shard unreadable",
    "Copy the dataset again: the file is not Parquet, or is cut off.",
    "pyarrow cannot open a shard or read one of its row groups.",
)
SHARD_SCHEMA = declare(
    "MM107",
    "shard has another schema",
    "Build the dataset again with this version; docs/format.md lists the columns.",
    "A shard lacks a column of the format or holds it with another type.",
)
SPLIT_UNKNOWN = declare(
    "MM108",
    "no such split",
    "`mmud stats` lists the dataset's splits.",
    "The split that was asked for is not in the manifest.",
    exit_code=ExitCode.USAGE,
)
SAMPLE_UNKNOWN = declare(
    "MM109",
    "no such sample",
    "Check the id: ids are case-sensitive and complete.",
    "No sample of the dataset has the id that was asked for.",
    exit_code=ExitCode.USAGE,
)
