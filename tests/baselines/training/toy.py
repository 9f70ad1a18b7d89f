"""A toy that the trainer trains: small, with dropout, so that the random generators count. Also a program, to be killed."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mmud.baselines.training.order import Order
from mmud.baselines.training.schedule import Budget
from mmud.baselines.training.trainer import Trainer, TrainingConfig


class Toy(nn.Module):
    """Regression of a fixed function, with a frozen part."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.frozen = nn.Linear(4, 32).requires_grad_(False)
        self.body = nn.Linear(32, 8)
        self.head = nn.Linear(8, 1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden = nn.functional.dropout(torch.relu(self.frozen(inputs)), 0.1, self.training)
        return self.head(torch.tanh(self.body(hidden))).squeeze(-1)

    def loss(self, batch: tuple[torch.Tensor, torch.Tensor]) -> dict[str, torch.Tensor]:
        inputs, targets = batch
        total = nn.functional.mse_loss(self(inputs), targets)
        return {"total": total}

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"body": list(self.body.parameters()), "head": list(self.head.parameters())}

    def trainable_state(self) -> dict[str, torch.Tensor]:
        return {name: value for name, value in self.state_dict().items() if not name.startswith("frozen")}

    def load_trainable_state(self, state: dict[str, torch.Tensor]) -> None:
        self.load_state_dict(state, strict=False)


class Source:
    """Sixty examples of a fixed function, in pieces."""

    def __init__(self, batch: int = 6, pieces: int = 1, delay: float = 0.0) -> None:
        random = np.random.default_rng(7)
        self.inputs = torch.from_numpy(random.normal(size=(60, 4)).astype(np.float32))
        self.targets = self.inputs[:, 0] - self.inputs[:, 1]
        self.order = Order({"only": 60}, {"only": 1}, batch, seed=3)
        self.pieces = pieces
        self.delay = delay

    def micro_batches(self, step: int) -> list[tuple[tuple[torch.Tensor, torch.Tensor], float]]:
        time.sleep(self.delay)
        chosen = torch.tensor([draw.index for draw in self.order.step(step)])
        return [
            ((self.inputs[part], self.targets[part]), len(part) / len(chosen)) for part in chosen.chunk(self.pieces)
        ]

    def validate(self, model: Toy) -> dict[str, float]:
        # Draws on purpose: looking at the valid split must not change the training.
        torch.rand(3)
        return {name: float(value.detach()) for name, value in model.loss((self.inputs, self.targets)).items()}


def trainer(folder: Path, steps: int, delay: float = 0.0, **settings: object) -> Trainer:
    model, source = Toy(), Source(delay=delay)
    values = {"learning_rates": {"": 1e-2, "head": 3e-2}, "warmup": 3, "log_every": 2, "save_every": 2, **settings}
    config = TrainingConfig(budget=Budget(steps=steps), **values)  # type: ignore[arg-type]
    return Trainer(model, source, config, folder, validate=lambda: source.validate(model))


if __name__ == "__main__":
    torch.set_num_threads(1)
    trainer(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), validations=5).run()
