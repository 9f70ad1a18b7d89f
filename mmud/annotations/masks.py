"""Masks as COCO run-length encodings: read from every form, checked once, then computed on without decoding.

A `Mask` is always valid and in its one shortest form: its runs are positive (the first may be zero), cover its pixels and are
spelt with as few characters as they need, so that equal masks have equal counts. That is what makes it safe to hand to
pycocotools' compiled code, which trusts its input.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pycocotools import _mask as coco

from mmud.annotations import codes
from mmud.annotations.runs import compress_runs, decode_runs
from mmud.errors import Code, MmudError
from mmud.records import Segmentation

MAX_SIDE = 65_500
"""Longest side, in pixels: JPEG's own bound. It keeps height times width inside the 32 bits of compiled code."""

MAX_PIXELS = 2**31 - 1
_AREA_BATCH = 200
"""pycocotools 2.0.11 raises OverflowError when asked for the areas of more than 255 masks at once under numpy 2."""

_FAR = 100_000.0
"""A polygon's point further out than this is refused: compiled code walks every pixel of an edge."""


def _refuse(code: Code, message: str) -> MmudError:
    return MmudError(code, message)


def _size_message(own: tuple[int, int], expected: tuple[int, int]) -> str:
    return f"the mask is {own[0]} x {own[1]}, the image {expected[0]} x {expected[1]} (height x width)"


def _checked_size(height: Any, width: Any) -> tuple[int, int]:
    try:
        sides = int(height), int(width)
    except (TypeError, ValueError, OverflowError) as error:
        raise _refuse(codes.MASK_SIZE, f"a mask's size is two whole numbers, not {height!r} and {width!r}") from error
    if not (0 < sides[0] <= MAX_SIDE and 0 < sides[1] <= MAX_SIDE and sides[0] * sides[1] <= MAX_PIXELS):
        raise _refuse(codes.MASK_SIZE, f"a mask of {sides[0]} x {sides[1]} pixels is outside the bounds")
    return sides


