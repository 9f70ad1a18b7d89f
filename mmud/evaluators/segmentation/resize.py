"""Resizing masks by nearest neighbour without decoding them.

Nearest neighbour only repeats and drops rows and columns. A run of column-major pixels falls into three pieces: the rest of
the column it starts in, whole columns, and the beginning of the column it ends in. Each piece's length in the output is a
table look-up; where a column is repeated, all pieces in it are repeated together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mmud.annotations.masks import Mask
from mmud.annotations.runs import decode_runs

Int64 = NDArray[np.int64]
BATCH = 2048
"""Masks at once; their runs and pieces are held in memory."""


@lru_cache(maxsize=256)
def source_positions(source: int, target: int) -> Int64:
    """The source position of each of ``target`` positions, as Pillow's NEAREST picks it, shape (target,).

    Pillow adds the scale up step by step in double precision and rounds down, which is not the same as multiplying.
    """
    scale = source / target
    steps = np.full(target, scale)
    steps[0] = scale * 0.5
    positions: Int64 = np.minimum(np.floor(np.cumsum(steps)), source - 1).astype(np.int64)
    return positions


@lru_cache(maxsize=256)
def _outputs_before(source: int, target: int) -> Int64:
    """How many output positions have their source before each position 0 … source, shape (source + 1,)."""
    return np.searchsorted(source_positions(source, target), np.arange(source + 1)).astype(np.int64)


def resize_nearest(masks: Sequence[Mask], side: int) -> list[Mask]:
    """Masks resized to ``side`` by ``side``, exactly as Pillow's ``resize((side, side), NEAREST)`` of the decoded mask."""
    found: list[Mask | None] = [None] * len(masks)
    by_size: dict[tuple[int, int], list[int]] = {}
    for index, mask in enumerate(masks):
        by_size.setdefault(mask.size, []).append(index)
    for (height, width), members in by_size.items():
        for start in range(0, len(members), BATCH):
            part = members[start : start + BATCH]
            texts = _resize([masks[index].counts for index in part], height, width, side)
            for index, text in zip(part, texts, strict=True):
                found[index] = Mask(side, side, text)
    return [mask for mask in found if mask is not None]


@dataclass(frozen=True, slots=True)
class _Pieces:
    """Pieces of runs in order: the mask each belongs to, its colour, its pixels in the output."""

    owner: Int64
    foreground: NDArray[np.bool_]
    pixels: Int64

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> _Pieces:
        return _Pieces(self.owner[index], self.foreground[index], self.pixels[index])


def _resize(counts: Sequence[bytes], height: int, width: int, side: int) -> list[bytes]:
    """The compressed counts of resized masks of one size."""
    batch = decode_runs(counts, [height * width] * len(counts))
    owner = np.repeat(np.arange(len(counts)), np.diff(batch.offsets))
    position = np.arange(len(batch.runs)) - batch.offsets[:-1][owner]
    total = np.concatenate(([0], np.cumsum(batch.runs)))
    end = total[1:] - total[batch.offsets[:-1]][owner]
    pieces = _cut(owner, position % 2 == 1, end - batch.runs, end, (height, width, side))
    return _encode(pieces, len(counts))


def _cut(owner: Int64, foreground: NDArray[np.bool_], start: Int64, end: Int64, sizes: tuple[int, int, int]) -> _Pieces:
    """Runs cut into their three pieces, with repeated columns repeated."""
    height, width, side = sizes
    columns, rows = _outputs_before(width, side), _outputs_before(height, side)
    repeats = np.append(np.diff(columns), 0)
    first, first_row = np.divmod(start, height)
    last, last_row = np.divmod(end, height)
    inside = first == last
    starts_within = first_row > 0
    pixels = np.zeros((len(owner), 3), dtype=np.int64)
    column = np.full((len(owner), 3), -1, dtype=np.int64)
    head_end = np.where(inside, last_row, height)
    pixels[:, 0] = np.where(starts_within, rows[head_end] - rows[first_row], 0)
    column[:, 0] = first
    whole = first + starts_within
    pixels[:, 1] = np.where(last > whole, columns[last] - columns[np.minimum(whole, width)], 0) * side
    pixels[:, 2] = np.where(inside & starts_within, 0, rows[last_row])
    column[:, 2] = last
    times = np.ones_like(pixels)
    times[:, 0] = repeats[first]
    times[:, 2] = repeats[last]
    pieces = _Pieces(np.repeat(owner, 3), np.repeat(foreground, 3), pixels.ravel())
    alive = (pieces.pixels > 0) & (times.ravel() > 0)
    pieces, times_alive, column_alive = pieces.take(alive), times.ravel()[alive], column.ravel()[alive]
    if (times_alive == 1).all():
        return pieces
    return pieces.take(_repeated(pieces.owner, column_alive, times_alive))


def _repeated(owner: Int64, column: Int64, times: Int64) -> Int64:
    """The order of pieces when all pieces of a column are repeated together, as many times as the column is."""
    first = np.ones(len(owner), dtype=bool)
    first[1:] = (owner[1:] != owner[:-1]) | (column[1:] != column[:-1]) | (column[1:] < 0)
    starts = np.flatnonzero(first)
    sizes = np.diff(np.append(starts, len(owner)))
    totals = sizes * times[starts]
    offset = np.arange(totals.sum()) - np.repeat(np.cumsum(totals) - totals, totals)
    order: Int64 = np.repeat(starts, totals) + offset % np.repeat(sizes, totals)
    return order


def _encode(pieces: _Pieces, count: int) -> list[bytes]:
    """Compressed counts from pieces: neighbours of one colour are joined."""
    owner, foreground = pieces.owner, pieces.foreground
    head = np.ones(len(owner), dtype=bool)
    head[1:] = owner[1:] != owner[:-1]
    begins = head.copy()
    begins[1:] |= foreground[1:] != foreground[:-1]
    at = np.flatnonzero(begins)
    runs = np.add.reduceat(pieces.pixels, at)
    # A mask that begins with foreground begins with a background run of length zero.
    padded = np.flatnonzero(head[at] & foreground[at])
    owners = owner[at]
    runs = np.insert(runs, padded, 0)
    owners = np.insert(owners, padded, owners[padded])
    return compress_many(runs, np.bincount(owners, minlength=count))


def compress_many(runs: Int64, counts: Int64) -> list[bytes]:
    """Compress the runs of many masks at once; see `mmud.annotations.runs` for the form.

    Args:
        runs: all run lengths, end to end.
        counts: how many of them each mask has, shape (masks,).
    """
    offsets = np.concatenate(([0], np.cumsum(counts)))
    position = np.arange(len(runs)) - np.repeat(offsets[:-1], counts)
    values = runs.copy()
    late = np.flatnonzero(position > 2)
    values[late] -= runs[late - 2]
    groups = np.ones(len(values), dtype=np.int64)
    for bits in range(5, 35, 5):
        # The last group's highest bit is the sign, so g groups hold numbers of 5 g - 1 bits and a sign.
        groups += (values >= 1 << (bits - 1)) | (values < -(1 << (bits - 1)))
    ends = np.cumsum(groups)
    text = np.zeros(int(ends[-1]) if len(ends) else 0, dtype=np.uint8)
    starts = ends - groups
    for group in range(int(groups.max()) if len(groups) else 0):
        has = np.flatnonzero(groups > group)
        more = groups[has] > group + 1
        text[starts[has] + group] = ((values[has] >> (5 * group)) & 0x1F) + 48 + np.where(more, 0x20, 0)
    joined = text.tobytes()
    bounds = np.concatenate(([0], ends))[offsets]
    return [joined[a:b] for a, b in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)]
