"""A small world without its texts, and a server that drafts for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bare_worlds import without_texts
from chat_service import Service, drafted, serving

from mmud.dataset.build import build
from mmud.dataset.recipe import Recipe
from mmud.dataset.store import Dataset

SCENES = {"type": "scenes", "samples": 24, "seed": 9, "width": 64, "height": 64, "max_objects": 4, "min_objects": 3}


@pytest.fixture
def service() -> Iterator[Service]:
    with serving(drafted) as server:
        yield server


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The world with its own texts."""
    folder = tmp_path_factory.mktemp("world") / "told"
    report = build(Recipe(sources=(SCENES,), shard_rows=5), folder)
    assert report.dataset is not None
    return report.dataset


@pytest.fixture(scope="session")
def silent(told: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The same without captions, questions and answers."""
    return without_texts(told, tmp_path_factory.mktemp("world") / "silent")