@dataclass(frozen=True, slots=True)
class Mask:
    """A binary mask of ``height`` by ``width`` pixels as compressed COCO counts.

    Build one with a ``from_…`` class method; they check. The constructor itself trusts its caller.
    """

    height: int
    width: int
    counts: bytes

    # -- making one ------------------------------------------------------------------------------------------------------

    @classmethod
    def from_counts(cls, counts: bytes | str | Sequence[int], height: int, width: int) -> Self:
        """From COCO counts, compressed (text) or not (list of run lengths).

        Raises:
            MmudError: MM201 when the counts are invalid, MM202 when the size is.
        """
        height, width = _checked_size(height, width)
        if isinstance(counts, str | bytes):
            try:
                compressed = counts.encode("ascii") if isinstance(counts, str) else bytes(counts)
            except UnicodeEncodeError as error:
                raise _refuse(codes.RLE_INVALID, "a character outside the alphabet of compressed counts") from error
        else:
            compressed = compress_runs(_checked_runs(counts, height * width))
        (found,) = cls.from_many_counts([compressed], [(height, width)])
        if isinstance(found, MmudError):
            raise found
        return found

    @classmethod
    def of(cls, segmentation: Segmentation, height: int | None = None, width: int | None = None) -> Self:
        """From a stored segmentation, checked.

        Args:
            segmentation: as a sample's object or a prediction holds it.
            height: the image's height, in pixels; not compared when left out.
            width: the image's width, in pixels; not compared when left out.

        Raises:
            MmudError: MM201 when the counts are invalid, MM202 when the size is, or is not the image's.
        """
        expected = segmentation.size if height is None or width is None else (height, width)
        if segmentation.size != expected:
            raise _refuse(codes.MASK_SIZE, _size_message(segmentation.size, expected))
        return cls.from_counts(segmentation.counts, *segmentation.size)

    @classmethod
    def from_many_counts(cls, counts: Sequence[bytes], sizes: Sequence[tuple[int, int]]) -> list[Self | MmudError]:
        """From many compressed counts at once, several times faster than one by one.

        Args:
            counts: n compressed strings.
            sizes: n pairs (height, width).

        Returns:
            For each a mask, or the error (MM201, MM202) that says what is wrong with it.
        """
        found: list[Self | MmudError] = []
        pixels = [height * width if 0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE else -1 for height, width in sizes]
        batch = decode_runs(counts, pixels)
        for index, (text, (height, width)) in enumerate(zip(counts, sizes, strict=True)):
            if not 0 < pixels[index] <= MAX_PIXELS:
                found.append(_refuse(codes.MASK_SIZE, f"a mask of {height} x {width} pixels is outside the bounds"))
            elif index in batch.problems:
                found.append(_refuse(codes.RLE_INVALID, batch.problems[index]))
            else:
                joined = compress_runs(_joined(batch.of(index).tolist())) if index in batch.loose else text
                found.append(cls(height, width, joined))
        return found

    @classmethod
    def from_polygons(cls, polygons: Iterable[Sequence[float]], height: int, width: int) -> Self:
        """The union of polygons, each ``x1, y1, x2, y2, …`` in pixels, rasterised exactly as COCO does.

        Raises:
            MmudError: MM203 when a polygon is malformed.
        """
        height, width = _checked_size(height, width)
        parts = [_checked_polygon(polygon) for polygon in polygons]
        if not parts:
            return cls.empty(height, width)
        rles = coco.frPoly(parts, height, width)
        rle = rles[0] if len(rles) == 1 else coco.merge(rles, 0)
        return cls(height, width, rle["counts"])

    @classmethod
    def from_array(cls, array: NDArray[Any]) -> Self:
        """From an array of shape (height, width); anything non-zero is foreground."""
        if array.ndim != 2:
            raise _refuse(codes.MASK_SIZE, f"a mask has two dimensions, not shape {array.shape}")
        height, width = _checked_size(*array.shape)
        pixels = np.asfortranarray(array != 0).astype(np.uint8, order="F")
        return cls(height, width, coco.encode(pixels[:, :, None])[0]["counts"])

    @classmethod
    def from_coco(cls, segmentation: Any, height: int, width: int) -> Self:
        """From any form that COCO-style files hold: polygons, a flat polygon, an RLE, or a list of RLEs (their union).

        Args:
            segmentation: the value as it stands in the file.
            height: the image's height, in pixels.
            width: the image's width, in pixels.

        Raises:
            MmudError: MM201, MM203 or MM205 for a value that cannot be read; MM202 when an RLE has another size.
        """
        height, width = _checked_size(height, width)
        if isinstance(segmentation, Mapping):
            return cls._from_rle(segmentation, height, width)
        if isinstance(segmentation, list | tuple):
            if not segmentation:
                return cls.empty(height, width)
            if all(isinstance(part, Mapping) for part in segmentation):
                return cls.union([cls._from_rle(part, height, width) for part in segmentation])
            if all(isinstance(part, list | tuple) for part in segmentation):
                return cls.from_polygons(segmentation, height, width)
            if all(isinstance(part, int | float) for part in segmentation):
                return cls.from_polygons([segmentation], height, width)
        raise _refuse(
            codes.SEGMENTATION_FORM, f"a segmentation of type {type(segmentation).__name__} is no form of COCO's"
        )

    @classmethod
    def _from_rle(cls, rle: Mapping[str, Any], height: int, width: int) -> Self:
        size, counts = rle.get("size"), rle.get("counts")
        if not isinstance(size, list | tuple | np.ndarray) or len(size) != 2:
            raise _refuse(codes.RLE_INVALID, f"an RLE's size is [height, width], not {size!r}")
        if not isinstance(counts, str | bytes | list | tuple | np.ndarray):
            raise _refuse(codes.RLE_INVALID, f"an RLE's counts are text or a list, not {type(counts).__name__}")
        own = _checked_size(*size)
        if own != (height, width):
            raise _refuse(codes.MASK_SIZE, _size_message(own, (height, width)))
        return cls.from_counts(counts if isinstance(counts, str | bytes) else list(counts), *own)

    @classmethod
    def empty(cls, height: int, width: int) -> Self:
        return cls(height, width, compress_runs([height * width]))

    @classmethod
    def full(cls, height: int, width: int) -> Self:
        return cls(height, width, compress_runs([0, height * width]))

    @classmethod
    def union(cls, masks: Sequence[Mask]) -> Self:
        """The pixels of any of ``masks``, which must be of one size and at least one."""
        return cls._merge(masks, intersect=False)

    @classmethod
    def intersection(cls, masks: Sequence[Mask]) -> Self:
        """The pixels of all of ``masks``, which must be of one size and at least one."""
        return cls._merge(masks, intersect=True)

    @classmethod
    def _merge(cls, masks: Sequence[Mask], intersect: bool) -> Self:
        if not masks:
            raise ValueError("no masks to join: the size of the result is unknown")
        first = masks[0]
        if any(mask.size != first.size for mask in masks):
            raise _refuse(
                codes.MASK_SIZE, f"masks of different sizes cannot be joined: {sorted({m.size for m in masks})}"
            )
        if len(masks) == 1:
            return cls(first.height, first.width, first.counts)
        merged = coco.merge([mask.to_coco() for mask in masks], int(intersect))
        return cls(first.height, first.width, merged["counts"])

    # -- reading it ------------------------------------------------------------------------------------------------------

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)"""
        return self.height, self.width

    @property
    def area(self) -> int:
        """Foreground pixels."""
        return int(coco.area([self.to_coco()])[0])

    @property
    def bbox(self) -> tuple[float, float, float, float]:
        """The tight box ``x, y, width, height`` in pixels; all zero when empty."""
        x, y, w, h = coco.toBbox([self.to_coco()])[0]
        return float(x), float(y), float(w), float(h)

    @property
    def runs(self) -> list[int]:
        """Uncompressed COCO counts: background first, column by column."""
        return [int(run) for run in decode_runs([self.counts], [self.height * self.width]).runs]

    def decode(self) -> NDArray[np.uint8]:
        """An array of shape (height, width), 1 where the mask is."""
        return np.ascontiguousarray(coco.decode([self.to_coco()])[:, :, 0])

    def to_record(self) -> Segmentation:
        """As a sample's object or a prediction holds it."""
        return Segmentation(size=(self.height, self.width), counts=self.counts.decode("ascii"))

    def to_coco(self) -> dict[str, Any]:
        """``{"size": [h, w], "counts": bytes}``, as pycocotools takes it."""
        return {"size": [self.height, self.width], "counts": self.counts}

    def to_json(self) -> dict[str, Any]:
        """``{"size": [h, w], "counts": str}``, as JSON and Parquet hold it."""
        return {"size": [self.height, self.width], "counts": self.counts.decode("ascii")}


