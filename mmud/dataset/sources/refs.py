"""Referring expressions in the forms in which they are published: ``refs(*).p`` and ``.json``, and the derived lists that carry
their own boxes and sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmud.dataset.sources import codes, safe_pickle
from mmud.dataset.sources.coco_files import side, whole
from mmud.dataset.sources.json_files import load_json
from mmud.dataset.sources.plain_json import encodable, shown
from mmud.dataset.sources.tally import Tally
from mmud.errors import MmudError, Place

SPLIT_NAMES = {
    "train": "train",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "test": "test",
    "testA": "test",
    "testB": "test",
    "testC": "test",
    "testAB": "test",
    "testBC": "test",
    "testAC": "test",
}
"""A published split -> the dataset's split."""


@dataclass(frozen=True, slots=True)
class Ref:
    """One referred object of one set, with its expressions.

    Attributes:
        dataset: "refcoco", "refcoco+", "refcocog", "refclef" or another set's name.
        split_by: the name of the splitting, where the expression says it.
        ref_id, ann_id, category_id: None where the source has none.
        image_id: in the images' own numbers.
        split: as published.
        file_name: as given, which may carry the annotation's number.
        sentences: the expressions, cleaned where the source cleaned them.
        raw: the expressions as they were typed, where they differ; otherwise empty.
        sentence_ids: one for each sentence, None for those without one; empty where none has one.
        box, width, height: where the expression carries them.
    """

    dataset: str
    split_by: str
    ref_id: int | None
    ann_id: int | None
    category_id: int | None
    image_id: int
    split: str
    file_name: str | None
    sentences: tuple[str, ...]
    raw: tuple[str, ...]
    sentence_ids: tuple[int | None, ...]
    box: Any
    width: int | None
    height: int | None

    def provenance(self, number: int, phrases: tuple[str, ...]) -> dict[str, Any]:
        """What the columns of a sample do not hold of it.

        Args:
            number: that of its object.
            phrases: the object's. Where they are not the sentences one by one, because a sentence comes twice or another set
                refers to the object as well, ``"phrases"`` tells which phrase, from 1, each sentence is.
        """
        kept = {
            "dataset": self.dataset,
            "split_by": self.split_by,
            "ref_id": self.ref_id,
            "ann_id": self.ann_id,
            "split": self.split,
            "sent_ids": list(self.sentence_ids),
            "raw": list(self.raw),
            "phrases": [] if self.sentences == phrases else [phrases.index(text) + 1 for text in self.sentences],
            "object": number,
        }
        return {key: value for key, value in kept.items() if value not in (None, "", [])}


def read_refs(path: Path, dataset: str, split_by: str, tally: Tally) -> list[Ref]:
    """The expressions of a file, in its order.

    Args:
        path: a ``.json`` file, or a pickle, which is read by the restricted reader.
        dataset: the set's name, for expressions that do not say theirs.
        split_by: the splitting's name, likewise.
        tally: takes findings.

    Raises:
        MmudError: MM002; MM70x or MM71x when the file cannot be read; MM704 or MM714 when it is no list of expressions.
    """
    is_json = path.suffix.lower() == ".json"
    entries = load_json(path, tally) if is_json else safe_pickle.load(path)
    place = Place(file=str(path))
    if not isinstance(entries, list | tuple):
        code = codes.JSON_SHAPE if is_json else codes.PICKLE_CONTENT
        raise MmudError(code, f"a list of referring expressions is expected, not {shown(entries)}", place)
    found: list[Ref] = []
    seen: set[tuple[str, int]] = set()
    for index, entry in enumerate(entries):
        where = Place(file=str(path), row=index)
        ref = _read_ref(entry, dataset, split_by, tally, where)
        if ref is None:
            continue
        if ref.ref_id is not None:
            if (ref.dataset, ref.ref_id) in seen:
                tally.note(codes.ID_REPEATED, f"{ref.dataset} ref {ref.ref_id} comes twice, both are kept", where)
            seen.add((ref.dataset, ref.ref_id))
        found.append(ref)
    return found


def _read_ref(entry: Any, dataset: str, split_by: str, tally: Tally, where: Place) -> Ref | None:
    if not isinstance(entry, Mapping):
        tally.note(codes.JSON_ENTRY, f"{shown(entry)} instead of a referring expression", where)
        return None
    image_id = whole(entry.get("image_id"))
    if image_id is None:
        message = f"ref {shown(entry.get('ref_id'))}: image id {shown(entry.get('image_id'))}"
        tally.note(codes.JSON_ENTRY, message, where)
        return None
    sentences = _sentences(entry, tally, where)
    raw = tuple(text for _, _, text in sentences)
    cleaned = tuple(text for _, text, _ in sentences)
    ids = tuple(number for number, _, _ in sentences)
    return Ref(
        dataset=_text(entry, "dataset") or dataset,
        split_by=_text(entry, "split_by") or split_by,
        ref_id=whole(entry.get("ref_id")),
        ann_id=whole(entry.get("ann_id")),
        category_id=whole(entry.get("category_id")),
        image_id=image_id,
        split=_text(entry, "split"),
        file_name=_text(entry, "file_name") or None,
        sentences=cleaned,
        raw=raw if raw != cleaned else (),
        sentence_ids=ids if any(number is not None for number in ids) else (),
        box=entry.get("bbox"),
        width=side(entry.get("width")),
        height=side(entry.get("height")),
    )


def _text(entry: Mapping[Any, Any], key: str) -> str:
    value = entry.get(key)
    return encodable(value) if isinstance(value, str) else ""


def _sentences(entry: Mapping[Any, Any], tally: Tally, where: Place) -> list[tuple[int | None, str, str]]:
    """(sentence id, cleaned text, raw text) of each expression."""
    listed = entry.get("sentences", entry.get("sents"))
    if isinstance(listed, Mapping):
        # A derived form: sentence id -> text.
        listed = [{"sent_id": key, "sent": text} for key, text in listed.items()]
    found = []
    for sentence in listed if isinstance(listed, list | tuple) else []:
        fields = {"sent": sentence} if isinstance(sentence, str) else sentence
        text = _sentence_text(fields) if isinstance(fields, Mapping) else ""
        if not text.strip():
            tally.note(codes.PHRASE_MISSING, f"ref {shown(entry.get('ref_id'))}: expression {shown(sentence)}", where)
            continue
        found.append((whole(fields.get("sent_id")), text.strip(), _text(fields, "raw") or text.strip()))
    if not found:
        tally.note(codes.PHRASE_MISSING, f"ref {shown(entry.get('ref_id'))} has no expression", where)
    return found


def _sentence_text(fields: Mapping[Any, Any]) -> str:
    for key in ("sent", "raw"):
        if text := _text(fields, key).strip():
            return text
    tokens = fields.get("tokens")
    if isinstance(tokens, list | tuple) and all(isinstance(token, str) for token in tokens):
        return encodable(" ".join(tokens))
    return ""


def split_of(published: str) -> str | None:
    """The dataset's split for a published one; None for a name that is not known."""
    return SPLIT_NAMES.get(published)
