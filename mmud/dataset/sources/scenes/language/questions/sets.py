"""Questions about what objects share, what sets them apart, and which kind there is more of."""

from __future__ import annotations

from typing import Final

from mmud.dataset.sources.scenes.language.questions.base import DRAWS, Context, Question, Template
from mmud.dataset.sources.scenes.language.wording import ATTRIBUTE_WORDS
from mmud.dataset.sources.scenes.queries import Kind
from mmud.dataset.sources.scenes.vocabulary import ATTRIBUTES

_SAME: Final = (
    Template("Which other objects have the same {attribute} as {it}?", "{names} {be} {value} too."),
    Template("What shares its {attribute} with {it}?", "{names} {be} {value} too."),
    Template("{it} has a certain {attribute}. Where else do you find it?", "{names} {be} {value} too."),
    Template("Which objects match {it} in {attribute}?", "{names} {be} {value} too."),
)


def same_attribute(context: Context) -> Question | None:
    wanted = context.stream.between(1, context.config.max_targets)
    spare: tuple[int, str, list[int]] | None = None
    for _ in range(2 * DRAWS):
        index, asked = context.stream.choice(context.view.all), context.stream.choice(ATTRIBUTES)
        value = getattr(context.view[index], asked)
        found = [
            other.index for other in context.view.objects if getattr(other, asked) == value and other.index != index
        ]
        if context.answerable(found):
            spare = (index, asked, found)
            if len(found) == wanted:
                break
    if spare is None:
        return None
    index, asked, found = spare
    it = context.the(index, (asked,))
    if it is None:
        return None
    value = context.wording.word(asked, getattr(context.view[index], asked))
    if asked == "shape":
        templates = [Template(ask, "{names}.") for ask, _ in _SAME]
        return context.question(templates, found, attribute="shape", it=it)
    return context.question(_SAME, found, attribute=ATTRIBUTE_WORDS[asked], it=it, value=value)


_UNIQUE: Final = (
    Template("Which objects have a {attribute} that no other object has?", "{names}."),
    Template("By {attribute}, which objects are one of a kind?", "{names} {be}."),
    Template("Which objects share their {attribute} with none of the others?", "{names} {be} alone in that."),
    Template("Whose {attribute} appears only once in the picture?", "That of {names}."),
)
_ODD: Final = (
    Template("All objects but one have the same {attribute}. Which one differs?", "{names} does."),
    Template("Which object is the odd one out by {attribute}?", "It is {names}."),
    Template("One object has another {attribute} than all the rest. Which?", "It is {names}."),
)


def unique_value(context: Context) -> Question | None:
    """The objects whose value of an attribute is theirs alone; the odd one out where all the others agree."""
    for asked in context.stream.shuffled(ATTRIBUTES):
        values = [getattr(thing, asked) for thing in context.view.objects]
        found = [thing.index for thing in context.view.objects if values.count(getattr(thing, asked)) == 1]
        if not context.answerable(found) or len(found) == len(values):
            continue
        odd = len(found) == 1 and len(set(values)) == 2 and len(values) > 2
        return context.question(_ODD if odd else _UNIQUE, found, attribute=ATTRIBUTE_WORDS[asked])
    return None


_MORE: Final = (
    Template("Are there more {ones} or more {others}?", "There are more {winners}: {names}."),
    Template("Which are more numerous, {ones} or {others}?", "The {winners} are: {names}."),
    Template("{ones} or {others}: of which do you see more?", "I see more {winners}: {names}."),
    Template("If {ones} played {others}, one point for each, who would win?", "The {winners} would: {names}."),
)


def more_common(context: Context) -> Question | None:
    view = context.view
    for asked in context.stream.shuffled(ATTRIBUTES):
        values = sorted({getattr(thing, asked) for thing in view.objects})
        kinds = [Kind(**{asked: value}) for value in values]
        counted = [(kind, kind.find(view)) for kind in kinds]
        pairs = [
            (more, found, fewer)
            for more, found in counted
            for fewer, others in counted
            if len(found) > len(others) and context.answerable(found)
        ]
        if pairs:
            more, found, fewer = context.stream.choice(pairs)
            winners, losers = (context.wording.kind(kind, many=True) for kind in (more, fewer))
            ones, others = context.stream.shuffled([winners, losers])
            value = str(getattr(more, asked))
            return context.question(_MORE, found, value, ones=ones, others=others, winners=winners)
    return None


_NEITHER: Final = (
    Template("Which objects are neither {one} nor {other}?", "{names}."),
    Template("Leave out all that is {one} or {other}. What remains?", "{names} {be} left."),
    Template("What would be left if everything {one} or {other} went away?", "{names} would be left."),
)
_BUT_NOT: Final = (
    Template("Which {kinds} are not {one}?", "{names}."),
    Template("Except for the {one} ones, which {kinds} are there?", "{names} {be} there."),
    Template("Take the {kinds} and drop those that are {one}. What remains?", "{names} {be} left."),
)


def exclusion(context: Context) -> Question | None:
    view, wanted = context.view, context.stream.between(1, context.config.max_targets)
    spare: tuple[str, str, str, str, list[int]] | None = None
    for _ in range(2 * DRAWS):
        first, second = context.stream.shuffled(("size", "color", "texture"))[:2]
        if context.stream.chance(0.4):
            first = "shape"
        one, other = (getattr(view[context.stream.choice(view.all)], name) for name in (first, second))
        # With a shape, which is a noun: "stars that are not red"; else "neither red nor striped".
        found = [
            thing.index
            for thing in view.objects
            if (getattr(thing, first) == one) == (first == "shape") and getattr(thing, second) != other
        ]
        excluded = any(getattr(thing, second) == other and getattr(thing, first) == one for thing in view.objects)
        if context.answerable(found) and (excluded or first != "shape"):
            spare = (first, one, second, other, found)
            if len(found) == wanted:
                break
    if spare is None:
        return None
    first, one, second, other, found = spare
    word = context.wording.word(second, other)
    if first == "shape":
        return context.question(_BUT_NOT, found, kinds=context.wording.kind(Kind(shape=one), many=True), one=word)
    return context.question(_NEITHER, found, one=context.wording.word(first, one), other=word)
