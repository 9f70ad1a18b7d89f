"""The objects of an official record: masks, boxes, categories, phrases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmud.dataset.sources import codes
from mmud.dataset.sources.construct import construct
from mmud.dataset.sources.object_masks import Box, ObjectMask, Size, boxes_disagree, object_masks, usable_box
from mmud.dataset.sources.plain_json import shown, to_json
from mmud.dataset.sources.release.form import DROPPED_SIGNS, FIELDS, MAX_OBJECTS, MOST_OBJECTS
from mmud.dataset.sources.release.notes import RecordNotes
from mmud.records import MaskedObject


class ObjectReader:
    """Reads the objects of one record.

    Args:
        record: as `mmud.dataset.sources.release.form.check_shape` gives it.
        notes: take what is odd.

    Attributes:
        boxes: those of the record; None for one that cannot be used.
    """

    def __init__(self, record: Sequence[Any], notes: RecordNotes) -> None:
        self._record = record
        self._notes = notes
        boxes = record[5]
        self.boxes = [usable_box(box) for box in boxes] if isinstance(boxes, list | tuple) else []

    def read(self, height: int, width: int) -> list[MaskedObject]:
        """The objects of an image of this size, in pixels."""
        texts, masks, boxes, ids, names = (self._list(field) for field in (3, 4, 5, 8, 9))
        count = max(map(len, (texts, masks, boxes, ids, names)))
        lengths = [len(texts), len(masks), len(boxes), len(ids), len(names)]
        if min(lengths) < count:
            self._notes.note(
                codes.LISTS_DIFFER, "texts, masks, boxes, categories, category names: " + ", ".join(map(str, lengths))
            )
            for field, values in zip((3, 4, 5, 8, 9), (texts, masks, boxes, ids, names), strict=True):
                if len(values) < count:
                    self._notes.raw.setdefault(FIELDS[field], to_json(self._record[field]))
                    values += [None] * (count - len(values))
        if count > MAX_OBJECTS:
            self._notes.note(codes.TOO_MANY_OBJECTS, f"{count} objects")
        self._check_first_mask(masks)
        found = object_masks(masks, height, width)
        return [
            self._object(number, (height, width), *values)
            for number, values in enumerate(zip(texts, masks, found, boxes, ids, names, strict=True), start=1)
        ]

    def _list(self, field: int) -> list[Any]:
        value = self._record[field]
        if isinstance(value, list | tuple):
            if type(value) is tuple:
                self._notes.keep(field, "a tuple instead of a list")
            return list(value)
        self._notes.keep(field, f"{shown(value)} instead of a list")
        return []

    def _check_first_mask(self, masks: list[Any]) -> None:
        first = masks[0] if masks else None
        if not isinstance(first, list) or not first or type(first[0]) is not float:
            self._notes.note(codes.NOT_A_POLYGON, "the first mask is no flat polygon")

    def _object(
        self,
        number: int,
        size: Size,
        texts: Any,
        raw_mask: Any,
        mask: ObjectMask,
        raw_box: Any,
        category_id: Any,
        category: Any,
    ) -> MaskedObject:
        self._check_mask(number, raw_mask, mask)
        if category_id is not None and (type(category_id) is not int or abs(category_id) >= 1 << 63):
            self._notes.keep(8, f"{shown(category_id)} instead of a number")
            category_id = None
        if category is not None and not isinstance(category, str):
            self._notes.keep(9, f"{shown(category)} instead of a name")
            category = None
        return construct(
            MaskedObject,
            {
                "phrases": self._phrases(number, texts),
                "segmentation": mask.segmentation(size),
                "polygons": mask.polygons,
                "bbox": self._box(number, raw_box, mask),
                "area": float(mask.area),
                "category": self._notes.storable(category, "a category's name") if category else "",
                "category_id": category_id,
                "iscrowd": False,
                "ref_id": None,
                "ann_id": None,
            },
        )

    def _phrases(self, number: int, texts: Any) -> tuple[str, ...]:
        if texts is None:
            return ()
        if isinstance(texts, str):
            self._notes.keep(3, "one text instead of a list of them")
            texts = [texts]
        if not isinstance(texts, list | tuple) or len(texts) > MOST_OBJECTS:
            self._notes.keep(3, f"{shown(texts)} instead of a list of texts")
            return ()
        phrases = []
        for text in texts:
            if not isinstance(text, str):
                self._notes.keep(3, f"{shown(text)} instead of a text")
                continue
            phrases.append(text)
        joined = "\n".join(phrases)
        if DROPPED_SIGNS.search(joined):
            for text in phrases:
                if DROPPED_SIGNS.search(text):
                    self._notes.note(codes.PHRASE_PUNCTUATION, f"phrase {shown(text)}", number)
        if joined.isascii():
            return tuple(phrases)
        return tuple(self._notes.storable(text, "a phrase") for text in phrases)

    def _box(self, number: int, raw: Any, mask: ObjectMask) -> Box:
        box = self.boxes[number - 1] if number <= len(self.boxes) else None
        if box is None:
            if raw is not None:
                self._notes.keep(5, f"{shown(raw)} is no box")
            self._notes.note(codes.BOX_UNUSABLE, f"box {shown(raw)}", number)
            return mask.box or (0.0, 0.0, 0.0, 0.0)
        if mask.box is not None and boxes_disagree(box, mask.box):
            self._notes.note(codes.BOX_DISAGREES, f"box {list(box)}, mask within {list(mask.box)}", number)
        return box

    def _check_mask(self, number: int, raw: Any, mask: ObjectMask) -> None:
        for problem in mask.problems:
            self._notes.note(codes.MASK_UNUSABLE, problem, number)
        if mask.counts is None and not mask.problems:
            self._notes.note(codes.MASK_MISSING, f"mask {shown(raw)}", number)
        if mask.overlapping:
            self._notes.note(codes.PARTS_OVERLAP, "parts of the mask share pixels", number)
        if mask.polygons is not None and type(raw) is list and type(raw[0]) in (float, int) and len(mask.polygons) == 1:
            return
        several = mask.parts or mask.polygons or ()
        if len(several) > 1:
            self._notes.note(codes.SEVERAL_PARTS, f"{len(several)} parts", number)
        if not mask.parts or mask.problems:
            if raw is not None:
                self._notes.keep(4, f"mask {number} is {shown(raw)}")
        elif not _usual_rles(raw, mask.parts):
            self._notes.keep(4, f"mask {number} has run lengths in another form")
        elif mask.parts != (mask.counts,):
            self._notes.official.setdefault("parts", {})[str(number)] = list(mask.parts)


def _usual_rles(raw: Any, parts: Sequence[str]) -> bool:
    """Whether a mask is a list of RLE dictionaries with counts in bytes that are the parts' own."""
    return type(raw) is list and all(
        type(form) is dict
        and form.keys() == {"size", "counts"}
        and type(form["size"]) is list
        and form["counts"] == part.encode()
        for form, part in zip(raw, parts, strict=True)
    )
