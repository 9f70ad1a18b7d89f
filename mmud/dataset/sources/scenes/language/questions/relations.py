"""Questions about how objects stand to each other."""

from __future__ import annotations

from typing import Final

from mmud.dataset.sources.scenes.language.phrases import FINDING_WAYS, PLAIN_WAYS, loose_kind
from mmud.dataset.sources.scenes.language.questions.base import DRAWS, Context, Question, Template
from mmud.dataset.sources.scenes.language.questions.looks import about_attribute
from mmud.dataset.sources.scenes.language.wording import EXTREME_FORMS
from mmud.dataset.sources.scenes.predicates import CONVERSE, EXTREMES, Truth
from mmud.dataset.sources.scenes.queries import Between, Kind, Nearest, Query, Related, find, singled_out
from mmud.dataset.sources.scenes.vocabulary import ATTRIBUTES

_SIDES: Final = ("left", "right", "above", "below", "larger", "smaller")
_RELATION: Final = (
    Template("Which {kinds} are {relation} {anchor}?", "{names} {be}."),
    Template("Name all {kinds} that are {relation} {anchor}.", "{names}."),
    Template("Looking at {anchor}, which {kinds} are {relation} it?", "{names} {be}."),
    Template("What {kinds} do you find {relation} {anchor}?", "I find {names}."),
)


def relation(context: Context) -> Question | None:
    wanted = context.stream.between(1, context.config.max_targets)
    spare: tuple[Related, list[int]] | None = None
    for _ in range(2 * DRAWS):
        model = context.stream.choice(context.view.all)
        kind = Kind() if context.stream.chance(0.6) else loose_kind(context.view, model, context.stream)
        query = Related(kind, context.stream.choice(_SIDES), context.stream.choice(context.view.all))
        found = find(query, context.view)
        if found is not None and context.answerable(found):
            spare = (query, found)
            if len(found) == wanted:
                break
    if spare is None:
        return None
    query, found = spare
    return context.question(
        _RELATION,
        found,
        kinds=context.wording.kind(query.kind, many=True),
        relation=context.wording.relation(query.relation),
        anchor=context.wording.the(query.anchor),
    )


#: relation -> what a question calls it.
_COMPARED: Final = {
    "larger": "larger",
    "smaller": "smaller",
    "left": "farther left",
    "right": "farther right",
    "above": "higher up",
    "below": "lower down",
}
_COMPARISON: Final = (
    Template("Which is {more}, {one} or {other}?", "{names} is {more}."),
    Template("Of {one} and {other}, which is {more}?", "{names} is {more}."),
    Template("Compare {one} with {other}: which is {more}?", "{names} is {more}."),
    Template("Is {one} or {other} {more}?", "{names} is {more}."),
)


def comparison(context: Context) -> Question | None:
    for _ in range(DRAWS):
        first, second = context.stream.shuffled(context.view.all)[:2]
        asked = context.stream.choice(tuple(_COMPARED))
        if context.view.relation(asked, first, second) is not Truth.YES:
            first, second = second, first
        if context.view.relation(asked, first, second) is not Truth.YES:
            continue
        # Only looks may name the two: any other reference could give the answer away.
        avoid = ("size",) if asked in ("larger", "smaller") else ()
        names = [context.the(index, avoid, PLAIN_WAYS) for index in context.stream.shuffled([first, second])]
        if names[0] is not None and names[1] is not None:
            return context.question(_COMPARISON, [first], more=_COMPARED[asked], one=names[0], other=names[1])
    return None


_DISTANCE: Final = (
    Template("Which {kind} is {most} {anchor}?", "It is {names}."),
    Template("Starting from {anchor}, which {kind} is the {word}?", "The {word} one is {names}."),
    Template("If {anchor} could move, which {kind} would it reach {order}?", "It would reach {names} {order}."),
    Template("What is the {word} {kind} as seen from {anchor}?", "The {word} one is {names}."),
)


def distance(context: Context) -> Question | None:
    for _ in range(DRAWS):
        model, anchor = context.stream.shuffled(context.view.all)[:2]
        kind = Kind() if context.stream.chance(0.6) else loose_kind(context.view, model, context.stream)
        farthest = context.stream.chance(0.4)
        rivals = [index for index in kind.find(context.view) if index != anchor]
        found = singled_out(Nearest(kind, anchor, farthest), context.view)
        if len(rivals) > 1 and found is not None:
            return context.question(
                _DISTANCE,
                [found],
                kind=context.wording.kind(kind),
                anchor=context.wording.the(anchor),
                most="farthest from" if farthest else "nearest to",
                word="farthest" if farthest else "nearest",
                order="last" if farthest else "first",
            )
    return None


