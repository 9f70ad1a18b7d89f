"""A training loop that can be stopped at any moment and goes on with the same weights, bit for bit on one kind of CPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import torch
from torch import Tensor, nn

from mmud.baselines import codes
from mmud.baselines.backbones import codes as own_codes
from mmud.baselines.backbones.optimisers import rate_factor, set_rates
from mmud.errors import MmudError, Place
from mmud.files import atomic_write

STATE_NAME: Final = "state.pt"
CLIP: Final = 1.0


class Stage(Protocol):
    """One stage of pretraining.

    Attributes:
        module: What is trained.
        optimisers: For it.
        decay: Share of the steps over which the rate falls to zero.
    """

    module: nn.Module
    optimisers: list[torch.optim.Optimizer]
    decay: float

    def loss(self, step: int) -> Tensor:
        """The loss of a step: a function of the weights and the step alone."""
        ...


@dataclass(slots=True)
class Progress:
    """Where a stage is.

    Attributes:
        step: Steps done.
        seconds: Wall-clock seconds spent, in all runs together.
        cpu_seconds: CPU seconds spent, in all runs together.
        losses: One mean loss for each LOG_STEPS steps.
    """

    step: int
    seconds: float
    cpu_seconds: float
    losses: list[float]


LOG_STEPS: Final = 20


def save_state(stage: Stage, progress: Progress, path: Path) -> None:
    """Write the state of a stage atomically."""
    state = {
        "module": stage.module.state_dict(),
        "optimisers": [optimiser.state_dict() for optimiser in stage.optimisers],
        "step": progress.step,
        "seconds": progress.seconds,
        "cpu_seconds": progress.cpu_seconds,
        "losses": progress.losses,
    }
    with atomic_write(path) as stream:
        torch.save(state, stream)


def load_state(stage: Stage, path: Path) -> Progress:
    """Read a state back into a stage.

    Raises:
        MmudError: MM904 when it cannot be read, MM903 when it is of another model.
    """
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except Exception as error:
        # torch raises half a dozen kinds for a damaged file, some of them its own and undocumented.
        raise MmudError(
            codes.CHECKPOINT_UNREADABLE, f"{type(error).__name__}: {error}", Place(file=str(path))
        ) from error
    try:
        stage.module.load_state_dict(state["module"])
        for optimiser, saved in zip(stage.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
    except (KeyError, RuntimeError, ValueError) as error:
        raise MmudError(codes.CHECKPOINT_MISMATCH, str(error), Place(file=str(path))) from error
    return Progress(state["step"], state["seconds"], state["cpu_seconds"], state["losses"])


def train(
    stage: Stage,
    folder: Path,
    steps: int,
    budget: float | None = None,
    resume: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
    save_seconds: float = 60.0,
) -> Progress:
    """Train a stage up to ``steps`` steps in all, or until ``budget`` seconds have passed in this run.

    The state is written every ``save_seconds`` and at the end; with ``resume`` a run goes on from it.

    Raises:
        MmudError: MM980 when the loss is no longer a number, and what :func:`load_state` and ``atomic_write`` raise.
    """
    path = folder / STATE_NAME
    progress = load_state(stage, path) if resume and path.exists() else Progress(0, 0.0, 0.0, [])
    began = last = time.monotonic()
    cpu_last, saved = time.process_time(), began
    window: list[float] = []
    stage.module.train()
    while progress.step < steps and (budget is None or last - began < budget):
        window.append(_step(stage, progress.step, steps))
        progress.step += 1
        now, cpu = time.monotonic(), time.process_time()
        progress.seconds += now - last
        progress.cpu_seconds += cpu - cpu_last
        last, cpu_last = now, cpu
        if progress.step % LOG_STEPS == 0:
            progress.losses.append(sum(window) / len(window))
            window.clear()
            report(progress)
            # Only here, so that the window of losses need not be kept as well.
            if now - saved > save_seconds:
                save_state(stage, progress, path)
                saved = now
    save_state(stage, progress, path)
    stage.module.eval()
    return progress


def _step(stage: Stage, step: int, steps: int) -> float:
    set_rates(stage.optimisers, rate_factor(step, steps, stage.decay))
    loss = stage.loss(step)
    value = float(loss.detach())
    if value != value or value in (float("inf"), float("-inf")):
        raise MmudError(own_codes.NOT_A_NUMBER, f"the loss of step {step} is {value}", Place(field="loss"))
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(stage.module.parameters(), CLIP)
    for optimiser in stage.optimisers:
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return value
