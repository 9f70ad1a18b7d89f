"""The demo's first steps: a dataset of synthetic scenes, validated and exported; what does not fit goes first."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmud import codes
from mmud.dataset.store import Dataset
from mmud.demo.annotating import FOLDER as ANNOTATION
from mmud.demo.annotating import PARTS as ANNOTATION_PARTS
from mmud.demo.plan import PRESET, Plan
from mmud.errors import MmudError, Place
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
    "demo.json",
    "features.npz",
    "gallery.html",
    "leaderboard.html",
    "scores.json",
)
OF_DATASET = (*(f"{ANNOTATION}/{name}" for name in ANNOTATION_PARTS), "coco", "dataset", "validation.json")
"""Not ``annotation`` whole: a person's review of the demo's labels is kept there."""


def settle(
    folder: Path, dataset: dict[str, Any], training: dict[str, Any] | None, say: Say, left_out: str = ""
) -> None:
    """Make the folder ready: what an earlier demo made by other settings goes, what fits stays.

    Args:
        folder: of the demo.
        dataset: settings of the dataset.
        training: settings of the training, weights included; None where nothing can be trained.
        say: told what is removed.
        left_out: why fewer arms are trained than the plan has.

    Raises:
        MmudError: MM003 when the folder holds what no demo made, or a training that could not be made again here.
    """
    file = folder / PLAN_NAME
    wanted = {"dataset": dataset, "training": training}
    if file.exists():
        earlier = json.loads(file.read_bytes())
        _refuse_loss(folder, earlier, wanted, left_out)
    else:
        # A demo that an older version finished has no plan.
        finished = (folder / "demo.json").exists()
        _refuse_others(folder, finished)
        earlier = {"dataset": None, "training": None} if finished else wanted
    folder.mkdir(parents=True, exist_ok=True)
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


def _refuse_others(folder: Path, finished: bool) -> None:
    """No demo was begun here: what has the names of its parts is somebody else's."""
    found = [name for name in OF_DATASET + OF_SYSTEMS if (folder / name).exists()]
    if found and not finished:
        message = f"{folder} holds {', '.join(found[:3])}, and no demo made them"
        hint = "Name an empty folder: mmud demo -o FOLDER"
        raise MmudError(codes.OUTPUT_EXISTS, message, Place(file=str(folder / found[0])), hint)


def _refuse_loss(folder: Path, earlier: Mapping[str, Any], wanted: Mapping[str, Any], left_out: str) -> None:
    """The same demo where less can be trained: an hour's training is not removed for that."""
    had, has = (set((plan["training"] or {}).get("arms", ())) for plan in (earlier, wanted))
    if earlier["dataset"] == wanted["dataset"] and had - has:
        message = (
            f"{folder} holds a training of {', '.join(sorted(had - has))}, which cannot be trained here: {left_out}"
        )
        hint = "Name another folder, or make it possible: mmud demo says how at its end."
        raise MmudError(codes.OUTPUT_EXISTS, message, Place(file=str(folder)), hint)


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
