"""The whole way on a synthetic world: build, validate, export, look, predict, score, rank.

Each step leaves its result in the demo's folder and is skipped when it is there, so that an interrupted demo goes on.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmud.files import write_json

SAMPLES = 400
QUICK_SAMPLES = 80
SPLIT = {"train": 0.7, "valid": 0.1, "test": 0.2}
SYSTEMS = ("oracle", "spoilt", "empty")
"""The labels themselves, the labels spoilt at random, and nothing: ceiling, something between, floor."""


@dataclass(frozen=True)
class DemoResult:
    """Where everything lies, and the figures.

    Attributes:
        folder: of the demo.
        page, leaderboard: to be opened in a browser.
        findings: code -> how often validation met it.
        scores: system -> task -> metric -> value.
    """

    folder: Path
    page: Path
    leaderboard: Path
    findings: dict[str, int]
    scores: dict[str, dict[str, dict[str, float | None]]]

    def to_dict(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "gallery": str(self.page),
            "leaderboard": str(self.leaderboard),
            "findings": self.findings,
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
    findings = _validate(dataset.path, say)
    _export(dataset, folder / "coco", say)
    page = _browse(dataset, folder / "gallery.html", say)
    scores = _score(dataset, folder, seed, say)
    leaderboard = _leaderboard(dataset, folder, say)
    result = DemoResult(folder, page, leaderboard, findings, scores)
    write_json(folder / "demo.json", result.to_dict())
    return result


def _build(folder: Path, samples: int, seed: int, say: Callable[[str], None]) -> Any:
    from mmud.dataset.build import build
    from mmud.dataset.recipe import Recipe
    from mmud.dataset.store import Dataset

    target = folder / "dataset"
    recipe = Recipe(sources=({"type": "scenes", "samples": samples, "seed": seed},), split=SPLIT, seed=seed)
    if target.exists():
        found = Dataset(target)
        table = (found.manifest.recipe or {}).get("source", [{}])[0]
        if (table.get("samples"), table.get("seed")) == (samples, seed):
            say(f"1. dataset: {target} is there, {len(found)} samples")
            return found
        say(f"1. dataset: {target} is of another demo and is built again")
        shutil.rmtree(folder / "board", ignore_errors=True)
    else:
        say(f"1. dataset: building {samples} synthetic scenes")
    report = build(recipe, target, force=True)
    assert report.dataset is not None
    splits = ", ".join(f"{name} {count}" for name, count in report.splits.items())
    say(f"   {splits}; fingerprint {report.dataset.fingerprint[:16]}")
    return report.dataset


def _validate(path: Path, say: Callable[[str], None]) -> dict[str, int]:
    from mmud.dataset.checks.engine import validate

    with validate(path) as report:
        found = [
            f"{report.counts[code.id]} x {code.id} {code.title} ({code.severity.label})"
            for code in report.found_codes()
        ]
        say(f"2. validated {report.tally.objects:,} objects: {', '.join(found) or 'nothing found'}")
        return dict(sorted(report.counts.items()))


def _export(dataset: Any, target: Path, say: Callable[[str], None]) -> None:
    from mmud.dataset.exporters.runner import Request, run_export

    report = run_export(dataset, "coco", target, Request(force=True))
    lost = ", ".join(f"{loss['count']:,} {loss['what']}" for loss in report.losses)
    say(f"3. exported to COCO in {target}; what COCO cannot hold: {lost}")


def _browse(dataset: Any, page: Path, say: Callable[[str], None]) -> Path:
    from mmud.web.browse import Selection, write_gallery

    shown, _ = write_gallery(dataset, page, Selection(limit=60))
    say(f"4. gallery of {shown} samples: {page}")
    return page


def _score(dataset: Any, folder: Path, seed: int, say: Callable[[str], None]) -> dict[str, Any]:
    from mmud.evaluators.evaluation import evaluate
    from mmud.evaluators.reference_predictions import empty, oracle, perturbed, write_predictions

    predictors = {"oracle": oracle, "spoilt": perturbed(seed, 0.15), "empty": empty}
    say("5. predictions of three systems, scored on held-out scenes")
    found: dict[str, Any] = {}
    for name in SYSTEMS:
        predictions = write_predictions(folder / "predictions" / name, dataset, predictors[name], name=name, force=True)
        evaluation = evaluate(predictions, dataset)
        evaluation.save(folder / "scores" / name)
        found[name] = {
            task: {metric: figure["value"] for metric, figure in about["metrics"].items()}
            for task, about in evaluation.scores["tasks"].items()
        }
        shown = [
            f"{task.split('_')[0]} {metric} {found[name][task][metric]:.3f}"
            for task, metric in (
                ("referring_segmentation", "gIoU"),
                ("reasoning_segmentation", "gIoU"),
                ("captioning", "cider_d"),
            )
        ]
        say(f"   {name:8} {', '.join(shown)}")
    return found


def _leaderboard(dataset: Any, folder: Path, say: Callable[[str], None]) -> Path:
    from mmud.evaluators.leaderboard.adding import add_submission
    from mmud.web.leaderboard import render_board

    for name in SYSTEMS:
        add_submission(folder / "board", folder / "predictions" / name, dataset, title="MMUD demo: scenes", force=True)
    page = "leaderboard.html"
    render_board(folder / "board", folder, dataset, page=page)
    say(f"6. leaderboard: {folder / page}")
    return folder / page
