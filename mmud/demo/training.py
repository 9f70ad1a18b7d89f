"""Whether neural tuning can be trained here, and the training: by the same way in as `mmud train`, resumed after a kill."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmud.baselines.base import ProgressFactory
from mmud.dataset.store import Dataset
from mmud.demo.plan import Plan
from mmud.errors import MmudError
from mmud.files import sha256_of

Say = Callable[[str], None]

INSTALL = "pip install -c constraints.txt -e '.[baselines]'"
PACKAGES = ("torch", "transformers", "safetensors")


def why_left_out() -> str | None:
    """Why nothing can be trained here, with the command that changes it; None where it can."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed. To add it: {INSTALL}"
    from mmud.baselines.backbones import scenes_tiny as parts

    adding = f"To add it: mmud pretrain scenes-tiny -o PARTS && export {parts.FOLDER_VARIABLE}=PARTS"
    try:
        folder = parts.weights_folder()
    except MmudError as error:
        return f"{error.message} ({error.code.id}). {adding}"
    lacking = parts.lacking(folder)
    return f"{folder} lacks {', '.join(lacking)}. {adding}" if lacking else None


def arms_of(plan: Plan, say: Say) -> tuple[str, ...]:
    """The plan's arms that can be trained here."""
    if "lora" in plan.arms and importlib.util.find_spec("peft") is None:
        say("lora is left out: peft is not installed. To add it: pip install -c constraints.txt -e '.[peft]'")
        return tuple(arm for arm in plan.arms if arm != "lora")
    return plan.arms


def training_settings(plan: Plan, arms: tuple[str, ...]) -> dict[str, Any]:
    """What makes two trainings the same: options and the preset that they change, arms, and the frozen weights."""
    from mmud.baselines.backbones.scenes_tiny import weights_folder
    from mmud.baselines.neural_tuning.options import NeuralTuningOptions, settings_of

    folder = weights_folder()
    weights = {path.relative_to(folder).as_posix(): sha256_of(path) for path in sorted(folder.glob("*/*.safetensors"))}
    options = plan.training_options()
    preset = settings_of(NeuralTuningOptions(preset=options["preset"]), "stn").model_dump(mode="json")
    return {
        "options": options,
        "preset": preset,
        "predicting": dict(plan.predicting),
        "arms": list(arms),
        "weights": weights,
    }


def train(name: str, run: Path, dataset: Dataset, plan: Plan, seed: int, say: Say, progress: ProgressFactory) -> None:
    """Train one arm into a run folder, or go on where it was interrupted.

    Raises:
        MmudError: MM920 or MM921 when training fails, MM008 for a full disk; checkpoints stay.
    """
    from mmud.baselines.run_folder import FitRequest, fit_into

    request = FitRequest(name, plan.training_options(), seed)
    command = f"mmud demo --{plan.name} --seed {seed}" if plan.name != "default" else f"mmud demo --seed {seed}"
    fit_into(run, dataset, request, resume=True, command=command, progress=progress, note=say)
    said = json.loads((run / "model" / "train.json").read_bytes())
    trained = said["parameters"]["trainable_total"]
    chosen = said["selected"]
    best = "" if chosen is None else f", weights of step {chosen['step']:,} (valid loss {chosen['valid_loss']:.3g})"
    say(f"{said['steps']:,} steps in {said['seconds']:.0f} s, {trained:,} trained parameters{best}: {run}")
