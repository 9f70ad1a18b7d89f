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


@dataclass(frozen=True, slots=True)
class RunBatch:
    """The runs of several masks, end to end.

    Attributes:
        runs: all run lengths, background first within each mask.
        offsets: ``runs[offsets[i]:offsets[i + 1]]`` are those of mask i.
        problems: mask number -> what is wrong with it; its runs are not to be used.
    """

    runs: Int64
    offsets: Int64
    problems: dict[int, str]

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
    lengths = np.fromiter((len(text) for text in counts), dtype=np.int64, count=total)
    text = np.frombuffer(b"".join(counts), dtype=np.uint8).astype(np.int64) - 48
    owner = np.repeat(np.arange(total), lengths)
    problems: dict[int, str] = {}

    def report(bad: NDArray[np.bool_], masks: Int64, message: str) -> None:
        for index in np.unique(masks[bad]):
            problems.setdefault(int(index), message)

    report((text < 0) | (text > 63), owner, "a character outside the alphabet of compressed counts")
    last = (text & 0x20) == 0
    # A string that ends inside a run would borrow the next string's characters: close it here, and report it.
    finals = np.cumsum(lengths)[lengths > 0] - 1
    report(~last[finals], owner[finals], "the last run is unfinished")
    last[finals] = True

    ends = np.flatnonzero(last)
    starts = np.concatenate(([0], ends[:-1] + 1)) if len(ends) else ends
    width = ends - starts + 1
    run_owner = owner[ends]
    # Seven groups hold 35 bits, beyond any image; longer ones would overflow the shift below.
    report(width > 7, run_owner, "a run too long for any image")
    position = np.arange(len(text)) - np.repeat(starts, width)
    shifted = (text & 0x1F) << np.minimum(5 * position, 35)
    runs = np.add.reduceat(shifted, starts) if len(starts) else shifted
    negative = (text[ends] & 0x10) != 0
    runs = runs - np.where(negative, np.int64(1) << np.minimum(5 * width, 40), 0)

    run_counts = np.bincount(run_owner, minlength=total)
    offsets = np.concatenate(([0], np.cumsum(run_counts)))
    runs = _undo_differences(runs, offsets, run_counts)
    report(runs < 0, run_owner, "a negative run")
    bounds = np.concatenate(([0], np.cumsum(runs)))
    sums = bounds[offsets[1:]] - bounds[offsets[:-1]]
    for index in np.flatnonzero(sums != expected):
        problems.setdefault(int(index), f"runs cover {sums[index]} pixels, the image has {expected[index]}")
    return RunBatch(runs, offsets, problems)


def _undo_differences(runs: Int64, offsets: Int64, run_counts: Int64) -> Int64:
    """Run i (i > 2) was written as its difference to run i - 2: a running sum over every second run from the second on."""
    order = np.arange(len(runs)) - np.repeat(offsets[:-1], run_counts)
    plain = runs.copy()
    for parity in (0, 1):
        chosen = np.flatnonzero((order % 2 == parity) & (order > 0))
        if not len(chosen):
            continue
        running = np.cumsum(runs[chosen])
        first = order[chosen] == (1 if parity else 2)
        base = np.where(first, running - runs[chosen], 0)
        # Sums never restart by themselves: take away what had gathered before each mask's first member of the chain.
        group = np.cumsum(first) - 1
        plain[chosen] = running - base[np.flatnonzero(first)][group]
    return plain


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
