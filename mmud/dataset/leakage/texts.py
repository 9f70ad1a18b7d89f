"""Texts that two splits share: equal ones by digest, near-duplicates by shingles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mmud.dataset.joining import equal_pairs
from mmud.dataset.leakage.corpus import Corpus, Digests, Match, Positions, digests_of, exact_matches
from mmud.dataset.leakage.shingles import (
    BANDS,
    ShingleStore,
    WordHashes,
    jaccard,
    shingles_of,
    signatures,
    text_digest,
    words_of,
)

SIMILARITY = 0.7
"""Jaccard index of shingles from which two texts are near-duplicates."""

FEWEST_WORDS = {"caption": 8, "question": 5}
"""Shorter texts are left alone: they agree by chance."""

FEWEST_PHRASES, FEWEST_PHRASE_WORDS = 4, 8
"""Smaller sets of phrases agree by chance: so many different ones, and so many words in all, are compared."""

_BATCH = 1024
_HELD = 512


@dataclass
class TextMatches:
    """What was found in one field: equal texts, and nearly equal ones (of those that are not equal)."""

    same: list[Match] = field(default_factory=list)
    near: list[Match] = field(default_factory=list)


class _Texts:
    """The texts of one field: a digest for each sample, and shingles for each different text of each split."""

    def __init__(self) -> None:
        self.positions: list[int] = []
        self.content: list[bytes] = []
        self.store = ShingleStore()
        self.members: list[list[int]] = []
        """Of each different text of a split: the positions that have it."""
        self.cells: list[int] = []
        self._numbers: dict[tuple[int, bytes], int] = {}
        self._hashes = WordHashes()
        self._waiting: list[NDArray[np.uint64]] = []
        self._keys: list[NDArray[np.uint64]] = []

    def add(self, position: int, cell: int, words: list[str]) -> None:
        digest = text_digest(words)
        self.positions.append(position)
        self.content.append(digest)
        number = self._numbers.setdefault((cell, digest), len(self.members))
        if number < len(self.members):
            self.members[number].append(position)
            return
        self.members.append([position])
        self.cells.append(cell)
        shingles = shingles_of(self._hashes(words))
        self.store.append(shingles)
        self._waiting.append(shingles)
        if len(self._waiting) == _HELD:
            self._sign()

    def _sign(self) -> None:
        if self._waiting:
            self._keys.append(signatures(self._waiting))
            self._waiting = []

    def finish(self) -> tuple[NDArray[np.uint64], Digests]:
        """Band keys and digests of the different texts: shapes (m, 32) and (m, 2)."""
        self._sign()
        self.store.finish()
        digests = digests_of(digest for _, digest in self._numbers)
        self._numbers = {}
        return (np.concatenate(self._keys) if self._keys else np.zeros((0, BANDS), dtype=np.uint64)), digests


def text_matches(
    corpus: Corpus, similarity: float = SIMILARITY, advance: Callable[[int], None] | None = None
) -> dict[str, TextMatches]:
    """Captions, questions and sets of phrases that splits share though they should not.

    One pass over the text columns; memory holds some 400 bytes a sample and field, the shingles are in a temporary file.

    Args:
        corpus: the samples.
        similarity: Jaccard index of near-duplicates.
        advance: told how many samples were read.

    Returns:
        "caption", "question" and "phrases" -> what was found; phrases have no near-duplicates. Each leaked sample comes once in
        each list.
    """
    fields = {name: _Texts() for name in FEWEST_WORDS}
    phrase_positions: list[int] = []
    phrase_content: list[bytes] = []
    try:
        for position, texts, phrases in _read(corpus, advance):
            cell = int(corpus.cell_of[position])
            for name, fewest in FEWEST_WORDS.items():
                words = words_of(texts[name])
                if len(words) >= fewest:
                    fields[name].add(position, cell, words)
            different = sorted({" ".join(words_of(phrase)) for phrase in phrases} - {""})
            enough = sum(phrase.count(" ") + 1 for phrase in different) >= FEWEST_PHRASE_WORDS
            if len(different) >= FEWEST_PHRASES and enough:
                phrase_positions.append(position)
                phrase_content.append(text_digest(different))
        found = {name: _matches(corpus, held, similarity) for name, held in fields.items()}
        found["phrases"] = TextMatches(same=exact_matches(corpus, _array(phrase_positions), digests_of(phrase_content)))
        return found
    finally:
        for held in fields.values():
            held.store.close()


def _array(positions: list[int]) -> Positions:
    return np.array(positions, dtype=np.int64)


def _read(corpus: Corpus, advance: Callable[[int], None] | None) -> Iterator[tuple[int, dict[str, str], list[str]]]:
    position = 0
    columns = (*FEWEST_WORDS, "objects.list.element.phrases")
    for dataset in corpus.datasets:
        for batch in dataset.batches(None, columns, rows=_BATCH):
            rows = batch.table.to_pydict()
            for number in range(batch.table.num_rows):
                texts = {name: rows[name][number] or "" for name in FEWEST_WORDS}
                objects = rows["objects"][number] or []
                yield position, texts, [phrase for item in objects for phrase in item["phrases"] or []]
                position += 1
            if advance is not None:
                advance(batch.table.num_rows)


def _matches(corpus: Corpus, texts: _Texts, similarity: float) -> TextMatches:
    keys, digests = texts.finish()
    same = exact_matches(corpus, _array(texts.positions), digests_of(texts.content))
    best: dict[int, Match] = {}
    cells = np.array(texts.cells, dtype=np.int64)
    for leaked, other in corpus.cell_pairs():
        first, second = (np.flatnonzero(cells == corpus.cells.index(cell)) for cell in (leaked, other))
        for number, match_number, score in _near(texts.store, keys, digests, first, second, similarity):
            for position in texts.members[number]:
                known = best.get(position)
                if known is None or score > known.score:
                    best[position] = Match(position, texts.members[match_number][0], round(score, 4))
    return TextMatches(same, [best[position] for position in sorted(best)])


def _near(
    store: ShingleStore,
    keys: NDArray[np.uint64],
    digests: Digests,
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    similarity: float,
) -> Iterator[tuple[int, int, float]]:
    """For each different text of the first split, the first near-duplicate in the second that the bands bring up."""
    left = first
    for band in range(BANDS):
        if not len(left) or not len(second):
            return
        matched: set[int] = set()
        for i, j in equal_pairs(keys[left, band], keys[second, band]):
            a, b = left[i], second[j]
            # Pairs that an earlier band brought up were compared then; equal texts are no near-duplicates.
            fresh = (keys[a, :band] != keys[b, :band]).all(axis=1) & (digests[a] != digests[b]).any(axis=1)
            for number, candidate in zip(a[fresh].tolist(), b[fresh].tolist(), strict=True):
                if number in matched:
                    continue
                score = jaccard(store[number], store[candidate])
                if score >= similarity:
                    matched.add(number)
                    yield number, candidate, score
        if matched:
            left = left[~np.isin(left, list(matched))]
