"""The figures that the demo is for: of the system that is shown, with intervals, beside the best floor and what is aimed at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mmud.demo.plan import SYSTEMS
from mmud.demo.scoring import Scored
from mmud.records import Task

TAGS_AIM = 0.98
FRECHET_SHARE = 0.2
"""The Fréchet distance is to be at most this share of the mean image's."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure.

    Attributes:
        title: what it is.
        value, low, high: with its 95 % interval; None where the system has none.
        higher: whether higher is better.
        aim: what the default demo is to reach; None where there is no aim.
        floor, floor_name: the best floor's value, and its name.
    """

    title: str
    value: float | None
    low: float | None
    high: float | None
    higher: bool = True
    aim: float | None = None
    floor: float | None = None
    floor_name: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the aim is reached; None without one, or without a value."""
        if self.aim is None or self.value is None:
            return None
        return self.value >= self.aim if self.higher else self.value <= self.aim

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "reached": self.reached}

    def text(self) -> str:
        """As in ``referring gIoU  0.612 [0.583, 0.640]  floor 0.181 (union)  aim at least 0.600: reached``."""
        interval = "" if self.low is None or self.high is None else f" [{number(self.low)}, {number(self.high)}]"
        parts = [f"{self.title:32} {number(self.value):>7}{interval:18}".rstrip()]
        if self.floor is not None:
            parts.append(f"floor {number(self.floor)} ({self.floor_name})")
        if self.aim is not None:
            word = {True: "reached", False: "not reached", None: "no figure"}[self.reached]
            parts.append(f"aim {'at least' if self.higher else 'at most'} {number(self.aim)}: {word}")
        return "  ".join(parts)


def number(value: float | None) -> str:
    """As a person reads it: three digits behind the point below 100, one above."""
    if value is None:
        return "-"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.3f}"


def outcome(shown: Scored, all_scored: Mapping[str, Scored], aims: bool = True) -> list[Figure]:
    """The figures of a system.

    Args:
        shown: the system.
        all_scored: name -> every system of the demo, floors included.
        aims: hold a trained system's figures against the aims.
    """
    floors = [scored for name, scored in all_scored.items() if SYSTEMS[name].kind == "floor"]
    aimed = aims and SYSTEMS[shown.name].kind == "trained"

    def aim(value: float | None) -> float | None:
        return value if aimed else None

    figures = [
        _figure("referring gIoU", shown, floors, Task.REFERRING_SEGMENTATION, "gIoU", aim(0.60)),
        _figure("reasoning gIoU", shown, floors, Task.REASONING_SEGMENTATION, "gIoU", aim(0.55)),
        _figure("caption CIDEr-D", shown, floors, Task.CAPTIONING, "cider_d", aim(4.0)),
    ]
    titles = {"referring_segmentation": "tags said, referring", "reasoning_segmentation": "tags said, reasoning"}
    titles["generation"] = "<GLB> said"
    for task, title in titles.items():
        share = shown.tags.get(task)
        if share is not None:
            figures.append(Figure(title, share.value, share.low, share.high, aim=aim(TAGS_AIM)))
    cosine = shown.of_features.get("feature_cosine")
    if cosine is not None:
        figures.append(Figure("image feature, cosine", cosine["value"], cosine["low"], cosine["high"], aim=aim(0.9)))
    if shown.metrics(Task.GENERATION):
        drawn = _figure("drawn image, cosine", shown, floors, Task.GENERATION, "feature_cosine", None)
        distance = _figure(
            "drawn images, Fréchet distance", shown, floors, Task.GENERATION, "frechet_distance", None, False
        )
        mean = next(
            (one.value(Task.GENERATION, "frechet_distance") for one in floors if one.name == "mean-image"), None
        )
        fifth = None if mean is None else aim(FRECHET_SHARE * mean)
        figures += [drawn, Figure(**{**asdict(distance), "aim": fifth})]
    return figures


def _figure(
    title: str,
    shown: Scored,
    floors: Sequence[Scored],
    task: Task,
    metric: str,
    aim: float | None,
    higher: bool = True,
) -> Figure:
    found = shown.metrics(task).get(metric, {})
    values = {one.name: value for one in floors if (value := one.value(task, metric)) is not None}
    best = (max if higher else min)(values, key=lambda name: values[name], default="")
    return Figure(
        title,
        found.get("value"),
        found.get("low"),
        found.get("high"),
        higher,
        aim,
        values.get(best),
        best,
    )
