"""Checkpoints that survive `kill -9` and a full disk: a folder takes its final name only when every file in it is on the disk.

::

    checkpoints/step-00000120/model.safetensors       what is trained
                              optimiser.safetensors   its moments, and the states of the random generators
                              state.json              step, seconds, best so far, SHA-256 of both files

Safetensors and JSON alone: nothing in a checkpoint is a pickle.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import Parameter
from torch.optim import Optimizer

from mmud import codes as general_codes
from mmud.baselines import codes
from mmud.baselines.training.tensor_files import Tensors, read_tensors, write_tensors
from mmud.errors import MmudError, Place
from mmud.files import sha256_of, write_json

MODEL_NAME = "model.safetensors"
OPTIMISER_NAME = "optimiser.safetensors"
STATE_NAME = "state.json"
CHECKPOINTS_NAME = "checkpoints"
"""The folder in that of a training."""
_PREFIX = "step-"
_PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class Best:
    """The step with the lowest score on the valid split so far."""

    step: int
    score: float


@dataclass(frozen=True, slots=True)
class TrainingState:
    """Where training stands.

    Attributes:
        step: how many steps were taken.
        seconds: spent on them, all processes together.
        best: on the valid split; None before it was looked at.
    """

    step: int = 0
    seconds: float = 0.0
    best: Best | None = None


@dataclass(frozen=True)
class Checkpoint:
    """What a folder holds."""

    folder: Path
    state: TrainingState
    model: Tensors
    optimiser: Tensors
    random: Mapping[str, Any]


class CheckpointFolder:
    """The checkpoints of one training.

    Args:
        folder: that holds them.
        keep: how many of the newest stay, at least one; the best one of each stays too.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder = folder
        self._keep = max(keep, 1)

    def path(self, step: int) -> Path:
        """The folder of a step's checkpoint."""
        return self.folder / f"{_PREFIX}{step:08d}"

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, ascending."""
        found = (path.name.removeprefix(_PREFIX) for path in self.folder.glob(f"{_PREFIX}*") if path.is_dir())
        return sorted(int(name) for name in found if name.isdigit())

    def write(
        self,
        state: TrainingState,
        model: Mapping[str, torch.Tensor],
        optimiser: Mapping[str, torch.Tensor],
    ) -> Path:
        """Write a checkpoint of this moment, random generators included, and remove those that are no longer needed.

        Raises:
            MmudError: MM008 when the operating system refuses; the checkpoints that were there stay.
        """
        target = self.path(state.step)
        partial = target.with_name(f".{target.name}{_PARTIAL}")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            partial.mkdir(parents=True)
            tensors, words = random_states()
            write_tensors(partial / MODEL_NAME, model)
            write_tensors(partial / OPTIMISER_NAME, {**optimiser, **tensors})
            sums = {name: sha256_of(partial / name) for name in (MODEL_NAME, OPTIMISER_NAME)}
            write_json(partial / STATE_NAME, {"format": 1, **asdict(state), "random": words, "sha256": sums})
            shutil.rmtree(target, ignore_errors=True)
            os.replace(partial, target)
            _flush(self.folder)
        except OSError as error:
            raise MmudError(general_codes.NOT_WRITABLE, f"cannot write: {error}", Place(file=str(target))) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        self._prune()
        return target

    def _prune(self) -> None:
        for partial in self.folder.glob(f".{_PREFIX}*{_PARTIAL}"):
            shutil.rmtree(partial, ignore_errors=True)
        steps = self.steps()
        kept: set[int] = set()
        for step in steps[-self._keep :]:
            try:
                best = _read_state(self.path(step))[0].best
            except MmudError:
                # Damaged since it was written: nobody could go on from it.
                continue
            kept |= {step} if best is None else {step, best.step}
        for step in steps:
            if step not in kept:
                shutil.rmtree(self.path(step), ignore_errors=True)

    def newest(self, note: Callable[[str], None] = lambda text: None) -> Checkpoint | None:
        """The newest checkpoint that is whole; None where there is none at all.

        Raises:
            MmudError: MM904 when there are checkpoints and every one of them is damaged.
        """
        problem: MmudError | None = None
        for step in reversed(self.steps()):
            try:
                return read_checkpoint(self.path(step))
            except MmudError as error:
                note(f"The checkpoint of step {step} is damaged ({error.message}); looking at the one before.")
                problem = problem or error
        if problem is not None:
            raise problem
        return None

    def model_of(self, step: int) -> Tensors:
        """What was trained, as it was after a step.

        Raises:
            MmudError: MM904 when it is missing or damaged.
        """
        return read_checkpoint(self.path(step)).model


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read and verify a checkpoint.

    Raises:
        MmudError: MM904 when a file is missing, cut off or changed.
    """
    state, words, sums = _read_state(folder)
    for name in (MODEL_NAME, OPTIMISER_NAME):
        try:
            found = sha256_of(folder / name)
        except OSError as error:
            raise MmudError(codes.CHECKPOINT_UNREADABLE, str(error), Place(file=str(folder / name))) from error
        if found != sums.get(name):
            message = f"{name} is not what was written: its checksum differs"
            raise MmudError(codes.CHECKPOINT_UNREADABLE, message, Place(file=str(folder / name)))
    return Checkpoint(folder, state, read_tensors(folder / MODEL_NAME), read_tensors(folder / OPTIMISER_NAME), words)


