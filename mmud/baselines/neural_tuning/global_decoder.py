"""From ``<GLB>`` to the feature of the image that is to be drawn."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from mmud.baselines import codes as baseline_codes
from mmud.baselines.neural_tuning.config import GlobalDecoderConfig
from mmud.baselines.neural_tuning.interfaces import Sizes, TagStates
from mmud.baselines.neural_tuning.state_readers import LayerMix
from mmud.errors import MmudError


class GlobalDecoder(nn.Module):
    """The head that the settings name, and the feature's length.

    Args:
        sizes: what it has to fit.
        config: its settings.
    """

    def __init__(self, sizes: Sizes, config: GlobalDecoderConfig) -> None:
        super().__init__()
        self.head = MlpHead(sizes, config) if config.head == "mlp" else QueryHead(sizes, config)
        self.normalise = config.normalise

    def forward(self, states: TagStates) -> torch.Tensor:
        """Shape (g, feature size)."""
        feature: torch.Tensor = self.head(states)
        return functional.normalize(feature, dim=-1) if self.normalise else feature

    def target(self, features: torch.Tensor) -> torch.Tensor:
        """True features as they are compared with."""
        return functional.normalize(features.float(), dim=-1) if self.normalise else features.float()


class MlpHead(nn.Module):
    """The paper's: W -> hidden -> 3 hidden -> hidden -> feature, from the state that predicts ``<GLB>``."""

    def __init__(self, sizes: Sizes, config: GlobalDecoderConfig) -> None:
        super().__init__()
        hidden = config.hidden
        self.layers = nn.Sequential(
            nn.Linear(sizes.width, hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(hidden, 3 * hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(3 * hidden, hidden),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(hidden, config.feature_size),
        )

    def forward(self, states: TagStates) -> torch.Tensor:
        feature: torch.Tensor = self.layers(states.at(-1).float())
        return feature


class QueryHead(nn.Module):
    """Learned queries over the states of all words before ``<GLB>``: the last layer and a mix of all. Not in the paper.

    A single token's state forgets most of a caption of a hundred words, and the feature then collapses to that of the mean image.
    """

    def __init__(self, sizes: Sizes, config: GlobalDecoderConfig) -> None:
        super().__init__()
        hidden = config.hidden
        if hidden % config.heads:
            raise MmudError(
                baseline_codes.CONFIG_INVALID, f"a width of {hidden} cannot be shared out among {config.heads} heads"
            )
        self.mix = LayerMix(sizes.layers, "mix")
        self.last = nn.LayerNorm(sizes.width)
        self.read = nn.Linear(2 * sizes.width, hidden)
        self.queries = nn.Parameter(torch.randn(config.queries, hidden) / hidden**0.5)
        self.attention = nn.MultiheadAttention(hidden, config.heads, dropout=config.dropout, batch_first=True)
        self.layers = nn.Sequential(
            nn.LayerNorm(config.queries * hidden),
            nn.Linear(config.queries * hidden, hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.LayerNorm(hidden),
            nn.Linear(hidden, config.feature_size),
        )

    def forward(self, states: TagStates) -> torch.Tensor:
        words = torch.cat([self.last(states.span_at(-1).float()), self.mix(states.span_at)], dim=-1)
        read = self.read(words)
        queries = self.queries.expand(len(states), -1, -1)
        attended, _ = self.attention(queries, read, read, key_padding_mask=~states.span_mask, need_weights=False)
        feature: torch.Tensor = self.layers((queries + attended).flatten(1))
        return feature
