"""Records of the official release that have its usual form, many at once.

`mmud.dataset.sources.release.record` reads any record, field by field, and names everything that is odd about it. Nearly all
records have nothing to name. They are told here by a few comparisons, their masks are rasterised size by size, and boxes are
compared as arrays; whatever is not plainly usual is left to the other. Where a record is taken here, both give the same row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import _mask as coco

from mmud.annotations.masks import MAX_SIDE
from mmud.annotations.runs import decode_runs
from mmud.annotations.tags import render
from mmud.dataset.sources.enriched_text import usual_pieces
from mmud.dataset.sources.object_masks import BATCH, FURTHEST, NUMBERS, Size, box_arrays_disagree
from mmud.dataset.sources.release.form import DROPPED_SIGNS, MAX_TOKENS, MOST_OBJECTS

_TYPES = (str, str, str, list, list, list, int, int, list, list, int, int)
_FLOAT, _INT, _LIST, _TEXT = frozenset({float}), frozenset({int}), frozenset({list}), frozenset({str})
_RLE_KEYS = {"size", "counts"}
_INT64 = 1 << 63
_TAGS = tuple(render(number) for number in range(1, 33))

Float64 = NDArray[np.float64]


@dataclass(slots=True)
class UsualRecord:
    """What a record's row needs beside its texts.

    Attributes:
        question, answer: the two halves of its enriched text.
        objects: rows of the column ``objects``.
    """

    question: str
    answer: str
    objects: list[dict[str, Any]]


def read_usual(records: Sequence[Any]) -> list[UsualRecord | None]:
    """Read the usual ones of some records.

    Args:
        records: as `mmud.dataset.sources.release.form.check_shape` lets them pass.

    Returns:
        One for each record, in order; None for a record that is to be read field by field.
    """
    found: list[UsualRecord | None] = [None] * len(records)
    pieces = [_usual_texts(record) if _has_usual_fields(record) else None for record in records]
    usual = [number for number, texts in enumerate(pieces) if texts is not None]
    block = _Block()
    for number in usual:
        block.add(number, records[number])
    odd = block.finish()
    position = 0
    for number in usual:
        record, texts = records[number], pieces[number]
        count = len(record[4])
        if texts is not None and number not in odd:
            found[number] = UsualRecord(*texts, block.objects(record, position))
        position += count
    return found


def _has_usual_fields(record: Sequence[Any]) -> bool:
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
        and _LIST.issuperset(map(type, chain(texts, masks, boxes)))
        and set(map(len, boxes)) == {4}
        and NUMBERS.issuperset(map(type, chain.from_iterable(boxes)))
        and all(_is_usual_mask(mask, [height, width]) for mask in masks)
    )


def _is_usual_mask(mask: list[Any], size: list[int]) -> bool:
    """Whether a mask is one flat polygon of floats, or a list of one run-length encoding of the image's size."""
    if len(mask) >= 6:
        return len(mask) % 2 == 0 and _FLOAT.issuperset(map(type, mask))
    if len(mask) != 1 or type(mask[0]) is not dict:
        return False
    rle = mask[0]
    return (
        rle.keys() == _RLE_KEYS and type(rle["size"]) is list and rle["size"] == size and type(rle["counts"]) is bytes
    )


def _usual_texts(record: Sequence[Any]) -> tuple[str, str] | None:
    """Question and answer, where all texts can be stored as they are and each object is mentioned once; None otherwise."""
    _, caption, enriched, texts, _, _, _, _, _, names, _, _ = record
    phrases = list(chain.from_iterable(texts))
    if len(phrases) > MOST_OBJECTS or not _TEXT.issuperset(map(type, phrases)):
        return None
    joined = "\n".join(phrases)
    if DROPPED_SIGNS.search(joined) or not all(map(_storable, (joined, caption, enriched, "".join(names)))):
        return None
    pieces = usual_pieces(enriched)
    if pieces is None or "<OBJ-" in enriched:
        return None
    answer = pieces[1]
    # As many "<" as objects, and the tag of each object there: each is there once, and nothing else looks like a tag.
    if answer.count("<") != len(texts) or "[" in answer:
        return None
    return pieces if all(tag in answer for tag in _TAGS[: len(texts)]) else None


