"""From options and a dataset to a fitted model, and to and from its folder.

::

    model/config.json          every setting
          model.safetensors    what was trained
          parts.json           digests of the frozen parts that it belongs to
          train.json           everything needed to repeat it, with the losses
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mmud.baselines import codes as baseline_codes
from mmud.baselines.base import FitRun
from mmud.baselines.neural_tuning.backbones import FrozenParts, load_parts
from mmud.baselines.neural_tuning.beginning import keep_to_the_beginning
from mmud.baselines.neural_tuning.config import NeuralTuningConfig
from mmud.baselines.neural_tuning.examples import (
    ExampleIndex,
    Examples,
    ExampleSource,
    Learner,
    Validation,
    index_examples,
    whole_weights,
)
from mmud.baselines.neural_tuning.features import FrozenFeatures, single
from mmud.baselines.neural_tuning.model import NeuralTuningModel
from mmud.baselines.neural_tuning.options import Arm, NeuralTuningOptions, settings_of
from mmud.baselines.training import codes
from mmud.baselines.training.checkpoints import seed_everything
from mmud.baselines.training.faults import memory_explained
from mmud.baselines.training.schedule import Budget
from mmud.baselines.training.tensor_files import digest_of, read_tensors, write_tensors
from mmud.baselines.training.trainer import Trainer, TrainingConfig, TrainingReport
from mmud.baselines.versions import versions
from mmud.dataset.store import Dataset
from mmud.errors import MmudError, Place, first_line
from mmud.files import write_json
from mmud.records import Task

CONFIG_NAME = "config.json"
MODEL_NAME = "model.safetensors"
PARTS_NAME = "parts.json"
TRAIN_NAME = "train.json"


@dataclass
class Fitted:
    """A model that is ready to answer.

    Attributes:
        model: on its device, switched to evaluation.
        parts: that it was built around.
        train: what ``train.json`` says.
    """

    model: NeuralTuningModel
    parts: FrozenParts
    train: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write the folder.

        Raises:
            MmudError: MM008 when it cannot be written.
        """
        self.model.config.save(folder / CONFIG_NAME)
        write_tensors(folder / MODEL_NAME, self.model.trainable_state())
        write_json(folder / PARTS_NAME, {"format": 1, "digests": self.parts.digests})
        write_json(folder / TRAIN_NAME, self.train)


def device_of(name: str) -> str:
    """torch's name of the device; "auto" is the first GPU where there is one, else the CPU.

    Raises:
        MmudError: MM922 when there is no such device.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise MmudError(codes.DEVICE_MISSING, f"device {name!r}: {first_line(error)}") from error
    return name


def build(config: NeuralTuningConfig, options: NeuralTuningOptions) -> tuple[NeuralTuningModel, FrozenParts]:
    """The model around its frozen parts, on its device; what is trained is at its start.

    Raises:
        MmudError: whatever loading and joining the parts raises; MM920 when memory is not enough, MM922 for a missing device.
    """
    device = device_of(options.device)
    lean = config.training.precision != "fp32" and config.adapter != "full" and config.tokens == "rows"
    advice = "Use a smaller backbone, --set precision=bf16, or a machine with more memory."
    with memory_explained("loading the backbones", advice):
        parts = load_parts(
            config.backbones,
            feature=options.feature,
            feature_weights=options.feature_weights,
            # Weights that are trained stay in fp32; frozen ones need not.
            dtype=torch.bfloat16 if lean else torch.float32,
            offline=options.offline,
        )
        config = config.changed({"global_decoder.feature_size": parts.feature.size})
        model = NeuralTuningModel(parts.language_model, parts.tokenizer, parts.tower, config)
        model.to(device)
    return model, parts


def fit(options: NeuralTuningOptions, arm: Arm, name: str, dataset: Dataset, run: FitRun) -> Fitted:
    """Train.

    Args:
        options: as a person gave them.
        arm: the adapter.
        name: of the baseline.
        dataset: to learn from.
        run: where and how.

    Raises:
        MmudError: MM947 when there is nothing to learn from, MM943 when what was begun in the folder had other settings or frozen
            parts, and whatever `build` and `Trainer.run` raise.
    """
    seed_everything(run.seed)
    model, parts = build(settings_of(options, arm), options)
    keep_to_the_beginning(run.folder, model.config, parts)
    taken = _start(model, parts)
    if taken:
        run.note(f"{taken} tensors start from the backbone's own.")
    config = model.config
    if config.training.gradient_checkpointing:
        _checkpoint_layers(model.language_model)
    learner = Learner(model)
    index = index_examples(dataset, run.split, model, limit=run.limit, progress=run.progress)
    batch = config.training.batch_size * config.training.devices
    accumulate = options.accumulate or config.training.devices
    examples = _examples(dataset, index, model, parts, options, run)
    source = ExampleSource(examples, index, config, batch, accumulate, run.seed)
    validation = _validation(dataset, learner, parts, options, run, source)
    budget = _budget(options, config, index.total, batch)
    settings = _training(options, config, model, budget, run.seed)
    facts = _facts(options, model, parts, index, dataset, run)
    facts |= {
        "baseline": name,
        "batch": batch,
        "accumulate": accumulate,
        "validation_examples": 0 if validation is None else len(validation),
    }
    write_json(run.folder / TRAIN_NAME, facts | {"status": "running"})
    trainer = Trainer(learner, source, settings, run.folder, validate=validation, progress=run.progress, note=run.note)
    report = trainer.run()
    facts |= _outcome(report, model, budget)
    write_json(run.folder / TRAIN_NAME, facts)
    return Fitted(model, parts, facts)


def _checkpoint_layers(language_model: Any) -> None:
    """Compute the layers' values twice instead of keeping them; under the name that this release of transformers has for it."""
    name = "activation_checkpointing_enable"
    enable = getattr(language_model, name if hasattr(language_model, name) else "gradient_checkpointing_enable")
    # Re-entrant checkpointing gives wrong gradients here without any message.
    enable({"use_reentrant": False})


