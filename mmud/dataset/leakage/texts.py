"""Texts that two splits share: equal ones by digest, near-duplicates by shingles."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mmud.annotations.shingles import BANDS, ShingledTexts, ShingleStore, Signature, jaccard, text_digest, words_of
from mmud.dataset.joining import equal_pairs
from mmud.dataset.leakage.corpus import Corpus, Digests, Match, Positions, digests_of, exact_matches

SIMILARITY = 0.7
"""Jaccard index of shingles from which two texts are near-duplicates."""

FEWEST_WORDS = {"caption": 8, "question": 5}
"""Shorter texts are left alone: they agree by chance."""

FEWEST_PHRASES, FEWEST_PHRASE_WORDS = 4, 8
"""Smaller sets of phrases agree by chance: so many different ones, and so many words in all, are compared."""

_BATCH = 1024


@dataclass
class TextMatches:
    """What was found in one field: equal texts, and nearly equal ones (of those that are not equal)."""

    same: list[Match] = field(default_factory=list)
    near: list[Match] = field(default_factory=list)


class _Texts:
    """The texts of one field, as flat arrays: positions, digests and band keys; shingles are in a temporary file."""

    def __init__(self) -> None:
        self.shingled = ShingledTexts()
        self._positions = array("q")
        self._digests = bytearray()

    def add(self, position: int, words: list[str]) -> None:
        self._positions.append(position)
        self._digests += text_digest(words)
        self.shingled.append(words)

    def finish(self) -> tuple[Positions, Digests, Signature]:
        """Positions, digests and band keys of all n texts: shapes (n,), (n, 2) and (n, 32)."""
        return np.array(self._positions, dtype=np.int64), digests_of([bytes(self._digests)]), self.shingled.finish()


def text_matches(
    corpus: Corpus, similarity: float = SIMILARITY, advance: Callable[[int], None] | None = None
) -> dict[str, TextMatches]:
    """Captions, questions and sets of phrases that splits share though they should not.

    One pass over the text columns; memory holds some 200 bytes a text, the shingles are in a temporary file.

    Args:
        corpus: the samples.
        similarity: Jaccard index of near-duplicates.
        advance: told how many samples were read.

    Returns:
        "caption", "question" and "phrases" -> what was found; phrases have no near-duplicates. Each leaked sample comes once in
        each list.
    """
    fields = {name: _Texts() for name in FEWEST_WORDS}
    phrase_positions, phrase_digests = array("q"), bytearray()
    try:
        for position, texts, phrases in _read(corpus, advance):
            for name, fewest in FEWEST_WORDS.items():
                words = words_of(texts[name])
                if len(words) >= fewest:
                    fields[name].add(position, words)
            different = sorted({" ".join(words_of(phrase)) for phrase in phrases} - {""})
            enough = sum(phrase.count(" ") + 1 for phrase in different) >= FEWEST_PHRASE_WORDS
            if len(different) >= FEWEST_PHRASES and enough:
                phrase_positions.append(position)
                phrase_digests += text_digest(different)
        found = {name: _matches(corpus, held, similarity) for name, held in fields.items()}
        together = exact_matches(
            corpus, np.array(phrase_positions, dtype=np.int64), digests_of([bytes(phrase_digests)])
        )
        found["phrases"] = TextMatches(same=together)
        return found
    finally:
        for held in fields.values():
            held.shingled.close()


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
    positions, digests, keys = texts.finish()
    found = TextMatches(same=exact_matches(corpus, positions, digests))
    cells = corpus.cell_of[positions]
    # Of equal texts in a split the first stands for all: a question from a template is compared once, not thousands of times.
    order = np.lexsort((positions, digests[:, 1], digests[:, 0], cells))
    another = (cells[order][1:] != cells[order][:-1]) | (digests[order][1:] != digests[order][:-1]).any(axis=1)
    starts = np.flatnonzero(np.concatenate([[True], another])) if len(order) else np.zeros(0, dtype=np.intp)
    stops = np.append(starts[1:], len(order))
    first_of = order[starts]
    best: dict[int, Match] = {}
    for leaked, other in corpus.cell_pairs():
        left, right = (np.flatnonzero(cells[first_of] == corpus.cells.index(cell)) for cell in (leaked, other))
        for number, candidate, score in _near(
            texts.shingled.store, keys, digests, first_of[left], first_of[right], similarity
        ):
            group = left[number]
            for text in order[starts[group] : stops[group]].tolist():
                known = best.get(text)
                if known is None or score > known.score:
                    counterpart = int(positions[first_of[right[candidate]]])
                    best[text] = Match(int(positions[text]), counterpart, round(score, 4))
    found.near = sorted(best.values(), key=lambda match: match.leaked)
    return found


def _near(
    store: ShingleStore,
    keys: Signature,
    digests: Digests,
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    similarity: float,
) -> Iterator[tuple[int, int, float]]:
    """For each of some texts, the first near-duplicate among others that bands bring up: places in both lists, the score."""
    left = np.arange(len(first))
    for band in range(BANDS):
        if not len(left) or not len(second):
            return
        matched: set[int] = set()
        for i, j in equal_pairs(keys[first[left], band], keys[second, band]):
            a, b = first[left[i]], second[j]
            # Pairs that an earlier band brought up were compared then; equal texts are no near-duplicates.
            fresh = (keys[a, :band] != keys[b, :band]).all(axis=1) & (digests[a] != digests[b]).any(axis=1)
            for number, candidate in zip(left[i[fresh]].tolist(), j[fresh].tolist(), strict=True):
                if number in matched:
                    continue
                score = jaccard(store[int(first[number])], store[int(second[candidate])])
                if score >= similarity:
                    matched.add(number)
                    yield number, candidate, score
        if matched:
            left = left[~np.isin(left, list(matched))]
