"""Ids for formats that demand whole numbers, unique in a file: kept where the dataset has them, given out where it has not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmud.dataset.store import Dataset

MAX_ID = 2**53 - 1
"""The largest whole number that every JSON reader keeps exactly."""

UNNAMED = "object"
"""The category's name where a dataset gives none; formats of COCO's family demand one."""


def whole_number(text: str) -> int | None:
    """The id that a text spells, as COCO's image ids do; None when it spells none that would come back the same."""
    if not (text.isascii() and text.isdecimal()) or len(text) > 16:
        return None
    value = int(text)
    return value if 0 < value <= MAX_ID and str(value) == text else None


class Ids:
    """Gives out ids: an own one once, a new one above all own ones otherwise.

    Args:
        own: every id that the dataset holds, so that a new one never takes the place of one that is still to come.
        least: the smallest id to keep; COCO's evaluation takes an annotation 0 for none.
    """

    def __init__(self, own: NDArray[np.int64], least: int = 1) -> None:
        self._own = np.unique(own[(own >= least) & (own <= MAX_ID)])
        self._used = np.zeros(len(self._own), dtype=bool)
        self._next = int(self._own[-1]) + 1 if len(self._own) else 1

    def take(self, own: int | None) -> tuple[int, bool]:
        """An id for something that calls itself ``own``, and whether it could be kept."""
        if own is not None:
            at = int(np.searchsorted(self._own, own))
            if at < len(self._own) and self._own[at] == own and not self._used[at]:
                self._used[at] = True
                return own, True
        self._next += 1
        return self._next - 1, False


class Categories:
    """The table of categories: one row for each pair of id and name, with ids that are unique.

    Args:
        pairs: every pair that the dataset holds, in order of first appearance.
    """

    def __init__(self, pairs: Iterable[tuple[int | None, str]]) -> None:
        self._ids: dict[tuple[int | None, str], int] = {}
        self.names: dict[int, str] = {}
        self.changed: set[tuple[int | None, str]] = set()
        named = list(dict.fromkeys((number, name or UNNAMED) for number, name in pairs))
        for number, name in named:
            if number is not None and number not in self.names and 0 <= number <= MAX_ID:
                self._add(number, name, (number, name))
        free = max(self.names, default=0) + 1
        by_name: dict[str, int] = {}
        for number, name in self.names.items():
            by_name.setdefault(name, number)
        for pair in named:
            if pair in self._ids:
                continue
            number, name = pair
            # Objects without an id join the category of their name; an id that means another name already gets a new one.
            if name not in by_name or number is not None:
                self._add(free, name, pair)
                by_name.setdefault(name, free)
                free += 1
            else:
                self._ids[pair] = by_name[name]
            if number is not None:
                self.changed.add(pair)

    def _add(self, number: int, name: str, pair: tuple[int | None, str]) -> None:
        self._ids[pair] = number
        self.names[number] = name

    def id_of(self, number: int | None, name: str) -> tuple[int, bool]:
        """The id of an object's category, and whether it is the object's own."""
        pair = (number, name or UNNAMED)
        return self._ids[pair], pair not in self.changed

    def rows(self) -> list[dict[str, Any]]:
        """As COCO's ``categories``; the super-category is not known."""
        return [{"id": number, "name": name, "supercategory": ""} for number, name in sorted(self.names.items())]


class Licenses:
    """The table of licences, numbered from 1 in order of first use, as COCO's ``licenses``."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def id_of(self, text: str) -> int:
        return self._ids.setdefault(text, len(self._ids) + 1)

    def rows(self) -> list[dict[str, Any]]:
        return [
            {"id": number, "name": text, "url": text if text.startswith(("http://", "https://")) else ""}
            for text, number in self._ids.items()
        ]


@dataclass(frozen=True, slots=True)
class IdTables:
    """The ids of a whole dataset; all splits, so that an object's id is the same whichever split is exported."""

    images: Ids
    annotations: Ids
    refs: Ids
    categories: Categories


_COLUMNS = (
    "source_image_id",
    *(f"objects.list.element.{name}" for name in ("ann_id", "ref_id", "category", "category_id")),
)


def id_tables(dataset: Dataset) -> IdTables:
    """Read the id columns of a dataset: a few megabytes for a million objects."""
    images: list[int] = []
    annotations: list[NDArray[np.int64]] = []
    refs: list[NDArray[np.int64]] = []
    pairs: dict[tuple[int | None, str], None] = {}
    for batch in dataset.batches(columns=_COLUMNS, rows=4096):
        numbers = map(whole_number, batch.table.column(0).to_pylist())
        images += [number for number in numbers if number is not None]
        objects = batch.table.column(1).flatten()
        fields: Mapping[str, Any] = {objects.type.field(i).name: column for i, column in enumerate(objects.flatten())}
        for name, found in (("ann_id", annotations), ("ref_id", refs)):
            found.append(fields[name].drop_null().to_numpy(zero_copy_only=False).astype(np.int64))
        pairs.update(dict.fromkeys(zip(fields["category_id"].to_pylist(), fields["category"].to_pylist(), strict=True)))
    empty = [np.empty(0, dtype=np.int64)]
    return IdTables(
        Ids(np.asarray(images, dtype=np.int64)),
        Ids(np.concatenate(annotations or empty)),
        Ids(np.concatenate(refs or empty), least=0),
        Categories(pairs),
    )
