"""Records of the official release that have its usual form, many at once.

`mmud.dataset.sources.release.record` reads any record, field by field, and names everything that is odd about it. Nearly all
records have nothing to name. They are told here by a few comparisons, their masks are rasterised size by size, boxes are
compared as arrays, and their objects become columns without becoming dictionaries first; whatever is not plainly usual is left
to the other. Where a record is taken here, both give the same row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pycocotools import _mask as coco

from mmud.annotations.outlines import AT_ONCE, rasterise
from mmud.annotations.runs import decode_runs
from mmud.dataset.arrow_buffers import encoded_texts, lists, numbers, struct, texts
from mmud.dataset.object_rows import ObjectRows
from mmud.dataset.schema import OBJECT
from mmud.dataset.sources.object_masks import BATCH, FURTHEST, Size, box_arrays_disagree
from mmud.dataset.sources.pickles.floats import PackedFloats, joined
from mmud.dataset.sources.release.usual import has_usual_fields, usual_texts

_NO_VALUES = np.zeros(0)


@dataclass(slots=True)
class UsualRecord:
    """What a record's row needs beside its texts.

    Attributes:
        question, answer: the two halves of its enriched text.
        objects: the column ``objects``.
    """

    question: str
    answer: str
    objects: ObjectRows


def read_usual(records: Sequence[Any]) -> list[UsualRecord | None]:
    """Read the usual ones of some records.

    Args:
        records: as `mmud.dataset.sources.release.form.check_shape` lets them pass.

    Returns:
        One for each record, in order; None for a record that is to be read field by field.
    """
    found: list[UsualRecord | None] = [None] * len(records)
    block = _Block()
    pieces = []
    for number, record in enumerate(records):
        if has_usual_fields(record) and (texts := usual_texts(record)) is not None:
            pieces.append((number, texts, len(record[4])))
            block.add(number, record)
    if not pieces:
        return found
    odd = block.finish()
    values = block.objects()
    first = 0
    for number, (question, answer), count in pieces:
        if number not in odd:
            found[number] = UsualRecord(question, answer, ObjectRows(values, first, first + count))
        first += count
    return found


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
    """The objects of several records, at least one, end to end."""

    def __init__(self) -> None:
        self._owners: list[int] = []
        self._sizes: list[Size] = []
        self._boxes: list[list[float]] = []
        self._phrases: list[list[str]] = []
        self._ids: list[int] = []
        self._names: list[str] = []
        self._polygons = _Shapes()
        self._rles = _Shapes()

    def add(self, number: int, record: Sequence[Any]) -> None:
        _, _, _, texts, masks, boxes, height, width, ids, names, _, _ = record
        size = height, width
        at = len(self._owners)
        for mask in masks:
            if type(mask) is PackedFloats:
                self._polygons.add(at, size, mask)
            elif type(mask[0]) is float:
                self._polygons.add(at, size, PackedFloats.of(mask))
            else:
                self._rles.add(at, size, mask[0]["counts"])
            at += 1
        count = len(masks)
        self._owners += [number] * count
        self._sizes += [size] * count
        self._boxes += boxes
        self._phrases += texts
        self._ids += ids
        self._names += names

    def finish(self) -> set[int]:
        """Rasterise and compare; returns the numbers of records that turn out not to be usual."""
        total = len(self._owners)
        self._counts: list[bytes] = [b""] * total
        self._areas = np.zeros(total)
        self._own = np.zeros((total, 4))
        self._values = _NO_VALUES
        self._ends = np.zeros(0, dtype=np.int64)
        odd = np.zeros(total, dtype=bool)
        self._draw(odd)
        self._read(odd)
        self._compare(odd)
        return {self._owners[number] for number in np.flatnonzero(odd).tolist()}

    def _draw(self, odd: NDArray[np.bool_]) -> None:
        """The polygons' pixels, areas and extents."""
        shapes = self._polygons
        if not shapes.objects:
            return
        lengths = np.array([len(polygon.spelt) for polygon in shapes.content]) // 9
        ends = np.cumsum(lengths)
        starts = ends - lengths
        values = joined(shapes.content)
        self._values, self._ends = values, ends
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
        polygons = [values[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
        alike: dict[tuple[Size, bool], list[int]] = {}
        positive = ((left >= 0) & (top >= 0)).tolist()
        for number in np.flatnonzero(usable).tolist():
            alike.setdefault((shapes.sizes[number], positive[number]), []).append(number)
        for (size, is_positive), all_of_them in alike.items():
            pieces = -(-len(all_of_them) // AT_ONCE)
            for piece in range(pieces):
                some = all_of_them[piece::pieces]
                drawn = rasterise([polygons[number] for number in some], *size, is_positive)
                self._keep([shapes.objects[number] for number in some], drawn.counts, drawn.areas)
                self._box_pixels([shapes.objects[number] for number in some if not inside[number]])

    def _read(self, odd: NDArray[np.bool_]) -> None:
        """The areas and boxes of masks that are run lengths already; those that are not in their one form are odd."""
        shapes = self._rles
        if not shapes.objects:
            return
        runs = decode_runs(shapes.content, [height * width for height, width in shapes.sizes])
        unusable = runs.loose | runs.problems.keys()
        odd[[shapes.objects[number] for number in unusable]] = True
        canonical = [number for number in range(len(shapes.objects)) if number not in unusable]
        for first in range(0, len(canonical), BATCH):
            some = canonical[first : first + BATCH]
            rles = [{"size": list(shapes.sizes[number]), "counts": shapes.content[number]} for number in some]
            objects = [shapes.objects[number] for number in some]
            self._keep(objects, [shapes.content[number] for number in some], coco.area(rles))
            self._box_pixels(objects)

    def _keep(self, objects: Sequence[int], counts: Sequence[bytes], areas: NDArray[Any]) -> None:
        self._areas[objects] = areas
        for number, text in zip(objects, counts, strict=True):
            self._counts[number] = text

    def _box_pixels(self, objects: Sequence[int]) -> None:
        """Note the boxes of masks that have no other box than that of their pixels."""
        if objects:
            rles = [{"size": list(self._sizes[number]), "counts": self._counts[number]} for number in objects]
            self._own[objects] = coco.toBbox(rles)

    def _compare(self, odd: NDArray[np.bool_]) -> None:
        """Find boxes that cannot be used, that lie outside the image, or that are not the masks'."""
        try:
            boxes = np.fromiter(chain.from_iterable(self._boxes), np.float64, 4 * len(self._boxes)).reshape(-1, 4)
        except OverflowError:  # a whole number beyond any float
            odd[:] = True
            self._box_array = np.zeros((len(self._boxes), 4))
            return
        sizes = np.array(self._sizes)
        x, y, w, h = boxes.T
        usable = (np.abs(boxes) <= 1e9).all(axis=1) & (w >= 0) & (h >= 0)
        # A box that leaves the image may mean that height and width are swapped.
        outside = (x + w > sizes[:, 1] + 1) | (y + h > sizes[:, 0] + 1)
        odd |= ~usable | outside | (box_arrays_disagree(boxes, self._own) & (self._areas > 0))
        self._box_array = boxes

    def objects(self) -> pa.StructArray:
        """All objects, as the column ``objects`` holds them; those of records that are not usual count for nothing."""
        total = len(self._owners)
        drawn = np.zeros(total, dtype=bool)
        drawn[self._polygons.objects] = True
        return struct(
            OBJECT,
            [
                self._phrase_lists(),
                self._segmentations(),
                lists(drawn.astype(np.int64), self._outlines(), OBJECT.field("polygons").type, ~drawn),
                lists(np.full(total, 4), numbers(self._box_array.ravel(), pa.float64()), OBJECT.field("bbox").type),
                numbers(self._areas, pa.float64()),
                texts(self._names),
                numbers(np.array(self._ids, dtype=np.int64), pa.int64()),
                numbers(np.zeros(total, dtype=bool), pa.bool_()),
                pa.nulls(total, pa.int64()),
                pa.nulls(total, pa.int64()),
            ],
        )

    def _phrase_lists(self) -> pa.ListArray:
        lengths = np.fromiter(map(len, self._phrases), np.int64, len(self._phrases))
        return lists(lengths, texts(list(chain.from_iterable(self._phrases))), OBJECT.field("phrases").type)

    def _segmentations(self) -> pa.StructArray:
        kind = OBJECT.field("segmentation").type
        sizes = numbers(np.array(self._sizes, dtype=np.int32).ravel(), pa.int32())
        counts = encoded_texts(self._counts, b"".join(self._counts))
        return struct(kind, [lists(np.full(len(self._sizes), 2), sizes, kind.field("size").type), counts])

    def _outlines(self) -> pa.ListArray:
        kind = OBJECT.field("polygons").type.value_type
        return lists(np.diff(self._ends, prepend=0), numbers(self._values, pa.float64()), kind)
