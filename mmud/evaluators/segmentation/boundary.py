"""Boundary IoU (Cheng et al. 2021, "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", eq. 2).

    boundary IoU(G, P) = |(G_d & G) & (P_d & P)| / |(G_d & G) | (P_d & P)|

G_d & G are the pixels of G that are at most d pixels away from its outline: G less G eroded by a square of side 2 d + 1.
Beyond the image there is background, so a mask that the image cuts off has an outline there. d is 0.02 of the image's
diagonal, rounded, at least 1.

Both masks of a pair are laid out as bits, column by column, in the box that holds them both, each column followed by a zero
bit that keeps neighbouring columns apart. Erosion is then a handful of shifts of one long whole number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mmud.annotations.masks import Mask
from mmud.annotations.runs import RunBatch, decode_runs

Int64 = NDArray[np.int64]

DILATION_RATIO = 0.02
BATCH = 64


def boundary_width(height: int, width: int) -> int:
    """d, in pixels."""
    return max(1, round(DILATION_RATIO * math.sqrt(height * height + width * width)))


def boundary_pairs(first: Sequence[Mask], second: Sequence[Mask]) -> tuple[Int64, Int64]:
    """Pixels in both and in any boundary of each pair.

    Args:
        first: n masks.
        second: n masks; ``second[i]`` has the size of ``first[i]``.

    Returns:
        Intersections and unions, each of shape (n,).
    """
    intersections = np.zeros(len(first), dtype=np.int64)
    unions = np.zeros(len(first), dtype=np.int64)
    for start in range(0, len(first), BATCH):
        pairs = [*zip(first[start : start + BATCH], second[start : start + BATCH], strict=True)]
        for offset, (a, b) in enumerate(_boundaries(pairs)):
            intersections[start + offset] = (a & b).bit_count()
            unions[start + offset] = (a | b).bit_count()
    return intersections, unions


def boundary_areas(masks: Sequence[Mask]) -> Int64:
    """Pixels of each mask's boundary, shape (n,)."""
    return boundary_pairs(masks, masks)[1]


def _boundaries(pairs: Sequence[tuple[Mask, Mask]]) -> Iterator[tuple[int, int]]:
    """The boundaries of each pair as bits of one layout."""
    masks = [mask for pair in pairs for mask in pair]
    batch = decode_runs([mask.counts for mask in masks], [mask.height * mask.width for mask in masks])
    boxes = [_box(batch, index, masks[index].height) for index in range(len(masks))]
    layouts = []
    for index in range(0, len(masks), 2):
        a, b = boxes[index], boxes[index + 1]
        joined = (min(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), max(a[3], b[3]))
        layouts += [joined, joined] if joined[1] else [_NOWHERE, _NOWHERE]
    bits = _bits(batch, masks, layouts)
    for index, (mask, _) in enumerate(pairs):
        _, _, top, bottom = layouts[2 * index]
        reach = boundary_width(*mask.size)
        stride = bottom - top + 1
        yield _boundary(bits[2 * index], stride, reach), _boundary(bits[2 * index + 1], stride, reach)


_EMPTY = (1 << 40, 0, 1 << 40, 0)
"""The box of an empty mask: it leaves any other box as it is when the two are joined."""
_NOWHERE = (0, 0, 0, 0)


def _box(batch: RunBatch, index: int, height: int) -> tuple[int, int, int, int]:
    """The columns and rows of a mask's foreground: first and beyond the last of each; an empty box for an empty mask."""
    runs = batch.of(index)
    ends = np.cumsum(runs)
    begin, end = ends[0::2], ends[1::2]
    begin = begin[: len(end)]
    if not len(end):
        return _EMPTY
    first_column, last_column = int(begin[0]) // height, (int(end[-1]) - 1) // height
    top, bottom = begin % height, (end - 1) % height
    if ((begin // height) != ((end - 1) // height)).any():
        return (first_column, last_column + 1, 0, height)
    return (first_column, last_column + 1, int(top.min()), int(bottom.max()) + 1)


def _bits(batch: RunBatch, masks: Sequence[Mask], layouts: Sequence[tuple[int, int, int, int]]) -> list[int]:
    """Each mask as the bits of a whole number, laid out in its box.

    A run of bits from s up to e is 2^e - 2^s, so all runs of a mask are one difference: the bits of their ends less the bits
    of their starts.
    """
    lengths = [(right - left) * (bottom - top + 1) for left, right, top, bottom in layouts]
    starts = np.concatenate(([0], np.cumsum([8 * (length // 8 + 1) for length in lengths])))
    edges = np.zeros((2, int(starts[-1])), dtype=bool)
    crossing = []
    for index, (mask, (left, _, top, bottom)) in enumerate(zip(masks, layouts, strict=True)):
        ends = np.cumsum(batch.of(index))
        last = ends[1::2] - 1
        origin, stride = int(starts[index]) - top, bottom - top + 1
        # The end of a run is found by its last pixel, which is in the box where the pixel after it may not be.
        first_column, row = np.divmod(ends[0::2][: len(last)], mask.height)
        edges[0, origin + (first_column - left) * stride + row] = True
        last_column, row = np.divmod(last, mask.height)
        edges[1, origin + (last_column - left) * stride + row + 1] = True
        crossing.append(bool((first_column != last_column).any()))
    packed = np.packbits(edges, axis=1, bitorder="little")
    found = []
    for index, (left, right, top, bottom) in enumerate(layouts):
        part = slice(int(starts[index]) // 8, int(starts[index + 1]) // 8)
        begin, end = (int.from_bytes(packed[side, part].tobytes(), "little") for side in (0, 1))
        value = end - begin
        if crossing[index]:  # a run that goes on in the next column filled the bit between them
            value &= ~_separators(right - left, bottom - top + 1)
        found.append(value)
    return found


def _separators(columns: int, stride: int) -> int:
    """The bit after each column."""
    one_column = 1 << (stride - 1)
    pattern = one_column
    done = 1
    while done < columns:
        pattern |= pattern << (done * stride)
        done *= 2
    return pattern & ((1 << (columns * stride)) - 1)


def _boundary(bits: int, stride: int, reach: int) -> int:
    """A mask less the same mask eroded by ``reach`` pixels in each direction."""
    eroded = _all_of_window(_all_of_window(bits, 1, 2 * reach + 1), stride, 2 * reach + 1)
    return bits & ~(eroded << (reach * (stride + 1)))


def _all_of_window(bits: int, step: int, window: int) -> int:
    """Bits from which ``window`` bits, each ``step`` after the last, are all set."""
    done = 1
    while done < window and bits:
        shift = min(done, window - done)
        bits &= bits >> (shift * step)
        done += shift
    return bits
