"""The figures of one group of samples: a dataset, a split, a source, a category."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmud.dataset.statistics.columns import Columns, Flags
from mmud.dataset.statistics.tally import Tally

SIZE_BOUNDS = (32**2, 96**2)
"""COCO's areas, in pixels, below which an object is small, and medium."""

SIZES = ("small", "medium", "large")

MEASURES: dict[str, str] = {
    "objects_per_sample": "objects a sample",
    "phrases_per_object": "phrases an object",
    "phrase_words": "words a phrase",
    "caption_words": "words a caption",
    "question_words": "words a question",
    "answer_words": "words an answer",
    "tags_per_answer": "tags an answer",
    "object_area": "object area, px",
    "object_share": "object area, per mille of the image",
    "image_width": "image width, px",
    "image_height": "image height, px",
}
"""Distributions by name, with what a person calls them. Lengths are of texts that are there: empty ones are not counted."""


class Summary:
    """Counts and distributions; updated batch by batch.

    Attributes:
        counts: samples, objects, phrases, and how many of them have what.
        sizes: small, medium and large objects by COCO's bounds; crowds are counted apart, as COCO's evaluation does.
        licenses: samples by the image's licence.
        image_sizes: samples by width and height.
        tallies: a distribution for each of `MEASURES`.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.sizes: Counter[str] = Counter()
        self.licenses: Counter[str] = Counter()
        self.image_sizes: Counter[tuple[int, int]] = Counter()
        self.tallies = {name: Tally() for name in MEASURES}

    def update(self, columns: Columns, samples: Flags | None = None, objects: Flags | None = None) -> None:
        """Count a batch, or a part of it.

        Args:
            columns: the batch.
            samples: which of its samples belong; all when left out.
            objects: which of its objects belong, all of them of such samples; those of the samples when left out.
        """
        rows = np.ones(len(columns.width), dtype=bool) if samples is None else samples
        items = rows[columns.owner] if objects is None else objects
        self._add_samples(columns, rows, np.bincount(columns.owner[items], minlength=len(rows))[rows])
        self._add_objects(columns, items)

    def _add_samples(self, columns: Columns, rows: Flags, objects: NDArray[np.int64]) -> None:
        self.counts["samples"] += int(rows.sum())
        self.tallies["objects_per_sample"].add(objects)
        for name in ("caption", "question", "answer"):
            lengths = getattr(columns, f"{name}_words")[rows]
            self.counts[f"{name}s"] += int((lengths > 0).sum())
            self.tallies[f"{name}_words"].add(lengths[lengths > 0])
        answered = rows & (columns.answer_words > 0)
        self.tallies["tags_per_answer"].add(columns.answer_tags[answered])
        self.counts["tags"] += int(columns.answer_tags[rows].sum())
        self.counts["tagged_objects"] += int(columns.tagged_objects[rows].sum())
        self.licenses.update(columns.license[rows].tolist())
        self.image_sizes.update(zip(columns.width[rows].tolist(), columns.height[rows].tolist(), strict=True))
        self.tallies["image_width"].add(columns.width[rows])
        self.tallies["image_height"].add(columns.height[rows])

    def _add_objects(self, columns: Columns, items: Flags) -> None:
        counted = items & ~columns.crowd
        area = columns.area[counted]
        self.counts["objects"] += int(items.sum())
        self.counts["crowds"] += int((items & columns.crowd).sum())
        self.counts["objects_without_mask"] += int((items & ~columns.masked).sum())
        bins = np.bincount(np.searchsorted(SIZE_BOUNDS, area, side="right"), minlength=len(SIZES))
        for name, count in zip(SIZES, bins.tolist(), strict=True):
            self.sizes[name] += count
        pixels = (columns.width * columns.height)[columns.owner[counted]]
        self.tallies["object_area"].add(_rounded(area))
        self.tallies["object_share"].add(_rounded(1000 * area / np.maximum(pixels, 1)))
        phrases = np.bincount(columns.phrase_owner, minlength=len(items))[items]
        self.counts["phrases"] += int(phrases.sum())
        self.counts["objects_without_phrase"] += int((phrases == 0).sum())
        self.tallies["phrases_per_object"].add(phrases)
        self.tallies["phrase_words"].add(columns.phrase_words[items[columns.phrase_owner]])

    def to_dict(self) -> dict[str, Any]:
        """JSON-compatible; image sizes by "WIDTHxHEIGHT", the ten most frequent and how many there are."""
        common = sorted(self.image_sizes.items(), key=lambda item: (-item[1], item[0]))[:10]
        return {
            "counts": dict(self.counts),
            "sizes": dict(self.sizes),
            "licenses": dict(sorted(self.licenses.items(), key=lambda item: (-item[1], item[0]))),
            "image_sizes": {
                "distinct": len(self.image_sizes),
                "most_frequent": {f"{width}x{height}": count for (width, height), count in common},
            },
            "distributions": {name: tally.to_dict() for name, tally in self.tallies.items()},
        }


def _rounded(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """To whole numbers; what is not finite (a checked dataset has none) counts as 0."""
    return np.rint(np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)).astype(np.int64)
