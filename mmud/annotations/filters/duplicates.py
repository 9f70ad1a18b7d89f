"""MM481 and MM482: labels that another sample has, or nearly has; the sample whose id comes first keeps its own.

Texts are compared by their sets of word runs (`mmud.annotations.shingles`): 280 bytes a text are held, the sets are in a
temporary file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mmud.annotations.filters import codes
from mmud.annotations.filters.base import Filter, FilterSettings, Label, Reason, Tools
from mmud.annotations.filters.subject import Subject
from mmud.annotations.shingles import BANDS, ShingledTexts, Signature, jaccard, text_digest, words_of
from mmud.errors import Code
from mmud.records import Sample


class DuplicateSettings(FilterSettings):
    """When two labels are one.

    Attributes:
        caption_words, pair_words: texts of fewer words are passed by: they agree by chance.
        similarity: Jaccard index of the sets of word runs from which two texts are nearly the same.
    """

    caption_words: int = Field(8, ge=1)
    pair_words: int = Field(20, ge=1)
    similarity: float = Field(0.8, gt=0, le=1)


class _Texts:
    """The texts of one label over all samples, and after `finish` which of them repeat an earlier one."""

    def __init__(self) -> None:
        self.verdicts: dict[str, tuple[Code, str, float]] = {}
        self._ids: list[str] = []
        self._digests: list[bytes] = []
        self._shingled = ShingledTexts()

    def add(self, sample_id: str, words: list[str]) -> None:
        self._ids.append(sample_id)
        self._digests.append(text_digest(words))
        self._shingled.append(words)

    def finish(self, similarity: float) -> None:
        """Go through the texts by sample id; one that repeats none that is kept is kept."""
        buckets, sizes = _buckets(self._shingled.finish())
        store = self._shingled.store
        order = sorted(range(len(self._ids)), key=self._ids.__getitem__)
        # For each bucket of each band, the first text that was kept in it.
        holders = [np.full(size, -1, dtype=np.int32) for size in sizes]
        first: dict[bytes, int] = {}
        for number in order:
            same = first.setdefault(self._digests[number], number)
            if same != number:
                self.verdicts[self._ids[number]] = (codes.LABEL_REPEATED, self._ids[same], 1.0)
                continue
            near = {int(holders[band][buckets[number, band]]) for band in range(BANDS)} - {-1}
            scored = [(-jaccard(store[number], store[other]), self._ids[other]) for other in near]
            least, nearest = min(scored, default=(0.0, ""))
            if -least >= similarity:
                self.verdicts[self._ids[number]] = (codes.LABEL_NEARLY_REPEATED, nearest, -least)
                continue
            for band in range(BANDS):
                bucket = buckets[number, band]
                if holders[band][bucket] < 0:
                    holders[band][bucket] = number
        self.close()

    def close(self) -> None:
        self._shingled.close()
        self._ids, self._digests = [], []


def _buckets(keys: Signature) -> tuple[NDArray[np.int32], list[int]]:
    """For each text and band the number of its bucket, and how many buckets each band has."""
    buckets = np.empty(keys.shape, dtype=np.int32)
    sizes = []
    for band in range(BANDS):
        found, buckets[:, band] = np.unique(keys[:, band], return_inverse=True)
        sizes.append(len(found))
    return buckets, sizes


class DuplicateFilter(Filter[DuplicateSettings]):
    """Compares captions with captions, and pairs with pairs."""

    name = "duplicates"
    codes = (codes.LABEL_REPEATED, codes.LABEL_NEARLY_REPEATED)
    settings_type: ClassVar[type[FilterSettings]] = DuplicateSettings

    def __init__(self, settings: DuplicateSettings, tools: Tools = Tools()) -> None:  # noqa: B008
        super().__init__(settings, tools)
        self._texts = {label: _Texts() for label in Label}

    def observe(self, sample: Sample) -> None:
        least = {Label.CAPTION: self.settings.caption_words, Label.PAIR: self.settings.pair_words}
        for label, texts in self._texts.items():
            words = words_of(" ".join(getattr(sample, field) for field in label.fields))
            if len(words) >= least[label]:
                texts.add(sample.sample_id, words)

    def finish(self) -> None:
        for texts in self._texts.values():
            texts.finish(self.settings.similarity)

    def look(self, subject: Subject) -> Iterator[Reason]:
        for label, texts in self._texts.items():
            found = texts.verdicts.get(subject.sample.sample_id)
            if found is not None:
                code, other, score = found
                share = "" if code is codes.LABEL_REPEATED else f", {score:.2f} of their word runs"
                yield Reason(code, label, f"shared with sample {other}{share}")

    def close(self) -> None:
        for texts in self._texts.values():
            texts.close()
