"""A made dataset with predictions of three kinds, built once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from made_samples import make_dataset

from mmud.dataset.store import Dataset
from mmud.evaluators.reference_predictions import empty, oracle, perturbed, write_predictions
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
    predictors = {"oracle": oracle, "empty": empty, "perturbed": perturbed(0, 0.15), "worse": perturbed(1, 0.4)}
    for name, predictor in predictors.items():
        write_predictions(root / name, dataset, predictor, tasks=TEXT_AND_MASKS, name=name)
    return Made(dataset, *(root / name for name in predictors))
