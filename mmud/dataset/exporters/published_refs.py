"""What the refer source noted of the expressions that a dataset was built from: published splits, sentence ids, raw texts.

Provenance is free-form JSON that may come from anywhere: whatever has not the expected form is taken for not there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
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
        sent_ids: one for each sentence, or empty.
        raw: the sentences as they were typed, or empty where they do not differ.
    """

    split: str
    sent_ids: tuple[int, ...]
    raw: tuple[str, ...]

    def of(self, phrases: int) -> PublishedRef:
        """The same for an object of so many phrases: ids and texts that do not go with them one by one are left out."""
        fits = len(self.sent_ids) == phrases
        return PublishedRef(self.split, self.sent_ids if fits else (), self.raw if len(self.raw) == phrases else ())


def published_refs(provenance: Mapping[str, Any]) -> dict[int, list[PublishedRef]]:
    """Object number, from 1 -> the published expressions about it."""
    found: dict[int, list[PublishedRef]] = {}
    refs = provenance.get("refs")
    for ref in refs if isinstance(refs, list) else ():
        if isinstance(ref, dict) and type(ref.get("object")) is int:
            split = ref.get("split")
            ids, raw = _list_of(int, ref.get("sent_ids")), _list_of(str, ref.get("raw"))
            found.setdefault(ref["object"], []).append(PublishedRef(split if isinstance(split, str) else "", ids, raw))
    return found


def _list_of(kind: type, value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list) and all(type(item) is kind for item in value) else ()


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
                    yield from (number for number in ref.sent_ids if abs(number) < 1 << 62)
