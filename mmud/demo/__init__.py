"""The whole way on a synthetic world: build, validate, export, annotate, train, predict, score, compare, show.

Each step leaves its result in the demo's folder and is skipped when it is there, so that an interrupted demo goes on, its
training from the last checkpoint. Where torch or the small backbones are missing, training is left out and the rest is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmud.baselines.base import ProgressFactory, silent
from mmud.demo.annotating import annotate_demo
from mmud.demo.building import build_dataset, export_dataset, settle, validate_dataset
from mmud.demo.plan import DEFAULT, FALLBACK, FULL, QUICK, SYSTEMS, Places, Plan
from mmud.demo.training import arms_of, train, training_settings, why_left_out
from mmud.files import write_json

__all__ = ["DEFAULT", "FULL", "QUICK", "SYSTEMS", "DemoResult", "Plan", "run_demo"]


@dataclass(frozen=True)
class DemoResult:
    """Where everything lies, and the figures.

    Attributes:
        folder: of the demo.
        page, leaderboard: to be opened in a browser.
        shown: the system whose run, predictions and scores lie at the top.
        left_out: why there is no training; empty where there is.
        findings: code -> how often validation met it.
        annotation: counts of what was drafted, filtered and reviewed.
        figures: of the shown system, as `outcome.Figure` has them.
        scores: system -> task -> metric -> value.
    """

    folder: Path
    page: Path
    leaderboard: Path
    shown: str
    left_out: str
    findings: dict[str, int]
    annotation: dict[str, Any]
    figures: list[dict[str, Any]]
    scores: dict[str, Mapping[str, Mapping[str, float | None]]]

    def to_dict(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "gallery": str(self.page),
            "leaderboard": str(self.leaderboard),
            "shown": self.shown,
            "left_out": self.left_out,
            "findings": self.findings,
            "annotation": self.annotation,
            "figures": self.figures,
            "scores": self.scores,
        }


class _Steps:
    """Headings of steps: which of how many, and the time since the start."""

    def __init__(self, total: int, say: Callable[[str], None]) -> None:
        self._total = total
        self._say = say
        self._done = 0
        self._start = time.monotonic()

    def begin(self, text: str) -> None:
        self._done += 1
        minutes, seconds = divmod(round(time.monotonic() - self._start), 60)
        self._say(f"[{self._done}/{self._total}  {minutes}:{seconds:02d}] {text}")

    def tell(self, text: str) -> None:
        """Something of the step that was begun."""
        self._say(f"    {text}")


def run_demo(
    folder: Path,
    plan: Plan = DEFAULT,
    *,
    seed: int = 0,
    say: Callable[[str], None] = print,
    progress: ProgressFactory = silent,
) -> DemoResult:
    """Run the demo.

    Args:
        folder: to work in; what an earlier run of the same demo finished there is kept.
        plan: its size.
        seed: of the world and of everything random.
        say: told of each step.
        progress: of long steps, with the time left.

    Raises:
        MmudError: what a step raises; what is done stays, and the same call goes on.
    """
    left_out = why_left_out() or ""
    arms = () if left_out else arms_of(plan, say)
    places = Places(folder, FALLBACK if left_out else arms[0])
    settings = None if left_out else training_settings(plan, arms)
    settle(folder, plan.dataset_settings(seed), settings, say, left_out or "peft is not installed")
    if not left_out:
        say(f"The {plan.name} demo takes {plan.takes} on two cores. Interrupted, it goes on when it is run again.")
    steps = _Steps(7 + max(len(arms), 1), say)
    steps.begin(f"dataset of {plan.samples:,} synthetic scenes")
    dataset = build_dataset(folder, plan, seed, steps.tell)
    steps.begin("validation")
    findings = validate_dataset(dataset, folder / "validation.json", steps.tell)
    steps.begin("export to COCO")
    export_dataset(dataset, folder / "coco", steps.tell)
    steps.begin("labels drafted, tagged, filtered and reviewed, as for images of your own")
    annotation = annotate_demo(dataset, folder, steps.tell)
    for name in arms:
        steps.begin(f"training {name}: {plan.steps:,} steps of {plan.batch} examples")
        train(name, places.run(name), dataset, plan, seed, steps.tell, progress)
    if left_out:
        steps.begin(f"training is left out: {left_out}")
    from mmud.demo.outcome import outcome
    from mmud.demo.scoring import others, predict, score

    steps.begin(f"predictions and scores on {dataset.length('test'):,} held-out scenes")
    scored = {}
    for name in [*arms, *others(images=not left_out)]:
        # Only what was trained takes long enough for a bar.
        predict(name, dataset, places, plan, seed, not left_out, progress if name in arms else silent)
        scored[name] = score(name, dataset, places, seed, not left_out)
        steps.tell(_line(name, scored[name].values()))
    steps.begin(f"{places.shown} beside the floors, with 95 % intervals")
    shown = scored[places.shown]
    figures = outcome(shown, scored, plan.aims)
    for figure in figures:
        steps.tell(figure.text())
    if not places.figures.exists():
        write_json(places.figures, shown.whole())
    steps.begin("pages")
    _write_pages(dataset, places, plan, scored, figures, steps, progress)
    result = DemoResult(
        folder,
        places.gallery,
        places.leaderboard,
        places.shown,
        left_out,
        findings,
        annotation,
        [figure.to_dict() for figure in figures],
        {name: one.values() for name, one in scored.items()},
    )
    write_json(folder / "demo.json", result.to_dict())
    return result


def _write_pages(
    dataset: Any,
    places: Places,
    plan: Plan,
    scored: Any,
    figures: Any,
    steps: _Steps,
    progress: ProgressFactory,
) -> None:
    from mmud.demo.pages import write_demo_gallery, write_demo_leaderboard

    if places.gallery.exists():
        steps.tell(f"gallery is there: {places.gallery}")
    else:
        count = write_demo_gallery(dataset, places, plan.gallery)
        steps.tell(f"gallery of {count} held-out scenes: {places.gallery}")
    if places.leaderboard.exists():
        steps.tell(f"leaderboard is there: {places.leaderboard}")
    else:
        with progress("systems", len(scored)) as bar:
            write_demo_leaderboard(dataset, places, scored, figures, bar.advance)
        steps.tell(f"leaderboard: {places.leaderboard}")


def _line(name: str, values: Mapping[str, Mapping[str, float | None]]) -> str:
    from mmud.demo.outcome import number

    shown = (
        ("referring_segmentation", "gIoU", "referring"),
        ("reasoning_segmentation", "gIoU", "reasoning"),
        ("captioning", "cider_d", "CIDEr-D"),
        ("generation", "frechet_distance", "Fréchet"),
    )
    figures = "  ".join(f"{title} {number(values.get(task, {}).get(metric)):>6}" for task, metric, title in shown)
    return f"{name:22}{figures}  ({SYSTEMS[name].about})"
