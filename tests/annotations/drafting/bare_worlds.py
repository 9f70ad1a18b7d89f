"""Datasets without texts."""

from __future__ import annotations

from pathlib import Path

from mmud.dataset.store import Dataset
from mmud.dataset.writer import write_dataset


def without_texts(dataset: Dataset, folder: Path) -> Dataset:
    blank = {"caption": "", "question": "", "answer": ""}
    samples = {
        split: (sample.model_copy(update=blank) for sample in dataset.samples(split, images=True))
        for split in dataset.splits
    }
    return write_dataset(folder, samples, shard_rows=5)
