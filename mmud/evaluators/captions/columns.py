"""Sufficient statistics of captions: one row an image, from which every figure is computed.

Figures are functions of sums over rows (`sums_of`, `metric_from_sums`), so a bootstrap of a thousand replicates is one
product of a matrix of weights with the matrix of columns. Sums of integers are exact, and sums of fractions are rounded
once (`math.fsum`), so a figure is the same to the last bit in whatever order and in however many shards the rows come.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from mmud.evaluators.captions.bleu import BleuCounts
from mmud.evaluators.captions.corpus import Integers
from mmud.evaluators.captions.ngrams import MAX_ORDER

Floats = NDArray[np.float64]

ORDERS = range(1, MAX_ORDER + 1)
#: Orders of n-grams for which distinct-n is reported.
DISTINCT_ORDERS = (1, 2)


@dataclass(frozen=True, eq=False)
class CaptionColumns:
    """One entry an image in every column; shape ``(images,)`` unless said otherwise.

    Attributes:
        ids: The images.
        text: The candidate's words, joined by spaces; distinct-n over several captions needs them.
        cider_d, cider: From 0 to 10; NaN in every row where CIDEr was not asked for.
        rouge_l: From 0 to 1.
        bleu_matches, bleu_totals: See `BleuCounts`; shape ``(images, 4)``.
        candidate_words: Words of the candidate.
        closest_reference_words: Words of the reference closest in length.
        reference_words: Words of all references together.
        references: The number of references.
        distinct: Distinct unigrams and distinct bigrams of the candidate; shape ``(images, 2)``.
    """

    ids: tuple[str, ...]
    text: tuple[str, ...]
    cider_d: Floats
    cider: Floats
    rouge_l: Floats
    bleu_matches: Integers
    bleu_totals: Integers
    candidate_words: Integers
    closest_reference_words: Integers
    reference_words: Integers
    references: Integers
    distinct: Integers

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def bleu(self) -> BleuCounts:
        return BleuCounts(self.bleu_matches, self.bleu_totals, self.candidate_words, self.closest_reference_words)

    def take(self, rows: Sequence[int]) -> CaptionColumns:
        """Some rows, in the order asked for."""
        chosen = np.asarray(rows, dtype=np.int64)
        arrays = {name: getattr(self, name)[chosen] for name in _ARRAYS}
        return CaptionColumns(tuple(self.ids[row] for row in rows), tuple(self.text[row] for row in rows), **arrays)

    @classmethod
    def merge(cls, parts: Iterable[CaptionColumns]) -> CaptionColumns:
        """The rows of several shards, which must have been scored with the same document frequencies."""
        shards = list(parts)
        ids = tuple(name for shard in shards for name in shard.ids)
        text = tuple(caption for shard in shards for caption in shard.text)
        return cls(ids, text, **{name: np.concatenate([getattr(shard, name) for shard in shards]) for name in _ARRAYS})

    def numbers(self) -> dict[str, NDArray[np.float64] | Integers]:
        """Name -> column that adds up; shape ``(images,)`` each. The keys are `SUMMED`."""
        columns: dict[str, NDArray[np.float64] | Integers] = {
            "images": np.ones(len(self), dtype=np.int64),
            "cider_d": self.cider_d,
            "cider": self.cider,
            "rouge_l": self.rouge_l,
            "candidate_words": self.candidate_words,
            "closest_reference_words": self.closest_reference_words,
            "mean_reference_words": self.reference_words / self.references,
            "empty_captions": (self.candidate_words == 0).astype(np.int64),
        }
        for order in ORDERS:
            columns[f"bleu_matches_{order}"] = self.bleu_matches[:, order - 1]
            columns[f"bleu_totals_{order}"] = self.bleu_totals[:, order - 1]
        for index, order in enumerate(DISTINCT_ORDERS):
            columns[f"distinct_{order}"] = self.distinct[:, index]
        return columns

    def matrix(self) -> Floats:
        """The columns of `numbers` side by side, for ``weights @ matrix``; shape ``(images, len(SUMMED))``."""
        columns = self.numbers()
        return np.stack([columns[name].astype(np.float64) for name in SUMMED], axis=1)


_ARRAYS = tuple(field.name for field in fields(CaptionColumns) if field.name not in ("ids", "text"))

#: The columns that add up, in the order in which `CaptionColumns.matrix` has them.
SUMMED: tuple[str, ...] = (
    "images",
    "cider_d",
    "cider",
    "rouge_l",
    "candidate_words",
    "closest_reference_words",
    "mean_reference_words",
    "empty_captions",
    *(f"bleu_{kind}_{order}" for kind in ("matches", "totals") for order in ORDERS),
    *(f"distinct_{order}" for order in DISTINCT_ORDERS),
)


def exact_sum(column: NDArray[np.generic]) -> float:
    """The sum, rounded once: the same whatever the order of the entries."""
    if column.dtype.kind in "iub":
        return float(int(column.sum(dtype=np.int64)))
    return math.fsum(column.tolist())


def sums_of(columns: Mapping[str, NDArray[np.generic]]) -> dict[str, Floats]:
    """Column -> its exact sum; shape ``(1,)``, the form that `metric_from_sums` takes."""
    return {name: np.array([exact_sum(column)]) for name, column in columns.items()}


def weighted_sums(columns: CaptionColumns, weights: NDArray[np.generic]) -> dict[str, Floats]:
    """Column -> its sum for each weighting of the images.

    Args:
        columns: The rows.
        weights: How often each image was drawn; shape ``(weightings, images)``.

    Returns:
        Shape ``(weightings,)`` each.
    """
    sums = np.asarray(weights, dtype=np.float64) @ columns.matrix()
    return {name: sums[:, index] for index, name in enumerate(SUMMED)}
