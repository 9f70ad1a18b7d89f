"""The sparse task network: a small, sparsely active adapter beside the projections of a frozen decoder.

Per token and decoder layer k, with h the projections' input (arXiv 2408.03001; the steps as the published code runs them)::

    z_k = W_z h                                   a task state of ``dimension`` neurons
    z_k = (1 - a) z_k + a z_{k-1}                 a = ``ema``; absent in the first tuned layer
    z_k = RMSNorm(z_k)                            what layer k + 1 receives
    s_k = relu(z_k - t)                           t: the value below which (1 - rate) of the neurons lie
    q  += W_q dropout(s_k), v += W_v dropout(s_k)

Nothing of the model is patched: forward hooks add to the outputs of its projections. The task state of a position depends only
on the layer below at that position, so that a key-value cache needs nothing.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional
from torch.utils.hooks import RemovableHandle

from mmud.baselines import codes
from mmud.baselines.neural_tuning.layouts import LayerLayout, Role, decoder_layers, layout_of
from mmud.errors import MmudError, Place
from mmud.files import write_json

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"


@dataclass(frozen=True)
class SparseTaskConfig:
    """The network's shape. The defaults are the paper's.

    Attributes:
        dimension: task neurons a layer.
        active_rate: the share of them that is active, in training on average and in evaluation exactly.
        active_rate_jitter: the standard deviation of the rate, drawn anew at each forward pass in training.
        ema: the share of the state of the layer below.
        dropout: on the active neurons, in training.
        start_layer: the first decoder layer that is tuned, counting from 0.
        projections: what is added to: "qv", "kv" or "qkv".
        norm_epsilon: of the RMSNorm.
    """

    dimension: int = 128
    active_rate: float = 0.4
    active_rate_jitter: float = 0.04
    ema: float = 0.2
    dropout: float = 0.1
    start_layer: int = 16
    projections: Literal["qv", "kv", "qkv"] = "qv"
    norm_epsilon: float = 1e-6

    def __post_init__(self) -> None:
        bounds = {
            "dimension": self.dimension >= 1,
            "active_rate": 0 < self.active_rate <= 1,
            "active_rate_jitter": self.active_rate_jitter >= 0,
            "ema": 0 <= self.ema < 1,
            "dropout": 0 <= self.dropout < 1,
            "start_layer": self.start_layer >= 0,
            "projections": self.projections in ("qv", "kv", "qkv"),
        }
        for name, fine in bounds.items():
            if not fine:
                raise MmudError(codes.CONFIG_INVALID, f"{name} cannot be {getattr(self, name)!r}")

    @property
    def roles(self) -> tuple[Role, ...]:
        return tuple(self.projections)  # type: ignore[arg-type]


class TaskLayer(nn.Module):
    """The network's part in one decoder layer."""

    def __init__(self, config: SparseTaskConfig, layout: LayerLayout) -> None:
        super().__init__()
        self.config = config
        self.read = nn.Linear(layout.input_width, config.dimension, bias=False)
        self.norm = nn.RMSNorm(config.dimension, eps=config.norm_epsilon)
        # Zero, so that an untrained network leaves the model as it is, to the bit.
        self.write = nn.ModuleDict(
            {role: nn.Linear(config.dimension, layout.width(role), bias=False) for role in config.roles}
        )
        for weight in self.write.parameters():
            nn.init.zeros_(weight)

    def state(self, hidden: torch.Tensor, below: torch.Tensor | None) -> torch.Tensor:
        """The task state, before it is made sparse.

        Args:
            hidden: the projections' input, shape (…, input width).
            below: the state of the layer below, shape (…, dimension); None in the first tuned layer.
        """
        state = self.read(hidden.to(self.read.weight.dtype))
        if below is not None:
            state = (1 - self.config.ema) * state + self.config.ema * below
        # Under autocast the projection's output is half as precise as the norm's weight.
        normed: torch.Tensor = self.norm(state.to(self.norm.weight.dtype))
        return normed

    def active(self, state: torch.Tensor, rate: float) -> torch.Tensor:
        """The state above its own threshold; shape (…, dimension), at most round(rate * dimension) of it not zero."""
        kept = round(rate * self.config.dimension)
        if kept >= self.config.dimension:
            # With every neuron kept there is no value below the threshold; the least one becomes zero.
            threshold = state.amin(-1, keepdim=True)
        else:
            threshold = state.detach().kthvalue(self.config.dimension - kept, dim=-1, keepdim=True).values
        return functional.dropout(functional.relu(state - threshold), self.config.dropout, self.training)

    def delta(self, role: Role, active: torch.Tensor) -> torch.Tensor:
        """What is added to one projection, shape (…, its width)."""
        added: torch.Tensor = self.write[role](active)
        return added


