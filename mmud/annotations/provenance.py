"""Who or what made each label of a sample, as its ``provenance`` keeps it.

::

    {"labels": {"answer": {"annotator": "openai", "model": "qwen2.5-vl", "prompt": "question-1", "time": "2026-11-24T07:00:00Z",
                           "edits": [{"by": "ann", "time": "2026-11-25T09:12:00Z", "what": "edited"}]}}}

A label that its source brought along has no entry. ``edits`` lists what was done to the label since, oldest first; it is absent
where nothing was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

LABELS = "labels"
EDITS = "edits"


def now() -> str:
    """The time as provenance writes it: UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def label_origins(provenance: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Field (``caption``, ``question``, ``answer``) -> who made it and how. What is not of this form is left out."""
    labels = provenance.get(LABELS)
    if not isinstance(labels, Mapping):
        return {}
    return {str(field): dict(entry) for field, entry in labels.items() if isinstance(entry, Mapping)}


def editors(origin: Mapping[str, Any]) -> set[str]:
    """Who changed a label since it was made: reviewers by name, and rules such as ``mmud filter``. A nameless one is empty."""
    edits = origin.get(EDITS)
    if not isinstance(edits, list):
        return set()
    return {str(edit.get("by", "")) for edit in edits if isinstance(edit, Mapping)}


def with_origin(provenance: Mapping[str, Any], fields: Iterable[str], origin: Mapping[str, Any]) -> dict[str, Any]:
    """The provenance after these fields were made anew; what was known of the old ones is gone with them."""
    return {**provenance, LABELS: {**label_origins(provenance), **{field: dict(origin) for field in fields}}}


def with_edit(provenance: Mapping[str, Any], field: str, edit: Mapping[str, Any]) -> dict[str, Any]:
    """The provenance after a label was changed.

    Args:
        provenance: before.
        field: the label.
        edit: who, when and what, as in ``{"by": "ann", "time": now(), "what": "edited"}``.
    """
    labels = label_origins(provenance)
    entry = labels.get(field, {})
    earlier = entry.get(EDITS)
    edits = [*(earlier if isinstance(earlier, list) else []), dict(edit)]
    return {**provenance, LABELS: {**labels, field: {**entry, EDITS: edits}}}
