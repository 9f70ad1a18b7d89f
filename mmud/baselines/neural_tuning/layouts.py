"""Where a decoder's query, key and value projections are.

Families differ in names (``q_proj``, ``c_attn``, ``query_key_value``), in whether the three are fused, and in how a fused
output is ordered. What cannot be told with certainty is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from mmud.baselines import codes
from mmud.errors import MmudError

Role = Literal["q", "k", "v"]

INTERLEAVED = ("gpt_neox", "gpt_neox_japanese", "bloom")
"""Model types whose fused output holds query, key and value head by head: (heads, 3, head width)."""

THIRDS = ("gpt2", "imagegpt", "openai-gpt", "decision_transformer")
"""Model types whose ``c_attn`` output is query, key and value, each of the hidden width."""


@dataclass(frozen=True)
class Projection:
    """One linear module of a layer, and which of its outputs belong to which role.

    Attributes:
        module: the module whose output is added to.
        width: its output width.
        parts: role -> positions in the output, shape (role's width,); None where the role is the whole output.
    """

    module: nn.Module
    width: int
    parts: dict[Role, torch.Tensor | None]

    def role_width(self, role: Role) -> int:
        positions = self.parts[role]
        return self.width if positions is None else len(positions)


@dataclass(frozen=True)
class LayerLayout:
    """The projections of one decoder layer, in the order in which they are called, and their input width."""

    input_width: int
    projections: tuple[Projection, ...]

    def width(self, role: Role) -> int:
        return next(one.role_width(role) for one in self.projections if role in one.parts)


def decoder_layers(model: nn.Module) -> list[nn.Module]:
    """The decoder's layers, first to last: the one module list as long as the configuration says.

    Raises:
        MmudError: MM901 when there is none, or more than one.
    """
    config: Any = getattr(model, "config", None)
    text_config = config.get_text_config(decoder=True) if hasattr(config, "get_text_config") else config
    count = getattr(text_config, "num_hidden_layers", None)
    found = [
        module
        for module in model.modules()
        if isinstance(module, nn.ModuleList) and len(module) == count and all(_attention_of(layer) for layer in module)
    ]
    if len(found) != 1:
        name = type(model).__name__
        raise MmudError(
            codes.LAYOUT_UNKNOWN, f"{name} has {len(found)} lists of {count} decoder layers, one was expected"
        )
    return list(found[0])


_FUSED = ("qkv_proj", "query_key_value", "c_attn")


def _attention_of(layer: nn.Module) -> nn.Module | None:
    """The module inside a layer that holds its projections as its own children; self-attention comes first in every decoder."""
    for module in layer.modules():
        children = dict(module.named_children())
        if {"q_proj", "k_proj", "v_proj"} <= children.keys() or any(name in children for name in _FUSED):
            return module
    return None


def layout_of(layer: nn.Module, model_type: str) -> LayerLayout:
    """The layout of one decoder layer.

    Raises:
        MmudError: MM901 when it is none of those known.
    """
    attention = _attention_of(layer)
    if attention is None:
        raise MmudError(codes.LAYOUT_UNKNOWN, f"{type(layer).__name__} has no projections of a known name")
    children = dict(attention.named_children())
    if {"q_proj", "k_proj", "v_proj"} <= children.keys():
        modules: Sequence[tuple[Role, nn.Module]] = [
            ("q", children["q_proj"]),
            ("k", children["k_proj"]),
            ("v", children["v_proj"]),
        ]
        widths = [_widths(module) for _, module in modules]
        return LayerLayout(
            widths[0][0],
            tuple(
                Projection(module, width[1], {role: None})
                for (role, module), width in zip(modules, widths, strict=True)
            ),
        )
    name = next(name for name in _FUSED if name in children)
    inputs, outputs = _widths(children[name])
    parts = _fused_parts(attention, name, outputs, model_type)
    if parts is None:
        raise MmudError(codes.LAYOUT_UNKNOWN, f"how {type(attention).__name__}.{name} orders its output is not known")
    return LayerLayout(inputs, (Projection(children[name], outputs, parts),))


def _widths(module: nn.Module) -> tuple[int, int]:
    """Input and output width of a linear module; the Conv1D of GPT-2 stores its weight transposed."""
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    weight = getattr(module, "weight", None)
    if type(module).__name__ == "Conv1D" and isinstance(weight, torch.Tensor) and weight.ndim == 2:
        return int(weight.shape[0]), int(weight.shape[1])
    # Quantised linear layers keep their widths, whatever their weights look like.
    inputs, outputs = getattr(module, "in_features", None), getattr(module, "out_features", None)
    if isinstance(inputs, int) and isinstance(outputs, int):
        return inputs, outputs
    raise MmudError(codes.LAYOUT_UNKNOWN, f"the widths of {type(module).__name__} cannot be read")


def _fused_parts(
    attention: nn.Module, name: str, outputs: int, model_type: str
) -> dict[Role, torch.Tensor | None] | None:
    positions = torch.arange(outputs)
    if name == "c_attn" and model_type in THIRDS and outputs % 3 == 0:
        first, second, third = positions.chunk(3)
        return {"q": first, "k": second, "v": third}
    config = getattr(attention, "config", None)
    heads = getattr(attention, "num_heads", None) or getattr(config, "num_attention_heads", None)
    if name == "query_key_value" and model_type in INTERLEAVED and heads:
        by_head = positions.view(heads, 3, outputs // (3 * heads))
        return {"q": by_head[:, 0].reshape(-1), "k": by_head[:, 1].reshape(-1), "v": by_head[:, 2].reshape(-1)}
    if name == "qkv_proj" and config is not None and getattr(attention, "head_dim", None):
        query = config.num_attention_heads * attention.head_dim
        keys = config.num_key_value_heads * attention.head_dim
        if query + 2 * keys == outputs:
            first, second, third = torch.split(positions, [query, keys, keys])
            return {"q": first, "k": second, "v": third}
    return None
