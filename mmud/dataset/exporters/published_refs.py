"""What the refer source noted of the expressions that a dataset was built from: published splits, sentence ids, raw texts.

Provenance is free-form JSON that may come from anywhere: whatever has not the expected form is taken for not there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmud.dataset.exporters.ids import Ids
from mmud.dataset.store import Dataset


@dataclass(frozen=True, slots=True)
class PublishedRef:
    """One published expression.

    Attributes:
        split: as published, such as testA; empty where it is not known.
        sent_ids: one for each sentence, None for one without; or empty.
        raw: the sentences as they were typed, or empty where they do not differ.
        order: the number, from 1, of the object's phrase that each sentence is; empty where sentences and phrases are the same.
    """

    split: str
    sent_ids: tuple[int | None, ...]
    raw: tuple[str, ...]
    order: tuple[int, ...] = ()

    @property
    def known_ids(self) -> list[int]:
        return [number for number in self.sent_ids if number is not None]

    def sentences(self, phrases: Sequence[str]) -> tuple[str, ...]:
        """The sentences as they were published, of an object with these phrases: one that came twice comes twice again."""
        if set(self.order) != set(range(1, len(phrases) + 1)):
            return tuple(phrases)
        return tuple(phrases[number - 1] for number in self.order)

    def of(self, phrases: int) -> PublishedRef:
        """The same for so many sentences: ids and texts that do not go with them one by one are left out."""
        fits = len(self.sent_ids) == phrases
        return PublishedRef(self.split, self.sent_ids if fits else (), self.raw if len(self.raw) == phrases else ())


def published_refs(provenance: Mapping[str, Any]) -> dict[int, list[PublishedRef]]:
    """Object number, from 1 -> the published expressions about it."""
    found: dict[int, list[PublishedRef]] = {}
    refs = provenance.get("refs")
    for ref in refs if isinstance(refs, list) else ():
        if isinstance(ref, dict) and type(ref.get("object")) is int:
            split = ref.get("split")
            ids, raw = _list_of((int, type(None)), ref.get("sent_ids")), _list_of((str,), ref.get("raw"))
            order = _list_of((int,), ref.get("phrases"))
            split = split if isinstance(split, str) else ""
            found.setdefault(ref["object"], []).append(PublishedRef(split, ids, raw, order))
    return found


def _list_of(kinds: tuple[type, ...], value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list) and all(type(item) in kinds for item in value) else ()


def sentence_ids(dataset: Dataset) -> Ids:
    """The ids of every published sentence of a dataset."""
    return Ids(np.fromiter(_sentence_ids(dataset), dtype=np.int64), least=0)


def _sentence_ids(dataset: Dataset) -> Iterator[int]:
    for batch in dataset.batches(columns=("provenance",), rows=4096):
        for text in batch.table.column(0).to_pylist():
            # Most datasets have none: a look at the text saves reading it.
            if not text or '"sent_ids"' not in text:
                continue
            try:
                provenance = json.loads(text)
            except ValueError:
                # Reading the sample itself names it (MM101).
                continue
            for refs in published_refs(provenance if isinstance(provenance, dict) else {}).values():
                for ref in refs:
                    yield from (number for number in ref.known_ids if abs(number) < 1 << 62)