def _read_state(folder: Path) -> tuple[TrainingState, dict[str, Any], dict[str, str]]:
    file = folder / STATE_NAME
    try:
        said = json.loads(file.read_bytes())
        best = said["best"]
        state = TrainingState(
            int(said["step"]),
            float(said["seconds"]),
            None if best is None else Best(int(best["step"]), float(best["score"])),
        )
        return state, dict(said["random"]), dict(said["sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{STATE_NAME}: {type(error).__name__}: {error}"
        raise MmudError(codes.CHECKPOINT_UNREADABLE, message, Place(file=str(file))) from error


def _flush(folder: Path) -> None:
    """Make a renaming lasting, where folders can be synchronised."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# -- optimiser --------------------------------------------------------------------------------------------------------------


def optimiser_tensors(optimiser: Optimizer, groups: Mapping[str, Sequence[Parameter]]) -> Tensors:
    """An optimiser's state as named tensors: ``optimiser.GROUP.NUMBER.KEY``."""
    found = {}
    for group, parameters in groups.items():
        for number, parameter in enumerate(parameters):
            for key, value in optimiser.state.get(parameter, {}).items():
                found[f"optimiser.{group}.{number}.{key}"] = value
    return found


def restore_optimiser(optimiser: Optimizer, groups: Mapping[str, Sequence[Parameter]], tensors: Tensors) -> None:
    """Give an optimiser the state that `optimiser_tensors` took.

    Raises:
        MmudError: MM903 when it is the state of other parameters.
    """
    rest = {name: tensor for name, tensor in tensors.items() if name.startswith("optimiser.")}
    for group, parameters in groups.items():
        for number, parameter in enumerate(parameters):
            prefix = f"optimiser.{group}.{number}."
            state: dict[str, torch.Tensor] = {}
            for name in [name for name in rest if name.startswith(prefix)]:
                value = rest.pop(name)
                moment = value.ndim > 0
                if moment and value.shape != parameter.shape:
                    message = f"{name} has shape {tuple(value.shape)}, the parameter {tuple(parameter.shape)}"
                    raise MmudError(codes.CHECKPOINT_MISMATCH, message)
                # Adam keeps its count of steps on the CPU.
                state[name.removeprefix(prefix)] = value.to(parameter.device) if moment else value
            if state:
                optimiser.state[parameter] = state
    if rest:
        raise MmudError(codes.CHECKPOINT_MISMATCH, f"the optimiser has no {next(iter(rest))}")


# -- random generators ------------------------------------------------------------------------------------------------------


def seed_everything(seed: int) -> None:
    """Set every generator of the process to a state that depends on the seed alone."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def random_states() -> tuple[Tensors, dict[str, Any]]:
    """The states of every generator of the process: tensors, and what is no tensor as JSON."""
    tensors: Tensors = {"random.torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        for number, state in enumerate(torch.cuda.get_rng_state_all()):
            tensors[f"random.cuda.{number}"] = state
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    tensors["random.numpy"] = torch.from_numpy(np.asarray(keys).astype(np.int64))
    numbers = {"name": str(name), "position": int(position), "has_gauss": int(has_gauss), "cached": float(cached)}
    return tensors, {"python": [version, list(words), gauss], "numpy": numbers}


def restore_random_states(tensors: Tensors, words: Mapping[str, Any]) -> None:
    """Set every generator to a state that `random_states` took.

    Raises:
        MmudError: MM904 when it is none.
    """
    try:
        torch.set_rng_state(tensors["random.torch"])
        if torch.cuda.is_available():
            for number in range(torch.cuda.device_count()):
                if f"random.cuda.{number}" in tensors:
                    torch.cuda.set_rng_state(tensors[f"random.cuda.{number}"], number)
        version, state, gauss = words["python"]
        random.setstate((int(version), tuple(state), gauss))
        numbers = words["numpy"]
        keys = tensors["random.numpy"].numpy().astype(np.uint32)
        np.random.set_state((numbers["name"], keys, numbers["position"], numbers["has_gauss"], numbers["cached"]))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise MmudError(codes.CHECKPOINT_UNREADABLE, f"state of a random generator: {error}") from error
