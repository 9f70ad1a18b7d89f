"""Data sets that every exporter's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from exporter_samples import coco_samples, mixed_dataset

from mmud.dataset.store import Dataset
from mmud.dataset.writer import write_dataset


@pytest.fixture(scope="session")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Full and sparse samples, embedded images, hostile ids."""
    return mixed_dataset(tmp_path_factory.mktemp("mixed") / "data")


@pytest.fixture(scope="session")
def coco_mini(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Dataset:
    """Real COCO images, linked: 159 images, 1,363 objects."""
    folder = shared_data / "coco_mini"
    splits = {name: coco_samples(folder, f"{name}2017") for name in ("train", "val")}
    return write_dataset(tmp_path_factory.mktemp("coco") / "data", splits, images="link")