def _storable(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(slots=True)
class _Shapes:
    """The polygons, or the run lengths, of a block: whose they are, and in what image."""

    objects: list[int] = field(default_factory=list)
    """Numbers of the block's objects."""
    sizes: list[Size] = field(default_factory=list)
    content: list[Any] = field(default_factory=list)

    def add(self, number: int, size: Size, content: Any) -> None:
        self.objects.append(number)
        self.sizes.append(size)
        self.content.append(content)


class _Block:
    """The objects of several records, end to end."""

    def __init__(self) -> None:
        self._owners: list[int] = []
        self._sizes: list[Size] = []
        self._boxes: list[list[float]] = []
        self._polygons = _Shapes()
        self._rles = _Shapes()

    def add(self, number: int, record: Sequence[Any]) -> None:
        size = record[6], record[7]
        at = len(self._owners)
        for mask in record[4]:
            if type(mask[0]) is float:
                self._polygons.add(at, size, mask)
            else:
                self._rles.add(at, size, mask[0]["counts"])
            at += 1
        count = len(record[4])
        self._owners += [number] * count
        self._sizes += [size] * count
        self._boxes += record[5]

    def finish(self) -> set[int]:
        """Rasterise and compare; returns the numbers of records that turn out not to be usual."""
        total = len(self._owners)
        self._counts: list[str] = [""] * total
        self._areas = np.zeros(total)
        self._own = np.zeros((total, 4))
        odd = np.zeros(total, dtype=bool)
        if total:
            self._draw(odd)
            self._read(odd)
            self._compare(odd)
        return {self._owners[number] for number in np.flatnonzero(odd).tolist()}

    def _draw(self, odd: NDArray[np.bool_]) -> None:
        """The polygons' pixels, areas and extents."""
        shapes = self._polygons
        if not shapes.objects:
            return
        lengths = np.fromiter(map(len, shapes.content), np.int64, len(shapes.content))
        ends = np.cumsum(lengths)
        starts = ends - lengths
        values = np.fromiter(chain.from_iterable(shapes.content), np.float64, int(ends[-1]))
        # A maximum with NaN is NaN, which is not below any bound.
        usable = np.maximum.reduceat(np.abs(values), starts) <= FURTHEST
        objects = np.array(shapes.objects)
        odd[objects[~usable]] = True
        points = starts // 2
        left, top = (np.minimum.reduceat(values[side::2], points) for side in (0, 1))
        right, bottom = (np.maximum.reduceat(values[side::2], points) for side in (0, 1))
        self._own[objects] = np.stack([left, top, right - left, bottom - top], axis=1)
        heights, widths = np.array(shapes.sizes).T
        inside = (left >= 0) & (top >= 0) & (right <= widths) & (bottom <= heights)
        bounds = list(zip(starts.tolist(), ends.tolist(), strict=True))
        by_size: dict[Size, list[int]] = {}
        for number in np.flatnonzero(usable).tolist():
            by_size.setdefault(shapes.sizes[number], []).append(number)
        for (height, width), numbers in by_size.items():
            for first in range(0, len(numbers), BATCH):
                some = numbers[first : first + BATCH]
                rles = coco.frPoly([values[slice(*bounds[number])] for number in some], height, width)
                beyond = [place for place, number in enumerate(some) if not inside[number]]
                self._keep([shapes.objects[number] for number in some], rles, beyond)

    def _read(self, odd: NDArray[np.bool_]) -> None:
        """The areas and boxes of masks that are run lengths already; those that are not in their one form are odd."""
        shapes = self._rles
        if not shapes.objects:
            return
        runs = decode_runs(shapes.content, [height * width for height, width in shapes.sizes])
        unusable = runs.loose | runs.problems.keys()
        odd[[shapes.objects[number] for number in unusable]] = True
        numbers = [number for number in range(len(shapes.objects)) if number not in unusable]
        for first in range(0, len(numbers), BATCH):
            some = numbers[first : first + BATCH]
            rles = [{"size": list(shapes.sizes[number]), "counts": shapes.content[number]} for number in some]
            self._keep([shapes.objects[number] for number in some], rles, range(len(some)))

    def _keep(self, objects: Sequence[int], rles: Sequence[Any], boxed: Sequence[int]) -> None:
        """Note masks; ``boxed`` says which of them have no box but that of their pixels."""
        self._areas[objects] = coco.area(rles)
        for number, rle in zip(objects, rles, strict=True):
            self._counts[number] = rle["counts"].decode("ascii")
        if boxed:
            self._own[[objects[place] for place in boxed]] = coco.toBbox([rles[place] for place in boxed])

    def _compare(self, odd: NDArray[np.bool_]) -> None:
        """Find boxes that cannot be used, that lie outside the image, or that are not the masks'."""
        try:
            boxes = np.array(self._boxes, dtype=np.float64)
        except OverflowError:  # a whole number beyond any float
            odd[:] = True
            return
        sizes = np.array(self._sizes)
        x, y, w, h = boxes.T
        usable = (np.abs(boxes) <= 1e9).all(axis=1) & (w >= 0) & (h >= 0)
        # A box that leaves the image may mean that height and width are swapped.
        outside = (x + w > sizes[:, 1] + 1) | (y + h > sizes[:, 0] + 1)
        odd |= ~usable | outside | (box_arrays_disagree(boxes, self._own) & (self._areas > 0))
        self._boxes = boxes.tolist()
        self._own_areas: list[float] = self._areas.tolist()

    def objects(self, record: Sequence[Any], first: int) -> list[dict[str, Any]]:
        """The rows of a record's objects, the first of which has this number in the block."""
        height, width = record[6], record[7]
        last = first + len(record[4])
        return [
            {
                "phrases": phrases,
                "segmentation": {"size": [height, width], "counts": counts},
                "polygons": [mask] if type(mask[0]) is float else None,
                "bbox": box,
                "area": area,
                "category": name,
                "category_id": category_id,
                "iscrowd": False,
                "ref_id": None,
                "ann_id": None,
            }
            for phrases, mask, category_id, name, counts, box, area in zip(
                record[3],
                record[4],
                record[8],
                record[9],
                self._counts[first:last],
                self._boxes[first:last],
                self._own_areas[first:last],
                strict=True,
            )
        ]
