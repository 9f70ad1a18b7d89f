"""Frozen networks of transformers, of a few known kinds, by local folder or hub id."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from mmud import codes as general_codes
from mmud.errors import Code, MmudError, Place, first_line


def load_known(weights: str, classes: Mapping[str, str], unusable: Code, offline: bool, what: str = "model") -> Any:
    """A model whose every tensor comes from safetensors.

    Args:
        weights: a folder, or an id in the hub's local cache.
        classes: kind of model, as its configuration names it -> class of transformers.
        unusable: the code of an error about what is there.
        offline: False lets it be downloaded.
        what: the model in words.

    Raises:
        MmudError: MM007 when it is not there, ``unusable`` when it is of another kind or its weights are damaged or not whole.
    """
    import transformers

    settings: dict[str, Any] = {"local_files_only": offline or Path(weights).is_dir()}
    place = Place(file=weights)
    try:
        config = transformers.AutoConfig.from_pretrained(weights, trust_remote_code=False, **settings)
    except (OSError, ValueError) as error:
        message = f"no {what} at {weights}: {first_line(error)}"
        raise MmudError(general_codes.DEPENDENCY_MISSING, message) from error
    name = classes.get(config.model_type)
    if name is None:
        raise MmudError(unusable, f"{config.model_type!r} is none of {', '.join(classes)}", place)
    try:
        model, info = getattr(transformers, name).from_pretrained(
            weights, use_safetensors=True, output_loading_info=True, **settings
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise MmudError(unusable, f"the weights cannot be loaded: {first_line(error)}", place) from error
    if info["missing_keys"]:
        # transformers fills these with random numbers.
        message = f"the weights lack {len(info['missing_keys'])} tensors, such as {min(info['missing_keys'])}"
        raise MmudError(unusable, message, place)
    return model
