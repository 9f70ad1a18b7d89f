"""How decoders read the language model's states at a tag. The mix of layers and the phrase reader are not in the paper."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import nn
from torch.nn import functional


class LayerMix(nn.Module):
    """A learned mix of all layers, each brought to zero mean and unit variance first; or the last layer as it is.

    The last layer serves to predict the next token; what an object looks like is clearer further down.
    """

    def __init__(self, layers: int, state: Literal["last", "mix"]) -> None:
        super().__init__()
        self.layers = layers
        self.weights = nn.Parameter(torch.zeros(layers)) if state == "mix" else None

    def forward(self, layer: Callable[[int], torch.Tensor]) -> torch.Tensor:
        """From a function that gives a layer's states (…, W), to states (…, W) in float32."""
        if self.weights is None:
            return layer(-1).float()
        mixed: torch.Tensor | None = None
        for number, share in enumerate(self.weights.softmax(0)):
            states = layer(number).float()
            part = share * functional.layer_norm(states, states.shape[-1:])
            mixed = part if mixed is None else mixed + part
        assert mixed is not None
        return mixed


class PhraseReader(nn.Module):
    """Learned queries over the states of the words that lead to a tag.

    Args:
        width: W of those states.
        queries: how many.
        size: of what each gives.
    """

    def __init__(self, width: int, queries: int, size: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(queries, size) / math.sqrt(size))
        self.key = nn.Linear(width, size)
        self.value = nn.Linear(width, size)
        self.outputs = queries * size

    def forward(self, spans: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Shape (n, S, W), with a mask (n, S) that is True on words, to (n, queries * size)."""
        scores = torch.einsum("qd,nsd->nqs", self.queries, self.key(spans)) / math.sqrt(self.queries.shape[1])
        weights = scores.masked_fill(~mask[:, None], -torch.inf).softmax(-1)
        read: torch.Tensor = (weights @ self.value(spans)).flatten(1)
        return read
