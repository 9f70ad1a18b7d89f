"""What the language model reads: a context that tells a scene, then turns in which things are asked of it.

A context is one of

* records: each object in six words, its place in two numbers among them, in any order;
* bags: each object as one position, the sum of the embeddings of those six words;
* a grid: 8 x 8 positions, each the sum of the bags that are seen there by the share that each covers. Image tokens will come in
  this shape, so that a vision map has a known language to translate into.

Turns are ``<user>`` question ``<assistant>`` answer ``</s>``. Answers name objects as the world's answers do, without tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from mmud.baselines.backbones.tokenizer import ASSISTANT, BEGIN, END, SPACE, USER
from mmud.baselines.backbones.turns import (
    GIVEN_WEIGHT,
    Turn,
    background_turn,
    caption_turn,
    drill_turn,
    natural_turn,
    place_of,
)
from mmud.dataset.sources.scenes.stream import Stream
from mmud.dataset.sources.scenes.world import Scene

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

GRID: Final = 8
"""Positions along a side of the grid context, and of the image tokens: 8 x 8 of 2 x 2 patches."""
BAG: Final = 6
"""Words of a bag: size, colour, texture, shape, column, row; for the background pattern and tint."""
CAPTION_ROOM: Final = 40
"""Tokens by which a caption may make a document longer than its limit."""

ContextKind = Literal["records", "bags", "grid"]


@dataclass(frozen=True, slots=True)
class SoftContext:
    """Positions without words.

    Attributes:
        shares: (positions, K) float32: what each is made of.
        words: (K, BAG): token ids of the bags, -1 for none; the background's bag first.
    """

    shares: npt.NDArray[np.float32]
    words: npt.NDArray[np.int64]


@dataclass(slots=True)
class Document:
    """Token ids and their weights in the loss; ``soft`` fills the positions after ``<s>``."""

    ids: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    soft: SoftContext | None = None

    def add(self, ids: Sequence[int], weight: float) -> None:
        self.ids += ids
        self.weights += [weight] * len(ids)


@dataclass(frozen=True, slots=True)
class Mixture:
    """What a document may hold.

    Attributes:
        kinds: how often records, bags and grid are drawn.
        drills: share of drills among the turns.
        captions: chance of a caption before them.
        length: most tokens, a caption aside.
        long: phrases to name come as the referring task has them; see `natural_turn`.
        background: chance that the background is asked for.
    """

    kinds: tuple[int, int, int]
    drills: float
    captions: float
    length: int
    long: bool = False
    background: float = 0.0


class Writer:
    """Writes documents as token ids.

    Args:
        tokenizer: of the language model.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self.pad = self._token(str(tokenizer.pad_token))
        self.begin, self.end = self._token(BEGIN), self._token(END)
        self.user, self.assistant = self._token(USER), self._token(ASSISTANT)
        self._words: dict[str, int] = {}
        self._texts: dict[str, list[int]] = {}

    def _token(self, token: str) -> int:
        found: Any = self.tokenizer.convert_tokens_to_ids(token)
        return int(found)

    def word(self, word: str) -> int:
        """The id of a single word."""
        if word not in self._words:
            self._words[word] = self._token(SPACE + word)
        return self._words[word]

    def encode(self, text: str) -> list[int]:
        """The ids of a text; texts come again and again."""
        if text not in self._texts:
            if len(self._texts) > 200_000:
                self._texts.clear()
            self._texts[text] = list(self.tokenizer.encode(text, add_special_tokens=False))
        return self._texts[text]

    def bag(self, scene: Scene, index: int) -> list[int]:
        """The six words of an object."""
        thing = scene.objects[index - 1]
        column, row = place_of(scene, index)
        return [
            self.word(word) for word in (thing.size, thing.color, thing.texture, thing.shape, str(column), str(row))
        ]

    def _background(self, scene: Scene) -> list[int]:
        return [self.word(scene.background.pattern), self.word(scene.background.tint)]

    def context(self, scene: Scene, kind: ContextKind, stream: Stream) -> Document:
        """A document that holds a context of this kind and no turn yet."""
        document = Document()
        document.add([self.begin], 0.0)
        order = stream.shuffled(range(1, len(scene.objects) + 1))
        if kind == "records":
            stop = self._token(".")
            told = [token for index in order for token in (*self.bag(scene, index), stop)]
            background = [self.word("background"), *self._background(scene), stop]
            document.add([*told, *background] if stream.chance(0.5) else [*background, *told], GIVEN_WEIGHT)
            return document
        if kind == "grid":
            order = list(range(1, len(scene.objects) + 1))
        bags = [[*self._background(scene), *[-1] * (BAG - 2)], *(self.bag(scene, index) for index in order)]
        shares = grid_shares(scene) if kind == "grid" else np.eye(len(bags), dtype=np.float32)
        document.soft = SoftContext(shares, np.array(bags, dtype=np.int64))
        document.add([self.begin] * len(shares), 0.0)
        return document

    def ask(self, document: Document, question: str) -> None:
        """Add a question; the next tokens are the answer's."""
        document.add([self.user, *self.encode(question), self.assistant], GIVEN_WEIGHT)

    def answer(self, document: Document, turn: Turn) -> None:
        """Add the answer of a turn."""
        document.add([*self.encode(turn.answer), self.end], turn.weight)

    def write(self, scene: Scene, mixture: Mixture, stream: Stream, kind: ContextKind) -> Document:
        """A whole document, with as many turns as fit."""
        document = self.context(scene, kind, stream)
        if stream.chance(mixture.captions):
            self._add(document, caption_turn(scene, stream), mixture.length + CAPTION_ROOM)
        if mixture.background and stream.chance(mixture.background):
            self._add(document, background_turn(scene), mixture.length + CAPTION_ROOM)
        seen: set[str] = set()
        misses = 0
        while misses < 6:
            drill = stream.chance(mixture.drills)
            turn = drill_turn(scene, stream) if drill else natural_turn(scene, stream, mixture.long)
            if turn is None or turn.question in seen:
                misses += 1
                continue
            seen.add(turn.question)
            if not self._add(document, turn, mixture.length):
                misses += 2
        return document

    def _add(self, document: Document, turn: Turn, length: int) -> bool:
        """Add a turn if it fits."""
        needed = len(self.encode(turn.question)) + len(self.encode(turn.answer)) + 3
        if len(document.ids) + needed > length:
            return False
        self.ask(document, turn.question)
        self.answer(document, turn)
        return True


def grid_shares(scene: Scene) -> npt.NDArray[np.float32]:
    """(GRID * GRID, objects + 1): how much of each position the background and each object cover."""
    count = len(scene.objects)
    height, width = scene.owner.shape
    rows = np.arange(height) * GRID // height
    columns = np.arange(width) * GRID // width
    cells = rows[:, None] * GRID + columns[None, :]
    counts = np.bincount((cells * (count + 1) + scene.owner).ravel(), minlength=GRID * GRID * (count + 1))
    shares: npt.NDArray[np.float32] = counts.reshape(GRID * GRID, count + 1).astype(np.float32)
    shares /= shares.sum(axis=1, keepdims=True)
    return shares
