"""Each system from predictions to its entry on the leaderboard, as `mmud predict` and `mmud leaderboard add` do it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mmud.baselines.base import ProgressFactory
from mmud.dataset.store import Dataset
from mmud.demo.emission import Share, tags_said
from mmud.demo.plan import ARMS, OTHERS, SYSTEMS, Places, Plan
from mmud.evaluators.evaluation import SCORES_NAME, evaluate
from mmud.evaluators.leaderboard.adding import add_submission
from mmud.evaluators.predictions import SUBMISSION_NAME, task_file
from mmud.evaluators.rows import ROWS_NAME
from mmud.files import atomic_write, write_json
from mmud.records import Task

Say = Callable[[str], None]
Metrics = dict[str, dict[str, Any]]

EXTRACTOR = "scenes-tiny"
FEATURES_NAME = "features.json"
TAGS_NAME = "tags.json"
REFERENCE_NAME = "features.npz"
TITLE = "MMUD demo: held-out scenes"
OF_FEATURES = ("feature_cosine", "feature_mae")
"""Figures of the features that a system predicts, not of the images that it draws from them."""


@dataclass(frozen=True)
class Scored:
    """A system's figures.

    Attributes:
        name: of the system.
        scores: what `mmud evaluate` finds, images by the extractor ``scenes-tiny``.
        of_features: metrics of the predicted features beside the real images' features; empty where there are none.
        tags: task -> share of cases in which a tag was said.
    """

    name: str
    scores: Mapping[str, Any]
    of_features: Metrics = field(default_factory=dict)
    tags: Mapping[str, Share] = field(default_factory=dict)

    def metrics(self, task: Task) -> Metrics:
        """Metric -> value, interval, n, signature; empty for a task that it does not do."""
        found: Metrics = self.scores["tasks"].get(task.value, {}).get("metrics", {})
        return found

    def value(self, task: Task, metric: str) -> float | None:
        value: float | None = self.metrics(task).get(metric, {}).get("value")
        return value

    def values(self) -> dict[str, dict[str, float | None]]:
        """Task -> metric -> value."""
        return {
            task: {metric: figure["value"] for metric, figure in about["metrics"].items()}
            for task, about in self.scores["tasks"].items()
        }

    def whole(self) -> dict[str, Any]:
        """``scores.json`` of the demo: as `mmud evaluate` has it, with ``tags_emitted`` beside.

        Cosine and error of features are those of the predicted ones, where there are some.
        """
        found: dict[str, Any] = json.loads(json.dumps(self.scores))
        if self.of_features:
            found["tasks"][Task.GENERATION.value]["metrics"].update(self.of_features)
        found["tags_emitted"] = {task: share.to_dict() for task, share in self.tags.items()}
        return found


def others(images: bool) -> list[str]:
    """What the trained system stands beside; without images, those that do nothing else are left out."""
    from mmud.baselines.base import BASELINES

    return [name for name in OTHERS if images or BASELINES.get(name).tasks != (Task.GENERATION,)]


def predict(
    name: str,
    dataset: Dataset,
    places: Places,
    plan: Plan,
    seed: int,
    images: bool,
    progress: ProgressFactory,
) -> Path:
    """A system's predictions of the held-out scenes, gone on with where a kill left them; fitted before, where it learns.

    Args:
        name: of the system; an arm is trained already.
        dataset: whose test split is predicted.
        places: where everything lies.
        plan: of the demo.
        seed: of everything random.
        images: whether images can be scored, and are therefore made.
        progress: for a person.
    """
    from mmud.baselines.base import BASELINES
    from mmud.baselines.inputs import DatasetInputs
    from mmud.baselines.predicting import Request, predict_into
    from mmud.baselines.run_folder import FitRequest, fit_into, load_run, make_baseline

    target = places.predictions(name)
    if (target / SUBMISSION_NAME).exists():
        return target
    options = SYSTEMS[name].options
    if BASELINES.get(name).needs_fitting:
        run = places.run(name)
        if name not in ARMS:
            fit_into(run, dataset, FitRequest(name, options, seed), resume=True)
        baseline, info = load_run(run, plan.predicting if name in ARMS else None)
        about = {"baseline": info.baseline, "options": info.options, "seed": info.seed, "dataset": info.dataset}
    else:
        baseline, about = make_baseline(name, options, seed), None
    tasks = tuple(task for task in baseline.tasks if images or task is not Task.GENERATION)
    request = Request(tasks=tasks, run=about)
    predict_into(target, baseline, DatasetInputs(dataset, "test"), request, resume=True, progress=progress)
    return target


def score(name: str, dataset: Dataset, places: Places, seed: int, images: bool) -> Scored:
    """Enter a system's predictions on the leaderboard and keep its figures; figures that are there are read."""
    kept = places.scores(name)
    if not (kept / SCORES_NAME).exists():
        places.remove_pages()
        predictions = places.predictions(name)
        extras = {"generation": {"extractor": EXTRACTOR}} if images else None
        loaded = add_submission(places.board, predictions, dataset, title=TITLE, extras=extras, force=True)
        kept.mkdir(parents=True, exist_ok=True)
        tags = {} if SYSTEMS[name].kind in ("ceiling", "floor") else tags_said(predictions, dataset, seed=seed)
        write_json(kept / TAGS_NAME, {task: share.to_dict() for task, share in tags.items()})
        write_json(kept / FEATURES_NAME, _of_features(predictions, dataset, places.folder, seed))
        # The scores come last: they say that the rest is there.
        for file in (ROWS_NAME, SCORES_NAME):
            with open(loaded.folder / file, "rb") as source, atomic_write(kept / file) as target:
                shutil.copyfileobj(source, target)
    read = partial(_read, kept)
    tags = {task: Share(**share) for task, share in read(TAGS_NAME).items()}
    return Scored(name, read(SCORES_NAME), read(FEATURES_NAME), tags)


def _read(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / name).read_bytes())
    return found


def _of_features(predictions: Path, dataset: Dataset, folder: Path, seed: int) -> Metrics:
    """Cosine and error of the features that a system predicts, by the extractor ``features``."""
    file = predictions / task_file(Task.GENERATION)
    if not file.exists():
        return {}
    with open(file, encoding="utf-8") as lines:
        if "feature" not in json.loads(next(lines, "{}")):
            return {}
    extras = {"generation": {"reference_features": _reference(dataset, folder)}}
    found = evaluate(predictions, dataset, tasks=[Task.GENERATION], metrics=OF_FEATURES, seed=seed, extras=extras)
    metrics: Metrics = found.scores["tasks"][Task.GENERATION.value]["metrics"]
    return metrics


def _reference(dataset: Dataset, folder: Path) -> Path:
    """The real images' features, as `mmud evaluate --reference-features` takes them."""
    from mmud.evaluators.generation.extractors import ImageSource, open_extractor

    file = folder / REFERENCE_NAME
    if not file.exists():
        samples = list(dataset.samples("test", images=True))
        sources = [ImageSource(sample.sample_id, data=sample.image_bytes()) for sample in samples]
        features = open_extractor(EXTRACTOR).extract(sources)
        with atomic_write(file) as stream:
            np.savez(stream, sample_ids=np.array([sample.sample_id for sample in samples]), features=features)
    return file
