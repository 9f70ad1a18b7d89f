"""What the language model reads: a context that tells a scene, then turns in which things are asked of it.

A context is one of

* records: each object in a line of words and two numbers, the place of its centroid on a grid of 32 x 32, in several
  formats and any order;
* a grid: 8 x 8 positions without words, each the sum of the embeddings of the words that hold there. Image tokens will come in
  this shape, so that a vision map has a known language to translate into;
* a caption, about which only what a caption tells is asked.

Turns are ``<user>`` question ``<assistant>`` answer ``</s>``. Answers name objects as the world's answers do, without tags.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from mmud.baselines.backbones.tokenizer import ASSISTANT, BEGIN, END, USER
from mmud.dataset.sources.scenes.language.questions import Question, ask
from mmud.dataset.sources.scenes.language.wording import Wording, sentence
from mmud.dataset.sources.scenes.stream import Stream
from mmud.dataset.sources.scenes.world import Scene

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

GRID: Final = 8
"""Positions along a side of the grid context, and of the image tokens: 8 x 8 of 2 x 2 patches."""
PLACES: Final = 32
"""Steps along a side in which a record gives an object's place."""
BAG: Final = 6
"""Words of a grid position: size, colour, texture, shape, column, row; for the background pattern and tint."""

RECORDS: Final[tuple[str, ...]] = (
    "{size} {color} {texture} {shape} at {x} {y}.",
    "At {x} {y}: {shape}, {color}, {texture}, {size}.",
    "A {size} {texture} {color} {shape}, {x} {y}.",
    "{x} {y} {color} {shape} {texture} {size};",
)
CAPTION_PROMPTS: Final[tuple[str, ...]] = (
    "Describe the picture.",
    "Describe the image in detail.",
    "What do you see?",
    "Write a caption of the picture.",
    "Tell me what the image shows.",
)
REFER_PROMPTS: Final[tuple[str, ...]] = (
    "Find: {phrases}.",
    "Point out {phrases}.",
    "Where is {phrases}?",
    "Show me {phrases}.",
    "Name these: {phrases}.",
)
#: Families whose answers a caption holds when they name one object.
TOLD_BY_CAPTION: Final = ("color_association", "shape_association", "texture_association")
#: Weights of the loss: what the model must find out, what a caption says (its order is free), what it is merely told.
ANSWER_WEIGHT, CAPTION_WEIGHT, GIVEN_WEIGHT = 1.0, 0.4, 0.05

_TAGS: Final = re.compile(r" <LCL-\d+>")


def without_tags(answer: str) -> str:
    """An answer as the language model gives it before any tag is taught."""
    return _TAGS.sub("", answer)


@dataclass(frozen=True, slots=True)
class Turn:
    """One question and what is to be answered."""

    question: str
    answer: str
    weight: float = ANSWER_WEIGHT


@dataclass(frozen=True, slots=True)
class GridContext:
    """A scene as a grid.

    Attributes:
        shares: (GRID * GRID, objects + 1) float32: how much of a position each object covers, the background first.
        words: (objects + 1, BAG): token ids of the words that hold of each, -1 for none.
    """

    shares: npt.NDArray[np.float32]
    words: npt.NDArray[np.int64]


@dataclass(slots=True)
class Document:
    """Token ids, loss weights and positions of one scene's text; ``grid`` fills the positions after ``<s>``."""

    ids: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    grid: GridContext | None = None

    def add(self, ids: Sequence[int], weight: float, gap: int = 0) -> None:
        start = self.positions[-1] + 1 + gap if self.positions else gap
        self.positions += range(start, start + len(ids))
        self.ids += ids
        self.weights += [weight] * len(ids)


def place_of(scene: Scene, index: int) -> tuple[int, int]:
    """Column and row of an object's centroid on a grid of PLACES x PLACES."""
    thing, config = scene.objects[index - 1], scene.config
    return thing.x * PLACES // (config.width * 16), thing.y * PLACES // (config.height * 16)


def records(scene: Scene, stream: Stream) -> str:
    """The scene's facts in one of the formats, in random order or from left to right."""
    form = stream.choice(RECORDS)
    order = stream.shuffled(range(1, len(scene.objects) + 1))
    if stream.chance(0.3):
        order.sort(key=lambda index: scene.objects[index - 1].x)
    lines = []
    for index in order:
        thing = scene.objects[index - 1]
        x, y = place_of(scene, index)
        words = {"size": thing.size, "color": thing.color, "texture": thing.texture, "shape": thing.shape}
        lines.append(form.format(x=x, y=y, **words))
    background = f"Background: {scene.background.pattern} {scene.background.tint}."
    lines.insert(len(lines) if stream.chance(0.5) else 0, background)
    return " ".join(lines)


