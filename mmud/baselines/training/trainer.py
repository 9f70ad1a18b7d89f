"""The training loop. It knows nothing of the model but its losses, its parameters by group, and its state."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import nn
from torch.nn import Parameter
from torch.optim import Optimizer

from mmud.baselines import codes as baseline_codes
from mmud.baselines.base import ProgressFactory, silent
from mmud.baselines.training.checkpoints import (
    CHECKPOINTS_NAME,
    Best,
    CheckpointFolder,
    TrainingState,
    optimiser_tensors,
    restore_optimiser,
    restore_random_states,
    seed_everything,
)
from mmud.baselines.training.faults import memory_explained, require_finite
from mmud.baselines.training.log import TrainingLog
from mmud.baselines.training.schedule import Budget, ScheduleName, rate_factor
from mmud.baselines.training.tensor_files import Tensors
from mmud.errors import MmudError

Losses = Mapping[str, torch.Tensor]
TOTAL = "total"
NOTE_SECONDS = 10.0


class Trainable(Protocol):
    """What is trained."""

    def loss(self, batch: Any) -> Losses:
        """Losses by name, each a scalar; "total" is the one that is minimised."""
        ...

    def parameter_groups(self) -> Mapping[str, Sequence[Parameter]]:
        """What is trained, by group; each group may have a learning rate of its own."""
        ...

    def trainable_state(self) -> Tensors:
        """What is trained, by name, and whatever else must be kept to go on."""
        ...

    def load_trainable_state(self, state: Tensors) -> None:
        """Take over what `trainable_state` gave."""
        ...

    def train(self, mode: bool = True) -> Any:
        """Switch between training and evaluation, as torch's modules do."""
        ...


