"""Pairs of equal keys from two lists, a bounded number at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BLOCK_PAIRS = 1 << 21
"""Pairs handed out at once: what bounds the memory of a join."""

Pairs = tuple[NDArray[np.intp], NDArray[np.intp]]
"""Positions in the first and in the second list."""


def equal_pairs(
    first: NDArray[np.unsignedinteger], second: NDArray[np.unsignedinteger], order: NDArray[np.intp] | None = None
) -> Iterator[Pairs]:
    """Every pair of positions with ``first[i] == second[j]``.

    Args:
        first: n keys.
        second: m keys.
        order: ``numpy.argsort(second)``, where it is known already.

    Yields:
        Parts of at most `BLOCK_PAIRS` pairs, or one key's pairs where those alone are more.
    """
    if order is None:
        order = np.argsort(second, kind="stable")
    keys = second[order]
    starts = np.searchsorted(keys, first, side="left")
    counts = np.searchsorted(keys, first, side="right") - starts
    queries = np.flatnonzero(counts)
    ends = np.cumsum(counts[queries])
    cut = 0
    while cut < len(queries):
        base = ends[cut - 1] if cut else 0
        stop = max(cut + 1, int(np.searchsorted(ends, base + BLOCK_PAIRS, side="right")))
        part = queries[cut:stop]
        sizes = counts[part]
        i = np.repeat(part, sizes)
        within = np.arange(len(i)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        yield i, order[starts[i] + within]
        cut = stop
