"""No adapter at all: every weight of the decoder is trained. For small language models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from mmud.baselines import codes
from mmud.baselines.neural_tuning.interfaces import Adapter
from mmud.errors import MmudError


class FullAdapter(Adapter):
    """Trains the language model itself, all but its embedding and head: those are the tokens' part of neural tuning.

    Args:
        language_model: a causal language model; its weights change.
        options: none.

    Raises:
        MmudError: MM905 for any option, or for a model whose weights are quantised.
    """

    def __init__(self, language_model: nn.Module, options: Mapping[str, Any]) -> None:
        super().__init__()
        if options:
            raise MmudError(codes.CONFIG_INVALID, f"adapter full has no options, not {', '.join(options)}")
        model: Any = language_model
        apart = [module.weight for module in (model.get_input_embeddings(), model.get_output_embeddings()) if module]
        found: dict[str, nn.Parameter] = {}
        for name, weight in language_model.named_parameters():
            if all(weight is not other for other in apart):
                if not weight.is_floating_point():
                    raise MmudError(codes.CONFIG_INVALID, f"{name} is {weight.dtype}, which cannot be trained")
                weight.requires_grad_(True)
                found[name] = weight
        # Not registered here: they are the language model's.
        self._weights = [found]

    def trained(self) -> dict[str, nn.Parameter]:
        """The language model's weights by their own names."""
        return dict(self._weights[0])
