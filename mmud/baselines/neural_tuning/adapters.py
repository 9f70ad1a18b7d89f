"""Adapters: what changes the frozen language model. The paper's sparse task network, and none at all."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from torch import nn

from mmud.baselines import codes
from mmud.baselines.neural_tuning.interfaces import Adapter
from mmud.baselines.neural_tuning.layouts import decoder_layers
from mmud.baselines.neural_tuning.sparse_task_network import SparseTaskConfig, SparseTaskNetwork
from mmud.errors import MmudError


class StnAdapter(Adapter):
    """The sparse task network.

    Args:
        language_model: a causal language model.
        options: those of `SparseTaskConfig`; without ``start_layer`` the upper half of the layers is tuned, as in the paper.

    Raises:
        MmudError: MM901 for an unknown layout, MM905 for an option that is unknown or out of bounds.
    """

    def __init__(self, language_model: nn.Module, options: Mapping[str, Any]) -> None:
        super().__init__()
        settings = dict(options)
        if settings.get("start_layer") is None:
            settings["start_layer"] = len(decoder_layers(language_model)) // 2
        try:
            config = SparseTaskConfig(**settings)
        except TypeError as error:
            raise MmudError(codes.CONFIG_INVALID, f"adapter stn: {error}") from error
        self.network = SparseTaskNetwork(language_model, config)

    def switched_off(self) -> AbstractContextManager[None]:
        """The language model as it was."""
        return self.network.switched_off()

    def detach_from_model(self) -> None:
        """Take the network's hooks off."""
        self.network.detach()


class NoAdapter(Adapter):
    """Nothing: only the parts beside the language model are trained.

    Raises:
        MmudError: MM905 for any option.
    """

    def __init__(self, language_model: nn.Module, options: Mapping[str, Any]) -> None:
        super().__init__()
        if options:
            raise MmudError(codes.CONFIG_INVALID, f"adapter none has no options, not {', '.join(options)}")
