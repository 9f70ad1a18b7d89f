"""What a training began with, so that it is gone on with by the same settings and around the same frozen parts.

::

    work/start.json     every setting, and what identifies the frozen parts

Options do not tell: what a preset stands for and what lies behind a path may be others by the time a training is gone on with.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmud.baselines import codes
from mmud.baselines.neural_tuning.backbones import FrozenParts
from mmud.baselines.neural_tuning.config import NeuralTuningConfig
from mmud.baselines.training.checkpoints import CHECKPOINTS_NAME, CheckpointFolder
from mmud.errors import MmudError, Place
from mmud.files import write_json

START_NAME = "start.json"
HINT = "Go on with the version and the frozen parts that began it, or begin anew: another output, or --force."


def keep_to_the_beginning(folder: Path, config: NeuralTuningConfig, parts: FrozenParts) -> None:
    """Note what a training begins with; where it has checkpoints already, require that it is the same.

    Args:
        folder: of the fitting's work.
        config: every setting.
        parts: that the model is built around.

    Raises:
        MmudError: MM943 naming each difference, or when the note is missing or unreadable beside checkpoints; MM008 when the note
            cannot be written.
    """
    file = folder / START_NAME
    frozen = {**parts.digests, "feature": parts.feature.describe()}
    start = json.loads(json.dumps({"config": config.model_dump(mode="json"), "parts": frozen}))
    if CheckpointFolder(folder / CHECKPOINTS_NAME).steps():
        earlier = _read(file)
        differs = [
            f"{name} {_brief(before)}, now {_brief(now)}"
            for section in ("config", "parts")
            for name, before, now in _differences(earlier[section], start[section])
        ]
        if differs:
            message = f"this training began with {'; '.join(differs)}"
            raise MmudError(codes.OTHER_REQUEST, message, Place(file=str(file)), hint=HINT)
    write_json(file, start)


def _read(file: Path) -> dict[str, Any]:
    """The note, with the defaults of settings that its version did not know."""
    try:
        found = json.loads(file.read_bytes())
        config = NeuralTuningConfig.checked(found["config"]).model_dump(mode="json")
        return {"config": config, "parts": dict(found["parts"])}
    except (OSError, ValueError, KeyError, TypeError, MmudError) as error:
        message = f"{file.name} does not tell what this training began with: {type(error).__name__}: {error}"
        raise MmudError(codes.OTHER_REQUEST, message, Place(file=str(file)), hint=HINT) from error


def _differences(before: Any, now: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Name, earlier and present value of each leaf that differs."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted({*before, *now}):
            yield from _differences(before.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif before != now:
        yield name, before, now


def _brief(value: Any) -> str:
    """A value as a message has it: of a digest the begin."""
    return f"{value:.12}" if isinstance(value, str) else json.dumps(value)
