"""Phrasings of the four tasks, from ``templates.json``: those to train with and those to test with are never the same."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

from mmud.records import Task

Purpose = Literal["train", "test"]

SLOTS: Mapping[Task, tuple[str | None, str]] = {
    Task.REFERRING_SEGMENTATION: ("{phrases}", "{objects}"),
    Task.REASONING_SEGMENTATION: ("{question}", "{answer}"),
    Task.CAPTIONING: (None, "{caption}"),
    Task.GENERATION: ("{caption}", "<GLB>"),
}
"""What a prompt and an answer of each task must hold, exactly once."""


@dataclass(frozen=True, slots=True)
class Phrasings:
    """Prompts and answers of one task, for one purpose. The first of each is the plain one."""

    prompts: tuple[str, ...]
    answers: tuple[str, ...]

    def drawn(self, rng: random.Random | None) -> tuple[str, str]:
        """A prompt and an answer: at random, or the first of each."""
        if rng is None:
            return self.prompts[0], self.answers[0]
        return rng.choice(self.prompts), rng.choice(self.answers)


Templates = Mapping[tuple[Task, Purpose], Phrasings]


@cache
def load_templates() -> Templates:
    """The package's own phrasings, by task and purpose."""
    data = json.loads(resources.files(__package__).joinpath("templates.json").read_text("utf-8"))["tasks"]
    purposes: tuple[Purpose, ...] = ("train", "test")
    return {
        (task, purpose): Phrasings(
            tuple(data[task.value][purpose]["prompts"]), tuple(data[task.value][purpose]["answers"])
        )
        for task in Task
        for purpose in purposes
    }
