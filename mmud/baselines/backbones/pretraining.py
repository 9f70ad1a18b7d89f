"""`mmud pretrain scenes-tiny`: four stages, each a folder of its own, each gone on with where it stopped.

=================  ================================================  ====================================================
stage              learns                                            from
=================  ================================================  ====================================================
language_model     to look up and put into words                     text and sums of words about scenes
vision_tower       to say of every patch what is seen there          images of scenes
image_decoder      to read a scene as a feature, and to draw it      the frozen vision tower
vision_map         to translate patches for the language model       both, frozen
=================  ================================================  ====================================================
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from mmud.baselines.backbones import codes, scenes_tiny
from mmud.baselines.backbones.alignment import Alignment, AlignmentBatches
from mmud.baselines.backbones.documents import ContextKind, Writer
from mmud.baselines.backbones.image_scores import drawing_scores, features_of
from mmud.baselines.backbones.images import ImageAutoencoder, image_losses
from mmud.baselines.backbones.language import (
    LanguageBatches,
    build_language_model,
    embed,
    exact_answers,
    share_exact,
    weighted_loss,
)
from mmud.baselines.backbones.optimisers import HIDDEN, hidden_and_rest, make_muon
from mmud.baselines.backbones.tokenizer import build_tokenizer
from mmud.baselines.backbones.vision import (
    IGNORED,
    ImageData,
    PatchClassifier,
    attributes_of,
    build_vision_model,
    image_batch,
    patch_loss,
)
from mmud.baselines.backbones.world import held_out, tiny_world
from mmud.baselines.base import ProgressFactory, silent
from mmud.baselines.neural_tuning.config import NeuralTuningConfig
from mmud.baselines.training.schedule import Budget
from mmud.baselines.training.tensor_files import Tensors, write_tensors
from mmud.baselines.training.trainer import Trainer, TrainingConfig, make_optimiser
from mmud.errors import MmudError, Place
from mmud.files import sha256_of, write_json

STAGES: Final = ("language_model", "vision_tower", "image_decoder", "vision_map")
GATE_SCENES: Final = 100
#: Steps and rates of the stages: (steps, rate of hidden matrices or None, rate of the rest).
RECIPE: Final[Mapping[str, tuple[int, float | None, float]]] = {
    "language_model": (10_000, 0.007, 3e-3),
    "vision_tower": (6000, 0.01, 1.5e-3),
    "image_decoder": (3000, 0.02, 2e-3),
    "vision_map": (1500, None, 2e-3),
}
ALIGNMENT_TURN: Final = 0.6
"""Share of the last stage's steps that look at the grid alone."""
IMAGE_SCENES: Final = 1_000_000
"""The first scene of the stage of images."""
MEAN_SCENES: Final = 1000
"""Scenes over which the mean of their features is taken."""
Losses = Mapping[str, Tensor]


@dataclass
class Stage:
    """A stage as the trainer sees it.

    Attributes:
        module: what is trained; frozen parts inside it are neither trained nor saved.
        groups: what is trained, by group.
        losses: of a batch.
        batches: from the step to a batch.
    """

    module: nn.Module
    groups: dict[str, list[Parameter]]
    losses: Callable[[Any], Losses]
    batches: Callable[[int], Any]

    def loss(self, batch: Any) -> Losses:
        return self.losses(batch)

    def parameter_groups(self) -> Mapping[str, Sequence[Parameter]]:
        return self.groups

    def trainable_state(self) -> Tensors:
        return {name: weight.detach() for name, weight in self._trained()}

    def load_trainable_state(self, state: Tensors) -> None:
        with torch.no_grad():
            for name, weight in self._trained():
                weight.copy_(state[name])

    def _trained(self) -> Iterator[tuple[str, Parameter]]:
        return ((name, weight) for name, weight in self.module.named_parameters() if weight.requires_grad)

    def train(self, mode: bool = True) -> Any:
        return self.module.train(mode)

    def micro_batches(self, step: int) -> Iterable[tuple[Any, float]]:
        yield self.batches(step), 1.0


def _layers(module: nn.Module) -> list[Parameter]:
    """The matrices of the hidden layers."""
    return [weight for name, weight in module.named_parameters() if "layers." in name and weight.ndim == 2]


