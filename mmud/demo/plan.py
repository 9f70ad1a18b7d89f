"""What a demo does and how long it trains: every number that may be tuned is here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Kind = Literal["trained", "real", "ceiling", "floor"]

TRAINED = "neural-tuning"
PRESET = "tiny"
"""The scenes that the small backbones are made for."""

SPLIT: Mapping[str, float] = {"train": 0.8, "valid": 0.05, "test": 0.15}
QUICK_SPLIT: Mapping[str, float] = {"train": 0.7, "valid": 0.1, "test": 0.2}


@dataclass(frozen=True)
class System:
    """A baseline of the demo.

    Attributes:
        kind: "trained" by the demo; "real": it looks at the images and knows no labels; "ceiling" and "floor" frame the figures.
        about: what a person is told of it.
        options: of the baseline.
    """

    kind: Kind
    about: str
    options: Mapping[str, Any] = field(default_factory=dict)


ARMS: Mapping[str, System] = {
    TRAINED: System("trained", "a frozen language model tuned to all four tasks at once"),
    "lora": System("trained", "the same with LoRA of as many parameters"),
    "heads-only": System("trained", "the same with no adapter at all"),
}
OTHERS: Mapping[str, System] = {
    "retrieval": System("real", "the labels of the training sample that looks nearest"),
    "oracle": System("ceiling", "the labels themselves"),
    "perturbed": System("ceiling", "the labels, spoilt at random", {"strength": 0.15}),
    "union": System("floor", "all true masks at once, whatever is asked"),
    "mean-image": System("floor", "the mean training image, whatever the caption says"),
    "most-frequent-caption": System("floor", "one caption and one answer for all"),
    "centre-box": System("floor", "a box in the middle"),
    "empty": System("floor", "nothing at all"),
}
"""What the trained system stands beside. Only retrieval looks at the images."""

FALLBACK = "retrieval"
"""Shown in the trained system's place where nothing can be trained."""

SYSTEMS: Mapping[str, System] = {**ARMS, **OTHERS}


@dataclass(frozen=True)
class Plan:
    """The size of a demo. Steps, not minutes, bound the training: a demo can be repeated.

    Attributes:
        name: "quick", "default" or "full".
        takes: how long on two cores, in words.
        samples: scenes in all.
        split: their shares.
        steps, batch: of training, for each arm.
        arms: what is trained; the first one is shown.
        training: further options of `mmud train neural-tuning`, such as learning rates and task shares.
        predicting: options that predicting alone has.
        gallery: so many held-out samples are drawn.
        aims: whether the figures are held against what the default demo is to reach.
    """

    name: str
    takes: str
    samples: int
    split: Mapping[str, float]
    steps: int
    batch: int
    arms: tuple[str, ...] = (TRAINED,)
    training: Mapping[str, Any] = field(default_factory=dict)
    predicting: Mapping[str, Any] = field(default_factory=dict)
    gallery: int = 60
    aims: bool = True

    def training_options(self) -> dict[str, Any]:
        """Of each arm, for `make_baseline`."""
        return {"preset": "scenes-tiny", "steps": self.steps, "batch": self.batch, **self.training}

    def dataset_settings(self, seed: int) -> dict[str, Any]:
        """What makes two demos' datasets the same."""
        from mmud.dataset.sources.scenes.config import WORLD_VERSION

        settings = {"samples": self.samples, "preset": PRESET, "split": dict(self.split), "seed": seed}
        return {**settings, "world_version": WORLD_VERSION}


QUICK = Plan(
    "quick",
    "about a minute",
    160,
    QUICK_SPLIT,
    steps=100,
    batch=8,
    training={"valid_limit": 8, "validations": 1},
    predicting={"max_new_tokens": 90},
    aims=False,
)
DEFAULT = Plan("default", "some seven minutes", 2000, SPLIT, 750, 16, training={"valid_limit": 32, "validations": 4})
FULL = Plan("full", "about an hour", 4000, SPLIT, 2400, 16, tuple(ARMS), training={"valid_limit": 64, "validations": 8})


@dataclass(frozen=True)
class Places:
    """Where a demo's parts lie.

    Attributes:
        folder: of the demo.
        shown: the system that has the folders at the top.
    """

    folder: Path
    shown: str

    def run(self, name: str) -> Path:
        """Of a system that was fitted."""
        return self.folder / "run" if name == self.shown else self.folder / "others" / name / "run"

    def predictions(self, name: str) -> Path:
        return self.folder / "predictions" if name == self.shown else self.folder / "others" / name / "predictions"

    def scores(self, name: str) -> Path:
        """With the rows that they were computed from."""
        return self.folder / "scores" / name

    @property
    def board(self) -> Path:
        return self.folder / "board"

    @property
    def leaderboard(self) -> Path:
        return self.folder / "leaderboard.html"

    @property
    def gallery(self) -> Path:
        return self.folder / "gallery.html"

    @property
    def figures(self) -> Path:
        """The shown system's."""
        return self.folder / "scores.json"

    def remove_pages(self) -> None:
        """What shows figures is made again when one of them is new."""
        for path in (self.leaderboard, self.gallery, self.figures):
            path.unlink(missing_ok=True)
