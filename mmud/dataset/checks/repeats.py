"""Finding what repeats among many digests, and what nearly repeats among many hashes, with numpy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmud.dataset.image_hash import near_pairs

NEAR_BITS = 4
"""Image hashes that differ in at most so many bits are taken for one photograph.

Of 174 COCO photographs that were halved in size and saved again as JPEG of quality 60, 99 % stay within it; no two different
ones come nearer than 11 bits (``tests/dataset/checks/test_validate_real.py`` measures both).
"""

Digests = NDArray[np.uint64]
"""Shape (n, 2); zero stands for none."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """A position whose value an earlier position has: the first of its own split, else the first of all; bits that differ."""

    position: int
    earlier: int
    bits: int = 0


def repeats(digests: Digests, splits: NDArray[np.intp]) -> Iterator[Repeat]:
    """Every position whose digest came before, in no promised order.

    A position is compared with the first of its split that has its digest; the first of a split with the first of all.

    Args:
        digests: of each position.
        splits: the number of each position's split.
    """
    present = np.flatnonzero((digests != 0).any(axis=1))
    # The sort is stable, so that equal digests keep their positions' order.
    order = present[np.lexsort((digests[present, 1], digests[present, 0]))]
    same = (digests[order[1:]] == digests[order[:-1]]).all(axis=1)
    starts = np.flatnonzero(same & ~np.concatenate(([False], same[:-1])))
    for start in starts.tolist():
        stop = start + 1
        while stop <= len(same) - 1 and same[stop]:
            stop += 1
        group = order[start : stop + 1].tolist()
        firsts: dict[int, int] = {}
        for position in group:
            earlier = firsts.setdefault(int(splits[position]), position)
            if earlier != position:
                yield Repeat(position, earlier)
            elif position != group[0]:
                yield Repeat(position, group[0])


def near_repeats(
    hashes: NDArray[np.uint64], usable: NDArray[np.bool_], digests: Digests, splits: NDArray[np.intp]
) -> Iterator[Repeat]:
    """Positions whose hash is near one of an earlier split: each with the nearest, the first of those.

    Positions whose very digest is in an earlier split are left out: they are no near-duplicates but duplicates.

    Args:
        hashes: of each position.
        usable: whether a position has a hash.
        digests: of the files that were hashed.
        splits: the number of each position's split.
    """
    # Members of a split point at its first one, which points at an earlier split where there is one.
    shared = {repeat.position: repeat.earlier for repeat in repeats(digests, splits)}
    copies = np.zeros(len(hashes), dtype=bool)
    for position, first in shared.items():
        copies[position] = splits[position] != splits[first] or first in shared
    for split in np.unique(splits).tolist():
        earlier = np.flatnonzero(usable & (splits < split))
        later = np.flatnonzero(usable & (splits == split) & ~copies)
        if not len(earlier) or not len(later):
            continue
        # Equal hashes are looked up once, so that thousands of alike images cost no more than one.
        known, first_known = np.unique(hashes[earlier], return_index=True)
        asked, members = np.unique(hashes[later], return_inverse=True)
        # Nearest first, then the earliest position: one number to take the smallest of.
        keys = np.full(len(asked), (NEAR_BITS + 1) * len(hashes), dtype=np.int64)
        for i, j, bits in near_pairs(asked, known, NEAR_BITS):
            np.minimum.at(keys, i, bits.astype(np.int64) * len(hashes) + earlier[first_known[j]])
        distance, partner = np.divmod(keys[members], len(hashes))
        for index in np.flatnonzero(distance <= NEAR_BITS).tolist():
            yield Repeat(int(later[index]), int(partner[index]), int(distance[index]))