def _start(model: NeuralTuningModel, parts: FrozenParts) -> int:
    """Take over the backbone's own weights where names and shapes agree; how many tensors those are."""
    state = model.trainable_state()
    own = {name: tensor for name, tensor in parts.start.items() if name in state and state[name].shape == tensor.shape}
    model.load_trainable_state({**state, **own})
    return len(own)


def _examples(
    dataset: Dataset,
    index: ExampleIndex,
    model: NeuralTuningModel,
    parts: FrozenParts,
    options: NeuralTuningOptions,
    run: FitRun,
    limit: int | None = None,
) -> Examples:
    """The examples of a split, with what the frozen networks say of its images."""
    positions = [position for found in index.positions.values() for position in found[:limit]]
    count = max(positions, default=-1) + 1
    features = FrozenFeatures(
        dataset,
        index.split,
        count,
        model.image_features,
        {"features": model.describe_features(), "tower": parts.digests["vision_tower"]},
        options.cache_features,
    )
    targets = FrozenFeatures(
        dataset,
        index.split,
        count,
        lambda images: single(parts.feature.encode(images)),
        {"target": dict(parts.feature.describe()), "tower": parts.digests["vision_tower"]},
        options.cache_features,
    )
    shares = whole_weights(model.config.training.task_shares)
    with memory_explained("the features of images"):
        features.prepare(run.progress, f"image features of {index.split}")
        if shares[Task.GENERATION.value] and index.positions[Task.GENERATION.value]:
            targets.prepare(run.progress, f"image targets of {index.split}")
    return Examples(dataset, index, model, features, lambda position: targets(position)[0])


def _validation(
    dataset: Dataset,
    learner: Learner,
    parts: FrozenParts,
    options: NeuralTuningOptions,
    run: FitRun,
    source: ExampleSource,
) -> Validation | None:
    if run.valid_split is None or not dataset.length(run.valid_split):
        run.note("The dataset has no valid split: the last weights are kept.")
        return None
    model = learner.model
    # Enough samples to find the asked number for each task, were every fourth of no use to one.
    index = index_examples(dataset, run.valid_split, model, limit=4 * options.valid_limit, progress=run.progress)
    examples = _examples(dataset, index, model, parts, options, run, options.valid_limit)
    batch = model.config.training.batch_size
    found = Validation(examples, index, learner, options.valid_limit, batch, source.kinds)
    return found if len(found) else None


def _budget(options: NeuralTuningOptions, config: NeuralTuningConfig, examples: int, batch: int) -> Budget:
    if options.steps is not None or options.minutes is not None:
        return Budget(options.steps, options.minutes)
    epochs = config.training.epochs if options.epochs is None else options.epochs
    return Budget(steps=max(1, math.ceil(epochs * examples / batch)))


