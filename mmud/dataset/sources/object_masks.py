"""The masks of one image's objects, from whatever form the source has them in, rasterised in one go.

The result of each is that of `mmud.annotations.masks.Mask.from_coco`, and its own figures (area, box) come along; a malformed
part is named and left out instead of taking the object down.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import _mask as coco

from mmud.annotations import codes as mask_codes
from mmud.annotations.masks import Mask
from mmud.dataset.sources.construct import construct
from mmud.errors import MmudError
from mmud.records import Segmentation

Box = tuple[float, float, float, float]
Size = tuple[int, int]
"""(height, width)"""

NUMBERS = frozenset((float, int))
FURTHEST = 100_000.0
"""A polygon's point further out than this is refused, as in `mmud.annotations.masks`."""

# A run: at most six groups of five bits, which spell every number of pixels that an image has.
_RUN = re.compile(rb"[P-o]{0,5}[0-O]")

BATCH = 200
"""pycocotools 2.0.11 raises OverflowError when asked for the areas of more than 255 masks at once under numpy 2."""


@dataclass(slots=True)
class ObjectMask:
    """An object's mask as far as it could be read.

    Attributes:
        counts: compressed run lengths; None where the source has no mask, or none that can be used.
        polygons: the source's polygons, those that can be used; None where it has none.
        parts: the counts of the parts, where the source has run lengths; their union is ``counts``.
        overlapping: whether parts share pixels.
        area: foreground pixels.
        box: what the mask covers: the extent of its polygons within the image, or the box of its pixels; None where there is no
            mask or an empty one.
        problems: what could not be used.
    """

    counts: str | None = None
    polygons: tuple[tuple[float, ...], ...] | None = None
    parts: tuple[str, ...] = ()
    overlapping: bool = False
    area: int = 0
    box: Box | None = None
    problems: tuple[str, ...] = ()

    def segmentation(self, size: Size) -> Segmentation | None:
        if self.counts is None:
            return None
        return construct(Segmentation, {"size": size, "counts": self.counts})


def object_masks(segmentations: Sequence[Any], height: int, width: int) -> list[ObjectMask]:
    """Read and rasterise.

    Args:
        segmentations: for each object polygons, a flat polygon, an RLE, a list of RLEs, or nothing (None, empty).
        height, width: of the image, in pixels; positive and within `mmud.annotations.masks.MAX_SIDE`.

    Returns:
        One for each object, in order.
    """
    found: list[ObjectMask] = []
    polygons: list[Sequence[float]] = []
    owners: list[int] = []
    encoded: dict[int, list[Any]] = {}
    for number, segmentation in enumerate(segmentations):
        listed = _polygons_of(segmentation)
        mask = ObjectMask()
        found.append(mask)
        if listed is None:
            encoded[number] = segmentation if isinstance(segmentation, list) else [segmentation]
            continue
        for polygon in listed:
            extent = _extent_or_problem(polygon)
            if isinstance(extent, str):
                mask.problems += (extent,)
                continue
            mask.box = extent if mask.box is None else _joined(mask.box, extent)
            polygons.append(polygon)
            owners.append(number)
            mask.polygons = (*(mask.polygons or ()), tuple(polygon))
    rles: list[Any] = [None] * len(found)
    if polygons:
        _rasterise(found, rles, polygons, owners, height, width)
    if encoded:
        _read_rles(found, rles, encoded, height, width)
    _finish(found, rles, height, width)
    return found


def _polygons_of(segmentation: Any) -> Sequence[Any] | None:
    """The polygons of a segmentation, none where it is empty; None when it is of another form."""
    if segmentation is None or (isinstance(segmentation, list | tuple) and not segmentation):
        return ()
    if type(segmentation) is not list:
        return None
    kinds = set(map(type, segmentation))
    if kinds <= NUMBERS:
        return (segmentation,)
    return segmentation if kinds <= {list, tuple} else None


