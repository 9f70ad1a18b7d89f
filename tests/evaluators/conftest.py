"""A made dataset with predictions of three kinds, built once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from made_samples import make_dataset

from mmud.baselines.floors.constant import Empty
from mmud.baselines.floors.labels import Oracle
from mmud.baselines.floors.perturbed import Perturbed
from mmud.baselines.predicting import write_predictions
from mmud.dataset.store import Dataset
from mmud.records import Task

TEXT_AND_MASKS = (Task.REFERRING_SEGMENTATION, Task.REASONING_SEGMENTATION, Task.CAPTIONING)


@dataclass(frozen=True)
class Made:
    """A dataset, and folders of predictions for it."""

    dataset: Dataset
    oracle: Path
    empty: Path
    perturbed: Path
    worse: Path


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("made")
    dataset = make_dataset(root / "dataset")
    baselines = {
        "oracle": Oracle(),
        "empty": Empty(),
        "perturbed": Perturbed({"strength": 0.15}, 0),
        "worse": Perturbed({"strength": 0.4}, 1),
    }
    for name, baseline in baselines.items():
        write_predictions(root / name, dataset, baseline, tasks=TEXT_AND_MASKS, name=name)
    return Made(dataset, *(root / name for name in baselines))
