"""From ``<GLB>`` to the feature of the image that is to be drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

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
        self.head = _HEADS[config.head](sizes, config)
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


class WordsHead(nn.Module):
    """Each part of the feature looks for its words before ``<GLB>``, and is the mean of their values. Not in the paper.

    ::

        x = read(first layer, last layer);  twice: x = x + GELU(convolution over words(norm(x)));  x = norm(x)
        feature part k = sum over words of softmax over words and "none" (score_k(x)) * value(x) + bias

    A feature that lists what is where has a part for each place: the score finds the words of the place, "none" says that nothing
    is there, and a few thousand captions are enough. The first layer is the words' own embeddings: what distinguishes one word
    from another is a small share of a frozen language model's later states, and a mix of all layers, as the other heads read it,
    taught this one nothing. A sum over words with a sigmoid each, in place of the mean, starts as loud as the caption is long:
    the first steps then close the sigmoids, at a rate of .005 for good.

    Args:
        sizes: what it has to fit.
        config: its settings. The feature is ``slots`` parts of feature_size // slots numbers, and what is left at its end.
    """

    def __init__(self, sizes: Sizes, config: GlobalDecoderConfig) -> None:
        super().__init__()
        hidden = config.hidden
        if config.window % 2 == 0 or config.slots > config.feature_size:
            message = f"a window of {config.window} words, {config.slots} slots in {config.feature_size} numbers"
            hint = "The window is odd, and no slot is empty."
            raise MmudError(baseline_codes.CONFIG_INVALID, message, hint=hint)
        self.slots, self.depth = config.slots, config.feature_size // config.slots
        rest = config.feature_size % config.slots
        self.first, self.last = nn.LayerNorm(sizes.width), nn.LayerNorm(sizes.width)
        self.read = nn.Linear(2 * sizes.width, hidden)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(2))
        self.convolutions = nn.ModuleList(
            nn.Conv1d(hidden, hidden, config.window, padding=config.window // 2) for _ in range(2)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.after = nn.LayerNorm(hidden)
        self.score = nn.Linear(hidden, config.slots + bool(rest))
        # As likely at first as a caption of 150 words.
        self.none = nn.Parameter(torch.full((self.score.out_features,), math.log(150.0)))
        self.value = nn.Linear(hidden, self.depth + rest)
        self.bias = nn.Parameter(torch.zeros(config.feature_size))

    def forward(self, states: TagStates) -> torch.Tensor:
        words = states.span_mask[..., None]
        first, last = self.first(states.span_at(0).float()), self.last(states.span_at(-1).float())
        seen = self.read(torch.cat([first, last], dim=-1)) * words
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            around = convolution((norm(seen) * words).transpose(1, 2)).transpose(1, 2)
            seen = seen + self.dropout(functional.gelu(around)) * words
        seen = self.after(seen)
        scores = self.score(seen).masked_fill(~words, -torch.inf)
        none = self.none.expand(len(scores), 1, -1)
        shares, values = torch.cat([scores, none], dim=1).softmax(1)[:, :-1], self.value(seen)
        parts = torch.einsum("gtk,gtv->gkv", shares[..., : self.slots], values[..., : self.depth]).flatten(1)
        rest = torch.einsum("gtk,gtv->gv", shares[..., self.slots :], values[..., self.depth :])
        feature: torch.Tensor = torch.cat([parts, rest], dim=-1) + self.bias
        return feature


_HEADS: Final[Mapping[str, Callable[[Sizes, GlobalDecoderConfig], nn.Module]]] = {
    "mlp": MlpHead,
    "queries": QueryHead,
    "words": WordsHead,
}
