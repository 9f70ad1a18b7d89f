"""Which optimiser trains which weight, and the schedule of its rate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import torch
from torch import nn

WARMUP_STEPS: Final = 50


def rate_factor(step: int, steps: int, decay: float) -> float:
    """Factor on the learning rate: a short warm-up, constant, then linear to zero over the last share ``decay`` of the steps.

    The long constant part makes a run extendable: resumed with more steps, it has lost nothing to an early decay.
    """
    warm = min(1.0, (step + 1) / WARMUP_STEPS)
    left = (steps - step) / max(1.0, decay * steps)
    return warm * min(1.0, left)


def build_optimisers(
    module: nn.Module, matrices: Iterable[nn.Parameter], muon_rate: float, adam_rate: float, weight_decay: float = 0.01
) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024, as in torch.optim) for the matrices of the hidden layers, AdamW for all the rest."""
    hidden = list(matrices)
    chosen = {id(parameter) for parameter in hidden}
    rest = [parameter for parameter in module.parameters() if parameter.requires_grad and id(parameter) not in chosen]
    optimisers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(rest, lr=adam_rate, betas=(0.9, 0.95), weight_decay=weight_decay)
    ]
    if hidden:
        optimisers.append(torch.optim.Muon(hidden, lr=muon_rate, momentum=0.95, weight_decay=weight_decay))
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["base_rate"] = group["lr"]
    return optimisers


def set_rates(optimisers: Iterable[torch.optim.Optimizer], factor: float) -> None:
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = group["base_rate"] * factor