def pretrain(
    folder: Path,
    stages: Sequence[str] = STAGES,
    *,
    seed: int = 0,
    steps: Mapping[str, int] | None = None,
    progress: ProgressFactory = silent,
    note: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Run stages of pretraining into a folder and measure what came of each on scenes that none of them saw.

    Args:
        folder: for the parts; what training needs to go on lies in ``folder/training``.
        stages: of `STAGES`, in that order.
        seed: of weights and scenes.
        steps: by stage, where not the recipe's.
        progress, note: for a person.

    Returns:
        What ``pretraining.json`` then holds: of each stage its steps, seconds and held-out scores.

    Raises:
        MmudError: MM930 when a stage comes before one that it needs, MM920 or MM921 when training fails.
    """
    tokenizer = build_tokenizer()
    report = _read_report(folder)
    for stage in STAGES:
        if stage not in stages:
            continue
        note(f"{stage}: training.")
        torch.manual_seed(seed)
        count, hidden_rate, rate = RECIPE[stage]
        count = (steps or {}).get(stage, count)
        made = _MAKERS[stage](folder, tokenizer, seed, count)
        _begin(folder, stage, seed, note)
        config = TrainingConfig(
            Budget(steps=count),
            {"": rate} if hidden_rate is None else {"rest": rate, HIDDEN: hidden_rate},
            weight_decay=0.01,
            warmup=50,
            schedule="tail",
            log_every=20,
            seed=seed,
        )
        begun = time.process_time()
        trained = Trainer(
            made,
            made,
            config,
            folder / "training" / stage,
            progress=progress,
            note=note,
            make_optimiser=make_optimiser if hidden_rate is None else make_muon,
        ).run()
        scores = _SAVERS[stage](made, folder, tokenizer)
        report[stage] = {
            "steps": trained.state.step,
            "seed": seed,
            "wall_seconds": round(trained.state.seconds),
            "cpu_seconds_of_last_run": round(time.process_time() - begun),
            "scores": scores,
        }
        write_json(folder / scenes_tiny.REPORT_NAME, report)
        note(f"{stage}: {json.dumps(scores)}")
    return report


def _read_report(folder: Path) -> dict[str, Any]:
    path = folder / scenes_tiny.REPORT_NAME
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def _begin(folder: Path, stage: str, seed: int, note: Callable[[str], None]) -> None:
    """Keep what the stage learns from beside its checkpoints; those of another seed or of other frozen parts are removed.

    More steps than before are gone on with.
    """
    work = folder / "training" / stage
    weights = [folder / part / scenes_tiny.WEIGHTS_NAME for part in _FROZEN[stage]]
    wanted = {"seed": seed, "frozen": {path.parent.name: sha256_of(path) for path in weights}}
    file = work / "request.json"
    if file.exists() and json.loads(file.read_bytes()) != wanted:
        note(f"{stage}: what was learnt with another seed or from other parts is begun anew.")
        shutil.rmtree(work)
    write_json(file, wanted)


def _needed(folder: Path, part: str) -> Path:
    if not (folder / part).is_dir():
        raise MmudError(codes.STAGE_MISSING, f"there is no {part}", Place(file=str(folder / part)))
    return folder


# -- the language model -----------------------------------------------------------------------------------------------------


def _language(folder: Path, tokenizer: Any, seed: int, steps: int) -> Stage:
    model = build_language_model(tokenizer)
    batches = LanguageBatches(Writer(tokenizer), seed)
    groups = hidden_and_rest(model, _layers(model))
    return Stage(
        model, groups, lambda batch: {"total": weighted_loss(model, batch, embed(model, batch))}, batches.batch
    )


def _save_language(stage: Stage, folder: Path, tokenizer: Any) -> dict[str, Any]:
    model: Any = stage.module
    target = folder / scenes_tiny.LANGUAGE_MODEL
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    scenes = list(held_out(GATE_SCENES))
    scores: dict[str, Any] = {}
    kinds: tuple[ContextKind, ...] = ("records", "bags", "grid")
    for kind in kinds:
        found = exact_answers(model, Writer(tokenizer), scenes, kind)
        scores[kind] = round(share_exact(found), 4)
        scores[f"{kind} by family"] = {family: round(right / asked, 3) for family, (right, asked) in found.items()}
    return {"scenes": len(scenes), **scores}


# -- the vision tower -------------------------------------------------------------------------------------------------------


def _vision(folder: Path, tokenizer: Any, seed: int, steps: int) -> Stage:
    encoder: Any = build_vision_model()
    classifier = PatchClassifier(encoder, attributes_of(tiny_world()))
    data = ImageData(seed, 16)
    side = encoder.config.image_size // encoder.config.patch_size

    def losses(batch: Any) -> Losses:
        return {"total": patch_loss(classifier(batch.pixels), batch.targets)}

    groups = hidden_and_rest(classifier, _layers(encoder))
    return Stage(classifier, groups, losses, lambda step: image_batch(data.scenes(step), side))


@torch.no_grad()
def _save_vision(stage: Stage, folder: Path, tokenizer: Any) -> dict[str, Any]:
    classifier: Any = stage.module
    classifier.encoder.save_pretrained(folder / scenes_tiny.VISION_TOWER)
    scenes_tiny.write_processor(folder / scenes_tiny.VISION_TOWER)
    side = classifier.encoder.config.image_size // classifier.encoder.config.patch_size
    right: dict[str, int] = {}
    asked: dict[str, int] = {}
    scenes = list(held_out(GATE_SCENES))
    for start in range(0, len(scenes), 20):
        batch = image_batch(scenes[start : start + 20], side)
        for name, logits in classifier(batch.pixels).items():
            told = batch.targets[name] != IGNORED
            right[name] = right.get(name, 0) + int((logits.argmax(-1) == batch.targets[name])[told].sum())
            asked[name] = asked.get(name, 0) + int(told.sum())
    return {"scenes": len(scenes), **{name: round(right[name] / asked[name], 4) for name in right}}


# -- the image decoder ------------------------------------------------------------------------------------------------------


def _images(folder: Path, tokenizer: Any, seed: int, steps: int) -> Stage:
    encoder = scenes_tiny.load_encoder(_needed(folder, scenes_tiny.VISION_TOWER))
    autoencoder = ImageAutoencoder()
    data = ImageData(seed, 16, first=IMAGE_SCENES)
    groups = hidden_and_rest(autoencoder, _layers(autoencoder))
    return Stage(
        autoencoder,
        groups,
        lambda batch: image_losses(autoencoder, encoder, batch[1], batch[0]),
        lambda step: (step, data.scenes(step)),
    )


@torch.no_grad()
def _save_images(stage: Stage, folder: Path, tokenizer: Any) -> dict[str, Any]:
    autoencoder: Any = stage.module
    encoder = scenes_tiny.load_encoder(folder)
    # A statistic, not learnt: of the pretraining world, so that zero is what all its images have in common.
    autoencoder.mean.zero_()
    seen = ImageData(0, MEAN_SCENES, first=IMAGE_SCENES).scenes(0)
    autoencoder.mean.copy_(features_of(autoencoder, encoder, [scene.image for scene in seen]).mean(0))
    write_tensors(folder / scenes_tiny.IMAGE_DECODER / scenes_tiny.WEIGHTS_NAME, autoencoder.state_dict())
    scenes = list(held_out(GATE_SCENES))
    return {"scenes": len(scenes), **drawing_scores(autoencoder, encoder, scenes)}


# -- the vision map ---------------------------------------------------------------------------------------------------------


def _map(folder: Path, tokenizer: Any, seed: int, steps: int) -> Stage:
    encoder = scenes_tiny.load_encoder(_needed(folder, scenes_tiny.VISION_TOWER))
    model, _ = scenes_tiny.load_language_model(_needed(folder, scenes_tiny.LANGUAGE_MODEL), torch.float32)
    alignment = Alignment(encoder, model, NeuralTuningConfig.from_preset("scenes-tiny"))
    batches = AlignmentBatches(Writer(tokenizer), seed)
    groups = {"all": list(alignment.vision.parameters())}
    # The grid alone first: a step's losses depend on the step, which therefore goes along with its batch.
    turn = round(ALIGNMENT_TURN * steps)
    return Stage(
        alignment,
        groups,
        lambda numbered: alignment.losses(numbered[1], text=numbered[0] >= turn),
        lambda step: (step, batches.batch(step)),
    )


@torch.no_grad()
def _save_map(stage: Stage, folder: Path, tokenizer: Any) -> dict[str, Any]:
    alignment: Any = stage.module
    tensors = {f"vision.{name}": value for name, value in alignment.vision.state_dict().items()}
    write_tensors(folder / scenes_tiny.VISION_MAP / scenes_tiny.WEIGHTS_NAME, tensors)
    batches = AlignmentBatches(Writer(tokenizer), 0, rows=20, first=3_000_000)
    found = [alignment.losses(batches.batch(step), text=True) for step in range(GATE_SCENES // 20)]
    means = {name: sum(float(losses[name]) for losses in found) / len(found) for name in ("grid", "text")}
    return {"scenes": GATE_SCENES, **{name: round(value, 4) for name, value in means.items()}}


_MAKERS: Final[Mapping[str, Callable[[Path, Any, int, int], Stage]]] = {
    "language_model": _language,
    "vision_tower": _vision,
    "image_decoder": _images,
    "vision_map": _map,
}
_FROZEN: Final[Mapping[str, tuple[str, ...]]] = {
    "language_model": (),
    "vision_tower": (),
    "image_decoder": (scenes_tiny.VISION_TOWER,),
    "vision_map": (scenes_tiny.VISION_TOWER, scenes_tiny.LANGUAGE_MODEL),
}
_SAVERS: Final[Mapping[str, Callable[[Stage, Path, Any], dict[str, Any]]]] = {
    "language_model": _save_language,
    "vision_tower": _save_vision,
    "image_decoder": _save_images,
    "vision_map": _save_map,
}