class BatchSource(Protocol):
    """Where batches come from: a pure function of the step."""

    def micro_batches(self, step: int) -> Iterable[tuple[Any, float]]:
        """The pieces of a step's batch, each with the factor that its loss counts by. Steps count from 0."""
        ...


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.

    Attributes:
        budget: steps, minutes, or both.
        learning_rates: group -> rate; "" for groups that are not named.
        optimiser: "adamw" decays weights apart from the gradient, "adam" through it (as the paper's code does).
        betas, epsilon, weight_decay: the optimiser's.
        warmup: steps.
        schedule, final_rate: see `rate_factor`.
        clip, clip_by: the gradient's norm, or each of its values, is cut to this; 0 for never.
        precision: "bf16" runs the forward pass under autocast; weights that are trained stay in fp32.
        device: where batches and model are; the device type is all that is looked at.
        log_every: steps; 0 for never.
        validations: how often the valid split is looked at, spread over the budget; at the end in any case.
        save_every: steps; 0 for by time alone.
        save_seconds: a checkpoint at least so often.
        keep: so many of the newest checkpoints.
        seed: of the random generators at the start.
    """

    budget: Budget
    learning_rates: Mapping[str, float] = field(default_factory=lambda: {"": 1e-4})
    optimiser: Literal["adamw", "adam"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.95)
    epsilon: float = 1e-8
    weight_decay: float = 0.1
    warmup: int = 200
    schedule: ScheduleName = "cosine"
    final_rate: float = 0.0
    clip: float = 1.0
    clip_by: Literal["norm", "value"] = "norm"
    precision: Literal["fp32", "bf16"] = "fp32"
    device: str = "cpu"
    log_every: int = 10
    validations: int = 1
    save_every: int = 0
    save_seconds: float = 60.0
    keep: int = 2
    seed: int = 0


@dataclass(frozen=True)
class TrainingReport:
    """What came of it.

    Attributes:
        state: at the end.
        resumed_from: the step that was gone on from; None for a straight run.
        losses: the lines of the log.
    """

    state: TrainingState
    resumed_from: int | None
    losses: list[dict[str, Any]]


def make_optimiser(config: TrainingConfig, groups: Mapping[str, Sequence[Parameter]]) -> Optimizer:
    """Adam or AdamW, with a learning rate for each group.

    Raises:
        MmudError: MM905 when a group has no learning rate, or a rate is for a group that the model has not; MM947 when there is
            nothing to train.
    """
    unknown = [name for name in config.learning_rates if name and name not in groups]
    if unknown:
        message = f"a learning rate for {unknown[0]!r}; the groups are {', '.join(groups)}"
        raise MmudError(baseline_codes.CONFIG_INVALID, message)
    if not any(groups.values()):
        raise MmudError(baseline_codes.NOTHING_TO_FIT, "nothing of this model is trained")
    settings = []
    for name, parameters in groups.items():
        rate = config.learning_rates.get(name, config.learning_rates.get(""))
        if rate is None:
            raise MmudError(baseline_codes.CONFIG_INVALID, f"no learning rate for {name!r}")
        if parameters:
            settings.append({"params": list(parameters), "lr": rate, "rate": rate, "name": name})
    make = torch.optim.AdamW if config.optimiser == "adamw" else torch.optim.Adam
    return make(settings, betas=config.betas, eps=config.epsilon, weight_decay=config.weight_decay)


class Trainer:
    """Trains, keeps checkpoints, and goes on from the newest one.

    With a bound on steps, a training that was killed and run again ends in the same weights as one that was not, to the bit, on
    the CPU with one thread. With a bound on minutes the learning rate follows the clock, so it does not.

    Args:
        model: what is trained.
        source: batches.
        config: how.
        folder: for checkpoints and logs.
        validate: losses on the valid split by name; the lowest "total" selects the weights. None where there is no such split.
        progress, note: for a person.
        make_optimiser: from settings and groups; those of the result need ``rate`` and ``name``.
    """

    def __init__(
        self,
        model: Trainable,
        source: BatchSource,
        config: TrainingConfig,
        folder: Path,
        *,
        validate: Callable[[], Mapping[str, float]] | None = None,
        progress: ProgressFactory = silent,
        note: Callable[[str], None] = lambda text: None,
        make_optimiser: Callable[[TrainingConfig, Mapping[str, Sequence[Parameter]]], Optimizer] = make_optimiser,
    ) -> None:
        self.model = model
        self.config = config
        self._source = source
        self._folder = folder
        self._validate = validate
        self._progress = progress
        self._note = note
        self._groups = model.parameter_groups()
        self._optimiser = make_optimiser(config, self._groups)
        self._parameters = [parameter for group in self._groups.values() for parameter in group]
        self._checkpoints = CheckpointFolder(folder / CHECKPOINTS_NAME, config.keep)
        self._saved: int | None = None

    def run(self) -> TrainingReport:
        """Train to the end of the budget; the model then has the selected weights.

        Raises:
            MmudError: MM920 out of memory, MM921 not finite, MM008 full disk: checkpoints stay. MM903 or MM904 when the
                newest checkpoint belongs to another model, or none is whole.
        """
        begun = state = self._resume()
        started = time.perf_counter() - state.seconds
        with TrainingLog(self._folder, state.step, self._note) as log, self._advancing(begun) as advance:
            saved_at = shown = time.perf_counter()
            while not self._spent(state):
                scalars = self._step(state)
                before, state = state, replace(state, step=state.step + 1, seconds=time.perf_counter() - started)
                advance(before, state)
                if _due(state.step, self.config.log_every) or before is begun or self._spent(state):
                    log.write(state.step, {**scalars, "seconds": round(state.seconds, 3)})
                    if time.perf_counter() - shown > NOTE_SECONDS:
                        shown = time.perf_counter()
                        self._note(_line(state.step, scalars))
                last = self._spent(state)
                validated = self._validate is not None and (last or self._looks(before) < self._looks(state))
                if validated:
                    state = replace(self._select(state, log), seconds=time.perf_counter() - started)
                overdue = time.perf_counter() - saved_at >= self.config.save_seconds
                if last or validated or overdue or _due(state.step, self.config.save_every):
                    self._save(state)
                    saved_at = time.perf_counter()
            lines = log.lines
        if state.best is not None and state.best.step != state.step:
            self.model.load_trainable_state(self._checkpoints.model_of(state.best.step))
        self.model.train(False)
        return TrainingReport(state, begun.step or None, lines)

    def _spent(self, state: TrainingState) -> bool:
        return self.config.budget.fraction(state.step, state.seconds) >= 1

    def _looks(self, state: TrainingState) -> int:
        """How often the valid split should have been looked at by then."""
        return int(self.config.budget.fraction(state.step, state.seconds) * self.config.validations)

    @contextmanager
    def _advancing(self, begun: TrainingState) -> Iterator[Callable[[TrainingState, TrainingState], None]]:
        """Progress over what is left of the budget: by steps, or by seconds where nothing else bounds it."""
        steps, minutes = self.config.budget.steps, self.config.budget.minutes
        if steps is None and minutes is not None:
            with self._progress("seconds of training", max(round(60 * minutes - begun.seconds), 1)) as bar:
                yield lambda before, after: bar.advance(int(after.seconds) - int(before.seconds))
        else:
            with self._progress("steps", None if steps is None else max(steps - begun.step, 1)) as bar:
                yield lambda before, after: bar.advance(after.step - before.step)

    def _resume(self) -> TrainingState:
        found = self._checkpoints.newest(self._note)
        if found is None:
            seed_everything(self.config.seed)
            return TrainingState()
        self.model.load_trainable_state(found.model)
        restore_optimiser(self._optimiser, self._groups, found.optimiser)
        restore_random_states(found.optimiser, found.random)
        self._saved = found.state.step
        self._note(f"Going on after step {found.state.step:,}.")
        return found.state

    def _save(self, state: TrainingState) -> None:
        self._checkpoints.write(state, self.model.trainable_state(), optimiser_tensors(self._optimiser, self._groups))
        self._saved = state.step

    def _step(self, state: TrainingState) -> dict[str, float]:
        """One step; its losses, norm and learning rates."""
        config = self.config
        factor = rate_factor(
            state.step, state.seconds, config.budget, config.warmup, config.schedule, config.final_rate
        )
        rates = {}
        for group in self._optimiser.param_groups:
            group["lr"] = rates[f"rate/{group['name']}"] = group["rate"] * factor
        self.model.train(True)
        with memory_explained(f"step {state.step + 1}"):
            losses = self._gradients(state.step)
            require_finite(losses, state.step + 1, self._saved)
            bound = config.clip if config.clip > 0 and config.clip_by == "norm" else float("inf")
            norm = float(nn.utils.clip_grad_norm_(self._parameters, bound))
            if config.clip > 0 and config.clip_by == "value":
                nn.utils.clip_grad_value_(self._parameters, config.clip)
            require_finite({"the gradient's norm": norm}, state.step + 1, self._saved)
            self._optimiser.step()
            self._optimiser.zero_grad(set_to_none=True)
        return {**{f"loss/{name}": value for name, value in losses.items()}, "norm": norm, **rates}

    def _gradients(self, step: int) -> dict[str, float]:
        """Gradients of the whole batch, summed over its pieces."""
        sums: dict[str, float] = {}
        for piece, share in self._source.micro_batches(step):
            with self._autocast():
                losses = self.model.loss(piece)
            torch.autograd.backward(losses[TOTAL] * share)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach()) * share
        return sums

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.config.precision == "fp32":
            return nullcontext()
        return torch.autocast(torch.device(self.config.device).type, dtype=torch.bfloat16)

    def _select(self, state: TrainingState, log: TrainingLog) -> TrainingState:
        """Look at the valid split; the same weights come of it whether and however often that is done."""
        assert self._validate is not None
        self.model.train(False)
        devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
        with torch.random.fork_rng(devices), torch.no_grad(), self._autocast(), memory_explained("the valid split"):
            values = dict(self._validate())
        self.model.train(True)
        require_finite({f"valid {name}": value for name, value in values.items()}, state.step, self._saved)
        log.write(state.step, {f"valid/{name}": value for name, value in values.items()})
        self._note(f"step {state.step:,}: valid loss {values[TOTAL]:.4g}")
        if state.best is None or values[TOTAL] < state.best.score:
            return replace(state, best=Best(state.step, values[TOTAL]))
        return state


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _line(step: int, scalars: Mapping[str, float]) -> str:
    parts = [f"{name.removeprefix('loss/')} {value:.4g}" for name, value in scalars.items() if name.startswith("loss/")]
    return f"step {step:,}: loss {', '.join(parts)}"
