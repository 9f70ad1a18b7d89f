"""Everything that can be set in neural tuning, and the presets.

``paper`` is arXiv 2408.03001 as its code runs it; ``default`` is ours; ``scenes-tiny`` is ours at the size of the backbones that
come with the package. Where ours goes beyond the paper, the paper's way is the other value of a switch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mmud.annotations.instructions.instances import Naming
from mmud.baselines import codes
from mmud.errors import MmudError, Place
from mmud.files import write_json

Positive = Annotated[int, Field(gt=0)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BackboneConfig(_Section):
    """The frozen parts, by local folder, by hub id or by a name that comes with the package.

    Attributes:
        language_model: a causal language model of transformers, with its tokenizer.
        vision_tower: a vision model.
        image_decoder: a backbone's name or one of the registry of image decoders; empty for none.
        image_decoder_weights: its folder or hub id; empty for its own default.
        image_decoder_options: its own, such as `DiffusionOptions`.
    """

    language_model: str = ""
    vision_tower: str = ""
    image_decoder: str = ""
    image_decoder_weights: str = ""
    image_decoder_options: dict[str, Any] = Field(default_factory=dict)


class TextConfig(_Section):
    """How a task is put into words and tokens.

    Attributes:
        prompt_format: around a prompt, with ``{prompt}`` in it; "chat" takes the tokenizer's own chat template.
        begin: where the tokenizer's begin token stands: before the image, or after it, as in the paper.
        image_positions: "each" gives every image state a position of its own, as in the paper; "one" gives all of an image's
            states the same position, so that long images do not push the text out of the positions a model was trained on.
        max_length: tokens of prompt and answer together; a longer answer is cut, a longer prompt is refused.
        tag_limit: N of ``<LCL-1>`` to ``<LCL-N>``; more objects make several instances.
        naming: how referring answers name an object before its tag ("the red star <LCL-1>"): by the phrase "asked" for, or by
            its "first" phrase; "none" lists bare tags, as the paper does.
        tags: "in_place" keeps an answer's tags where they are; "appended" puts them at its end, as the paper does.
        templates: "varied" draws one of a task's phrasings each time, "plain" always takes the first.
    """

    prompt_format: str = "{prompt}\n"
    begin: Literal["before_image", "after_image"] = "before_image"
    image_positions: Literal["each", "one"] = "each"
    max_length: Positive = 300
    tag_limit: Annotated[int, Field(ge=1, le=99)] = 5
    naming: Naming = "asked"
    tags: Literal["in_place", "appended"] = "in_place"
    templates: Literal["varied", "plain"] = "varied"

    @model_validator(mode="after")
    def _has_a_place(self) -> Self:
        if self.prompt_format != "chat" and self.prompt_format.count("{prompt}") != 1:
            raise ValueError("prompt_format holds {prompt} exactly once, or is 'chat'")
        return self


class VisionConfig(_Section):
    """From the tower's states to image tokens of the language model.

    Attributes:
        layer: of the tower, counted from 0, or from the end with -1; the last in the paper.
        unshuffle: 2 joins each 2x2 of the grid into one token and leaves the class state out; 1 keeps all, as the paper does.
        projection: "linear", without bias, as in the paper, or "mlp" with one hidden layer.
        hidden: width of that layer; the language model's when 0.
        normalise: LayerNorm, then a length that starts as the mean of the token embeddings' and is trained; not in the paper.
    """

    layer: int = -1
    unshuffle: Literal[1, 2] = 2
    projection: Literal["linear", "mlp"] = "mlp"
    hidden: Annotated[int, Field(ge=0)] = 0
    normalise: bool = True


class MaskDecoderConfig(_Section):
    """The mask decoder.

    Attributes:
        name: "film", "sam", or that of a plug-in.
        tower_layers: whose states it reads, first to last; empty for the last layer and those at 17/24 and 14/24 of the
            tower, which in a tower of 24 are the paper's 23, 17 and 14.
        width, heads, mlp: of its transformer layers.
        classes: 2 (background and foreground, softmax), or 1 (sigmoid).
        state: "last" reads the language model's last state, as in the paper; "mix" a learned mix of all layers.
        phrase_reader: also read the states of the words before the tag, by ``queries`` learned queries.
        queries, window: how many queries, and how many words at most.
        film: "first" scales and shifts before the first layer alone, as in the paper; "every" before each.
        options: of a plug-in, or of "sam".
    """

    name: str = "film"
    tower_layers: tuple[int, ...] = ()
    width: Positive = 64
    heads: Positive = 4
    mlp: Positive = 128
    dropout: Share = 0.0
    classes: Literal[1, 2] = 2
    state: Literal["last", "mix"] = "mix"
    phrase_reader: bool = True
    queries: Positive = 4
    window: Positive = 24
    film: Literal["first", "every"] = "first"
    options: dict[str, Any] = Field(default_factory=dict)


class GlobalDecoderConfig(_Section):
    """From ``<GLB>`` to the feature of the image.

    Attributes:
        head: "mlp", the paper's, from the state of one token; "queries": learned queries over all words of the prompt; "words":
            each part of the feature looks for its words.
        hidden: of the MLP (hidden, 3 x hidden, hidden), and the width that the other two work at.
        queries, heads: of the second head.
        slots, window: of the third: of how many parts a feature is, and how many words around it a word sees in a convolution.
        feature_size: of the feature: 512 in the paper (CLIP ViT-B/32).
        normalise: bring features to length 1, in predictions and targets alike.
    """

    head: Literal["mlp", "queries", "words"] = "queries"
    hidden: Positive = 1024
    queries: Positive = 8
    heads: Positive = 4
    slots: Positive = 1
    window: Positive = 9
    dropout: Share = 0.0
    feature_size: Positive = 512
    normalise: bool = False


class LossConfig(_Section):
    """loss = text * CE + feature * MSE + mask * (mask_ce * CE + mask_dice * Dice)."""

    text: Weight = 1.0
    feature: Weight = 10.0
    mask: Weight = 1.0
    mask_ce: Weight = 0.0
    mask_dice: Weight = 1.0


class TrainingConfig(_Section):
    """How it is trained; the defaults are the paper's.

    Attributes:
        optimiser: "adam" (weight decay joins the gradient) or "adamw".
        learning_rate: of every group that ``learning_rates`` does not name.
        learning_rates: by group: vision, adapter, mask_decoder, global_decoder, tokens.
        warmup_steps, schedule: linear warm-up, then the schedule.
        gradient_clip, gradient_clip_by: bound on each value, as in the published code, or on the norm.
        batch_size, devices: on each device, and how many.
        epochs, precision, gradient_checkpointing: as named.
        task_shares: of a batch: referring, reasoning, captioning, generation.
    """

    optimiser: Literal["adam", "adamw"] = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    learning_rates: dict[str, Rate] = Field(default_factory=dict)
    betas: tuple[Share, Share] = (0.9, 0.95)
    weight_decay: Weight = 0.1
    warmup_steps: Annotated[int, Field(ge=0)] = 200
    schedule: Literal["cosine", "constant"] = "cosine"
    gradient_clip: Weight = 1.0
    gradient_clip_by: Literal["value", "norm"] = "value"
    batch_size: Positive = 8
    devices: Positive = 4
    epochs: Positive = 50
    precision: Literal["fp32", "bf16", "fp16"] = "fp16"
    gradient_checkpointing: bool = True
    task_shares: tuple[Weight, Weight, Weight, Weight] = (0.25, 0.25, 0.25, 0.25)


class NeuralTuningConfig(_Section):
    """Neural tuning, whole. The defaults are the preset ``default``.

    Attributes:
        preset: what it started from.
        adapter: "stn" (the paper's sparse task network), "none", or another of the registry of adapters.
        adapter_options: its own; for "stn" those of `SparseTaskConfig`, and without ``start_layer`` the upper half of the layers.
        tokens: "rows" trains the new tokens' embeddings alone; "whole" the whole embedding and head, as in the paper.
    """

    preset: str = "default"
    backbones: BackboneConfig = BackboneConfig()
    text: TextConfig = TextConfig()
    vision: VisionConfig = VisionConfig()
    adapter: str = "stn"
    adapter_options: dict[str, Any] = Field(default_factory=dict)
    tokens: Literal["rows", "whole"] = "rows"
    mask_decoder: MaskDecoderConfig = MaskDecoderConfig()
    global_decoder: GlobalDecoderConfig = GlobalDecoderConfig()
    loss: LossConfig = LossConfig()
    training: TrainingConfig = TrainingConfig()

    @classmethod
    def from_preset(cls, name: str, changes: Mapping[str, Any] | None = None) -> Self:
        """A preset, with changes by dotted name: ``{"mask_decoder.width": 32}``.

        Raises:
            MmudError: MM905 for an unknown preset or setting, or a value out of bounds.
        """
        if name not in PRESETS:
            hint = f"Presets: {', '.join(PRESETS)}."
            raise MmudError(codes.CONFIG_INVALID, f"no preset is called {name!r}", hint=hint)
        return cls.checked(_changed({**PRESETS[name](), "preset": name}, changes or {}))

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """The same with changes by dotted name; errors as `from_preset`."""
        return self.checked(_changed(self.model_dump(mode="json"), changes))

    @classmethod
    def checked(cls, data: Mapping[str, Any], where: Place | None = None) -> Self:
        """From JSON-compatible data.

        Raises:
            MmudError: MM905 naming the first setting that is wrong.
        """
        try:
            return cls.model_validate(dict(data))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            name = ".".join(str(part) for part in first["loc"])
            raise MmudError(codes.CONFIG_INVALID, f"{name}: {first['msg']}", where or Place()) from error

    def save(self, path: Path) -> None:
        """Write it as JSON.

        Raises:
            MmudError: MM008 when the file cannot be written.
        """
        write_json(path, self.model_dump(mode="json"))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            MmudError: MM904 when it cannot be read, MM905 when a setting is wrong.
        """
        place = Place(file=str(path))
        try:
            data = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise MmudError(codes.CHECKPOINT_UNREADABLE, f"{type(error).__name__}: {error}", place) from error
        if not isinstance(data, dict):
            raise MmudError(codes.CHECKPOINT_UNREADABLE, "the file holds no settings", place)
        return cls.checked(data, place)


def _changed(data: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in changes.items():
        *parents, last = name.split(".")
        inner = data
        for parent in parents:
            below = inner.get(parent, {})
            # A setting that is no section is refused by its own name when the whole is checked.
            inner[parent] = dict(below) if isinstance(below, Mapping) else {}
            inner = inner[parent]
        inner[last] = value
    return data


def _paper() -> dict[str, Any]:
    return {
        "backbones": {
            "language_model": "meta-llama/Llama-2-7b-hf",
            "vision_tower": "openai/clip-vit-large-patch14",
        },
        "text": {"begin": "after_image", "naming": "none", "tags": "appended"},
        "vision": {"unshuffle": 1, "projection": "linear", "normalise": False},
        "adapter": "stn",
        "adapter_options": {
            "start_layer": 16,
            "dimension": 128,
            "active_rate": 0.4,
            "active_rate_jitter": 0.04,
            "ema": 0.2,
            "dropout": 0.0,
            "projections": "qv",
        },
        "tokens": "whole",
        "mask_decoder": {"tower_layers": [23, 17, 14], "state": "last", "phrase_reader": False},
        "global_decoder": {"head": "mlp", "hidden": 1024, "feature_size": 512},
    }


def _default() -> dict[str, Any]:
    return {
        "training": {"optimiser": "adamw", "gradient_clip_by": "norm", "precision": "bf16", "devices": 1},
    }


def _scenes_tiny() -> dict[str, Any]:
    return {
        "backbones": {
            "language_model": "scenes-tiny",
            "vision_tower": "scenes-tiny",
            "image_decoder": "scenes-tiny",
        },
        # The turns that the language model was pretrained on, in words that it knows.
        "text": {
            "max_length": 320,
            "prompt_format": "<user>{prompt}<assistant>",
            "templates": "plain",
            "naming": "first",
        },
        "adapter_options": {"dimension": 64, "dropout": 0.0},
        # The feature is of 18 places for an object and the background; see `mmud.baselines.backbones.scene_code`.
        "global_decoder": {"head": "words", "hidden": 96, "slots": 18},
        "loss": {"feature": 5.0, "mask_ce": 1.0},
        "training": {
            "optimiser": "adamw",
            "learning_rate": 2e-3,
            # The network starts at zero, behind a norm, with four neurons in ten: it bears a higher rate than the heads.
            "learning_rates": {"adapter": 0.01},
            "weight_decay": 0.01,
            "warmup_steps": 50,
            "gradient_clip_by": "norm",
            "devices": 1,
            "epochs": 1,
            "precision": "fp32",
            "gradient_checkpointing": False,
            "task_shares": [0.15, 0.25, 0.25, 0.35],
        },
    }


def _smollm2() -> dict[str, Any]:
    return {
        "backbones": {"language_model": "smollm2", "vision_tower": "smollm2"},
        "text": {"max_length": 192},
        "adapter_options": {"dimension": 64, "dropout": 0.0},
        "mask_decoder": {"tower_layers": [3, 2, 1]},
        "global_decoder": {"hidden": 256, "normalise": True},
        "training": {
            "optimiser": "adamw",
            "learning_rate": 5e-4,
            "weight_decay": 0.01,
            "warmup_steps": 10,
            "gradient_clip_by": "norm",
            "devices": 1,
            "epochs": 1,
            "precision": "fp32",
            "gradient_checkpointing": False,
        },
    }


PRESETS: dict[str, Callable[[], dict[str, Any]]] = {
    "default": _default,
    "paper": _paper,
    "scenes-tiny": _scenes_tiny,
    "smollm2": _smollm2,
}