@dataclass
class _Slot:
    """What a layer keeps during one forward pass: one slot a layer, so that recomputing a layer disturbs no other."""

    state: torch.Tensor | None = None
    active: torch.Tensor | None = None
    waiting: int = 0
    """How many of the layer's projections have yet to take ``active``."""


class SparseTaskNetwork(nn.Module):
    """The network, attached to a decoder language model of transformers.

    The model is neither patched nor given parameters: its ``state_dict`` stays what it was. Several networks may be attached
    to one model; each adds while it is switched on. With gradient checkpointing, call backward before the next forward pass.

    Args:
        model: a causal language model; it should be frozen by its owner.
        config: the network's shape.

    Raises:
        MmudError: MM901 for an unknown layout, MM905 when no layer is left to tune.
    """

    def __init__(self, model: nn.Module, config: SparseTaskConfig | None = None) -> None:
        super().__init__()
        self.config = config or SparseTaskConfig()
        layers = decoder_layers(model)
        if self.config.start_layer >= len(layers):
            message = f"start_layer {self.config.start_layer} leaves none of the {len(layers)} layers to tune"
            raise MmudError(codes.CONFIG_INVALID, message)
        model_type = str(getattr(model.config, "model_type", ""))
        self._layouts = [layout_of(layer, model_type) for layer in layers[self.config.start_layer :]]
        self.layers = nn.ModuleList(TaskLayer(self.config, layout) for layout in self._layouts)
        reference = next(layers[self.config.start_layer].parameters())
        self.layers.to(reference.device)
        self.switched_on = True
        self._slots = [_Slot() for _ in self._layouts]
        self._rate = self.config.active_rate
        self._model = weakref.ref(model)
        self._base = {"model_type": model_type, "hidden_layers": len(layers)}
        self._handles: list[RemovableHandle] = []
        self._attach(model)

    # -- hooks -----------------------------------------------------------------------------------------------------------

    def _attach(self, model: nn.Module) -> None:
        self._handles.append(model.register_forward_pre_hook(self._begin))
        self._handles.append(model.register_forward_hook(self._end, always_call=True))
        self._hooked = [0] * len(self._layouts)
        for number, layout in enumerate(self._layouts):
            for projection in layout.projections:
                roles = [role for role in self.config.roles if role in projection.parts]
                if roles:
                    hook = _ProjectionHook(self, number, roles, projection.parts, projection.width)
                    self._handles.append(projection.module.register_forward_hook(hook))
                    self._hooked[number] += 1

    def detach(self) -> None:
        """Take every hook off; the model is as it was."""
        while self._handles:
            self._handles.pop().remove()

    def _begin(self, model: nn.Module, *_: Any) -> None:
        self._refuse_reentrant(model)
        self._slots = [_Slot() for _ in self._layouts]
        self._rate = self.config.active_rate
        if self.training and self.config.active_rate_jitter:
            # One rate a pass, drawn outside the layers: a checkpointed layer that runs again must see the same one.
            drawn = torch.normal(self.config.active_rate, self.config.active_rate_jitter, (1,)).item()
            self._rate = min(max(drawn, 1 / self.config.dimension), 1.0)

    def _end(self, *_: Any) -> None:
        # In evaluation nothing is recomputed: let go of the states. In training backward may ask for them.
        if not torch.is_grad_enabled():
            self._slots = [_Slot() for _ in self._layouts]

    def _refuse_reentrant(self, model: nn.Module) -> None:
        if not (self.switched_on and torch.is_grad_enabled() and _is_checkpointing(model)):
            return
        for module in model.modules():
            function = getattr(module, "_gradient_checkpointing_func", None)
            if function is not None and getattr(function, "keywords", {}).get("use_reentrant", True):
                raise MmudError(codes.REENTRANT_CHECKPOINTING)

    def active_state(self, number: int, hidden: torch.Tensor) -> torch.Tensor:
        """The sparse state of a tuned layer for its projections' input.

        The first of the layer's projections computes it and the others take it over; then it is computed anew, since the next
        call comes from another pass, or from a checkpointed layer that runs again.
        """
        slot = self._slots[number]
        if slot.active is None:
            layer = self._task_layers()[number]
            slot.state = layer.state(hidden, self._slots[number - 1].state if number else None)
            slot.active = layer.active(slot.state, self._rate)
            slot.waiting = self._hooked[number]
        active = slot.active
        slot.waiting -= 1
        if slot.waiting == 0:
            slot.active = None
        return active

    # -- use -------------------------------------------------------------------------------------------------------------

    @contextmanager
    def switched_off(self) -> Iterator[None]:
        """The base model, for the length of a block."""
        before, self.switched_on = self.switched_on, False
        try:
            yield
        finally:
            self.switched_on = before

    def parameter_report(self) -> dict[str, int]:
        """Parameters of the network by part, and of the model it is attached to."""
        model = self._model()
        read = sum(layer.read.weight.numel() for layer in self._task_layers())
        norm = sum(layer.norm.weight.numel() for layer in self._task_layers())
        write = sum(parameter.numel() for layer in self._task_layers() for parameter in layer.write.parameters())
        base = sum(parameter.numel() for parameter in model.parameters()) if model is not None else 0
        return {"read": read, "norm": norm, "write": write, "network": read + norm + write, "base_model": base}

    def _task_layers(self) -> list[TaskLayer]:
        return [layer for layer in self.layers if isinstance(layer, TaskLayer)]

    # -- checkpoints -----------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write ``config.json`` and ``model.safetensors``: the network alone, without the model.

        Raises:
            MmudError: MM008 when the folder cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / CONFIG_NAME, {"sparse_task_network": asdict(self.config), "base_model": self._base})
        tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in self.state_dict().items()}
        temporary = folder / f".{WEIGHTS_NAME}.partial"
        save_file(tensors, temporary)
        temporary.replace(folder / WEIGHTS_NAME)

    @classmethod
    def load(cls, model: nn.Module, folder: Path) -> Self:
        """Attach a saved network to the model it was trained on.

        Raises:
            MmudError: MM904 when a file cannot be read, MM903 when it belongs to another model.
        """
        place = Place(file=str(folder))
        try:
            data = json.loads((folder / CONFIG_NAME).read_bytes())
            config = SparseTaskConfig(**data["sparse_task_network"])
            tensors = load_file(folder / WEIGHTS_NAME)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise MmudError(codes.CHECKPOINT_UNREADABLE, f"{type(error).__name__}: {error}", place) from error
        network = cls(model, config)
        try:
            network.load_state_dict(tensors)
        except RuntimeError as error:
            network.detach()
            base = data.get("base_model")
            raise MmudError(
                codes.CHECKPOINT_MISMATCH, f"trained on {base}, given {network._base}: {error}", place
            ) from error
        return network


def _is_checkpointing(model: nn.Module) -> bool:
    # transformers 5 has a new name for it, and warns at each use of the old one.
    name = "is_activation_checkpointing"
    return bool(getattr(model, name if hasattr(model, name) else "is_gradient_checkpointing", False))


class _ProjectionHook:
    """Adds the network's share to the output of one projection."""

    def __init__(
        self,
        network: SparseTaskNetwork,
        number: int,
        roles: list[Role],
        parts: dict[Role, torch.Tensor | None],
        width: int,
    ) -> None:
        # The module must not keep the network alive: whoever drops the network drops its hooks' work with it.
        self._network = weakref.ref(network)
        self._number = number
        self._roles = roles
        self._parts = parts
        self._width = width

    def __call__(self, module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
        network = self._network()
        if network is None or not network.switched_on:
            return output
        active = network.active_state(self._number, inputs[0])
        layer: TaskLayer = network.layers[self._number]  # type: ignore[assignment]
        for role in self._roles:
            delta = layer.delta(role, active).to(output.dtype)
            positions = self._parts[role]
            if positions is None:
                output = output + delta
            else:
                output = output.index_add(-1, positions.to(output.device), delta)
        return output