def grid(scene: Scene, tokenizer: PreTrainedTokenizerFast) -> GridContext:
    """The scene as a grid context."""
    count = len(scene.objects)
    height, width = scene.owner.shape
    rows = np.arange(height) * GRID // height
    columns = np.arange(width) * GRID // width
    cells = rows[:, None] * GRID + columns[None, :]
    counts = np.bincount((cells * (count + 1) + scene.owner).ravel(), minlength=GRID * GRID * (count + 1))
    shares = counts.reshape(GRID * GRID, count + 1).astype(np.float32)
    shares /= shares.sum(axis=1, keepdims=True)
    words = np.full((count + 1, BAG), -1, dtype=np.int64)
    words[0, :2] = word_ids(tokenizer, (scene.background.pattern, scene.background.tint))
    for thing in scene.objects:
        x, y = place_of(scene, thing.index)
        said = (thing.size, thing.color, thing.texture, thing.shape, str(x), str(y))
        words[thing.index] = word_ids(tokenizer, said)
    return GridContext(shares, words)


def word_ids(tokenizer: PreTrainedTokenizerFast, words: Sequence[str]) -> list[int]:
    """The ids of single words."""
    ids: Any = tokenizer.convert_tokens_to_ids([f"▁{word}" for word in words])
    return list(ids)


def refer_turn(scene: Scene, stream: Stream) -> Turn:
    """One to three phrases, answered by the objects' names in the phrases' order."""
    wording = Wording(scene.view, stream, 0.0)
    chosen = stream.shuffled(range(1, len(scene.objects) + 1))[: stream.between(1, 3)]
    phrases = [stream.choice(scene.phrases[index - 1]) for index in chosen]
    phrases = [words if words.startswith("the ") else f"the {words}" for words in phrases]
    question = stream.choice(REFER_PROMPTS).format(phrases=", ".join(phrases))
    return Turn(question, sentence(", ".join(wording.the(index) for index in chosen)))


def caption_turn(scene: Scene, stream: Stream) -> Turn:
    return Turn(stream.choice(CAPTION_PROMPTS), scene.caption, CAPTION_WEIGHT)


def question_turn(question: Question) -> Turn:
    return Turn(question.text, without_tags(question.answer))


def turns_of(scene: Scene, stream: Stream, told: bool) -> Iterator[Turn]:
    """Turns without end; with ``told``, only those that a caption answers."""
    config = scene.config.with_(families=TOLD_BY_CAPTION) if told else scene.config
    if not told and stream.chance(0.3):
        yield caption_turn(scene, stream)
    seen: set[str] = set()
    misses = 0
    while misses < 20:
        if not told and stream.chance(0.15):
            yield refer_turn(scene, stream)
            continue
        question = ask(scene.view, config, stream)
        if question is None or question.text in seen or (told and len(question.targets) > 1):
            misses += 1
            continue
        seen.add(question.text)
        yield question_turn(question)


class Writer:
    """Writes documents as token ids.

    Args:
        tokenizer: Of the language model.
        length: Most tokens of a document.
        longest_gap: Positions left out between a context of words and its turns, at most: an image may take them later.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, length: int = 256, longest_gap: int = GRID * GRID) -> None:
        self.tokenizer = tokenizer
        self.length = length
        self.longest_gap = longest_gap
        self.begin, self.end, self.user, self.assistant = word_tokens(tokenizer)

    def encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def context(self, scene: Scene, kind: str, stream: Stream) -> Document:
        """A document that holds a context of this kind (``records``, ``grid`` or ``caption``) and no turn yet."""
        document = Document()
        document.add([self.begin], 0.0, gap=stream.below(self.longest_gap) if kind != "grid" else 0)
        if kind == "grid":
            document.grid = grid(scene, self.tokenizer)
            document.add([self.begin] * (GRID * GRID), 0.0)
        else:
            text = records(scene, stream) if kind == "records" else scene.caption
            document.add(self.encode(text), GIVEN_WEIGHT)
        return document

    def ask(self, document: Document, question: str, gap: int = 0) -> None:
        """Add a question; the next tokens are the answer's."""
        document.add([self.user, *self.encode(question), self.assistant], GIVEN_WEIGHT, gap)

    def write(self, scene: Scene, stream: Stream, kind: str | None = None) -> Document:
        """A whole document of at most ``length`` tokens, with as many turns as fit."""
        kind = kind or ("records", "grid", "caption")[stream.weighted((45, 45, 10))]
        document = self.context(scene, kind, stream)
        gap = stream.below(self.longest_gap) if kind != "grid" else 0
        for turn in turns_of(scene, stream, told=kind == "caption"):
            answer = [*self.encode(turn.answer), self.end]
            question = self.encode(turn.question)
            if len(document.ids) + len(question) + len(answer) + 2 > self.length:
                break
            self.ask(document, turn.question, gap)
            document.add(answer, turn.weight)
            gap = 0
        return document


def word_tokens(tokenizer: PreTrainedTokenizerFast) -> tuple[int, int, int, int]:
    """Ids of ``<s>``, ``</s>``, ``<user>`` and ``<assistant>``."""
    ids: Any = tokenizer.convert_tokens_to_ids([BEGIN, END, USER, ASSISTANT])
    begin, end, user, assistant = ids
    return begin, end, user, assistant


__all__ = [
    "BAG",
    "GRID",
    "PLACES",
    "Document",
    "GridContext",
    "Turn",
    "Writer",
    "grid",
    "place_of",
    "records",
    "turns_of",
    "without_tags",
]