_BETWEEN: Final = (
    Template("What is between {one} and {other}?", "{names} {be} between them."),
    Template("Which objects stand in the gap from {one} to {other}?", "{names} {be} in the gap."),
    Template("A line runs from {one} to {other}. What lies on it?", "{names} {be} on the line."),
    Template("What would you meet on the way from {one} to {other}?", "{names} {be} on the way."),
)


def between(context: Context) -> Question | None:
    pairs = [(one, other) for one in context.view.all for other in context.view.all if one < other]
    for first, second in context.stream.shuffled(pairs):
        found = find(Between(Kind(), first, second), context.view)
        if found is not None and context.answerable(found):
            first, second = context.stream.shuffled([first, second])
            return context.question(_BETWEEN, found, one=context.wording.the(first), other=context.wording.the(second))
    return None


_BEHIND: Final = (
    Template("What is partly hidden by {anchor}?", "{names} {be}."),
    Template("Which objects lie behind {anchor}?", "{names} {be} behind it."),
    Template(
        "If {anchor} were lifted, which objects would come to light in full or in part?",
        "More of {names} would be seen.",
    ),
)
_FRONT: Final = (
    Template("What covers a part of {anchor}?", "{names} {be} in front of it."),
    Template("Which objects lie on top of {anchor}?", "{names} {be} on top of it."),
    Template("What keeps you from seeing all of {anchor}?", "{names} {be} in the way."),
)
_HIDDEN: Final = (
    Template("Which objects are partly hidden?", "{names} {be}."),
    Template("What cannot be seen in full?", "{names} cannot."),
    Template("Of which objects is a part covered?", "A part is covered of {names}."),
)
_HIDING: Final = (
    Template("Which objects cover a part of another one?", "{names} {be} in front."),
    Template("What hides something else in part?", "{names} {be} in front."),
)


def occlusion(context: Context) -> Question | None:
    view = context.view
    asked: list[tuple[tuple[Template, ...], list[int] | None, int | None]] = []
    for anchor in view.all:
        asked.append((_BEHIND, find(Related(Kind(), "behind", anchor), view), anchor))
        asked.append((_FRONT, find(Related(Kind(), "front", anchor), view), anchor))
    asked.append((_HIDDEN, _in_relation_to_any(context, "behind"), None))
    asked.append((_HIDING, _in_relation_to_any(context, "front"), None))
    for templates, found, about in context.stream.shuffled(asked):
        if context.answerable(found) and found is not None:
            fields = {} if about is None else {"anchor": context.wording.the(about)}
            return context.question(templates, found, **fields)
    return None


def _in_relation_to_any(context: Context, name: str) -> list[int] | None:
    found = set()
    for other in context.view.all:
        some = find(Related(Kind(), name, other), context.view)
        if some is None:
            return None
        found.update(some)
    return sorted(found)


def chain(context: Context) -> Question | None:
    """The attribute of an object that is found through another one, which in turn has to be found."""
    for _ in range(2 * DRAWS):
        index, anchor = context.stream.shuffled(context.view.all)[:2]
        asked = context.stream.choice(ATTRIBUTES)
        kind = Kind() if context.stream.chance(0.5) else loose_kind(context.view, index, context.stream, (asked,))
        query: Query
        if context.stream.chance(0.4):
            query = Nearest(kind, anchor, context.stream.chance(0.3))
        else:
            relations = [name for name in CONVERSE if asked != "size" or name not in ("larger", "smaller")]
            query = Related(kind, context.stream.choice(relations), anchor)
        if singled_out(query, context.view) != index:
            continue
        words = context.the(anchor, (), FINDING_WAYS)
        if words is not None:
            return about_attribute(context, index, asked, f"the {context.wording.query(query, (words,))}")
    return None


_COUNTERFACTUAL: Final = (
    Template(
        "If {it} were taken away, which object would be the {extreme}?", "Then {names} would be the {extreme} one."
    ),
    Template(
        "Suppose {it} vanished. Which object would then be the {extreme}?", "Then {names} would be the {extreme} one."
    ),
    Template("Leaving {it} aside, which object is the {extreme}?", "Then it is {names}."),
    Template("Without {it}, what would be the {extreme} object?", "It would be {names}."),
)


def counterfactual(context: Context) -> Question | None:
    view = context.view
    for asked in context.stream.shuffled(tuple(EXTREMES)):
        first = view.extreme(asked, view.all)
        if first is None:
            continue
        second = view.extreme(asked, [index for index in view.all if index != first])
        if second is not None:
            extreme = context.wording.form(EXTREME_FORMS[asked])
            return context.question(_COUNTERFACTUAL, [second], it=context.wording.the(first), extreme=extreme)
    return None
