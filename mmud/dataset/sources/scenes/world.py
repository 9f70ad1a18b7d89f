"""Making a scene: a pure function of the settings and an index."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mmud.dataset.sources.scenes import codes
from mmud.dataset.sources.scenes.config import ScenesConfig
from mmud.dataset.sources.scenes.drawing import Background, Image, draw_background, paint
from mmud.dataset.sources.scenes.facts import Fact, list_facts
from mmud.dataset.sources.scenes.language.captions import write_caption
from mmud.dataset.sources.scenes.language.phrases import write_phrases
from mmud.dataset.sources.scenes.language.questions import Question, ask, ask_family
from mmud.dataset.sources.scenes.layout import Layout, Owner, lay_out
from mmud.dataset.sources.scenes.predicates import SceneObject, View
from mmud.dataset.sources.scenes.stream import Stream
from mmud.errors import MmudError, Place

#: Layouts tried for the question family drawn first, and in all.
_TRIES_FIRST = 4
_TRIES_ALL = 60


@dataclass(frozen=True, eq=False)
class Scene:
    """One scene. Its image, phrases, caption and facts are made when they are first asked for: each costs only whom it serves.

    Attributes:
        config, index: What it is a function of.
        objects: In index order; object i is ``objects[i - 1]`` and ``<LCL-i>``. The order is random.
        background: Pattern and tint.
        owner: (H, W) uint8: which object is seen at a pixel, 0 for the background.
        question: Its text, its answer with tags, and what a program needs to check it.
        layout: How it was put together, from back to front.
        view: Answers questions about it.
        variant: Which wording its texts have; see :meth:`reworded`.
    """

    config: ScenesConfig
    index: int
    objects: tuple[SceneObject, ...]
    background: Background
    owner: Owner
    question: Question
    layout: Layout
    view: View
    variant: int = 0

    @property
    def sample_id(self) -> str:
        return sample_id(self.config, self.index)

    @cached_property
    def image(self) -> Image:
        """(H, W, 3) uint8."""
        return paint(self.layout, self.background, self.config)

    @cached_property
    def phrases(self) -> tuple[tuple[str, ...], ...]:
        """For each object, different phrases that each single it out."""
        return write_phrases(self.view, self.config, Stream(self.config.seed, self.index, "phrases", self.variant))

    @cached_property
    def caption(self) -> str:
        """A long description."""
        stream = Stream(self.config.seed, self.index, "caption", self.variant)
        return write_caption(self.view, self.background, self.config, stream)

    @cached_property
    def facts(self) -> tuple[Fact, ...]:
        """Everything that clearly holds, as data: attributes, cells, relations, extremes."""
        return tuple(list_facts(self.view, self.background))

    @property
    def masks(self) -> npt.NDArray[np.bool_]:
        """(objects, H, W) bool: the visible mask of each object; no pixel is in two of them."""
        numbers = np.arange(1, len(self.objects) + 1, dtype=np.uint8)
        masks: npt.NDArray[np.bool_] = self.owner[None] == numbers[:, None, None]
        return masks

    def mask(self, index: int) -> npt.NDArray[np.bool_]:
        """(H, W) bool: the visible mask of object ``index``, from 1."""
        mask: npt.NDArray[np.bool_] = self.owner == index
        return mask

    def reworded(self, variant: int) -> Scene:
        """The same scene with its texts written anew; variant 0 is the scene as generated."""
        if variant == 0:
            return generate(self.config, self.index)
        question = ask(self.view, self.config, Stream(self.config.seed, self.index, "question", variant))
        return replace(self, question=question or self.question, variant=variant)

    def more_questions(self, count: int, variant: int = 1) -> list[Question]:
        """Up to ``count`` different questions, of any allowed family."""
        stream = Stream(self.config.seed, self.index, "more questions", variant)
        found: dict[str, Question] = {}
        for _ in range(3 * count):
            question = ask(self.view, self.config, stream)
            if question is not None:
                found.setdefault(question.text, question)
            if len(found) == count:
                break
        return list(found.values())


class _Stage(NamedTuple):
    """A scene before any word is said of it."""

    layout: Layout
    owner: Owner
    view: View


def sample_id(config: ScenesConfig, index: int) -> str:
    return f"scenes-{config.seed}-{index:06d}"


def generate(config: ScenesConfig, index: int) -> Scene:
    """Scene ``index`` of the world that ``config`` describes; equal arguments give an equal scene, byte for byte, anywhere.

    The question's family is drawn evenly; when the first layout offers no question of it, a few others are tried.

    Raises:
        MmudError: MM773 the objects do not fit, MM774 no allowed question fits, MM775 a negative index.
    """
    if isinstance(index, bool) or not isinstance(index, int) or index < 0:
        raise MmudError(codes.NO_SUCH_SCENE, f"index {index!r} is not a whole number from 0")
    family = Stream(config.seed, index, "family").choice(config.families)
    for attempt in range(_TRIES_ALL):
        stage = _set_stage(config, index, attempt)
        question = None
        if attempt < _TRIES_FIRST:
            question = ask_family(family, stage.view, config, Stream(config.seed, index, "question", 0, attempt))
        if question is None and attempt >= _TRIES_FIRST - 1:
            question = ask(stage.view, config, Stream(config.seed, index, "any question", attempt))
        if question is not None:
            background = draw_background(config, index)
            return Scene(config, index, stage.view.objects, background, stage.owner, question, stage.layout, stage.view)
    raise MmudError(
        codes.NO_QUESTION,
        f"none of {', '.join(config.families)} can be asked",
        Place(sample=sample_id(config, index), field="families"),
    )


def _set_stage(config: ScenesConfig, index: int, attempt: int) -> _Stage:
    layout = lay_out(config, index, attempt)
    count = len(layout.objects)
    # Object numbers are drawn at random: neither depth nor place can be guessed from a tag.
    order = Stream(config.seed, index, "order", attempt).shuffled(range(count))
    number = np.zeros(count + 1, dtype=np.uint8)
    for position, depth in enumerate(order):
        number[depth + 1] = position + 1
    owner: Owner = number[layout.owner]
    hides = [[0] * (count + 1) for _ in range(count + 1)]
    objects = []
    for position, depth in enumerate(order):
        objects.append(_seen(layout, owner, position + 1, depth, hides))
    return _Stage(layout, owner, View(objects, hides, config.width, config.height))


def _seen(layout: Layout, owner: Owner, index: int, depth: int, hides: list[list[int]]) -> SceneObject:
    """Measure an object where it is seen, and note what covers it in ``hides``."""
    thing = layout.objects[depth]
    window, shape = owner[thing.window], thing.template
    for front, pixels in enumerate(np.bincount(window[shape.mask], minlength=len(hides)).tolist()):
        if front not in (0, index):
            hides[front][index] = pixels
    seen = window == index
    columns, rows = seen.sum(axis=0), seen.sum(axis=1)
    area = int(columns.sum())
    used_x, used_y = np.flatnonzero(columns).tolist(), np.flatnonzero(rows).tolist()
    # Pixel k covers 16 k to 16 k + 16 sixteenths, its middle is 16 k + 8.
    x = (int(columns @ np.arange(len(columns))) * 16 + 8 * area) // area + 16 * thing.left
    y = (int(rows @ np.arange(len(rows))) * 16 + 8 * area) // area + 16 * thing.top
    bbox = (
        thing.left + used_x[0],
        thing.top + used_y[0],
        used_x[-1] - used_x[0] + 1,
        used_y[-1] - used_y[0] + 1,
    )
    return SceneObject(index, *thing.attributes, depth, x, y, bbox, area, shape.area)
