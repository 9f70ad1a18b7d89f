"""Muon for the matrices of hidden layers, AdamW for all the rest, as one optimiser of one trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch.nn import Parameter
from torch.optim import Optimizer

from mmud.baselines.training.trainer import TrainingConfig

HIDDEN: Final = "hidden"
"""Name of the group of matrices."""


class MuonAndAdamW(Optimizer):
    """Both, over groups by name; the group ``hidden`` is Muon's (Jordan et al. 2024, as in torch.optim).

    Args:
        groups: parameter groups with ``params``, ``lr`` and ``name``.
        betas, weight_decay: of AdamW; Muon's momentum is 0.95.
    """

    def __init__(
        self, groups: Sequence[dict[str, Any]], betas: tuple[float, float], weight_decay: float, hidden_decay: float
    ) -> None:
        super().__init__(list(groups), {})
        # Each works on its share of the same groups and on one state, so that schedules and checkpoints see one optimiser.
        self._inner: list[Optimizer] = []
        for is_hidden in (False, True):
            chosen = [group for group in self.param_groups if (group["name"] == HIDDEN) == is_hidden]
            if not chosen:
                continue
            inner: Optimizer = (
                torch.optim.Muon(chosen, momentum=0.95, weight_decay=hidden_decay)
                if is_hidden
                else torch.optim.AdamW(chosen, betas=betas, weight_decay=weight_decay)
            )
            inner.state = self.state
            self._inner.append(inner)

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take a step of each."""
        for inner in self._inner:
            inner.step(closure)


def make_muon(config: TrainingConfig, groups: Mapping[str, Sequence[Parameter]]) -> Optimizer:
    """The optimiser of pretraining: learning rates by group, as `training.trainer.make_optimiser` has them."""
    rates = config.learning_rates
    settings = [
        {"params": list(parameters), "lr": rates[name], "rate": rates[name], "name": name}
        for name, parameters in groups.items()
        if parameters
    ]
    return MuonAndAdamW(settings, config.betas, 0.0, config.weight_decay)


def hidden_and_rest(module: torch.nn.Module, hidden: Sequence[Parameter]) -> dict[str, list[Parameter]]:
    """The groups of a module: matrices of hidden layers, and the rest of what is trained."""
    chosen = {id(parameter) for parameter in hidden}
    rest = [parameter for parameter in module.parameters() if parameter.requires_grad and id(parameter) not in chosen]
    return {"rest": rest, HIDDEN: list(hidden)}