def _joined(runs: list[int]) -> list[int]:
    """The same pixels without runs of length zero, except a first one.

    pycocotools' merge stops at such a run and silently loses what follows, so no `Mask` has one.
    """
    joined: list[int] = []
    for position, run in enumerate(runs):
        if len(joined) % 2 == position % 2:
            joined.append(run)
        elif run or not joined:
            joined[-1] += run
        if len(joined) > 1 and joined[-1] == 0:
            joined.pop()
    return joined


def _checked_runs(counts: Sequence[Any], pixels: int) -> list[int]:
    runs = []
    for value in counts:
        if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
            raise _refuse(codes.RLE_INVALID, f"a run is a whole number, not {value!r}")
        if not math.isfinite(value) or value != int(value) or not 0 <= value <= pixels:
            raise _refuse(codes.RLE_INVALID, f"a run is between 0 and the {pixels} pixels of the image, not {value!r}")
        runs.append(int(value))
    if sum(runs) != pixels:
        raise _refuse(codes.RLE_INVALID, f"runs cover {sum(runs)} pixels, the image has {pixels}")
    return runs


def _checked_polygon(polygon: Sequence[float]) -> NDArray[np.float64]:
    try:
        points = np.asarray(polygon, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise _refuse(codes.POLYGON_INVALID, "a polygon holds something that is not a number") from error
    if points.ndim != 1 or len(points) < 6 or len(points) % 2:
        raise _refuse(
            codes.POLYGON_INVALID, f"a polygon has {points.size} numbers: an even count of at least six is needed"
        )
    # One comparison catches NaN, infinities and points absurdly far out.
    if not (np.abs(points) <= _FAR).all():
        raise _refuse(codes.POLYGON_INVALID, f"a polygon has a point that is not finite or further out than {_FAR:.0f}")
    return points


def areas(masks: Sequence[Mask]) -> NDArray[np.int64]:
    """Foreground pixels of each mask, shape (n,)."""
    return areas_of_rles([mask.to_coco() for mask in masks])


def areas_of_rles(rles: Sequence[dict[str, Any]]) -> NDArray[np.int64]:
    """Foreground pixels of pycocotools' RLEs, shape (n,), in batches that it can count."""
    out = np.empty(len(rles), dtype=np.int64)
    for start in range(0, len(rles), _AREA_BATCH):
        part = rles[start : start + _AREA_BATCH]
        out[start : start + len(part)] = coco.area(part)
    return out


def intersections_and_unions(
    first: Sequence[Mask], second: Sequence[Mask]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels in both and in any mask of each pair, without decoding.

    Args:
        first: n masks.
        second: n masks; ``second[i]`` has the size of ``first[i]``.

    Returns:
        Intersections and unions, each of shape (n,). The union is the sum of the areas less the intersection.

    Raises:
        MmudError: MM202 when a pair differs in size.
    """
    if len(first) != len(second):
        raise ValueError(f"pairs need as many first masks ({len(first)}) as second ones ({len(second)})")
    both = []
    for a, b in zip(first, second, strict=True):
        if a.height != b.height or a.width != b.width:
            raise _refuse(codes.MASK_SIZE, f"masks of {a.size} and {b.size} (height, width) cannot be compared")
        size = [a.height, a.width]
        both.append(coco.merge([{"size": size, "counts": a.counts}, {"size": size, "counts": b.counts}], 1))
    total = areas(first) + areas(second)
    shared = areas_of_rles(both)
    return shared, total - shared
