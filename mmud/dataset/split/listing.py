"""Explicit splits from a file: which sample, or which image, goes where."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

from mmud.dataset.split import codes
from mmud.errors import MmudError, Place
from mmud.files import require

_MOST_BYTES = 1 << 28
_HEADER_NAMES = {"id", "sample_id", "sample", "image", "image_id"}


def read_listing(path: Path) -> dict[str, str]:
    """Read a file of ids: id -> split.

    JSON is an object of lists, ``{"train": ["a1", 573125], …}``; a whole number is a COCO image and becomes ``coco:573125``. Any
    other file has a line for each id: the id, a tab or a comma, the split; a header is skipped.

    Raises:
        MmudError: MM002 when there is no such file, MM631 when it cannot be read, MM630 when an id is listed in two splits.
    """
    place = Place(file=str(path))
    if require(path).stat().st_size > _MOST_BYTES:
        raise MmudError(codes.LIST_INVALID, f"more than {_MOST_BYTES:,} bytes", place)
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise MmudError(codes.LIST_INVALID, f"cannot read: {error}", place) from error
    pairs = _from_json(text, place) if text.lstrip()[:1] in ("{", "[") else _from_lines(text, place)
    found: dict[str, str] = {}
    for key, split in pairs:
        if found.setdefault(key, split) != split:
            raise MmudError(codes.IMAGE_ASKED_TWICE, f"{key} is listed in {found[key]} and in {split}", place)
    return found


def _from_json(text: str, place: Place) -> Iterator[tuple[str, str]]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MmudError(codes.LIST_INVALID, f"no JSON: {error}", place) from error
    if not isinstance(data, dict):
        raise MmudError(codes.LIST_INVALID, "the JSON is a list: an object of lists is needed, one a split", place)
    for split, ids in data.items():
        if not isinstance(ids, list):
            raise MmudError(codes.LIST_INVALID, f"split {split!r} holds {type(ids).__name__}, not a list", place)
        for entry in ids:
            if isinstance(entry, bool) or not isinstance(entry, str | int):
                raise MmudError(codes.LIST_INVALID, f"split {split!r} lists {entry!r}, which is no id", place)
            yield (entry if isinstance(entry, str) else f"coco:{entry}"), split


def _from_lines(text: str, place: Place) -> Iterator[tuple[str, str]]:
    delimiter = "\t" if "\t" in text else ","
    for number, row in enumerate(csv.reader(io.StringIO(text), delimiter=delimiter), start=1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or (number == 1 and cells[0].lower() in _HEADER_NAMES):
            continue
        if len(cells) != 2 or not all(cells):
            where = Place(file=place.file, line=number)
            raise MmudError(codes.LIST_INVALID, f"{delimiter.join(row)!r} is not an id and a split", where)
        yield cells[0], cells[1]
