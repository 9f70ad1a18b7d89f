"""Which records of the official release have its usual form, told by a few comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from mmud.annotations.masks import MAX_SIDE
from mmud.annotations.tags import render
from mmud.dataset.sources.enriched_text import usual_pieces
from mmud.dataset.sources.object_masks import NUMBERS
from mmud.dataset.sources.pickles.floats import PackedFloats
from mmud.dataset.sources.release.form import DROPPED_SIGNS, MAX_TOKENS, MOST_OBJECTS

_TYPES = (str, str, str, list, list, list, int, int, list, list, int, int)
_FLOAT, _INT, _LIST, _TEXT = frozenset({float}), frozenset({int}), frozenset({list}), frozenset({str})
_FOUR = {4}
_RLE_KEYS = {"size", "counts"}
_INT64 = 1 << 63
_TAGS = tuple(render(number) for number in range(1, 33))


def has_usual_fields(record: Sequence[Any]) -> bool:
    """Whether every field has its usual type, down to the last number, and lists go together."""
    if tuple(map(type, record)) != _TYPES:
        return False
    _, _, _, texts, masks, boxes, height, width, ids, names, caption_length, text_length = record
    count = len(texts)
    return (
        0 < count <= len(_TAGS)
        and len(masks) == len(boxes) == len(ids) == len(names) == count
        and 0 < height <= MAX_SIDE
        and 0 < width <= MAX_SIDE
        and 0 <= caption_length <= MAX_TOKENS
        and 0 <= text_length <= MAX_TOKENS
        and _INT.issuperset(map(type, ids))
        and min(ids) > -_INT64
        and max(ids) < _INT64
        and _TEXT.issuperset(map(type, names))
        and _LIST.issuperset(map(type, texts))
        and _LIST.issuperset(map(type, boxes))
        and _FOUR.issuperset(map(len, boxes))
        and NUMBERS.issuperset(map(type, chain.from_iterable(boxes)))
        and _has_usual_masks(masks, [height, width])
    )


def _has_usual_masks(masks: list[Any], size: list[int]) -> bool:
    """Whether each mask is one flat polygon of floats, or a list of one run-length encoding of the image's size."""
    for mask in masks:
        if type(mask) is PackedFloats:
            if len(mask.spelt) % 18:  # nine bytes a number
                return False
            continue
        if type(mask) is not list:
            return False
        if len(mask) >= 6:
            if len(mask) % 2 or not _FLOAT.issuperset(map(type, mask)):
                return False
            continue
        if len(mask) != 1 or type(mask[0]) is not dict:
            return False
        rle = mask[0]
        if not (
            rle.keys() == _RLE_KEYS
            and type(rle["size"]) is list
            and rle["size"] == size
            and type(rle["counts"]) is bytes
        ):
            return False
    return True


def usual_texts(record: Sequence[Any]) -> tuple[str, str] | None:
    """Question and answer, where all texts can be stored as they are and each object is mentioned once; None otherwise.

    Args:
        record: one that `has_usual_fields`.
    """
    _, caption, enriched, texts, _, _, _, _, _, names, _, _ = record
    phrases = list(chain.from_iterable(texts))
    if len(phrases) > MOST_OBJECTS or not _TEXT.issuperset(map(type, phrases)):
        return None
    joined = "\n".join(phrases)
    if DROPPED_SIGNS.search(joined) or not _storable(joined + caption + enriched + "".join(names)):
        return None
    pieces = usual_pieces(enriched)
    if pieces is None or "<OBJ-" in enriched:
        return None
    answer = pieces[1]
    # As many "<" as objects, and the tag of each object there: each is there once, and nothing else looks like a tag.
    if answer.count("<") != len(texts) or "[" in answer:
        return None
    for tag in _TAGS[: len(texts)]:
        if tag not in answer:
            return None
    return pieces


def _storable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
