"""Reading COCO's compressed run-length strings, many at once, with numpy; nothing unchecked reaches compiled code.

The format (pycocotools ``maskApi.c``, ``rleFrString``): each run is written in groups of five bits, least significant first,
as the character ``48 + bits``, with 0x20 set where another group follows and 0x10 of the last group as the sign. From the
fourth run on, the number written is the difference to the run two before. Runs alternate background and foreground, column
by column, starting with background.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]

_MAX_GROUPS = 7
"""Seven groups of five bits hold more than any image's pixels."""


@dataclass(frozen=True, slots=True)
class RunBatch:
    """The runs of several masks, end to end.

    Attributes:
        runs: all run lengths, background first within each mask.
        offsets: ``runs[offsets[i]:offsets[i + 1]]`` are those of mask i.
        problems: mask number -> what is wrong with it; its runs are not to be used.
        loose: numbers of the masks that are not in their one shortest form: a run of length zero besides the first, or a
            run spelt with more groups than it needs.
    """

    runs: Int64
    offsets: Int64
    problems: dict[int, str]
    loose: frozenset[int] = frozenset()

    def of(self, index: int) -> Int64:
        return self.runs[self.offsets[index] : self.offsets[index + 1]]


def decode_runs(counts: Sequence[bytes], pixels: Sequence[int] | Int64) -> RunBatch:
    """Decode compressed counts and check them.

    Args:
        counts: n compressed strings.
        pixels: n numbers, height times width.

    Returns:
        Their runs; a mask with a character outside the alphabet, an unfinished or oversized run, a negative run, or a sum
        other than its pixels is named in ``problems``.
    """
    total = len(counts)
    expected = np.asarray(pixels, dtype=np.int64)
    lengths = np.fromiter(map(len, counts), dtype=np.int64, count=total)
    text_ends = np.cumsum(lengths)
    # Bytes below 48 wrap around to values above 63, so that one comparison finds every foreign character.
    text = np.frombuffer(b"".join(counts), dtype=np.uint8) - np.uint8(48)
    problems: dict[int, str] = {}

    def report(positions: Int64, ends: Int64, message: str) -> None:
        for index in sorted(set(np.searchsorted(ends, positions, side="right").tolist())):
            problems.setdefault(index, message)

    report(np.flatnonzero(text > 63), text_ends, "a character outside the alphabet of compressed counts")
    last = (text & 0x20) == 0
    # A string that ends inside a run would borrow the next string's characters: close it here, and report it.
    finals = text_ends[lengths > 0] - 1
    report(finals[~last[finals]], text_ends, "the last run is unfinished")
    last[finals] = True

    ends = np.flatnonzero(last)
    offsets = np.concatenate(([0], np.searchsorted(ends, text_ends)))
    runs, width, padded = _groups_to_numbers(text, last, ends)
    report(np.flatnonzero(width > _MAX_GROUPS), offsets[1:], "a run too long for any image")
    runs = _undo_differences(runs, offsets)
    report(np.flatnonzero(runs < 0), offsets[1:], "a negative run")
    bounds = np.concatenate(([0], np.cumsum(runs)))
    sums = bounds[offsets[1:]] - bounds[offsets[:-1]]
    for index in np.flatnonzero(sums != expected):
        problems.setdefault(int(index), f"runs cover {sums[index]} pixels, the image has {expected[index]}")
    is_empty = runs == 0
    is_empty[offsets[:-1][lengths > 0]] = False  # each mask's first run may be
    loose = np.searchsorted(offsets[1:], np.concatenate((padded, np.flatnonzero(is_empty))), side="right")
    return RunBatch(runs, offsets, problems, frozenset(loose.tolist()))


def _groups_to_numbers(text: NDArray[np.uint8], last: NDArray[np.bool_], ends: Int64) -> tuple[Int64, Int64, Int64]:
    """The signed number that each run's groups of five bits spell, how many groups it has, and which have one too many.

    Args:
        text: all groups, shape (groups,).
        last: which of them end a run.
        ends: their positions, shape (runs,).
    """
    width = np.diff(ends, prepend=-1)
    # Nearly every run has one group or two: these are put together for all positions at once, which is much faster than
    # looking them up run by run.
    bits = (text & np.uint8(0x1F)).astype(np.int16)
    signed = (text & np.uint8(0x10)) != 0
    follows = np.zeros(len(text), dtype=np.bool_)
    np.logical_not(last[:-1], out=follows[1:])
    shift = follows.astype(np.int16) * np.int16(5)
    spelt = (bits << shift) - (signed.astype(np.int16) << (shift + np.int16(5)))
    spelt[1:] += bits[:-1] * follows[1:]
    numbers = spelt[ends].astype(np.int64)
    longer = np.flatnonzero(width > 2)
    if len(longer):
        numbers[longer] = _long_numbers(bits, ends[longer], width[longer])
    # A last group of zeros or of ones says nothing where the group before it has the same sign already.
    idle = follows & last & ((bits == 0) | (bits == 0x1F))
    idle[1:] &= (bits[1:] != 0) == signed[:-1]
    return numbers, width, np.searchsorted(ends, np.flatnonzero(idle))


def _long_numbers(bits: NDArray[np.int16], ends: Int64, width: Int64) -> Int64:
    """The numbers of runs of several groups, at most _MAX_GROUPS of which count."""
    starts = ends - width + 1
    numbers = np.zeros(len(ends), dtype=np.int64)
    for group in range(_MAX_GROUPS):
        has = np.flatnonzero(width > group)
        numbers[has] += bits[starts[has] + group].astype(np.int64) << (5 * group)
    negative = np.flatnonzero(bits[ends] & 0x10)
    numbers[negative] -= np.int64(1) << np.minimum(5 * width[negative], 5 * _MAX_GROUPS)
    return numbers


def _undo_differences(numbers: Int64, offsets: Int64) -> Int64:
    """Each run from a mask's fourth on was written as its difference to the run two before.

    A running sum over every second number of the whole batch, less what had gathered before the mask's own chain, gives the
    runs of all masks at once.
    """
    gathered = np.empty_like(numbers)
    for parity in (0, 1):
        gathered[parity::2] = np.cumsum(numbers[parity::2])
    first = offsets[:-1]
    counts = np.diff(offsets)
    before = np.zeros((2, len(first)), dtype=np.int64)
    # The chain of a mask's even runs starts at its third number, that of its odd runs at its second.
    for member in (2, 1):
        has = counts > member
        at = first[has] + member
        before[(at % 2, np.flatnonzero(has))] = gathered[at] - numbers[at]
    runs = gathered
    for parity in (0, 1):
        members = (counts + (first % 2 == parity)) // 2
        runs[parity::2] -= np.repeat(before[parity], members)
    heads = first[counts > 0]
    runs[heads] = numbers[heads]
    return runs


def compress_runs(runs: Sequence[int]) -> bytes:
    """Compress run lengths; the inverse of `decode_runs` for one mask."""
    out = bytearray()
    for index, run in enumerate(runs):
        value = int(run) - (int(runs[index - 2]) if index > 2 else 0)
        more = True
        while more:
            group = value & 0x1F
            value >>= 5
            more = value != (-1 if group & 0x10 else 0)
            out.append(48 + (group | (0x20 if more else 0)))
    return bytes(out)