def _extent_or_problem(polygon: Sequence[Any]) -> Box | str:
    """A polygon's extent as left, top, right, bottom; or what is wrong with it."""
    count = len(polygon)
    if not set(map(type, polygon)) <= NUMBERS:
        return "a polygon holds something that is not a number"
    if count < 6 or count % 2:
        return f"a polygon has {count} numbers: an even count of at least six is needed"
    across, down = polygon[0::2], polygon[1::2]
    extent = (min(across), min(down), max(across), max(down))
    # NaN fails every comparison, so the sum finds it; minimum and maximum alone would let it pass.
    if not (min(extent) >= -FURTHEST and max(extent) <= FURTHEST and math.isfinite(sum(polygon))):
        return f"a polygon has a point that is not finite or further out than {FURTHEST:.0f}"
    return extent


def _joined(first: Box, second: Box) -> Box:
    left, top, right, bottom = zip(first, second, strict=True)
    return min(left), min(top), max(right), max(bottom)


def _rasterise(
    found: list[ObjectMask],
    rles: list[Any],
    polygons: list[Sequence[float]],
    owners: list[int],
    height: int,
    width: int,
) -> None:
    drawn = coco.frPoly(polygons, height, width)
    if len(set(owners)) == len(owners):
        for owner, rle in zip(owners, drawn, strict=True):
            rles[owner] = rle
        return
    parts: dict[int, list[Any]] = {}
    for owner, rle in zip(owners, drawn, strict=True):
        parts.setdefault(owner, []).append(rle)
    for owner, several in parts.items():
        rles[owner], found[owner].overlapping = _union(several)


def _union(parts: list[Any]) -> tuple[Any, bool]:
    """The union of RLEs as pycocotools has them, and whether any share pixels."""
    if len(parts) == 1:
        return parts[0], False
    union = coco.merge(parts, 0)
    total = sum(int(area) for start in range(0, len(parts), BATCH) for area in coco.area(parts[start : start + BATCH]))
    return union, total > int(coco.area([union])[0])


def _read_rles(
    found: list[ObjectMask], rles: list[Any], encoded: Mapping[int, list[Any]], height: int, width: int
) -> None:
    texts: list[bytes] = []
    owners: list[int] = []
    masks: dict[int, list[Mask]] = {}
    problems: dict[int, list[str]] = {}
    for number, forms in encoded.items():
        for form in forms:
            if (text := _compressed(form, height, width)) is not None:
                texts.append(text)
                owners.append(number)
                continue
            try:
                masks.setdefault(number, []).append(Mask.from_coco(_mapping(form), height, width))
            except MmudError as error:
                problems.setdefault(number, []).append(error.message)
    for number, text in zip(owners, texts, strict=True):
        try:
            trusted = canonical(text, height * width)
            mask = Mask(height, width, text) if trusted else Mask.from_counts(text, height, width)
            masks.setdefault(number, []).append(mask)
        except MmudError as error:
            problems.setdefault(number, []).append(error.message)
    for number in encoded:
        found[number].problems = tuple(problems.get(number, ()))
        if parts := masks.get(number):
            rles[number], found[number].overlapping = _union([mask.to_coco() for mask in parts])
            found[number].parts = tuple(mask.counts.decode("ascii") for mask in parts)


class _Groups(dict[bytes, int]):
    """The signed number that groups of five bits spell; the short ones, nearly all, are remembered."""

    def __missing__(self, groups: bytes) -> int:
        number = sum((group - 48 & 31) << 5 * place for place, group in enumerate(groups))
        if groups[-1] - 48 & 16:
            number -= 1 << 5 * len(groups)
        if len(groups) <= _REMEMBERED:
            self[groups] = number
        return number


_REMEMBERED = 2
_NUMBERS = _Groups()


def canonical(text: bytes, pixels: int) -> bool:
    """Whether compressed counts are valid and free of empty runs, so that they can be used as they are.

    It is what `Mask.from_counts` checks, in plain Python: for the few masks of one image that is faster than numpy.

    Args:
        text: compressed counts.
        pixels: height times width.

    Returns:
        A false one may still be readable, which `Mask.from_counts` tells.
    """
    groups = _RUN.findall(text)
    if not groups or len(b"".join(groups)) != len(text):
        return False
    numbers = [_NUMBERS[run] for run in groups]
    # From the fourth run on a number is the difference to the run two before.
    odd, even = list(accumulate(numbers[1::2])), list(accumulate(numbers[2::2]))
    return (
        numbers[0] >= 0
        and min(odd, default=1) > 0
        and min(even, default=1) > 0
        and numbers[0] + sum(odd) + sum(even) == pixels
    )


