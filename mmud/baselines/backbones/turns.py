"""What the language model is asked about a scene, and what it is to answer.

Besides the questions of the world there are *drills*: a few words that ask for one thing ("Colour of the star?", "Left of the red
ring?"). A document holds many of them, so that looking things up in the context is learnt long before the sentences around it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from mmud.dataset.sources.scenes.language.phrases import PLAIN_WAYS, looks, reference
from mmud.dataset.sources.scenes.language.questions import Question, ask
from mmud.dataset.sources.scenes.language.wording import (
    ATTRIBUTE_WORDS,
    PLACE_FORMS,
    RELATION_FORMS,
    Wording,
    left_to_right,
    listing,
    plural,
    sentence,
)
from mmud.dataset.sources.scenes.predicates import EXTREMES, Truth
from mmud.dataset.sources.scenes.predicates import PLACES as REGIONS
from mmud.dataset.sources.scenes.queries import At, Kind, find
from mmud.dataset.sources.scenes.stream import Stream
from mmud.dataset.sources.scenes.vocabulary import ATTRIBUTES
from mmud.dataset.sources.scenes.world import Scene

PLACES: Final = 32
"""Steps along a side in which an object's place is given: answers list objects from left to right, so ties must be rare."""
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
LONG_REFER_PROMPTS: Final[tuple[str, ...]] = (*REFER_PROMPTS, "Find these in the image: {phrases}.")
"""With the plain instruction of `mmud.annotations.instructions`, for as many phrases as that has."""
#: Weights of the loss: what the model must find out, what a caption says (its order is free), what it is merely told.
ANSWER_WEIGHT, CAPTION_WEIGHT, GIVEN_WEIGHT = 1.0, 0.4, 0.02
#: Relations that drills ask for.
_DRILLED: Final = ("left", "right", "above", "below", "larger", "smaller")
_TAGS: Final = re.compile(r" <LCL-\d+>")


@dataclass(frozen=True, slots=True)
class Turn:
    """One question and what is to be answered."""

    question: str
    answer: str
    weight: float = ANSWER_WEIGHT


def without_tags(answer: str) -> str:
    """An answer as the language model gives it before any tag is taught."""
    return _TAGS.sub("", answer)


def place_of(scene: Scene, index: int) -> tuple[int, int]:
    """Column and row of an object's centroid on a grid of PLACES x PLACES."""
    thing, config = scene.objects[index - 1], scene.config
    return thing.x * PLACES // (config.width * 16), thing.y * PLACES // (config.height * 16)


def caption_turn(scene: Scene, stream: Stream) -> Turn:
    """The picture is to be described."""
    return Turn(stream.choice(CAPTION_PROMPTS), scene.caption, CAPTION_WEIGHT)


def background_turn(scene: Scene) -> Turn:
    """What is behind the objects: captions alone would say it too seldom to be learnt."""
    return Turn("Background?", f"A {scene.background.pattern} {scene.background.tint} background.")


def question_turn(question: Question) -> Turn:
    """A question of the world, its answer without tags."""
    return Turn(question.text, without_tags(question.answer))


def refer_turn(scene: Scene, stream: Stream, long: bool = False) -> Turn:
    """Phrases of one to three objects, answered by their names in the phrases' order.

    Args:
        long: one to five objects, phrases as the dataset has them, and a list without a capital: as the referring task has it.
    """
    wording = Wording(scene.view, stream, 0.0)
    chosen = stream.shuffled(range(1, len(scene.objects) + 1))[: stream.between(1, 5 if long else 3)]
    phrases = [stream.choice(scene.phrases[index - 1]) for index in chosen]
    if not long:
        phrases = [words if words.startswith("the ") else f"the {words}" for words in phrases]
    question = stream.choice(LONG_REFER_PROMPTS if long else REFER_PROMPTS).format(phrases=", ".join(phrases))
    names = ", ".join(wording.the(index) for index in chosen)
    return Turn(question, f"{names}." if long else sentence(names))


def natural_turn(scene: Scene, stream: Stream, long: bool = False) -> Turn | None:
    """Phrases to name, or a question of the world; None when a few draws find none.

    Args:
        long: phrases come as the referring task has them, and more often.
    """
    if stream.chance(0.25 if long else 0.15):
        return refer_turn(scene, stream, long)
    question = ask(scene.view, scene.config, stream)
    return None if question is None else question_turn(question)


# -- drills -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Drill:
    """What a drill is made with; ``index`` is the object that it is about."""

    scene: Scene
    stream: Stream
    wording: Wording
    index: int

    def looks(self) -> str:
        """A short description that singles the object out."""
        return self.wording.kind(self.stream.choice(looks(self.scene.view, self.index)[:3]))

    def names(self, found: Sequence[int]) -> str:
        if not found:
            # No word of the vocabulary, so <unk> stands for it; questions of the world never have this answer.
            return "Nothing."
        return sentence(listing([self.wording.the(index) for index in left_to_right(self.scene.view, found)]))


