"""What can be mended in a row without losing anything; each change is recorded with the code that it is for.

The rules, one a code:

- MM306 ``<OBJ-i>`` in an answer becomes ``<LCL-i>``;
- MM414 carriage return and line feed become a line feed, any other line separator a space;
- MM413 a control character becomes a space;
- MM419 text takes normal form C;
- MM422 white space at a text's start and end goes;
- MM405 empty phrases go, and MM417 of equal phrases of one object the first stays;
- MM207 a run-length encoding is written in its shortest form, for the same pixels;
- MM212 and MM213 a box that is null or all zero, and an area that is null or zero, are computed from the mask, if the mask is
  readable, of the sample's size, and has a pixel. Any other box or area is left as it is, right or wrong.

A text that is nothing but white space is left, so that only codes that are reported are acted on. Every rule leaves a row in
which it has nothing more to do.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mmud.annotations import tags
from mmud.dataset.checks.base import Row
from mmud.dataset.checks.batch import ObjectMask
from mmud.dataset.checks.characters import CONTROLS, LINE_SEPARATORS, TEXT_FIELDS
from mmud.dataset.checks.codes import masks as mask_codes
from mmud.dataset.checks.codes import tags as tag_codes
from mmud.dataset.checks.codes import text as text_codes
from mmud.dataset.checks.masks import area_absent, box_absent
from mmud.errors import Code


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a row.

    Attributes:
        code: what it mends.
        object: the object's number, from 1; None for a field of the sample.
        field: the field.
        before, after: its values; ``after`` is None for a phrase that went.
    """

    code: Code
    object: int | None
    field: str
    before: Any
    after: Any


def _single_line_ends(text: str) -> str:
    return LINE_SEPARATORS.sub(" ", text.replace("\r\n", "\n"))


def _strip(text: str) -> str:
    return text if text.isspace() else text.strip()


_TEXT_MENDS: tuple[tuple[Code, Callable[[str], str]], ...] = (
    (text_codes.LINE_SEPARATOR, _single_line_ends),
    (text_codes.CONTROL_CHARACTER, lambda text: CONTROLS.sub(" ", text)),
    (text_codes.NOT_NFC, lambda text: unicodedata.normalize("NFC", text)),
    (text_codes.SPACES, _strip),
)
"""In this order: what becomes a space may then stand at an end."""

MENDED_CODES: tuple[Code, ...] = (
    tag_codes.TAG_OLD_FORM,
    *(code for code, _ in _TEXT_MENDS),
    text_codes.PHRASE_EMPTY,
    text_codes.PHRASE_REPEATED,
    mask_codes.RLE_NOT_CANONICAL,
    mask_codes.BOX_ABSENT,
    mask_codes.AREA_ABSENT,
)


def mend_row(row: Row, masks: list[ObjectMask | None], wanted: frozenset[str]) -> list[Change]:
    """Mend a row in place.

    Args:
        row: the raw row.
        masks: of its objects, as `mmud.dataset.checks.batch.decode_masks` reads them.
        wanted: the ids of the codes to mend.

    Returns:
        What was changed, in the order in which it was.
    """
    changes: list[Change] = []
    for field in TEXT_FIELDS:
        text = row[field]
        if not text:
            continue
        if field == "answer" and tag_codes.TAG_OLD_FORM.id in wanted and tags.normalise(text) != text:
            changes.append(Change(tag_codes.TAG_OLD_FORM, None, field, text, tags.normalise(text)))
            text = tags.normalise(text)
        for code, mended in _mended(text, wanted):
            changes.append(Change(code, None, field, text, mended))
            text = mended
        row[field] = text
    for number, (item, mask) in enumerate(zip(row["objects"] or (), masks, strict=True), start=1):
        if item is not None:
            changes += _mend_phrases(number, item, wanted)
            if mask is not None and mask.mask is not None:
                changes += _mend_geometry(number, item, mask, wanted)
    return changes


def _mended(text: str, wanted: frozenset[str]) -> Iterator[tuple[Code, str]]:
    """Each step that changes a text, with what it makes of it."""
    if text.isascii() and text.isprintable() and not (text[0] == " " or text[-1] == " "):
        return
    for code, mend in _TEXT_MENDS:
        if code.id in wanted:
            mended = mend(text)
            if mended != text:
                yield code, mended
                text = mended


def _mend_phrases(number: int, item: dict[str, Any], wanted: frozenset[str]) -> list[Change]:
    if not item["phrases"]:
        return []
    changes: list[Change] = []
    kept: list[str | None] = []
    for phrase in item["phrases"]:
        text = phrase
        for code, mended in _mended(phrase, wanted) if phrase else ():
            changes.append(Change(code, number, "phrases", text, mended))
            text = mended
        gone = None
        if text is not None and not text.strip():
            gone = text_codes.PHRASE_EMPTY
        elif text is not None and text in kept:
            gone = text_codes.PHRASE_REPEATED
        if gone is not None and gone.id in wanted:
            changes.append(Change(gone, number, "phrases", text, None))
        else:
            kept.append(text)
    item["phrases"] = kept
    return changes


def _mend_geometry(number: int, item: dict[str, Any], mask: ObjectMask, wanted: frozenset[str]) -> Iterator[Change]:
    if mask.mask is not None and mask.stored != mask.mask.counts and mask_codes.RLE_NOT_CANONICAL.id in wanted:
        before, after = item["segmentation"]["counts"], mask.mask.counts.decode("ascii")
        item["segmentation"]["counts"] = after
        yield Change(mask_codes.RLE_NOT_CANONICAL, number, "segmentation", before, after)
    if not mask.usable:
        return
    if box_absent(item) and mask_codes.BOX_ABSENT.id in wanted:
        before, item["bbox"] = item["bbox"], list(mask.bbox)
        yield Change(mask_codes.BOX_ABSENT, number, "bbox", before, item["bbox"])
    if area_absent(item) and mask_codes.AREA_ABSENT.id in wanted:
        before, item["area"] = item["area"], float(mask.area)
        yield Change(mask_codes.AREA_ABSENT, number, "area", before, item["area"])
