"""Questions about attributes, extremes, places and counts."""

from __future__ import annotations

from typing import Final

from mmud.dataset.sources.scenes.language.phrases import kind_of, loose_kind
from mmud.dataset.sources.scenes.language.questions.base import DRAWS, Context, Question, Template
from mmud.dataset.sources.scenes.language.wording import EXTREME_FORMS, NUMBERS, PLACE_FORMS
from mmud.dataset.sources.scenes.predicates import EXTREMES, PLACES
from mmud.dataset.sources.scenes.queries import At, Kind, find
from mmud.dataset.sources.scenes.vocabulary import ATTRIBUTES

ASK_ATTRIBUTE: Final[dict[str, tuple[Template, ...]]] = {
    "color": (
        Template("What colour is {it}?", "It is {value}: {names}."),
        Template("Which colour does {it} have?", "It is {value}: {names}."),
        Template("In what colour is {it} painted?", "It is {value}: {names}."),
        Template("Can you tell the colour of {it}?", "Its colour is {value}: {names}."),
    ),
    "texture": (
        Template("What pattern does {it} have?", "It is {value}: {names}."),
        Template("How is the surface of {it} decorated?", "It is {value}: {names}."),
        Template("Which pattern covers {it}?", "It is {value}: {names}."),
        Template("Can you tell the pattern of {it}?", "Its pattern is {value}: {names}."),
    ),
    "shape": (
        Template("What shape is {it}?", "It is a {value}: {names}."),
        Template("Which shape does {it} have?", "It is a {value}: {names}."),
        Template("What is the outline of {it}?", "Its outline is a {value}: {names}."),
        Template("Can you tell the shape of {it}?", "Its shape is a {value}: {names}."),
    ),
    "size": (
        Template("How big is {it}?", "It is {value}: {names}."),
        Template("What size is {it}?", "It is {value}: {names}."),
        Template("Which size class is {it} in?", "It is {value}: {names}."),
        Template("Can you tell the size of {it}?", "Its size is {value}: {names}."),
    ),
}


def with_article(value: str, text: str) -> str:
    """ "It is a {value}" with "an" before a vowel."""
    return text.replace("a {value}", "an {value}") if value[0] in "aeiou" else text


def about_attribute(context: Context, index: int, attribute: str, it: str) -> Question:
    """The question what ``attribute`` the object has, which the question calls ``it``."""
    value = context.wording.word(attribute, getattr(context.view[index], attribute))
    templates = [Template(ask, with_article(value, answer)) for ask, answer in ASK_ATTRIBUTE[attribute]]
    return context.question(templates, [index], getattr(context.view[index], attribute), it=it, value=value)


def attribute(context: Context) -> Question | None:
    for _ in range(DRAWS):
        asked = context.stream.choice(ATTRIBUTES)
        index = context.stream.choice(context.view.all)
        it = context.the(index, (asked,))
        if it is not None:
            return about_attribute(context, index, asked, it)
    return None


_EXTREME: Final = (
    Template("Which {kind} is the {extreme}?", "The {extreme} one is {names}."),
    Template("Which is the {extreme} {kind}?", "It is {names}."),
    Template("Where do you see the {extreme} {kind}?", "The {extreme} one is {names}."),
    Template("Of all the {kinds}, which is the {extreme}?", "It is {names}."),
)


def extreme(context: Context) -> Question | None:
    for _ in range(DRAWS):
        asked = context.stream.choice(tuple(EXTREMES))
        model = context.stream.choice(context.view.all)
        avoid = ("size",) if asked in ("largest", "smallest") else ()
        kind = Kind() if context.stream.chance(0.4) else loose_kind(context.view, model, context.stream, avoid)
        candidates = kind.find(context.view)
        found = context.view.extreme(asked, candidates)
        if len(candidates) > 1 and found is not None:
            return context.question(
                _EXTREME,
                [found],
                extreme=context.wording.form(EXTREME_FORMS[asked]),
                kind=context.wording.kind(kind),
                kinds=context.wording.kind(kind, many=True),
            )
    return None


_REGION: Final = (
    Template("What is {place}?", "{names} {be} {place}."),
    Template("Which {kinds} are {place}?", "{names} {be} there."),
    Template("What can be seen {place}?", "There one sees {names}."),
    Template("If I look for {kinds} {place}, what do I find?", "You find {names}."),
)


def region(context: Context) -> Question | None:
    wanted = context.stream.between(1, context.config.max_targets)
    spare = None
    for _ in range(DRAWS):
        place = context.stream.choice(PLACES)
        found = find(At(Kind(), place), context.view)
        if found is not None and context.answerable(found):
            spare = (place, found)
            if len(found) == wanted:
                break
    if spare is None:
        return None
    place, found = spare
    return context.question(_REGION, found, place=context.wording.form(PLACE_FORMS[place]), kinds="objects")


#: The objects come before their number: a model that says one word after the other counts best once it has named them.
_COUNT: Final = (
    Template("How many {kinds}{place} are there?", "{names}: {number} in all."),
    Template("How many {kinds}{place} can you see?", "{names}, so I see {number}."),
    Template("What is the number of {kinds}{place}?", "{names}: that makes {number}."),
    Template("Please count the {kinds}{place}.", "{names}: I count {number}."),
)


def count(context: Context) -> Question | None:
    wanted = context.stream.between(1, context.config.max_targets)
    spare: tuple[Kind, str | None, list[int]] | None = None
    # One is what most descriptions count to: many draws, so that a guess at "one" is not a good guess.
    for _ in range(6 * DRAWS):
        model = context.stream.choice(context.view.all)
        kept = tuple(name for name in ATTRIBUTES if context.stream.chance(0.25))
        place = context.stream.choice(PLACES) if context.stream.chance(0.2) or not kept else None
        kind = kind_of(context.view, model, kept)
        found = kind.find(context.view) if place is None else find(At(kind, place), context.view)
        if found is not None and context.answerable(found):
            spare = (kind, place, found)
            if len(found) == wanted:
                break
    if spare is None:
        return None
    kind, place, found = spare
    number = NUMBERS[len(found)]
    where = "" if place is None else f" {context.wording.form(PLACE_FORMS[place])}"
    kinds = context.wording.kind(kind, many=True)
    return context.question(_COUNT, found, number, kinds=kinds, place=where, number=number)
