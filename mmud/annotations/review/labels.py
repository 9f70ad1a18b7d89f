"""What a decision is bound to: a hash of a sample's labels; and what is wrong with a person's text."""

from __future__ import annotations

import hashlib
import json

from mmud.annotations import tags
from mmud.records import Sample

NOT_LABELS = ("image", "provenance")
"""Columns that the hash leaves out: who made a label does not change it, and where its image lies neither."""


def label_hash(sample: Sample) -> str:
    """SHA-256 over a sample's labels, as hexadecimal: equal exactly when all labels are."""
    row = {name: value for name, value in sample.to_row().items() if name not in NOT_LABELS}
    return hashlib.sha256(json.dumps(row, sort_keys=True, separators=(",", ":")).encode("ascii")).hexdigest()


def text_problems(field: str, text: str, objects: int) -> list[str]:
    """Why a text cannot be accepted, each reason a phrase.

    Args:
        field: question, answer or caption; tags stand in answers alone.
        text: the text.
        objects: how many objects the sample has.
    """
    problems = tags.problems(text, objects)
    if field != "answer":
        found = [tag.index for tag in tags.parse(text)]
        return [f"the {field} holds a tag" for _ in problems[:1] or found[:1]]
    return [
        f"{problem.text} {'is no tag' if problem.kind == 'malformed' else 'points at no object'}"
        for problem in problems
    ]


def text_as_stored(field: str, text: str) -> str:
    """A person's text as the dataset holds it: line feeds alone as line ends, old tags in their new form."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return tags.normalise(text) if field == "answer" else text
