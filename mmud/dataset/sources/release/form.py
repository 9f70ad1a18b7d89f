"""The form of the official release's records, and its limits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from mmud.dataset.sources import codes
from mmud.dataset.sources.image_files import file_name_of
from mmud.dataset.sources.pickles.floats import PackedFloats
from mmud.dataset.sources.plain_json import shown
from mmud.errors import MmudError, Place

FIELDS = (
    "image_path",
    "caption",
    "enriched_text",
    "sample_texts",
    "sample_masks",
    "sample_boxs",
    "sample_height",
    "sample_width",
    "sample_category",
    "sample_category_text",
    "caption_len",
    "enriched_text_len",
)
FIELDS_WITHOUT_LENGTHS = 10

MAX_OBJECTS = 5
MAX_TOKENS = 300
"""The official example run drops samples beyond these."""

DROPPED_SIGNS = re.compile(r"""[,.:?!"'#@$%/\\&^*]""")
"""Signs for which the official code drops a sample."""

_SEQUENCES = frozenset({list, tuple, PackedFloats})

MOST_OBJECTS = 10_000
"""A record with longer lists is no record: every use of a sample walks over its objects."""


def check_shape(record: Any, place: Place) -> Sequence[Any]:
    """The record, which must be a tuple of 12 or 10 fields with an image path.

    Raises:
        MmudError: MM720.
    """
    if not isinstance(record, tuple | list) or len(record) not in (FIELDS_WITHOUT_LENGTHS, len(FIELDS)):
        raise MmudError(codes.RECORD_SHAPE, f"the record is {shown(record)}, not a tuple of 12", place)
    if not isinstance(record[0], str) or not file_name_of(record[0]).strip():
        raise MmudError(codes.RECORD_SHAPE, f"the record names its image by {shown(record[0])}", place)
    for value in record:
        if type(value) in _SEQUENCES and len(value) > MOST_OBJECTS:
            field = FIELDS[[one is value for one in record].index(True)]
            raise MmudError(codes.RECORD_SHAPE, f"{field} has {len(value):,} entries", place)
    return record
