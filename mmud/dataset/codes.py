"""MM1xx: the dataset folder, its manifest and its shards; MM75x: building one."""

from __future__ import annotations

from mmud.errors import ExitCode, Severity, declare

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
BUILD_ID_REPEATED = declare(
    "MM751",
    "two items with one sample id",
    "Build the sources apart, or remove one of the two items; sample ids are unique in a dataset.",
    "Two items, of one source or of two that are merged, would get the same sample id.",
)
BUILD_SPLIT_CONFLICT = declare(
    "MM752",
    "one image in two splits of the sources",
    "Nothing has to be done: the image went where evaluation is strictest. `mmud leakage` audits the result.",
    "Sources that are merged put the same image into different splits. Training on an image that is evaluated elsewhere would "
    "make scores meaningless, so every sample of the image goes to test before valid before train.",
    severity=Severity.WARNING,
)
BUILD_SAMPLE_LOST = declare(
    "MM753",
    "sample could not be kept",
    "Mend the source, or build with --skip-broken to leave such samples out; each is listed.",
    "A source could not make a sample of one of its items.",
)
RECIPE_INVALID = declare(
    "MM754",
    "unusable recipe",
    "docs/build.md shows a recipe; every built dataset holds its own as recipe.toml.",
    "A recipe is not TOML, has an unknown key, or lacks [[source]].",
    exit_code=ExitCode.USAGE,
)
BUILD_EMPTY = declare(
    "MM755",
    "nothing to build",
    "Check the paths and options: the sources list no sample.",
    "A dataset of no samples is no dataset; the usual cause is a wrong folder or a filter that keeps nothing.",
)
