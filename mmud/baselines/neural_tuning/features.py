"""What frozen networks say of a split's images: from the cache on disk, or computed when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from mmud.baselines.base import ProgressFactory
from mmud.baselines.training.feature_cache import FeatureCache, Features
from mmud.dataset.schema import COLUMNS
from mmud.dataset.store import Dataset
from mmud.errors import Place
from mmud.evaluators.generation.extractors import full_batches
from mmud.images import Pixels, decode_image
from mmud.records import Sample

IMAGES_AT_ONCE = 8

Compute = Callable[[Sequence[Pixels]], list[Features]]
"""From images to what is kept of each."""


def pixels_of(sample: Sample) -> Pixels:
    """The decoded image of a sample; errors name it."""
    return decode_image(sample.image_bytes(), place=Place(sample=sample.sample_id))


class FrozenFeatures:
    """Features of the images of a split, by position.

    Args:
        dataset: that holds the images.
        split: of it.
        count: how many of its first images are asked for.
        compute: from images to features, on the CPU or not.
        key: everything that ``compute`` depends on; JSON-compatible.
        cached: keep them on disk.
    """

    def __init__(
        self, dataset: Dataset, split: str, count: int, compute: Compute, key: dict[str, Any], cached: bool = True
    ) -> None:
        self._dataset = dataset
        self._split = split
        self._compute = compute
        whole = {"dataset": dataset.fingerprint, "split": split, **key}
        self._cache = FeatureCache(whole, count) if cached else None

    def prepare(self, progress: ProgressFactory, label: str) -> int:
        """Fill the cache; how many images were computed. Errors as `FeatureCache.fill` and `pixels_of`."""
        return 0 if self._cache is None else self._cache.fill(self._pieces, progress, label)

    def _pieces(self, wanted: Sequence[range]) -> Iterator[tuple[range, list[Features]]]:
        stream = images_of(self._dataset, self._split, wanted)
        for piece in wanted:
            yield piece, self._features([next(stream) for _ in piece])

    def _features(self, images: Sequence[Pixels]) -> list[Features]:
        # In batches of one size, so that the neighbours of an image do not change its last digits.
        found: list[Features] = []
        for batch, kept in full_batches(images, IMAGES_AT_ONCE):
            found += [tuple(one.cpu() for one in features) for features in self._compute(batch)[:kept]]
        return found

    def __call__(self, position: int) -> Features:
        """The features of an image."""
        if self._cache is not None:
            return self._cache[position]
        return self._features([pixels_of(self._dataset.sample(self._split, position, images=True))])[0]


def images_of(dataset: Dataset, split: str, pieces: Sequence[range]) -> Iterator[Pixels]:
    """The decoded images at ascending positions; shards that hold none of them are not opened."""
    waiting = iter(position for piece in pieces for position in piece)
    position = next(waiting, None)
    for shard in dataset.shards(split):
        if position is None:
            return
        if position >= shard.start + shard.rows:
            continue
        for batch in dataset.shard_batches(shard, COLUMNS, rows=32):
            first = shard.start + batch.row
            while position is not None and position < first + batch.table.num_rows:
                row = batch.table.slice(position - first, 1).to_pylist()[0]
                yield pixels_of(Sample.from_row(row, batch.place(position - first, row["sample_id"])))
                position = next(waiting, None)
            if position is None:
                return


def single(feature: torch.Tensor) -> list[Features]:
    """Rows of a matrix as features of one tensor each."""
    return [(row,) for row in feature]
