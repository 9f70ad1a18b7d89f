"""MM63x: making new splits."""

from __future__ import annotations

from mmud.errors import ExitCode, declare

IMAGE_ASKED_TWICE = declare(
    "MM630",
    "one image asked for in two splits",
    "Put all samples of the image into one split, or leave them out of the list; `mmud leakage` lists such images.",
    "Samples that were listed, or that are in splits to be kept, show one image and belong to different splits. No split is "
    "made then: training would see an image that evaluation scores.",
)
LIST_INVALID = declare(
    "MM631",
    "list of splits unreadable",
    'Write JSON as in {"train": ["id", …], "test": [573125, …]}, or lines of id and split separated by a tab or a comma.',
    "A file given with --ids is not JSON, is no object of lists, or holds a line that is not an id and a split.",
    exit_code=ExitCode.USAGE,
)
LISTED_UNKNOWN = declare(
    "MM632",
    "listed sample is not in the dataset",
    "Remove the entry, or check that the list was made for this dataset.",
    "A file given with --ids names a sample or an image that the dataset does not hold. Nothing is made, since a list of "
    "another dataset would leave most samples out without a word.",
)
