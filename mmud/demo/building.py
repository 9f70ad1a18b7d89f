"""The demo's first steps: a dataset of synthetic scenes, validated and exported; what does not fit goes first."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmud.dataset.store import Dataset
from mmud.demo.plan import PRESET, Plan
from mmud.files import write_json

Say = Callable[[str], None]

PLAN_NAME = "demo-plan.json"
OF_SYSTEMS = (
    "board",
    "others",
    "predictions",
    "run",
    "scores",
    "systems",
    "features.npz",
    "gallery.html",
    "leaderboard.html",
    "scores.json",
)
OF_DATASET = ("annotation", "coco", "dataset", "validation.json")


def settle(folder: Path, dataset: dict[str, Any], training: dict[str, Any] | None, say: Say) -> None:
    """Make the folder ready: what an earlier demo made by other settings goes, what fits stays.

    Args:
        folder: of the demo.
        dataset: settings of the dataset.
        training: settings of the training, weights included; None where nothing can be trained.
        say: told what is removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / PLAN_NAME
    wanted = {"dataset": dataset, "training": training}
    if file.exists():
        earlier = json.loads(file.read_bytes())
    else:
        # A demo that an older version finished has no plan.
        earlier = {"dataset": None, "training": None} if (folder / "demo.json").exists() else wanted
    gone: tuple[str, ...] = ()
    if earlier["dataset"] != dataset:
        gone = OF_DATASET + OF_SYSTEMS
        say(f"{folder} holds another demo; it is made again")
    elif earlier["training"] != training:
        gone = OF_SYSTEMS
        say(f"{folder} holds a demo with another training; systems, scores and pages are made again")
    for name in gone:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    write_json(file, wanted)


def build_dataset(folder: Path, plan: Plan, seed: int, say: Say) -> Dataset:
    """The dataset in ``folder/dataset``; a build that was killed goes on."""
    from mmud.dataset.build import build
    from mmud.dataset.recipe import Recipe

    target = folder / "dataset"
    if (target / "mmud.json").exists():
        found = Dataset(target)
        say(f"{target} is there, {len(found):,} samples")
        return found
    source = {"type": "scenes", "preset": PRESET, "samples": plan.samples, "seed": seed}
    report = build(Recipe(sources=(source,), split=dict(plan.split), seed=seed), target, force=True)
    assert report.dataset is not None, "a build that was not a dry run wrote a dataset"
    splits = ", ".join(f"{name} {count:,}" for name, count in report.splits.items())
    say(f"{splits}; fingerprint {report.dataset.fingerprint[:16]}")
    return report.dataset


def validate_dataset(dataset: Dataset, kept: Path, say: Say) -> dict[str, int]:
    """Code -> how often it was found."""
    if kept.exists():
        counts: dict[str, int] = json.loads(kept.read_bytes())
        say(f"validated already: {', '.join(f'{count} x {code}' for code, count in counts.items()) or 'nothing found'}")
        return counts
    from mmud.dataset.checks.engine import validate

    with validate(dataset.path) as report:
        found = [
            f"{report.counts[code.id]} x {code.id} {code.title} ({code.severity.label})"
            for code in report.found_codes()
        ]
        say(f"{report.tally.objects:,} objects: {', '.join(found) or 'nothing found'}")
        counts = dict(sorted(report.counts.items()))
    write_json(kept, counts)
    return counts


def export_dataset(dataset: Dataset, target: Path, say: Say) -> None:
    """As COCO, with what COCO cannot hold."""
    if target.exists():
        say(f"exported already: {target}")
        return
    from mmud.dataset.exporters.runner import Request, run_export

    report = run_export(dataset, "coco", target, Request())
    lost = ", ".join(f"{loss['count']:,} {loss['what']}" for loss in report.losses)
    say(f"{target}; what COCO cannot hold: {lost}")