def _training(
    options: NeuralTuningOptions, config: NeuralTuningConfig, model: NeuralTuningModel, budget: Budget, seed: int
) -> TrainingConfig:
    training = config.training
    groups = model.parameter_groups()
    known = ("vision", "adapter", "mask_decoder", "global_decoder", "tokens")
    unknown = sorted(training.learning_rates.keys() - set(known))
    if unknown:
        hint = f"Parts: {', '.join(known)}."
        raise MmudError(baseline_codes.CONFIG_INVALID, f"no part is called {unknown[0]!r}", hint=hint)
    rates = {name: rate for name, rate in training.learning_rates.items() if name in groups}
    return TrainingConfig(
        budget,
        {"": training.learning_rate, **rates},
        training.optimiser,
        training.betas,
        weight_decay=training.weight_decay,
        warmup=training.warmup_steps,
        schedule=training.schedule,
        clip=training.gradient_clip,
        clip_by=training.gradient_clip_by,
        # fp16 needs the loss scaled, and its range is why; bf16 has the size of the one and the range of fp32.
        precision="fp32" if training.precision == "fp32" else "bf16",
        device=str(model.device),
        log_every=options.log_every,
        validations=options.validations,
        save_seconds=60 * options.save_minutes,
        seed=seed,
    )


def _facts(
    options: NeuralTuningOptions,
    model: NeuralTuningModel,
    parts: FrozenParts,
    index: ExampleIndex,
    dataset: Dataset,
    run: FitRun,
) -> dict[str, Any]:
    """Everything needed to repeat a training."""
    device = model.device
    return {
        "format": 1,
        "command": run.command,
        "options": options.model_dump(mode="json"),
        "config": model.config.model_dump(mode="json"),
        "seed": run.seed,
        "dataset": {"name": dataset.name, "fingerprint": dataset.fingerprint},
        "split": run.split,
        "limit": run.limit,
        "valid_split": run.valid_split,
        "versions": versions(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "digests": parts.digests,
        "parameters": model.report(),
        "examples": {task: len(positions) for task, positions in index.positions.items()},
        "instances": index.report.to_dict(),
    }


def _outcome(report: TrainingReport, model: NeuralTuningModel, budget: Budget) -> dict[str, Any]:
    state = report.state
    return {
        "status": "done",
        "steps": state.step,
        "budget": {"steps": budget.steps, "minutes": budget.minutes},
        "seconds": round(state.seconds, 3),
        "selected": None if state.best is None else {"step": state.best.step, "valid_loss": state.best.score},
        "resumed_from": report.resumed_from,
        "weights": digest_of(model.trainable_state()),
        "losses": report.losses,
    }


def load_fitted(folder: Path, options: NeuralTuningOptions, arm: Arm) -> Fitted:
    """Read what `Fitted.save` wrote, around the same frozen parts.

    Args:
        folder: of the run's model.
        options: those of the fitting, with what predicting changes.
        arm: the adapter that it must have.

    Raises:
        MmudError: MM904 when a file is missing or damaged, MM903 when it belongs to other parts, and what `build` raises.
    """
    config = NeuralTuningConfig.load(folder / CONFIG_NAME)
    if config.adapter != arm and arm != "stn":
        message = f"the checkpoint has the adapter {config.adapter}, not {arm}"
        raise MmudError(baseline_codes.CHECKPOINT_MISMATCH, message, Place(file=str(folder)))
    digests = _read_object(folder / PARTS_NAME).get("digests")
    train = _read_object(folder / TRAIN_NAME)
    config = _replaced(config, options)
    model, parts = build(config, options)
    for part, found in parts.digests.items():
        wanted = digests.get(part) if isinstance(digests, Mapping) else None
        if wanted != found:
            message = f"it was trained around another {part.replace('_', ' ')} ({wanted!s:.12}, here {found:.12})"
            raise MmudError(baseline_codes.CHECKPOINT_MISMATCH, message, Place(file=str(folder)))
    model.load_trainable_state(read_tensors(folder / MODEL_NAME))
    model.train(False)
    return Fitted(model, parts, train)


def _replaced(config: NeuralTuningConfig, options: NeuralTuningOptions) -> NeuralTuningConfig:
    """Where the frozen parts are may be said anew: a run is moved to a machine where they lie elsewhere."""
    names = {"language_model": options.language_model, "vision_tower": options.vision_tower}
    changes: dict[str, Any] = {f"backbones.{name}": value for name, value in names.items() if value}
    if options.image_decoder is not None:
        changes["backbones.image_decoder"] = options.image_decoder
    return config.changed(changes)


def _read_object(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        message = f"{type(error).__name__}: {error}"
        raise MmudError(baseline_codes.CHECKPOINT_UNREADABLE, message, Place(file=str(file))) from error
    if not isinstance(found, dict):
        raise MmudError(baseline_codes.CHECKPOINT_UNREADABLE, "holds no JSON object", Place(file=str(file)))
    return found
