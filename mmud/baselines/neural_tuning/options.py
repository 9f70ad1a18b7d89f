"""What a person may set (``--set NAME=VALUE``), and how it becomes settings. Light: nothing heavy is imported."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from mmud.baselines.base import Options
from mmud.baselines.neural_tuning.config import NeuralTuningConfig, Rate

Arm = Literal["stn", "lora", "none", "full"]


def _read_json(value: Any) -> Any:
    """JSON, as the command line has it."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"must be JSON: {error}") from error


Json = BeforeValidator(_read_json)
Share = Annotated[float, Field(ge=0)]


class NeuralTuningOptions(Options):
    """
    Attributes:
        preset: "scenes-tiny", "default", "paper", "smollm2": settings to start from.
        language_model, vision_tower: a backbone's name, a folder, or a hub id.
        image_decoder: a backbone's name or that of an image decoder.
        feature: what ``<GLB>`` predicts: "tower", or an extractor such as "clip"; the backbone's own when empty.
        feature_weights: of the extractor: a folder or hub id.
        steps, minutes, epochs: how long to train: until the first of those given; the preset's epochs when none is.
        batch, accumulate: examples a step, and the pieces that it is computed in.
        learning_rate: of all parts that the preset gives no rate of their own.
        learning_rates: of parts, over the preset's, JSON: ``{"adapter": 0.001}``.
        warmup, weight_decay, precision, checkpointing: of training.
        task_shares: of a batch, JSON: referring, reasoning, captioning, generation.
        dimension, start_layer: of the adapter (the network's dimension).
        rank, parameters: of LoRA: its rank, or a number of parameters to choose it by; the network's own number when neither
            is given.
        adapter_options: all of the adapter's options, JSON.
        changes: any settings by dotted name, JSON: ``{"mask_decoder.width": 32}``.
        valid_limit, validations: samples of the valid split for each task, and how often they are looked at.
        cache_features: keep the frozen tower's features on disk.
        log_every: steps between lines of the log.
        phrasing: which prompts are used in predicting: the plain one of training, or one that training never saw.
        max_new_tokens: of an answer; what the settings' max_length leaves when not given.
        use_cache: predict with a key-value cache.
        predict_batch, device, save_minutes, offline: may differ when something is gone on with.
    """

    passing: ClassVar[frozenset[str]] = frozenset({"predict_batch", "device", "save_minutes", "offline"})

    preset: str = "scenes-tiny"
    language_model: str = ""
    vision_tower: str = ""
    image_decoder: str | None = None
    feature: str = ""
    feature_weights: str = ""
    steps: int | None = Field(default=None, ge=1)
    minutes: float | None = Field(default=None, gt=0)
    epochs: float | None = Field(default=None, gt=0)
    batch: int | None = Field(default=None, ge=1)
    accumulate: int | None = Field(default=None, ge=1)
    learning_rate: float | None = Field(default=None, gt=0)
    learning_rates: Annotated[dict[str, Rate], Json] = Field(default_factory=dict)
    warmup: int | None = Field(default=None, ge=0)
    weight_decay: float | None = Field(default=None, ge=0)
    precision: Literal["fp32", "bf16"] | None = None
    checkpointing: bool | None = None
    task_shares: Annotated[tuple[Share, Share, Share, Share] | None, Json] = None
    dimension: int | None = Field(default=None, ge=1)
    start_layer: int | None = Field(default=None, ge=0)
    rank: int | None = Field(default=None, ge=1)
    parameters: int | None = Field(default=None, ge=1)
    adapter_options: Annotated[dict[str, Any], Json] = Field(default_factory=dict)
    changes: Annotated[dict[str, Any], Json] = Field(default_factory=dict)
    valid_limit: int = Field(default=64, ge=1)
    validations: int = Field(default=10, ge=1)
    cache_features: bool = True
    log_every: int = Field(default=10, ge=1)
    phrasing: Literal["train", "test"] = "train"
    max_new_tokens: int | None = Field(default=None, ge=1)
    use_cache: bool = True
    predict_batch: int = Field(default=32, ge=1)
    device: str = "auto"
    save_minutes: float = Field(default=1.0, ge=0)
    offline: bool = True


def settings_of(options: NeuralTuningOptions, arm: Arm) -> NeuralTuningConfig:
    """The settings that the options stand for.

    Args:
        options: as a person gave them.
        arm: the adapter; "stn" keeps the preset's.

    Raises:
        MmudError: MM905 for an unknown preset or setting, or a value out of bounds.
    """
    changes: dict[str, Any] = {
        "backbones.language_model": options.language_model or None,
        "backbones.vision_tower": options.vision_tower or None,
        "backbones.image_decoder": options.image_decoder,
        "training.batch_size": options.batch,
        "training.devices": None if options.batch is None else 1,
        "training.learning_rate": options.learning_rate,
        "training.warmup_steps": options.warmup,
        "training.weight_decay": options.weight_decay,
        "training.precision": options.precision,
        "training.gradient_checkpointing": options.checkpointing,
        "training.task_shares": None if options.task_shares is None else list(options.task_shares),
    }
    preset = NeuralTuningConfig.from_preset(options.preset)
    if arm != "stn":
        changes["adapter"], changes["adapter_options"] = arm, {}
    if options.changes.get("adapter", changes.get("adapter", preset.adapter)) != preset.adapter:
        # A preset's rate of the adapter is for the adapter that it has.
        others = {name: rate for name, rate in preset.training.learning_rates.items() if name != "adapter"}
        changes["training.learning_rates"] = others
    if arm == "lora" and options.rank is None and options.parameters is None and not options.adapter_options:
        # As many parameters as the network would have.
        network = {**preset.adapter_options, **_adapter_options(options, "stn")}
        changes["adapter_options"] = {"network": network}
    for name, value in _adapter_options(options, arm).items():
        changes[f"adapter_options.{name}"] = value
    for name, rate in options.learning_rates.items():
        changes[f"training.learning_rates.{name}"] = rate
    given = {name: value for name, value in changes.items() if value is not None}
    return preset.changed({**given, **options.changes})


def _adapter_options(options: NeuralTuningOptions, arm: Arm) -> Mapping[str, Any]:
    shortcuts = {
        "stn": {"dimension": options.dimension, "start_layer": options.start_layer},
        "lora": {"rank": options.rank, "parameters": options.parameters, "start_layer": options.start_layer},
    }
    given = {name: value for name, value in shortcuts.get(arm, {}).items() if value is not None}
    return {**given, **options.adapter_options}
