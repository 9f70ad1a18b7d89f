"""Near-duplicate images: candidates by hash, decided by alignment."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmud.dataset.image_hash import distances, near_pairs
from mmud.dataset.leakage.alignment import similarities
from mmud.dataset.leakage.corpus import Cell, Corpus, Match, Positions
from mmud.dataset.leakage.image_marks import ImageMarks

DISTANCE = 16
"""Bits of 64 by which hashes of a candidate pair may differ: every copy of docs/leakage.md is within it."""

SIMILARITY = 0.85
"""From which agreement of details on a pair counts as one photograph; docs/leakage.md has the distributions."""

_BATCH = 512
_COMBINATIONS = ((0, 0), (0, 1), (1, 0))
"""Hashes that are compared: whole with whole, and each one's whole with the other's middle."""


def near_matches(
    corpus: Corpus, marks: ImageMarks, distance: int = DISTANCE, similarity: float = SIMILARITY
) -> list[Match]:
    """Samples whose image is a near-duplicate of one that it should not share: each leaked sample once, its best match.

    Args:
        corpus: the samples.
        marks: their images, decoded.
        distance: of hashes, 0 to 64.
        similarity: of aligned details, up to 1.
    """
    best: dict[int, Match] = {}
    for leaked, other in corpus.cell_pairs():
        for first, second in _candidates(marks, leaked, other, distance):
            scores = similarities(marks.thumbnails[first], marks.thumbnails[second])
            for position in np.flatnonzero(scores >= similarity).tolist():
                found = Match(int(first[position]), int(second[position]), round(float(scores[position]), 4))
                known = best.get(found.leaked)
                if known is None or (found.score, -found.counterpart) > (known.score, -known.counterpart):
                    best[found.leaked] = found
    return [best[position] for position in sorted(best)]


def _candidates(marks: ImageMarks, leaked: Cell, other: Cell, distance: int) -> Iterator[tuple[Positions, Positions]]:
    """Pairs of positions whose hashes are close, each once, in batches for the alignment."""
    a = leaked.start + np.flatnonzero(marks.has_hashes[leaked.start : leaked.stop])
    b = other.start + np.flatnonzero(marks.has_hashes[other.start : other.stop])
    waiting: list[tuple[Positions, Positions]] = []
    held = 0
    for number, (one, two) in enumerate(_COMBINATIONS):
        for i, j, _ in near_pairs(marks.hashes[a, one], marks.hashes[b, two], distance):
            # A pair that an earlier combination gave is not given again.
            fresh = np.ones(len(i), dtype=bool)
            for before_one, before_two in _COMBINATIONS[:number]:
                fresh &= distances(marks.hashes[a[i], before_one], marks.hashes[b[j], before_two]) > distance
            if fresh.any():
                waiting.append((a[i[fresh]], b[j[fresh]]))
                held += int(fresh.sum())
            if held >= _BATCH:
                yield from _cut(waiting)
                waiting, held = [], 0
    if held:
        yield from _cut(waiting)


def _cut(waiting: list[tuple[Positions, Positions]]) -> Iterator[tuple[Positions, Positions]]:
    first, second = (np.concatenate([pair[side] for pair in waiting]) for side in (0, 1))
    for start in range(0, len(first), _BATCH):
        yield first[start : start + _BATCH], second[start : start + _BATCH]
