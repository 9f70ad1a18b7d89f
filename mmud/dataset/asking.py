"""How a split asks for its objects."""

from __future__ import annotations

from mmud.dataset.store import Dataset


def asks_by_category(dataset: Dataset, split: str) -> bool:
    """Whether referring must ask by category, because no object of the split has a phrase (as in plain COCO)."""
    for batch in dataset.batches(split, ("objects.list.element.phrases",), rows=4096):
        phrases = batch.table.column(0).flatten().field("phrases")
        if len(phrases.flatten()):
            return False
    return True
