"""The paper's mask decoder: a tag's state scales and shifts (FiLM) the tower's states, which become a mask.

::

    x = FiLM(reduce_1(v_1), c);  x = layer_1(x);  x = layer_2(x + reduce_2(v_2));  x = layer_3(x + reduce_3(v_3))
    x without the class state, as a grid  ->  3x3 conv  ->  two transposed convs  ->  bilinear to the image's size

v are states of three of the tower's layers, c the state that predicts the tag.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from mmud.baselines import codes as baseline_codes
from mmud.baselines.neural_tuning import codes
from mmud.baselines.neural_tuning.config import MaskDecoderConfig
from mmud.baselines.neural_tuning.interfaces import MaskDecoder, Sizes, TagStates
from mmud.baselines.neural_tuning.state_readers import LayerMix, PhraseReader
from mmud.errors import MmudError


class Attention(nn.Module):
    """Self-attention over (n, positions, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise MmudError(
                baseline_codes.CONFIG_INVALID, f"a width of {width} cannot be shared out among {heads} heads"
            )
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        query, key, value = (
            one(states).unflatten(-1, (self.heads, -1)).transpose(1, 2) for one in (self.query, self.key, self.value)
        )
        attended = functional.scaled_dot_product_attention(query, key, value)
        result: torch.Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return result


class PreNormLayer(nn.Module):
    """x + attention(norm(x)), then x + MLP(norm(x)), the MLP with ReLU."""

    def __init__(self, width: int, heads: int, mlp: int, dropout: float) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(width, eps=1e-6)
        self.attention = Attention(width, heads)
        self.norm_2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, mlp), nn.ReLU(), nn.Dropout(dropout), nn.Linear(mlp, width))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        states = states + self.attention(self.norm_1(states))
        result: torch.Tensor = states + self.mlp(self.norm_2(states))
        return result


def chosen_layers(asked: tuple[int, ...], depth: int) -> tuple[int, ...]:
    """The tower's layers that a mask decoder reads, counted from 0; without wishes those at the paper's depths.

    Raises:
        MmudError: MM914 for a layer that the tower has not.
    """
    layers = asked or (depth - 1, 17 * depth // 24, 14 * depth // 24)
    for layer in layers:
        if not -depth <= layer < depth:
            raise MmudError(codes.TOWER_UNUSABLE, f"the tower has {depth} layers, and none of number {layer}")
    return tuple(layer % depth for layer in layers)


class FilmMaskDecoder(MaskDecoder):
    """The decoder.

    Args:
        sizes: what it has to fit.
        config: its settings; ``phrase_reader``, ``state`` "mix" and ``film`` "every" go beyond the paper.

    Raises:
        MmudError: MM905 for a width that the heads cannot share, MM914 for layers that the tower has not.
    """

    def __init__(self, sizes: Sizes, config: MaskDecoderConfig) -> None:
        super().__init__()
        self.grid, self.image_size = sizes.grid, sizes.image_size
        self.tower_layers = chosen_layers(config.tower_layers, len(sizes.tower_widths))
        width = config.width
        self.mix = LayerMix(sizes.layers, config.state)
        self.reader = PhraseReader(sizes.width, config.queries, width) if config.phrase_reader else None
        condition = sizes.width + (self.reader.outputs if self.reader else 0)
        films = len(self.tower_layers) if config.film == "every" else 1
        self.scale = nn.ModuleList(nn.Linear(condition, width) for _ in range(films))
        self.shift = nn.ModuleList(nn.Linear(condition, width) for _ in range(films))
        self.reduce = nn.ModuleList(nn.Linear(sizes.tower_widths[layer], width) for layer in self.tower_layers)
        self.layers = nn.ModuleList(
            PreNormLayer(width, config.heads, config.mlp, config.dropout) for _ in self.tower_layers
        )
        stride = max(1, sizes.image_size[0] // sizes.grid[0] // 4)
        self.upscale = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(width, width // 2, stride, stride),
            nn.ReLU(),
            nn.ConvTranspose2d(width // 2, config.classes, stride, stride),
        )

    def condition(self, states: TagStates) -> torch.Tensor:
        """What a mask depends on besides the image; shape (n, W), and more with the phrase reader."""
        own: torch.Tensor = self.mix(states.at)
        if self.reader is None:
            return own
        return torch.cat([own, self.reader(self.mix(states.span_at), states.span_mask)], dim=-1)

    def forward(self, states: TagStates, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Logits (n, classes, height, width); see `MaskDecoder.forward`."""
        condition = self.condition(states)
        total: torch.Tensor | None = None
        for number, (seen, reduce, layer) in enumerate(zip(features, self.reduce, self.layers, strict=True)):
            reduced = reduce(seen.float())
            total = reduced if total is None else total + reduced
            if number < len(self.scale):
                scale, shift = self.scale[number](condition), self.shift[number](condition)
                total = scale[:, None] * total + shift[:, None]
            total = layer(total)
        assert total is not None
        grid = total[:, 1:].transpose(1, 2).reshape(len(total), -1, *self.grid)
        logits = self.upscale(grid)
        # align_corners as the published code has it: masks are compared with those it gives.
        return functional.interpolate(logits, self.image_size, mode="bilinear", align_corners=True)