def _mapping(form: Any) -> Mapping[str, Any]:
    if isinstance(form, Mapping):
        return form
    message = f"a segmentation of type {type(form).__name__} is no form of COCO's"
    raise MmudError(mask_codes.SEGMENTATION_FORM, message)


def _compressed(form: Any, height: int, width: int) -> bytes | None:
    """The counts of the common form, compressed and of the image's size; None for any other."""
    if type(form) is not dict or form.get("size") not in ([height, width], (height, width)):
        return None
    counts = form.get("counts")
    if isinstance(counts, bytes):
        return counts
    return counts.encode("ascii") if isinstance(counts, str) and counts.isascii() else None


def _finish(found: list[ObjectMask], rles: list[Any], height: int, width: int) -> None:
    """Counts as text, areas and boxes."""
    there = [(mask, rle) for mask, rle in zip(found, rles, strict=True) if rle is not None]
    for start in range(0, len(there), BATCH):
        batch = there[start : start + BATCH]
        for (mask, rle), area in zip(batch, coco.area([rle for _, rle in batch]).tolist(), strict=True):
            mask.counts = rle["counts"].decode("ascii")
            mask.area = area
            mask.box = _box(mask.box, rle, height, width) if area else None


def _box(extent: Box | None, rle: Any, height: int, width: int) -> Box:
    """As x, y, width, height: the extent of polygons that lie within the image, the box of the pixels otherwise."""
    if extent is not None:
        left, top, right, bottom = extent
        if left >= 0 and top >= 0 and right <= width and bottom <= height:
            return float(left), float(top), float(right - left), float(bottom - top)
    x, y, w, h = coco.toBbox([rle])[0].tolist()
    return x, y, w, h


def usable_box(value: Any) -> Box | None:
    """``x, y, width, height`` as finite floats, width and height not negative; None for anything else."""
    if type(value) not in (list, tuple) or len(value) != 4:
        return None
    x, y, width, height = value
    if not {type(x), type(y), type(width), type(height)} <= NUMBERS:
        return None
    # Absurdly large numbers are as unusable as infinite ones; the comparisons are false for NaN.
    if -1e9 <= x <= 1e9 and -1e9 <= y <= 1e9 and 0 <= width <= 1e9 and 0 <= height <= 1e9:
        return (float(x), float(y), float(width), float(height))
    return None


def boxes_disagree(box: Box, own: Box) -> bool:
    """Whether a side of the source's box lies more than 5 pixels, and 5 % of the longer box, from the mask's own box."""
    x, y, w, h = box
    own_x, own_y, own_w, own_h = own
    across = max(5.0, 0.05 * max(w, own_w))
    down = max(5.0, 0.05 * max(h, own_h))
    return (
        abs(x - own_x) > across
        or abs(x + w - own_x - own_w) > across
        or abs(y - own_y) > down
        or abs(y + h - own_y - own_h) > down
    )


def box_arrays_disagree(boxes: NDArray[np.float64], own: NDArray[np.float64]) -> NDArray[np.bool_]:
    """`boxes_disagree` of many boxes, both of shape (n, 4); the result has shape (n,)."""
    margins = np.maximum(5.0, 0.05 * np.maximum(boxes[:, 2:], own[:, 2:]))
    corners, own_corners = boxes[:, :2], own[:, :2]
    near = np.abs(corners - own_corners)
    far = np.abs(corners + boxes[:, 2:] - own_corners - own[:, 2:])
    beyond = (near > margins) | (far > margins)
    return np.asarray(beyond[:, 0] | beyond[:, 1], dtype=bool)


def areas_disagree(area: float, own: int) -> bool:
    """Whether the source's area differs from the mask's by more than 10 % and 50 pixels."""
    difference = abs(area - own)
    return difference > 50 and difference > 0.1 * max(area, own)
