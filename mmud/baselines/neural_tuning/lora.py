"""Low-rank adaptation (arXiv 2106.09685) through peft: the adapter that neural tuning is to be measured against."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from mmud import codes as general_codes
from mmud.baselines import codes
from mmud.baselines.neural_tuning.interfaces import Adapter
from mmud.baselines.neural_tuning.layouts import Projection, decoder_layers, layout_of
from mmud.baselines.neural_tuning.sparse_task_network import SparseTaskConfig
from mmud.errors import MmudError

_ADAPTER = "mmud"


@dataclass(frozen=True)
class LoraOptions:
    """The adapter's shape.

    Attributes:
        rank: of each update; the width of the bottleneck.
        alpha: the update is scaled by alpha / rank; twice the rank when None.
        dropout: before the bottleneck, in training.
        start_layer: the first decoder layer that is tuned, counting from 0; half of them when None, as in the paper's network.
        projections: what is tuned: "qv" (the LoRA paper's choice), "kv", "qkv". Fused projections are tuned whole.
        parameters: a budget to choose the rank by, in place of ``rank``: the one whose parameters come nearest.
        network: the same budget as that of a sparse task network with these options.
    """

    rank: int = 8
    alpha: float | None = None
    dropout: float = 0.0
    start_layer: int | None = None
    projections: Literal["qv", "kv", "qkv"] = "qv"
    parameters: int | None = None
    network: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        bounds = {
            "rank": isinstance(self.rank, int) and self.rank >= 1,
            "alpha": self.alpha is None or self.alpha > 0,
            "dropout": 0 <= self.dropout < 1,
            "start_layer": self.start_layer is None or self.start_layer >= 0,
            "projections": self.projections in ("qv", "kv", "qkv"),
            "parameters": self.parameters is None or self.parameters >= 1,
        }
        for name, fine in bounds.items():
            if not fine:
                raise MmudError(codes.CONFIG_INVALID, f"adapter lora: {name} cannot be {getattr(self, name)!r}")


class LoraAdapter(Adapter):
    """LoRA on the projections that the sparse task network would tune.

    Args:
        language_model: a causal language model; its projections are wrapped.
        options: those of `LoraOptions`.

    Raises:
        MmudError: MM007 without peft, MM901 for an unknown layout, MM905 for an option that is unknown or out of bounds.
    """

    def __init__(self, language_model: nn.Module, options: Mapping[str, Any]) -> None:
        super().__init__()
        if importlib.util.find_spec("peft") is None:
            message = "the adapter lora needs the package peft"
            raise MmudError(general_codes.DEPENDENCY_MISSING, message, hint='pip install "mmud[peft]"')
        from peft import LoraConfig, inject_adapter_in_model

        try:
            self.options = LoraOptions(**options)
        except TypeError as error:
            raise MmudError(codes.CONFIG_INVALID, f"adapter lora: {error}") from error
        projections = tuned_projections(language_model, self.options)
        self.rank = _rank(self.options, projections, language_model)
        names = {module: name for name, module in language_model.named_modules()}
        targets = [names[one.module] for one in projections]
        settings = LoraConfig(
            r=self.rank,
            lora_alpha=2 * self.rank if self.options.alpha is None else self.options.alpha,  # type: ignore[arg-type]
            lora_dropout=self.options.dropout,
            target_modules=targets,
            fan_in_fan_out=type(projections[0].module).__name__ == "Conv1D",
            bias="none",
        )
        frozen = {name: weight.requires_grad for name, weight in language_model.named_parameters()}
        inject_adapter_in_model(settings, language_model, adapter_name=_ADAPTER)
        # peft freezes everything else; whether it is frozen is for its owner to say.
        for name, weight in language_model.named_parameters():
            weight.requires_grad_(frozen.get(name.replace(".base_layer.", "."), True))
        self._targets = targets
        # In a list, so that the language model's modules are not registered here a second time.
        self._model = [language_model]

    def _wrapped(self) -> list[tuple[str, Any]]:
        return [(name, self._model[0].get_submodule(name)) for name in self._targets]

    def trained(self) -> dict[str, nn.Parameter]:
        """The two factors of every update."""
        found = {}
        for target, module in self._wrapped():
            for name, weight in module.named_parameters():
                if name.startswith("lora_"):
                    found[f"{target}.{name.replace(f'.{_ADAPTER}', '')}"] = weight
        return found

    @contextmanager
    def switched_off(self) -> Iterator[None]:
        """The language model as it was, for the length of a block."""
        for _, module in self._wrapped():
            module.enable_adapters(False)
        try:
            yield
        finally:
            for _, module in self._wrapped():
                module.enable_adapters(True)

    def detach_from_model(self) -> None:
        """Put the language model's own projections back."""
        for target, module in self._wrapped():
            parent, _, name = target.rpartition(".")
            setattr(self._model[0].get_submodule(parent), name, module.get_base_layer())


def tuned_projections(language_model: Any, options: LoraOptions) -> list[Projection]:
    """The modules that are tuned, in the order of the layers.

    Raises:
        MmudError: MM901 for an unknown layout, MM905 when no layer is left.
    """
    layers = decoder_layers(language_model)
    start = len(layers) // 2 if options.start_layer is None else options.start_layer
    if start >= len(layers):
        raise MmudError(codes.CONFIG_INVALID, f"start_layer {start} leaves none of the {len(layers)} layers to tune")
    model_type = str(getattr(language_model.config, "model_type", ""))
    layouts = [layout_of(layer, model_type) for layer in layers[start:]]
    return [one for layout in layouts for one in layout.projections if set(options.projections) & one.parts.keys()]


def _rank(options: LoraOptions, projections: list[Projection], language_model: Any) -> int:
    budget = options.parameters
    if options.network is not None:
        budget = network_parameters(language_model, options.network)
    if budget is None:
        return options.rank
    each = 0
    for one in projections:
        weight: Any = one.module.weight
        each += int(sum(weight.shape))
    return max(1, round(budget / each))


def network_parameters(language_model: Any, options: Mapping[str, Any]) -> int:
    """How many parameters the sparse task network with these options has on this model: the budget to compare with.

    Raises:
        MmudError: MM901 for an unknown layout, MM905 for an option that is unknown or out of bounds.
    """
    layers = decoder_layers(language_model)
    settings = dict(options)
    if settings.get("start_layer") is None:
        settings["start_layer"] = len(layers) // 2
    try:
        config = SparseTaskConfig(**settings)
    except TypeError as error:
        raise MmudError(codes.CONFIG_INVALID, f"adapter lora: network: {error}") from error
    model_type = str(getattr(language_model.config, "model_type", ""))
    layouts = [layout_of(layer, model_type) for layer in layers[config.start_layer :]]
    widths = [one.input_width + 1 + sum(one.width(role) for role in config.roles) for one in layouts]
    return config.dimension * sum(widths)
