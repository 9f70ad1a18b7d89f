"""MM1xx: rows, manifest and files; the codes of opening a dataset are in `mmud.dataset.codes`."""

from __future__ import annotations

from mmud.errors import Severity, declare

ROW_COUNT = declare(
    "MM110",
    "shard and manifest differ in rows",
    "Copy the dataset again, or build it again.",
    "The manifest says how many rows each Parquet file holds; this one holds another number, so samples were added or "
    "lost after the build.",
)
LIST_LENGTH = declare(
    "MM111",
    "list of the wrong length",
    "Give a box as [x, y, width, height] and a mask's size as [height, width].",
    "Parquet cannot fix a list's length, so a box of three numbers or a size of one is stored without complaint and "
    "breaks whoever reads it.",
)
NUMBER_BOUNDS = declare(
    "MM112",
    "number outside its bounds",
    "Correct the number that the message names: finite, from 1 to 65,500 for sides, at least 0 for areas.",
    "A width or height that is not positive, an area that is negative, or a coordinate that is NaN or infinite. Such "
    "numbers usually come from a division by zero or from a missing value that was written as -1.",
)
PROVENANCE_UNREADABLE = declare(
    "MM113",
    "provenance is not a JSON object",
    "Write provenance as a JSON object, or leave it empty.",
    "Provenance is kept as text that holds a JSON object, so that any source can say who or what made each label.",
)
NOT_UTF8 = declare(
    "MM114",
    "text is not UTF-8",
    "Decode the source with its own encoding (often Latin-1 or Windows-1252) and build again.",
    "A text column holds bytes that are not UTF-8. Most Parquet readers fail on the whole column for one such value.",
)
COUNTS_DISAGREE = declare(
    "MM115",
    "manifest's counts disagree",
    "Build the dataset again; the manifest is written last, from what was stored.",
    "The samples or objects that the manifest counts, in all, by split or by source, are not those that the shards "
    "hold.",
)
FINGERPRINT_DIFFERS = declare(
    "MM116",
    "fingerprint differs",
    "Build the dataset again, or restore mmud.json: scores that name this fingerprint are for other labels.",
    "The manifest's fingerprint is a checksum over all labels. Submissions and scores name it, so a wrong one means "
    "that figures are attached to labels they were not computed on.",
)
FILE_STRAY = declare(
    "MM117",
    "file that the manifest does not list",
    "Remove the file, or build again if it belongs to the dataset.",
    "A Parquet file lies in data/ and no split lists it. Tools that open data/*.parquet read it as part of the "
    "dataset; this package does not, so the two see different samples.",
    severity=Severity.WARNING,
)
LICENCE_UNKNOWN = declare(
    "MM118",
    "no licence named",
    "Give the source's licence when building, so that whoever receives the dataset knows its terms.",
    "Neither the sample nor its source in the manifest names a licence. COCO's photographs, for one, carry a licence "
    "each.",
    severity=Severity.INFO,
)
STORAGE_DIFFERS = declare(
    "MM119",
    "image kept in another way than the manifest says",
    "Build again with one --images mode for the whole dataset.",
    "The manifest says whether images are embedded or linked. A sample that is kept in the other way breaks whoever "
    "copies the dataset without its image folder.",
    severity=Severity.WARNING,
)
