"""From the vision tower's states to tokens that a language model can read."""

from __future__ import annotations

import math

import torch
from torch import nn

from mmud.baselines.neural_tuning import codes
from mmud.baselines.neural_tuning.config import VisionConfig
from mmud.errors import MmudError


def unshuffled(states: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Each 2x2 of a grid as one state: (B, 1 + rows * columns, W) to (B, rows * columns / 4, 4 W), the class state left out.

    The four stand in reading order, each with all its channels.
    """
    rows, columns = grid
    batch, _, width = states.shape
    cells = states[:, 1:].reshape(batch, rows // 2, 2, columns // 2, 2, width)
    return cells.permute(0, 1, 3, 2, 4, 5).reshape(batch, rows * columns // 4, 4 * width)


class ImageProjection(nn.Module):
    """The vision map.

    Args:
        config: its settings.
        tower_width: of the states it reads.
        grid: (rows, columns) of them.
        width: of the language model.
        length: mean length of the language model's token embeddings, which ``normalise`` starts from.

    Raises:
        MmudError: MM914 when a grid with an odd side is to be unshuffled.
    """

    def __init__(
        self, config: VisionConfig, tower_width: int, grid: tuple[int, int], width: int, length: float
    ) -> None:
        super().__init__()
        self.config = config
        self.grid = grid
        joined = config.unshuffle**2
        if config.unshuffle == 2 and (grid[0] % 2 or grid[1] % 2):
            raise MmudError(codes.TOWER_UNUSABLE, f"a grid of {grid[0]} x {grid[1]} has no 2x2 in every place")
        self.tokens = 1 + grid[0] * grid[1] if config.unshuffle == 1 else grid[0] * grid[1] // joined
        """How many tokens an image becomes."""
        inputs = tower_width * joined
        self.norm_in = nn.LayerNorm(inputs) if config.normalise else nn.Identity()
        self.map: nn.Module
        if config.projection == "linear":
            self.map = nn.Linear(inputs, width, bias=False)
        else:
            hidden = config.hidden or width
            self.map = nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.norm_out = nn.LayerNorm(width) if config.normalise else nn.Identity()
        if config.normalise:
            # LayerNorm gives vectors of length sqrt(width).
            nn.init.constant_(self.norm_out.weight, length / math.sqrt(width))  # type: ignore[arg-type]

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Shape (B, 1 + rows * columns, tower width) to (B, tokens, width)."""
        joined = unshuffled(states, self.grid) if self.config.unshuffle == 2 else states
        projected: torch.Tensor = self.norm_out(self.map(self.norm_in(joined)))
        return projected
