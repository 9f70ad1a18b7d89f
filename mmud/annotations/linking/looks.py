"""Words for how things look, how big they are and where they stand."""

from __future__ import annotations

Feature = tuple[str, str]
"""Kind and value, as ("color", "red")."""


def _table(text: str) -> dict[str, str]:
    """word -> value, of lines ``value: word word``; a value is a word for itself."""
    found: dict[str, str] = {}
    for line in text.strip().splitlines():
        value, _, words = line.partition(":")
        found |= dict.fromkeys([value, *words.split()], value)
    return found


_COLORS = _table("""
red: maroon scarlet crimson
orange:
yellow: golden gold
green: olive
cyan: turquoise aqua
blue: navy
purple: violet lavender
pink: magenta
brown: tan beige
black:
white:
gray: grey silver
""")
_SIZES = _table("""
small: little tiny smaller mini
medium: medium-sized mid-sized midsize
large: big huge giant larger bigger
""")
_TEXTURES = _table("""
plain: solid
striped: stripy stripey stripes stripe
dotted: spotted spotty dots spots
checked: checkered chequered plaid checkers
""")
_AGES = _table("""
young: younger
old: older elderly
""")
_STATES = _table("""
sitting: seated
standing:
""")
LOOKS: dict[str, Feature] = {
    word: (kind, value)
    for kind, table in (
        ("color", _COLORS),
        ("size", _SIZES),
        ("texture", _TEXTURES),
        ("years", _AGES),
        ("pose", _STATES),
    )
    for word, value in table.items()
}
"""word -> kind and value."""

EXCLUSIVE = frozenset(["color", "size", "texture", "gender", "age", "years", "pose"])
"""Kinds of which a thing has one value."""

SIDES: dict[str, tuple[int, int]] = {
    "left": (-1, 0), "leftmost": (-1, 0), "left-most": (-1, 0), "lefthand": (-1, 0), "left-hand": (-1, 0),
    "right": (1, 0), "rightmost": (1, 0), "right-most": (1, 0), "righthand": (1, 0), "right-hand": (1, 0),
    "top": (0, -1), "topmost": (0, -1), "upper": (0, -1), "uppermost": (0, -1), "highest": (0, -1),
    "bottom": (0, 1), "bottommost": (0, 1), "lower": (0, 1), "lowest": (0, 1), "lowermost": (0, 1),
}  # fmt: skip
"""word -> the direction it means: across (left is -1) and down (top is -1)."""

CENTRE = frozenset(["middle", "center", "centre", "central"])
GREATEST = {"largest": 1, "biggest": 1, "tallest": 1, "smallest": -1, "tiniest": -1, "shortest": -1}
"""word -> sign of the size that it asks for."""

ASIDE = frozenset(
    ["first", "last", "too", "also", "alone", "here", "there", "now", "only", "again", "instead", "however"]
)
"""Words after a noun that say nothing of the thing."""

_FIRST_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
_ENDINGS = ("st", "nd", "rd", "th", "th", "th", "th", "th")
ORDINALS = {word: number for number, word in enumerate(_FIRST_ORDINALS, start=1)} | {
    f"{number}{ending}": number for number, ending in enumerate(_ENDINGS, start=1)
}
_NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
NUMBERS = {word: number for number, word in enumerate(_NUMBERS, start=2)} | {
    str(number): number for number in range(2, 21)
}
NUMBERS["both"] = 2
DEFINITE = frozenset(["the", "this", "that", "his", "her", "its", "their", "these", "those"])
INDEFINITE = frozenset(["a", "an", "another", "one", "some", "each", "every", "any", "no"])
FAR = frozenset(["far", "farthest", "furthest", "very", "extreme"])
PLACE_NOUNS = frozenset(["side", "corner", "half", "part", "edge", "end", "hand", "most"])
WHOLE = frozenset(["image", "picture", "photo", "photograph", "frame", "scene", "screen", "shot", "pic", "view"])
PREPOSITIONS = frozenset(
    [
        "of", "in", "on", "at", "to", "by", "with", "from", "near", "behind", "under", "above", "below", "beside", "between",
        "next", "over", "against", "among", "around", "inside", "outside", "along", "across", "through", "toward", "towards",
        "beneath", "underneath", "nearest", "closest", "higher", "partly", "nearby",
    ]
)  # fmt: skip
BREAKS = frozenset(
    [
        "is", "are", "was", "were", "be", "been", "being", "has", "have", "had", "that", "which", "who", "whose", "where",
        "while", "when", "as", "and", "or", "but", "would", "could", "can", "may", "will", "there", "it", "they", "he", "she",
        "than", "then", "if", "does", "do", "did", "not", "what", "how", "why", "so", "because", "looks", "seems", "appears",
        "holds", "wears", "sits", "stands", "sees", "one", "i", "you", "we",
    ]
)  # fmt: skip
"""Words at which a noun phrase ends."""

COMPOUND_TAILS = frozenset(
    [
        "station", "stop", "shop", "store", "box", "park", "toy", "door", "window", "driver", "rider", "tracks", "track", "court",
        "room", "field", "frame", "rack", "lot", "handle", "head", "food", "team", "game", "match", "show", "race", "wheel",
        "top", "print", "shape", "stand", "shelf", "paper", "case", "cover", "house", "collar", "seat", "bar", "rail", "line",
        "crossing", "engine", "lane", "path", "ride", "racing", "riding", "themed", "shaped", "like", "player", "players", "net",
        "tree", "trees", "juice", "sauce", "crust", "cutter", "holder", "cart", "dealer", "yard", "pen", "pasture", "farm",
        "exhibit", "enclosure", "tail", "leg", "legs", "ear", "ears", "hair", "hat", "suit", "cushion", "pillow", "sheet",
        "sheets", "spread", "skin", "peel", "slice", "slices", "chips", "salad", "rink", "ramp", "trick", "tricks", "uniform",
        "number",
    ]
)  # fmt: skip
"""Nouns that turn a name before them into a modifier: a train station is no train."""


def says_looks_or_place(word: str) -> bool:
    """Whether a word is one of this module's for looks, places, order or size."""
    tables = (LOOKS, SIDES, CENTRE, GREATEST, ORDINALS, NUMBERS, FAR, PLACE_NOUNS, WHOLE, ASIDE)
    return any(word in table for table in tables)
