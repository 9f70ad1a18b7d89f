"""The whole way on a synthetic world: build, validate, export, look, annotate, predict, score, rank.

Each step leaves its result in the demo's folder and is skipped when it is there, so that an interrupted demo goes on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmud.demo.annotating import annotate_demo
from mmud.files import atomic_write, write_json

if TYPE_CHECKING:
    from mmud.dataset.store import Dataset

Scores = dict[str, dict[str, float | None]]

SAMPLES = 400
QUICK_SAMPLES = 80
SPLIT = {"train": 0.7, "valid": 0.1, "test": 0.2}
SYSTEMS = {
    "oracle": "the labels themselves: the ceiling",
    "perturbed": "the labels, spoilt at random",
    "retrieval": "a real system: the nearest training sample's labels",
    "union": "all true masks at once, whatever is asked",
    "most-frequent-caption": "one caption and one answer for all",
    "centre-box": "a box in the middle",
    "empty": "nothing at all: the floor",
}
"""The baselines that are shown, and what a person is told of each. Only retrieval looks at the images."""

OPTIONS = {"perturbed": {"strength": 0.15}}
SHOWN = (("referring_segmentation", "gIoU"), ("reasoning_segmentation", "gIoU"), ("captioning", "cider_d"))
MADE = (
    "annotation",
    "board",
    "coco",
    "predictions",
    "runs",
    "scores",
    "systems",
    "gallery.html",
    "leaderboard.html",
    "validation.json",
)
"""What is made from the dataset, and made again when that is."""


@dataclass(frozen=True)
class DemoResult:
    """Where everything lies, and the figures.

    Attributes:
        folder: of the demo.
        page, leaderboard: to be opened in a browser.
        findings: code -> how often validation met it.
        annotation: counts of what was drafted, filtered and reviewed.
        scores: system -> task -> metric -> value.
    """

    folder: Path
    page: Path
    leaderboard: Path
    findings: dict[str, int]
    annotation: dict[str, Any]
    scores: dict[str, Scores]

    def to_dict(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "gallery": str(self.page),
            "leaderboard": str(self.leaderboard),
            "findings": self.findings,
            "annotation": self.annotation,
            "scores": self.scores,
        }


def run_demo(folder: Path, *, quick: bool = False, seed: int = 0, say: Callable[[str], None] = print) -> DemoResult:
    """Run the demo.

    Args:
        folder: to work in; what an earlier run of the same demo finished there is kept.
        quick: a smaller world.
        seed: of the world and of everything random.
        say: told of each step.
    """
    folder.mkdir(parents=True, exist_ok=True)
    dataset = _build(folder, QUICK_SAMPLES if quick else SAMPLES, seed, say)
    findings = _validate(dataset.path, folder / "validation.json", say)
    _export(dataset, folder / "coco", say)
    page = _browse(dataset, folder / "gallery.html", say)
    annotation = annotate_demo(dataset, folder, say)
    say("6. predictions of seven systems, from fitting to scores on held-out scenes")
    scores = {name: _predict_and_score(name, dataset, folder, seed, say) for name in SYSTEMS}
    leaderboard = _leaderboard(dataset, folder, say)
    result = DemoResult(folder, page, leaderboard, findings, annotation, scores)
    write_json(folder / "demo.json", result.to_dict())
    return result


def _build(folder: Path, samples: int, seed: int, say: Callable[[str], None]) -> Dataset:
    from mmud.dataset.build import build
    from mmud.dataset.recipe import Recipe
    from mmud.dataset.store import Dataset

    target = folder / "dataset"
    recipe = Recipe(sources=({"type": "scenes", "samples": samples, "seed": seed},), split=SPLIT, seed=seed)
    # A build that was killed has no manifest yet, and goes on.
    if (target / "mmud.json").exists():
        found = Dataset(target)
        table = (found.manifest.recipe or {}).get("source", [{}])[0]
        if (table.get("samples"), table.get("seed")) == (samples, seed):
            say(f"1. dataset: {target} is there, {len(found)} samples")
            return found
        say(f"1. dataset: {target} is of another demo and is built again")
        _forget(folder)
    else:
        say(f"1. dataset: building {samples} synthetic scenes")
    report = build(recipe, target, force=True)
    assert report.dataset is not None
    splits = ", ".join(f"{name} {count}" for name, count in report.splits.items())
    say(f"   {splits}; fingerprint {report.dataset.fingerprint[:16]}")
    return report.dataset


def _forget(folder: Path) -> None:
    """Remove what was made from another dataset."""
    for name in MADE:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _validate(path: Path, kept: Path, say: Callable[[str], None]) -> dict[str, int]:
    if kept.exists():
        counts: dict[str, int] = json.loads(kept.read_bytes())
        say(f"2. validated already: {', '.join(f'{count} x {code}' for code, count in counts.items())}")
        return counts
    from mmud.dataset.checks.engine import validate

    with validate(path) as report:
        found = [
            f"{report.counts[code.id]} x {code.id} {code.title} ({code.severity.label})"
            for code in report.found_codes()
        ]
        say(f"2. validated {report.tally.objects:,} objects: {', '.join(found) or 'nothing found'}")
        counts = dict(sorted(report.counts.items()))
    write_json(kept, counts)
    return counts


def _export(dataset: Dataset, target: Path, say: Callable[[str], None]) -> None:
    if target.exists():
        say(f"3. exported already: {target}")
        return
    from mmud.dataset.exporters.runner import Request, run_export

    report = run_export(dataset, "coco", target, Request())
    lost = ", ".join(f"{loss['count']:,} {loss['what']}" for loss in report.losses)
    say(f"3. exported to COCO in {target}; what COCO cannot hold: {lost}")


def _browse(dataset: Dataset, page: Path, say: Callable[[str], None]) -> Path:
    if page.exists():
        say(f"4. gallery is there: {page}")
        return page
    from mmud.web.browse import Selection, write_gallery

    shown, _ = write_gallery(dataset, page, Selection(limit=60))
    say(f"4. gallery of {shown} samples: {page}")
    return page


def _predict_and_score(name: str, dataset: Dataset, folder: Path, seed: int, say: Callable[[str], None]) -> Scores:
    """One system from fitting to its entry on the leaderboard; its figures, task by task."""
    from mmud.evaluators.evaluation import SCORES_NAME
    from mmud.evaluators.leaderboard.adding import add_submission
    from mmud.evaluators.rows import ROWS_NAME

    scores = folder / "scores" / name
    if not (scores / SCORES_NAME).exists():
        predictions = _predict(name, dataset, folder, seed)
        loaded = add_submission(folder / "board", predictions, dataset, title="MMUD demo: scenes", force=True)
        scores.mkdir(parents=True, exist_ok=True)
        for file in (ROWS_NAME, SCORES_NAME):
            with open(loaded.folder / file, "rb") as source, atomic_write(scores / file) as target:
                shutil.copyfileobj(source, target)
    tasks = json.loads((scores / SCORES_NAME).read_bytes())["tasks"]
    found = {
        task: {metric: figure["value"] for metric, figure in about["metrics"].items()} for task, about in tasks.items()
    }
    figures = [
        f"{task.split('_')[0]} {'CIDEr-D' if metric == 'cider_d' else metric} {_figure(found, task, metric)}"
        for task, metric in SHOWN
    ]
    say(f"   {name:22}{', '.join(figures)}  ({SYSTEMS[name]})")
    return found


def _figure(found: Scores, task: str, metric: str) -> str:
    value = found.get(task, {}).get(metric)
    return "   - " if value is None else f"{value:.3f}"


def _predict(name: str, dataset: Dataset, folder: Path, seed: int) -> Path:
    """Predictions by the same way in as `mmud train` and `mmud predict`; gone on with where a kill left them."""
    from mmud.baselines.base import BASELINES
    from mmud.baselines.inputs import DatasetInputs
    from mmud.baselines.predicting import Request, predict_into
    from mmud.baselines.run_folder import FitRequest, fit_into, load_run, make_baseline
    from mmud.records import Task

    options = OPTIONS.get(name, {})
    if BASELINES.get(name).needs_fitting:
        run = folder / "runs" / name
        fit_into(run, dataset, FitRequest(name, options, seed), resume=True)
        baseline, info = load_run(run)
        about = {"baseline": info.baseline, "options": info.options, "seed": info.seed, "dataset": info.dataset}
    else:
        baseline, about = make_baseline(name, options, seed), None
    # Images cannot be scored without a network that this demo does not have.
    tasks = tuple(task for task in baseline.tasks if task is not Task.GENERATION)
    target = folder / "predictions" / name
    predict_into(target, baseline, DatasetInputs(dataset, "test"), Request(tasks=tasks, run=about), resume=True)
    return target


def _leaderboard(dataset: Dataset, folder: Path, say: Callable[[str], None]) -> Path:
    page = folder / "leaderboard.html"
    if page.exists():
        say(f"7. leaderboard is there: {page}")
        return page
    from mmud.web.leaderboard import render_board

    render_board(folder / "board", folder, dataset, page=page.name)
    say(f"7. leaderboard: {page}")
    return page
