"""Reading the questions: for each way of asking, what the answer has to be. Written from the English, not from the generator."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

import scenes_reader as reader
from scenes_reader import Reading


class Expected(NamedTuple):
    """The objects that the answer has to name, and a word that it has to hold, if the question asks for one."""

    objects: set[int]
    word: str | None = None


WORD_OF = {"colour": "color", "pattern": "texture", "shape": "shape", "size": "size"}
KNOWN = {"color": reader.COLORS, "texture": reader.TEXTURES, "shape": reader.SHAPES}
SIZE_WORDS = {0: ("small", "little", "tiny"), 1: ("medium", "medium-sized"), 2: ("large", "big")}

COLOR_OF = {
    "red": "a ripe tomato|a fire engine|a strawberry|a stop sign",
    "orange": "a carrot|a pumpkin|a tangerine|a basketball",
    "yellow": "a ripe banana|a lemon|a canary|the yolk of an egg",
    "green": "fresh grass|a frog|a lettuce leaf|a cucumber",
    "cyan": "a tropical lagoon|water in a swimming pool|a turquoise stone",
    "blue": "a sapphire|the deep sea|denim|a blueberry",
    "purple": "an aubergine|a ripe plum|an amethyst|a violet",
    "pink": "a flamingo|a piglet|bubble gum|candy floss",
    "brown": "chocolate|tree bark|roasted coffee|a chestnut",
    "black": "coal|a raven|a moonless night|tar",
    "white": "fresh snow|milk|a swan|table salt",
}
TEXTURE_OF = {
    "striped": "a zebra|a tiger",
    "dotted": "a ladybird|a leopard|a die",
    "checked": "a chessboard|a finish flag",
    "plain": "a blank sheet of paper",
}
#: What is true of which outlines: plain geometry and common knowledge.
OUTLINES = {
    "would roll down a slope": "circle ring",
    "look like things in the night sky": "star crescent",
    "stand for love": "heart",
    "look like a slice of pizza": "triangle",
    "look like a warning sign by the road": "triangle",
    "could be worn on a finger": "ring",
    "look like a doughnut": "ring",
    "belong on a first-aid kit": "cross",
    "mean addition in arithmetic": "cross",
    "look like a cell of a honeycomb": "hexagon",
    "look like a nut for a bolt": "hexagon",
    "look like a kite": "diamond",
    "show the way on a road sign": "arrow",
    "look like rain": "drop",
    "look like a tear": "drop",
    "look like a bathroom tile": "square",
    "look like a coin": "circle",
    "look like a croissant": "crescent",
    "belong on top of a christmas tree": "star",
    "are suits of playing cards": "heart diamond",
    "could serve as a wheel": "circle ring",
    "have exactly four sides": "square diamond",
    "have exactly three corners": "triangle",
    "have no corner at all": "circle ring",
    "have a hole in the middle": "ring",
    "have exactly six sides": "hexagon",
    "have five points": "star",
    "have twelve corners": "cross",
    "have straight edges only": "square triangle star hexagon diamond cross arrow",
    "have some curved edge": "circle heart ring crescent drop",
    "keep their outline when given a quarter turn": "circle square ring cross",
}
MORE = {
    "larger": "larger", "smaller": "smaller", "farther left": "left", "farther right": "right",
    "higher up": "above", "lower down": "below",
}  # fmt: skip

_RULES: list[tuple[str, re.Pattern[str], Callable[..., Expected]]] = []


def rule(family: str, *patterns: str) -> Callable[[Callable[..., Expected]], Callable[..., Expected]]:
    def keep(function: Callable[..., Expected]) -> Callable[..., Expected]:
        _RULES.extend((family, re.compile(pattern + r"[.?]"), function) for pattern in patterns)
        return function

    return keep


def expected(view: Reading, family: str, question: str) -> Expected:
    """What a person who looks at the scene would answer."""
    text = question[0].lower() + question[1:]
    text = text.replace("Christmas", "christmas")
    errors = []
    for own, pattern, function in _RULES:
        match = pattern.fullmatch(text)
        if own == family and match:
            try:
                return function(view, **match.groupdict())
            except reader.CannotRead as error:
                errors.append(error)
    raise reader.CannotRead(f"{family}: {question} {errors}")


def template_count(family: str) -> int:
    return sum(own == family for own, _, _ in _RULES)


def _attribute(attribute: str) -> Callable[..., Expected]:
    def answer(view: Reading, it: str) -> Expected:
        index = reader.only(view, it)
        return Expected({index}, f"{attribute}={view.value(index, attribute)}")

    return answer


for _family in ("attribute", "chain"):
    rule(
        _family,
        r"what colour is (?P<it>.+)",
        r"which colour does (?P<it>.+) have",
        r"in what colour is (?P<it>.+) painted",
        r"can you tell the colour of (?P<it>.+)",
    )(_attribute("color"))
    rule(
        _family,
        r"what pattern does (?P<it>.+) have",
        r"how is the surface of (?P<it>.+) decorated",
        r"which pattern covers (?P<it>.+)",
        r"can you tell the pattern of (?P<it>.+)",
    )(_attribute("texture"))
    rule(
        _family,
        r"what shape is (?P<it>.+)",
        r"which shape does (?P<it>.+) have",
        r"what is the outline of (?P<it>.+)",
        r"can you tell the shape of (?P<it>.+)",
    )(_attribute("shape"))
    rule(
        _family,
        r"how big is (?P<it>.+)",
        r"what size is (?P<it>.+)",
        r"which size class is (?P<it>.+) in",
        r"can you tell the size of (?P<it>.+)",
    )(_attribute("size"))

_EXTREME = "(?P<extreme>" + "|".join(reader.EXTREMES) + ")"
_PLACE = "(?P<place>" + "|".join(reader.PLACES) + ")"
_RELATION = "(?P<relation>" + "|".join(reader.RELATIONS) + ")"
_MORE = "(?P<more>" + "|".join(MORE) + ")"


@rule(
    "extreme",
    rf"which (?P<kinds>.+) is the {_EXTREME}",
    rf"which is the {_EXTREME} (?P<kinds>.+)",
    rf"where do you see the {_EXTREME} (?P<kinds>.+)",
    rf"of all the (?P<kinds>.+), which is the {_EXTREME}",
)
def _(view: Reading, kinds: str, extreme: str) -> Expected:
    return Expected(reader.most_extreme(view, extreme, reader.kind(view, kinds)))


@rule(
    "region",
    rf"what is {_PLACE}",
    rf"which objects are {_PLACE}",
    rf"what can be seen {_PLACE}",
    rf"if I look for objects {_PLACE}, what do I find",
)
def _(view: Reading, place: str) -> Expected:
    return Expected(reader.narrowed(view, view.everything, place))


@rule(
    "count",
    r"how many (?P<kinds>.+?) are there",
    r"how many (?P<kinds>.+?) can you see",
    r"what is the number of (?P<kinds>.+)",
    r"please count the (?P<kinds>.+)",
)
def _(view: Reading, kinds: str) -> Expected:
    found = reader.find(view, kinds)
    return Expected(found, f"count={len(found)}")


@rule(
    "color_association",
    r"which objects have the colour of (?P<thing>.+)",
    r"what here has the same colour as (?P<thing>.+)",
    r"which objects would match (?P<thing>.+) in colour",
    r"I think of the colour of (?P<thing>.+)\. Where do you see it",
    r"i think of the colour of (?P<thing>.+)\. Where do you see it",
)
def _(view: Reading, thing: str) -> Expected:
    (color,) = [color for color, things in COLOR_OF.items() if thing in things.split("|")]
    return Expected(reader.fitting(view, {"color": color}), f"color={color}")


@rule(
    "texture_association",
    r"which objects have a pattern like (?P<thing>.+)",
    r"whose surface reminds you of (?P<thing>.+)",
    r"which objects look as if they were cut from (?P<thing>.+)",
    r"what here is marked like (?P<thing>.+)",
)
def _(view: Reading, thing: str) -> Expected:
    (texture,) = [texture for texture, things in TEXTURE_OF.items() if thing in things.split("|")]
    return Expected(reader.fitting(view, {"texture": texture}), f"texture={texture}")


def _outline(view: Reading, does: str) -> Expected:
    if does not in OUTLINES:
        raise reader.CannotRead(does)
    return Expected({i for i in view.everything if view.value(i, "shape") in OUTLINES[does].split()})


for _family in ("shape_association", "geometry"):
    rule(
        _family,
        r"which objects (?P<does>.+)",
        r"judging by their outline, which objects (?P<does>.+)",
        r"which of the shapes in the picture (?P<does>.+)",
        r"find all objects that (?P<does>.+)",
    )(_outline)


@rule(
    "relation",
    rf"which (?P<kinds>[a-z -]+?) are {_RELATION} (?P<anchor>the .+)",
    rf"name all (?P<kinds>.+?) that are {_RELATION} (?P<anchor>the .+)",
    rf"looking at (?P<anchor>the .+), which (?P<kinds>.+?) are {_RELATION} it",
    rf"what (?P<kinds>.+?) do you find {_RELATION} (?P<anchor>the .+)",
)
def _(view: Reading, kinds: str, relation: str, anchor: str) -> Expected:
    other = reader.only(view, anchor)
    candidates = reader.kind(view, kinds) - {other}
    return Expected({i for i in candidates if reader.holds(view, reader.RELATIONS[relation], i, other)})


@rule(
    "same_attribute",
    r"which other objects have the same (?P<attribute>\w+) as (?P<it>.+)",
    r"what shares its (?P<attribute>\w+) with (?P<it>.+)",
    r"(?P<it>.+) has a certain (?P<attribute>\w+)\. Where else do you find it",
    r"which objects match (?P<it>.+) in (?P<attribute>\w+)",
)
def _(view: Reading, attribute: str, it: str) -> Expected:
    index = reader.only(view, it)
    name = WORD_OF[attribute]
    value = view.value(index, name)
    return Expected(reader.fitting(view, {name: value}) - {index}, None if name == "shape" else f"{name}={value}")


@rule(
    "comparison",
    rf"which is {_MORE}, (?P<one>.+) or (?P<other>the .+)",
    rf"of (?P<one>.+) and (?P<other>the .+), which is {_MORE}",
    rf"compare (?P<one>.+) with (?P<other>the .+): which is {_MORE}",
    rf"is (?P<one>.+) or (?P<other>the .+?) {_MORE}",
)
def _(view: Reading, one: str, other: str, more: str) -> Expected:
    first, second = reader.only(view, one), reader.only(view, other)
    assert reader.holds(view, MORE[more], first, second) != reader.holds(view, MORE[more], second, first)
    return Expected({first if reader.holds(view, MORE[more], first, second) else second})


@rule(
    "distance",
    r"which (?P<kinds>.+) is (?P<how>nearest) to (?P<anchor>.+)",
    r"which (?P<kinds>.+) is (?P<how>farthest) from (?P<anchor>.+)",
    r"starting from (?P<anchor>.+), which (?P<kinds>.+) is the (?P<how>nearest|farthest)",
    r"if (?P<anchor>.+) could move, which (?P<kinds>.+) would it reach (?P<how>first|last)",
    r"what is the (?P<how>nearest|farthest) (?P<kinds>.+) as seen from (?P<anchor>.+)",
)
def _(view: Reading, kinds: str, how: str, anchor: str) -> Expected:
    other = reader.only(view, anchor)
    return Expected(reader.by_distance(view, other, reader.kind(view, kinds), how in ("farthest", "last")))


@rule(
    "between",
    r"what is between (?P<one>.+) and (?P<other>the .+)",
    r"which objects stand in the gap from (?P<one>.+) to (?P<other>the .+)",
    r"a line runs from (?P<one>.+) to (?P<other>.+)\. What lies on it",
    r"what would you meet on the way from (?P<one>.+) to (?P<other>the .+)",
)
def _(view: Reading, one: str, other: str) -> Expected:
    ends = reader.only(view, one), reader.only(view, other)
    return Expected({i for i in view.everything if reader.in_between(view, i, *ends)})


@rule(
    "occlusion",
    r"what is partly hidden by (?P<anchor>.+)",
    r"which objects lie behind (?P<anchor>.+)",
    r"if (?P<anchor>.+) were lifted, which objects would come to light in full or in part",
)
def _(view: Reading, anchor: str) -> Expected:
    other = reader.only(view, anchor)
    return Expected({i for i in view.everything if reader.holds(view, "behind", i, other)})


@rule(
    "occlusion",
    r"what covers a part of (?P<anchor>.+)",
    r"which objects lie on top of (?P<anchor>.+)",
    r"what keeps you from seeing all of (?P<anchor>.+)",
)
def _(view: Reading, anchor: str) -> Expected:
    other = reader.only(view, anchor)
    return Expected({i for i in view.everything if reader.holds(view, "front", i, other)})


@rule(
    "occlusion",
    r"which objects are partly hidden",
    r"what cannot be seen in full",
    r"of which objects is a part covered",
)
def _(view: Reading) -> Expected:
    return Expected({i for i in view.everything if any(reader.holds(view, "behind", i, j) for j in view.everything)})


@rule("occlusion", r"which objects cover a part of another one", r"what hides something else in part")
def _(view: Reading) -> Expected:
    return Expected({i for i in view.everything if any(reader.holds(view, "front", i, j) for j in view.everything)})


def _values(view: Reading, name: str) -> list[object]:
    return [view.value(i, name) for i in sorted(view.everything)]


@rule(
    "unique_value",
    r"which objects have a (?P<attribute>\w+) that no other object has",
    r"by (?P<attribute>\w+), which objects are one of a kind",
    r"which objects share their (?P<attribute>\w+) with none of the others",
    r"whose (?P<attribute>\w+) appears only once in the picture",
)
def _(view: Reading, attribute: str) -> Expected:
    values = _values(view, WORD_OF[attribute])
    return Expected({i for i in view.everything if values.count(values[i - 1]) == 1})


@rule(
    "unique_value",
    r"all objects but one have the same (?P<attribute>\w+)\. Which one differs",
    r"which object is the odd one out by (?P<attribute>\w+)",
    r"one object has another (?P<attribute>\w+) than all the rest\. Which",
)
def _(view: Reading, attribute: str) -> Expected:
    values = _values(view, WORD_OF[attribute])
    assert len(set(values)) == 2
    return Expected({i for i in view.everything if values.count(values[i - 1]) == 1})


@rule(
    "more_common",
    r"are there more (?P<ones>.+) or more (?P<others>.+)",
    r"which are more numerous, (?P<ones>.+) or (?P<others>.+)",
    r"(?P<ones>.+) or (?P<others>.+): of which do you see more",
    r"if (?P<ones>.+) played (?P<others>.+), one point for each, who would win",
)
def _(view: Reading, ones: str, others: str) -> Expected:
    first, second = reader.kind(view, ones), reader.kind(view, others)
    assert len(first) != len(second)
    return Expected(max(first, second, key=len))


def _adjective(word: str) -> tuple[str, object]:
    for name, known in (("size", reader.SIZES), ("color", reader.COLORS), ("texture", reader.TEXTURES)):
        if word in known:
            return name, known[word]
    raise reader.CannotRead(word)


@rule(
    "exclusion",
    r"which objects are neither (?P<one>\S+) nor (?P<other>\S+)",
    r"leave out all that is (?P<one>\S+) or (?P<other>\S+)\. What remains",
    r"what would be left if everything (?P<one>\S+) or (?P<other>\S+) went away",
)
def _(view: Reading, one: str, other: str) -> Expected:
    gone = {i for word in (one, other) for i in reader.fitting(view, dict([_adjective(word)]))}
    return Expected(view.everything - gone)


@rule(
    "exclusion",
    r"which (?P<kinds>.+) are not (?P<one>\S+)",
    r"except for the (?P<one>\S+) ones, which (?P<kinds>.+) are there",
    r"take the (?P<kinds>.+) and drop those that are (?P<one>\S+)\. What remains",
)
def _(view: Reading, kinds: str, one: str) -> Expected:
    return Expected(reader.kind(view, kinds) - reader.fitting(view, dict([_adjective(one)])))


@rule(
    "counterfactual",
    rf"if (?P<it>.+) were taken away, which object would be the {_EXTREME}",
    rf"suppose (?P<it>.+) vanished\. Which object would then be the {_EXTREME}",
    rf"leaving (?P<it>.+) aside, which object is the {_EXTREME}",
    rf"without (?P<it>.+), what would be the {_EXTREME} object",
)
def _(view: Reading, it: str, extreme: str) -> Expected:
    return Expected(reader.most_extreme(view, extreme, view.everything - {reader.only(view, it)}))
