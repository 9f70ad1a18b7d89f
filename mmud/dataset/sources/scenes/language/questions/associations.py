"""Questions that need knowledge of the world: what has that colour, that shape, that pattern; and some geometry."""

from __future__ import annotations

from typing import Final, NamedTuple

from mmud.dataset.sources.scenes.language.questions.base import Context, Question, Template


class Association(NamedTuple):
    """Something that people know.

    Attributes:
        thing: What the question names.
        values: The attribute values that it stands for.
    """

    thing: str
    values: tuple[str, ...]


COLOR_THINGS: Final[dict[str, tuple[str, ...]]] = {
    "red": ("a ripe tomato", "a fire engine", "a strawberry", "a stop sign"),
    "orange": ("a carrot", "a pumpkin", "a tangerine", "a basketball"),
    "yellow": ("a ripe banana", "a lemon", "a canary", "the yolk of an egg"),
    "green": ("fresh grass", "a frog", "a lettuce leaf", "a cucumber"),
    "cyan": ("a tropical lagoon", "water in a swimming pool", "a turquoise stone"),
    "blue": ("a sapphire", "the deep sea", "denim", "a blueberry"),
    "purple": ("an aubergine", "a ripe plum", "an amethyst", "a violet"),
    "pink": ("a flamingo", "a piglet", "bubble gum", "candy floss"),
    "brown": ("chocolate", "tree bark", "roasted coffee", "a chestnut"),
    "black": ("coal", "a raven", "a moonless night", "tar"),
    "white": ("fresh snow", "milk", "a swan", "table salt"),
}

SHAPE_THINGS: Final[tuple[Association, ...]] = (
    Association("would roll down a slope", ("circle", "ring")),
    Association("look like things in the night sky", ("star", "crescent")),
    Association("stand for love", ("heart",)),
    Association("look like a slice of pizza", ("triangle",)),
    Association("look like a warning sign by the road", ("triangle",)),
    Association("could be worn on a finger", ("ring",)),
    Association("look like a doughnut", ("ring",)),
    Association("belong on a first-aid kit", ("cross",)),
    Association("mean addition in arithmetic", ("cross",)),
    Association("look like a cell of a honeycomb", ("hexagon",)),
    Association("look like a nut for a bolt", ("hexagon",)),
    Association("look like a kite", ("diamond",)),
    Association("show the way on a road sign", ("arrow",)),
    Association("look like rain", ("drop",)),
    Association("look like a tear", ("drop",)),
    Association("look like a bathroom tile", ("square",)),
    Association("look like a coin", ("circle",)),
    Association("look like a croissant", ("crescent",)),
    Association("belong on top of a Christmas tree", ("star",)),
    Association("are suits of playing cards", ("heart", "diamond")),
    Association("could serve as a wheel", ("circle", "ring")),
)

TEXTURE_THINGS: Final[tuple[Association, ...]] = (
    Association("a zebra", ("striped",)),
    Association("a tiger", ("striped",)),
    Association("a ladybird", ("dotted",)),
    Association("a leopard", ("dotted",)),
    Association("a die", ("dotted",)),
    Association("a chessboard", ("checked",)),
    Association("a finish flag", ("checked",)),
    Association("a blank sheet of paper", ("plain",)),
)

GEOMETRY: Final[tuple[Association, ...]] = (
    Association("have exactly four sides", ("square", "diamond")),
    Association("have exactly three corners", ("triangle",)),
    Association("have no corner at all", ("circle", "ring")),
    Association("have a hole in the middle", ("ring",)),
    Association("have exactly six sides", ("hexagon",)),
    Association("have five points", ("star",)),
    Association("have twelve corners", ("cross",)),
    Association("have straight edges only", ("square", "triangle", "star", "hexagon", "diamond", "cross", "arrow")),
    Association("have some curved edge", ("circle", "heart", "ring", "crescent", "drop")),
    Association("keep their outline when given a quarter turn", ("circle", "square", "ring", "cross")),
)

_COLOR: Final = (
    Template("Which objects have the colour of {thing}?", "{thing} is {value}: {names}."),
    Template("What here has the same colour as {thing}?", "{thing} is {value}: {names}."),
    Template("Which objects would match {thing} in colour?", "{thing} is {value}: {names}."),
    Template("I think of the colour of {thing}. Where do you see it?", "{thing} is {value}: {names}."),
)
_SHAPE: Final = (
    Template("Which objects {does}?", "{names}."),
    Template("Judging by their outline, which objects {does}?", "{names}."),
    Template("Which of the shapes in the picture {does}?", "{names}."),
    Template("Find all objects that {does}.", "{names}."),
)
_TEXTURE: Final = (
    Template("Which objects have a pattern like {thing}?", "{thing} is {value}: {names}."),
    Template("Whose surface reminds you of {thing}?", "{thing} is {value}: {names}."),
    Template("Which objects look as if they were cut from {thing}?", "{thing} is {value}: {names}."),
    Template("What here is marked like {thing}?", "{thing} is {value}: {names}."),
)


def _having(context: Context, attribute: str, values: tuple[str, ...]) -> list[int]:
    return [thing.index for thing in context.view.objects if getattr(thing, attribute) in values]


def color_association(context: Context) -> Question | None:
    present = [thing.color for thing in context.view.objects]
    for color in context.stream.shuffled(sorted(set(present))):
        found = _having(context, "color", (color,))
        if context.answerable(found):
            thing = context.stream.choice(COLOR_THINGS[color])
            return context.question(_COLOR, found, thing=thing, value=context.wording.word("color", color))
    return None


def texture_association(context: Context) -> Question | None:
    for association in context.stream.shuffled(TEXTURE_THINGS):
        found = _having(context, "texture", association.values)
        if context.answerable(found):
            value = context.wording.word("texture", association.values[0])
            return context.question(_TEXTURE, found, thing=association.thing, value=value)
    return None


def _by_outline(context: Context, associations: tuple[Association, ...]) -> Question | None:
    for association in context.stream.shuffled(associations):
        found = _having(context, "shape", association.values)
        # A property of every object would be no question.
        if context.answerable(found) and len(found) < len(context.view.objects):
            return context.question(_SHAPE, found, does=association.thing)
    return None


def shape_association(context: Context) -> Question | None:
    return _by_outline(context, SHAPE_THINGS)


def geometry(context: Context) -> Question | None:
    return _by_outline(context, GEOMETRY)
