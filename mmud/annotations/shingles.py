"""Texts as sets of word runs, their MinHash signatures, and the search for pairs that share most runs.

MinHash: A. Z. Broder, "On the resemblance and containment of documents" (1997): the smallest values of a text's set under
many hash functions agree between two texts as often as their Jaccard index says. Banding (Leskovec, Rajaraman and Ullman,
"Mining of Massive Datasets", section 3.4): texts that agree in all of 4 values of one of 32 bands are compared exactly. A pair
of Jaccard index s is found with probability 1 - (1 - s**4)**32: 0.9998 at 0.7, 0.99999 at 0.75.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import unicodedata
from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmud.annotations import tags

RUN = 3
"""Words of a shingle."""

BANDS, ROWS = 32, 4
_WORD = re.compile(r"[^\W_]+")
_MOST_KNOWN_WORDS = 1 << 20
_BLOCK = 64
"""Texts that are hashed together: 128 hashes of each of their shingles are held."""
_HELD = 512
"""Texts whose keys are made at a time."""

Shingles = NDArray[np.uint64]
Signature = NDArray[np.uint32]
"""Shape (n, 32): one key a band. Keys of 32 bits meet by chance now and then; the exact comparison sorts that out."""

_GENERATOR = np.random.default_rng(0x6D6D7564)
_MULTIPLIERS = _GENERATOR.integers(0, 2**64, BANDS * ROWS, dtype=np.uint64) | np.uint64(1)
_ADDENDS = _GENERATOR.integers(0, 2**64, BANDS * ROWS, dtype=np.uint64)
_WEIGHTS = _GENERATOR.integers(0, 2**64, max(RUN, ROWS), dtype=np.uint64) | np.uint64(1)


def words_of(text: str) -> list[str]:
    """The words that count: tags removed, compatibility forms joined, case and punctuation dropped."""
    return _WORD.findall(unicodedata.normalize("NFKC", tags.remove(text)).casefold())


def text_digest(words: Sequence[str]) -> bytes:
    """16 bytes that equal texts share."""
    return hashlib.blake2b(" ".join(words).encode(), digest_size=16).digest()


class WordHashes:
    """A 64-bit number for each word; remembered, as texts use few words often."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def __call__(self, words: Sequence[str]) -> Shingles:
        if len(self._known) > _MOST_KNOWN_WORDS:
            self._known.clear()
        known = self._known
        for word in words:
            if word not in known:
                known[word] = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
        return np.array([known[word] for word in words], dtype=np.uint64)


def _mixed(values: Shingles) -> Shingles:
    """Each number spread over all 64 bits (the finaliser of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def shingles_of(hashes: Shingles) -> Shingles:
    """The set of a text's runs of three words, sorted; of a shorter text, the text as one run."""
    run = min(RUN, len(hashes))
    if run == 0:
        return np.zeros(0, dtype=np.uint64)
    count = len(hashes) - run + 1
    total = np.zeros(count, dtype=np.uint64)
    for offset in range(run):
        total += hashes[offset : offset + count] * _WEIGHTS[offset]
    return np.unique(_mixed(total + np.uint64(run)))


def signatures(texts: Sequence[Shingles]) -> Signature:
    """The bands' keys of texts, none of which is empty: shape (n, 32)."""
    keys = np.empty((len(texts), BANDS), dtype=np.uint32)
    for start in range(0, len(texts), _BLOCK):
        part = texts[start : start + _BLOCK]
        joined = np.concatenate(part)
        ends = np.cumsum([len(text) for text in part])
        starts = np.concatenate([[0], ends[:-1]])
        hashed = joined[None] * _MULTIPLIERS[:, None] + _ADDENDS[:, None]
        least = np.minimum.reduceat(_mixed(hashed), starts, axis=1)
        bands = least.reshape(BANDS, ROWS, len(part))
        joint = _mixed((bands * _WEIGHTS[None, :ROWS, None]).sum(axis=1, dtype=np.uint64))
        keys[start : start + len(part)] = (joint >> np.uint64(32)).astype(np.uint32).T
    return keys


def jaccard(first: Shingles, second: Shingles) -> float:
    """The Jaccard index of two sorted sets; 0 when both are empty."""
    shared = len(np.intersect1d(first, second, assume_unique=True))
    together = len(first) + len(second) - shared
    return shared / together if together else 0.0


class ShingleStore:
    """Sets of shingles in a temporary file: written once in order, then read at random."""

    def __init__(self) -> None:
        # The file has no name: it goes with the process, however that ends. `close` closes it.
        self._file = tempfile.TemporaryFile(prefix="mmud-shingles-")  # noqa: SIM115
        self._ends = array("q", [0])
        self._values = np.zeros(0, dtype=np.uint64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def append(self, shingles: Shingles) -> None:
        self._file.write(shingles.tobytes())
        self._ends.append(self._ends[-1] + len(shingles))

    def finish(self) -> None:
        self._file.flush()
        if self._ends[-1]:
            self._values = np.memmap(self._file, dtype=np.uint64, mode="r", shape=(self._ends[-1],))

    def __getitem__(self, number: int) -> Shingles:
        return np.asarray(self._values[self._ends[number] : self._ends[number + 1]])

    def close(self) -> None:
        self._values = np.zeros(0, dtype=np.uint64)
        self._file.close()


class ShingledTexts:
    """Texts as they stream by: their sets in a temporary file, their bands' keys in memory.

    Attributes:
        store: the sets, by the order in which texts came; to be read after `finish`.
    """

    def __init__(self) -> None:
        self.store = ShingleStore()
        self._hashes = WordHashes()
        self._waiting: list[Shingles] = []
        self._keys: list[Signature] = []

    def append(self, words: Sequence[str]) -> None:
        """Take a text; it has a word at least."""
        shingles = shingles_of(self._hashes(words))
        self.store.append(shingles)
        self._waiting.append(shingles)
        if len(self._waiting) == _HELD:
            self._sign()

    def _sign(self) -> None:
        if self._waiting:
            self._keys.append(signatures(self._waiting))
            self._waiting = []

    def finish(self) -> Signature:
        """The bands' keys of all texts: shape (n, 32)."""
        self._sign()
        self.store.finish()
        keys = np.concatenate(self._keys) if self._keys else np.zeros((0, BANDS), dtype=np.uint32)
        self._keys = []
        return keys

    def close(self) -> None:
        """Let go of the file."""
        self.store.close()