def _name(drill: _Drill) -> Turn | None:
    return Turn(sentence(f"the {drill.looks()}?"), sentence(drill.wording.the(drill.index)))


def _attribute(drill: _Drill) -> Turn | None:
    view, stream = drill.scene.view, drill.stream
    asked = stream.choice(ATTRIBUTES)
    for _ in range(6):
        query = reference(view, drill.index, stream, PLAIN_WAYS, (asked,))
        if query is not None:
            question = f"{ATTRIBUTE_WORDS[asked]} of the {drill.wording.query(query)}?"
            return Turn(sentence(question), sentence(getattr(view[drill.index], asked)))
    return None


def _place(drill: _Drill) -> Turn | None:
    column, row = place_of(drill.scene, drill.index)
    return Turn(sentence(f"place of the {drill.looks()}?"), f"{column} {row}.")


def _extreme(drill: _Drill) -> Turn | None:
    asked = drill.stream.choice(tuple(EXTREMES))
    found = drill.scene.view.extreme(asked, list(drill.scene.view.all))
    return None if found is None else Turn(sentence(f"{asked}?"), sentence(drill.wording.the(found)))


def _all_of(drill: _Drill) -> Turn | None:
    view = drill.scene.view
    asked = drill.stream.choice(ATTRIBUTES)
    value = getattr(view[1 + drill.stream.below(len(view.all))], asked)
    word = plural(value) if asked == "shape" else value
    return Turn(sentence(f"all {word}?"), drill.names(Kind(**{asked: value}).find(view)))


def _related(drill: _Drill) -> Turn | None:
    view, index = drill.scene.view, drill.index
    relation = drill.stream.choice(_DRILLED)
    truths = [(other, view.relation(relation, other, index)) for other in view.all if other != index]
    if any(truth is Truth.UNCLEAR for _, truth in truths):
        return None
    found = [other for other, truth in truths if truth is Truth.YES]
    return Turn(sentence(f"{RELATION_FORMS[relation][0]} {drill.wording.the(index)}?"), drill.names(found))


def _order(drill: _Drill) -> Turn | None:
    return Turn("From left to right?", drill.names(list(drill.scene.view.all)))


def _cell(drill: _Drill) -> Turn | None:
    return Turn(f"Where is the {drill.looks()}?", sentence(f"in the {drill.scene.view.cell(drill.index)}"))


def _region(drill: _Drill) -> Turn | None:
    place = drill.stream.choice(REGIONS)
    found = find(At(Kind(), place), drill.scene.view)
    return None if found is None else Turn(sentence(f"{PLACE_FORMS[place][0]}?"), drill.names(found))


def _compare(drill: _Drill) -> Turn | None:
    """Which of two is further in a direction."""
    view, stream = drill.scene.view, drill.stream
    other = 1 + stream.below(len(view.all))
    asked = stream.choice(tuple(EXTREMES))
    found = view.extreme(asked, [drill.index, other])
    if found is None or other == drill.index:
        return None
    names = (drill.wording.the(drill.index), drill.wording.the(other))
    return Turn(sentence(f"{asked}, {names[0]} or {names[1]}?"), sentence(drill.wording.the(found)))


#: With how often each is drawn. Naming is learnt first; where things are takes the longest.
_DRILLS: Final[tuple[tuple[Callable[[_Drill], Turn | None], int], ...]] = (
    (_name, 2),
    (_attribute, 1),
    (_place, 1),
    (_cell, 1),
    (_region, 2),
    (_extreme, 2),
    (_compare, 2),
    (_all_of, 2),
    (_related, 1),
    (_order, 1),
)


def _everything(scene: Scene, stream: Stream) -> Turn | None:
    """All that is known of the one object with a certain attribute."""
    view = scene.view
    index = 1 + stream.below(len(scene.objects))
    thing = view[index]
    single = [name for name in ATTRIBUTES if len(Kind(**{name: getattr(thing, name)}).find(view)) == 1]
    if not single:
        return None
    column, row = place_of(scene, index)
    told = f"{thing.size} {thing.color} {thing.texture} {thing.shape} {column} {row}"
    return Turn(sentence(f"describe {getattr(thing, stream.choice(single))}?"), sentence(told))


def drill_turn(scene: Scene, stream: Stream) -> Turn | None:
    """A drill; None when the one drawn does not fit the scene."""
    if stream.chance(0.25):
        return _everything(scene, stream)
    wording = Wording(scene.view, stream, 0.0)
    make = _DRILLS[stream.weighted([often for _, often in _DRILLS])][0]
    return make(_Drill(scene, stream, wording, 1 + stream.below(len(scene.objects))))
