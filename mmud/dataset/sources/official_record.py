"""One record of the official release: from its 12-tuple to a sample, and back.

Whatever the columns of a sample cannot hold is kept in ``provenance["official"]``, so that `restore_record` gives the 12-tuple
again:

- ``index``: the record's position in its file;
- ``caption_len``, ``enriched_text_len``: the token counts, where the record has them;
- ``path``: the image path, where it is more than the image file's name;
- ``frame``: what stands around question and answer, where it is not the usual;
- ``enriched_text``: the whole text, where question and answer do not hold it unchanged;
- ``parts``: object number -> the counts of its mask's parts, where run lengths are not one part in canonical form;
- ``raw``: field -> the value as it was, where it has a form that the columns do not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from mmud.annotations import codes as annotation_codes
from mmud.annotations import tags
from mmud.annotations.masks import MAX_SIDE
from mmud.dataset.sources import codes
from mmud.dataset.sources.coco_files import side
from mmud.dataset.sources.construct import construct
from mmud.dataset.sources.enriched_text import USUAL_FRAME, split_enriched_text
from mmud.dataset.sources.image_files import file_name_of
from mmud.dataset.sources.object_masks import Box, ObjectMask, Size, boxes_disagree, object_masks, usable_box
from mmud.dataset.sources.plain_json import encodable, shown, to_json
from mmud.errors import Code, Finding, MmudError, Place
from mmud.records import MaskedObject, Sample

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

MOST_OBJECTS = 10_000
"""A record with longer lists is no record: every use of a sample walks over its objects."""

HeaderSize = Callable[[], tuple[int, int] | None]
"""Gives (width, height) of the image file, or None."""


def check_shape(record: Any, place: Place) -> Sequence[Any]:
    """The record, which must be a tuple of 12 or 10 fields with an image path.

    Raises:
        MmudError: MM720.
    """
    if not isinstance(record, tuple | list) or len(record) not in (FIELDS_WITHOUT_LENGTHS, len(FIELDS)):
        raise MmudError(codes.RECORD_SHAPE, f"the record is {shown(record)}, not a tuple of 12", place)
    if not isinstance(record[0], str) or not file_name_of(record[0]).strip():
        raise MmudError(codes.RECORD_SHAPE, f"the record names its image by {shown(record[0])}", place)
    for field, value in zip(FIELDS, record, strict=False):
        if isinstance(value, list | tuple) and len(value) > MOST_OBJECTS:
            raise MmudError(codes.RECORD_SHAPE, f"{field} has {len(value):,} entries", place)
    return record


class RecordReader:
    """Reads one record.

    Args:
        record: as `check_shape` gives it.
        place: of the record, for findings.
        index: its position in its file.
        header_size: asked for the image's size where the record's own cannot be right.
    """

    def __init__(self, record: Sequence[Any], place: Place, index: int, header_size: HeaderSize) -> None:
        self._record = record
        self._place = place
        self._header_size = header_size
        self.findings: list[Finding] = []
        self.official: dict[str, Any] = {"index": index}
        self._raw: dict[str, Any] = {}
        boxes = record[5]
        self._boxes = [usable_box(box) for box in boxes] if isinstance(boxes, list | tuple) else []

    def _note(self, code: Code, message: str, number: int | None = None) -> None:
        place = self._place
        if number is not None:
            place = Place(sample=place.sample, object=number, split=place.split, file=place.file, row=place.row)
        self.findings.append(Finding(code, place, message))

    def _keep(self, field: int, message: str) -> None:
        """A field with another form than the release's: its value as it was goes to the provenance."""
        name = FIELDS[field]
        if name not in self._raw:
            self._raw[name] = to_json(self._record[field])
            self._note(codes.RECORD_FIELD, f"{name}: {message}")

    def read(self) -> dict[str, Any]:
        """The sample's width, height, caption, question, answer and objects.

        Raises:
            MmudError: MM720 when the image's size is not known.
        """
        self._read_path()
        height, width = self._size()
        objects = self._objects(height, width)
        caption = self._text(1)
        question, answer = self._question_and_answer()
        self._check_tags(answer, len(objects))
        self._read_lengths()
        if self._raw:
            self.official["raw"] = self._raw
        return {
            "width": width,
            "height": height,
            "caption": caption,
            "question": question,
            "answer": answer,
            "objects": tuple(objects),
        }

    # -- texts -----------------------------------------------------------------------------------------------------------

    def _read_path(self) -> None:
        path = self._record[0]
        name = file_name_of(path)
        if name != path:
            self.official["path"] = encodable(path)
            if "\\" in path:
                self._note(codes.WINDOWS_FOLDER, f"image path {shown(path)}")

    def _text(self, field: int) -> str:
        value = self._record[field]
        if not isinstance(value, str):
            self._keep(field, f"{shown(value)} instead of text")
            return ""
        return self._storable(value, FIELDS[field])

    def _storable(self, text: str, what: str) -> str:
        fixed = encodable(text)
        if fixed != text:
            self._note(codes.TEXT_UNENCODABLE, f"{what} holds half of a surrogate pair")
        return fixed

    def _question_and_answer(self) -> tuple[str, str]:
        text = self._text(2)
        pieces = split_enriched_text(text)
        question, answer = pieces.question, pieces.answer
        if not pieces.usual and isinstance(self._record[2], str):
            self._note(codes.ENRICHED_TEXT_FORM, f"enriched text {shown(text)}")
        if "<OBJ-" in text:
            question, answer = tags.normalise(question), tags.normalise(answer)
        if (question, answer) != (pieces.question, pieces.answer):
            self._note(codes.OBJ_TAGS, "tags are written <OBJ-i>")
            self.official["enriched_text"] = text
        elif pieces.frame != USUAL_FRAME:
            self.official["frame"] = list(pieces.frame)
        return question, answer

    def _check_tags(self, answer: str, count: int) -> None:
        numbers = [tag.index for tag in tags.parse(answer)] if "<" in answer else []
        mentioned = set(numbers)
        if len(mentioned) < len(numbers):
            twice = sorted(number for number in mentioned if numbers.count(number) > 1)
            self._note(codes.TAG_REPEATED, f"the answer has tag {', '.join(map(str, twice[:10]))} more than once")
        whole = mentioned == set(range(1, count + 1))
        if not whole and (untagged := [number for number in range(1, count + 1) if number not in mentioned]):
            shown_numbers = ", ".join(map(str, untagged[:10])) + (" …" if len(untagged) > 10 else "")
            self._note(codes.OBJECT_UNTAGGED, f"{len(untagged)} of {count} objects are not mentioned: {shown_numbers}")
        if not whole or answer.count("<") > len(numbers) or "[" in answer:
            for problem in tags.problems(answer, count):
                dangling = problem.kind == "dangling"
                code = annotation_codes.TAG_DANGLING if dangling else annotation_codes.TAG_MALFORMED
                self._note(code, f"{problem.text} in an answer about {count} objects")

    def _read_lengths(self) -> None:
        if len(self._record) < len(FIELDS):
            self._note(codes.RECORD_WITHOUT_LENGTHS, f"the record has {len(self._record)} fields")
            return
        for field in (10, 11):
            value = self._record[field]
            if type(value) is not int or not 0 <= value < 1 << 31:
                self._keep(field, f"{shown(value)} instead of a count")
                continue
            self.official[FIELDS[field]] = value
            if value > MAX_TOKENS:
                self._note(codes.TEXT_TOO_LONG, f"{FIELDS[field]} is {value}")

    # -- size ------------------------------------------------------------------------------------------------------------

    def _size(self) -> tuple[int, int]:
        """(height, width)"""
        sides = [self._side(6), self._side(7)]
        height, width = sides
        if height is None or width is None:
            size = self._size_elsewhere()
            if size is None:
                message = (
                    f"height {shown(self._record[6])}, width {shown(self._record[7])}: the image's size is not known"
                )
                raise MmudError(codes.RECORD_SHAPE, message, self._place)
            return size
        if height != width and self._looks_swapped(height, width):
            known = self._size_elsewhere()
            if known == (width, height):
                self._raw["sample_height"], self._raw["sample_width"] = height, width
                self._note(codes.SIZE_SWAPPED, f"height {height} and width {width} are those of the image, swapped")
                return width, height
        return height, width

    def _side(self, field: int) -> int | None:
        value = self._record[field]
        if isinstance(value, float) and value.is_integer() and 0 < value <= MAX_SIDE:
            self._keep(field, f"{shown(value)} instead of a whole number")
            return int(value)
        if type(value) is not int or not 0 < value <= MAX_SIDE:
            self._keep(field, f"{shown(value)} instead of a number of pixels")
            return None
        return value

    def _looks_swapped(self, height: int, width: int) -> bool:
        """Whether a box or mask fits the image only with its sides swapped: then it is worth asking."""
        for rle in self._rles():
            if rle.get("size") in ([width, height], (width, height)):
                return True
        return any(
            box is not None and (box[0] + box[2] > width + 1 or box[1] + box[3] > height + 1) for box in self._boxes
        )

    def _size_elsewhere(self) -> tuple[int, int] | None:
        """(height, width) of the image file or of the first mask that has one."""
        header = self._header_size()
        if header is not None:
            return header[1], header[0]
        for rle in self._rles():
            size = rle.get("size")
            if isinstance(size, list | tuple) and len(size) == 2 and all(side(number) for number in size):
                return size[0], size[1]
        return None

    def _rles(self) -> list[dict[str, Any]]:
        masks = self._record[4]
        if not isinstance(masks, list | tuple):
            return []
        found = [part for mask in masks if isinstance(mask, list | tuple) for part in mask[:1]]
        return [part for part in found if isinstance(part, dict)]

    # -- objects ---------------------------------------------------------------------------------------------------------

    def _list(self, field: int) -> list[Any]:
        value = self._record[field]
        if isinstance(value, list | tuple):
            if type(value) is tuple:
                self._keep(field, "a tuple instead of a list")
            return list(value)
        self._keep(field, f"{shown(value)} instead of a list")
        return []

    def _objects(self, height: int, width: int) -> list[MaskedObject]:
        texts, masks, boxes, ids, names = (self._list(field) for field in (3, 4, 5, 8, 9))
        count = max(map(len, (texts, masks, boxes, ids, names)))
        lengths = [len(texts), len(masks), len(boxes), len(ids), len(names)]
        if min(lengths) < count:
            self._note(
                codes.LISTS_DIFFER, "texts, masks, boxes, categories, category names: " + ", ".join(map(str, lengths))
            )
            for field, values in zip((3, 4, 5, 8, 9), (texts, masks, boxes, ids, names), strict=True):
                if len(values) < count:
                    self._raw.setdefault(FIELDS[field], to_json(self._record[field]))
                    values += [None] * (count - len(values))
        if count > MAX_OBJECTS:
            self._note(codes.TOO_MANY_OBJECTS, f"{count} objects")
        self._check_first_mask(masks)
        found = object_masks(masks, height, width)
        return [
            self._object(number, (height, width), *values)
            for number, values in enumerate(zip(texts, masks, found, boxes, ids, names, strict=True), start=1)
        ]

    def _check_first_mask(self, masks: list[Any]) -> None:
        first = masks[0] if masks else None
        if not isinstance(first, list) or not first or type(first[0]) is not float:
            self._note(codes.NOT_A_POLYGON, "the first mask is no flat polygon")

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
            self._keep(8, f"{shown(category_id)} instead of a number")
            category_id = None
        if category is not None and not isinstance(category, str):
            self._keep(9, f"{shown(category)} instead of a name")
            category = None
        return construct(
            MaskedObject,
            {
                "phrases": self._phrases(number, texts),
                "segmentation": mask.segmentation(size),
                "polygons": mask.polygons,
                "bbox": self._box(number, raw_box, mask),
                "area": float(mask.area),
                "category": self._storable(category, "a category's name") if category else "",
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
            self._keep(3, "one text instead of a list of them")
            texts = [texts]
        if not isinstance(texts, list | tuple) or len(texts) > MOST_OBJECTS:
            self._keep(3, f"{shown(texts)} instead of a list of texts")
            return ()
        phrases = []
        for text in texts:
            if not isinstance(text, str):
                self._keep(3, f"{shown(text)} instead of a text")
                continue
            phrases.append(text)
        joined = "\n".join(phrases)
        if DROPPED_SIGNS.search(joined):
            for text in phrases:
                if DROPPED_SIGNS.search(text):
                    self._note(codes.PHRASE_PUNCTUATION, f"phrase {shown(text)}", number)
        if joined.isascii():
            return tuple(phrases)
        return tuple(self._storable(text, "a phrase") for text in phrases)

    def _box(self, number: int, raw: Any, mask: ObjectMask) -> Box:
        box = self._boxes[number - 1] if number <= len(self._boxes) else None
        if box is None:
            if raw is not None:
                self._keep(5, f"{shown(raw)} is no box")
            self._note(codes.BOX_UNUSABLE, f"box {shown(raw)}", number)
            return mask.box or (0.0, 0.0, 0.0, 0.0)
        if mask.box is not None and boxes_disagree(box, mask.box):
            self._note(codes.BOX_DISAGREES, f"box {list(box)}, mask within {list(mask.box)}", number)
        return box

    def _check_mask(self, number: int, raw: Any, mask: ObjectMask) -> None:
        for problem in mask.problems:
            self._note(codes.MASK_UNUSABLE, problem, number)
        if mask.counts is None and not mask.problems:
            self._note(codes.MASK_MISSING, f"mask {shown(raw)}", number)
        if mask.overlapping:
            self._note(codes.PARTS_OVERLAP, "parts of the mask share pixels", number)
        if mask.polygons is not None and type(raw) is list and type(raw[0]) in (float, int) and len(mask.polygons) == 1:
            return
        several = mask.parts or mask.polygons or ()
        if len(several) > 1:
            self._note(codes.SEVERAL_PARTS, f"{len(several)} parts", number)
        if not mask.parts or mask.problems:
            if raw is not None:
                self._keep(4, f"mask {number} is {shown(raw)}")
        elif not _usual_rles(raw, mask.parts):
            self._keep(4, f"mask {number} has run lengths in another form")
        elif mask.parts != (mask.counts,):
            self.official.setdefault("parts", {})[str(number)] = list(mask.parts)


def _usual_rles(raw: Any, parts: Sequence[str]) -> bool:
    """Whether a mask is a list of RLE dictionaries with counts in bytes that are the parts' own."""
    return type(raw) is list and all(
        type(form) is dict
        and form.keys() == {"size", "counts"}
        and type(form["size"]) is list
        and form["counts"] == part.encode()
        for form, part in zip(raw, parts, strict=True)
    )


def restore_record(sample: Sample) -> tuple[Any, ...]:
    """The 12-tuple (or the 10-tuple) that a sample was read from.

    Args:
        sample: from the official source, or any other: what the release's form needs and the sample lacks is filled as well as it
            can be (no token counts: a 10-tuple).

    Returns:
        Fields in the order of `FIELDS`. Numbers of polygons and boxes are floats.
    """
    official = sample.provenance.get("official", {})
    raw = official.get("raw", {})
    head, middle, tail = official.get("frame", USUAL_FRAME)
    parts = official.get("parts", {})
    masks = [_restored_mask(item, parts.get(str(number))) for number, item in enumerate(sample.objects, start=1)]
    name = file_name_of(sample.image.path) if sample.image.path else sample.sample_id
    values: dict[str, Any] = {
        "image_path": official.get("path", name),
        "caption": sample.caption,
        "enriched_text": official.get("enriched_text", head + sample.question + middle + sample.answer + tail),
        "sample_texts": [list(item.phrases) for item in sample.objects],
        "sample_masks": masks,
        "sample_boxs": [list(item.bbox) for item in sample.objects],
        "sample_height": sample.height,
        "sample_width": sample.width,
        "sample_category": [item.category_id for item in sample.objects],
        "sample_category_text": [item.category for item in sample.objects],
    }
    for field in FIELDS[FIELDS_WITHOUT_LENGTHS:]:
        if field in official or field in raw:
            values[field] = official.get(field)
    return tuple(raw.get(field, values[field]) for field in FIELDS if field in values)


def _restored_mask(item: MaskedObject, parts: Sequence[str] | None) -> list[Any]:
    if item.polygons is not None:
        return list(item.polygons[0]) if len(item.polygons) == 1 else [list(polygon) for polygon in item.polygons]
    if item.segmentation is None:
        return []
    size = list(item.segmentation.size)
    return [{"size": list(size), "counts": counts.encode()} for counts in parts or [item.segmentation.counts]]
