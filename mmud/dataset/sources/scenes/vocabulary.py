"""The words of the world: what there is to see, under one canonical name each.

The surface forms that texts use (synonyms, plurals) are in :mod:`~mmud.dataset.sources.scenes.language.lexicon`.
"""

from __future__ import annotations

from typing import Final

SHAPES: Final[tuple[str, ...]] = (
    "circle", "square", "triangle", "star", "heart", "ring",
    "cross", "hexagon", "crescent", "diamond", "arrow", "drop",
)  # fmt: skip

#: Colour name -> RGB, chosen so that any two differ by at least 70 in the sum of absolute channel differences.
COLORS: Final[dict[str, tuple[int, int, int]]] = {
    "red": (214, 40, 40),
    "orange": (243, 140, 32),
    "yellow": (249, 216, 56),
    "green": (56, 158, 62),
    "cyan": (72, 202, 216),
    "blue": (42, 88, 204),
    "purple": (130, 58, 176),
    "pink": (244, 140, 186),
    "brown": (124, 76, 40),
    "black": (34, 34, 38),
    "white": (250, 250, 247),
}

TEXTURES: Final[tuple[str, ...]] = ("plain", "striped", "dotted", "checked")

#: From small to large: the position is the rank by which sizes are compared.
SIZES: Final[tuple[str, ...]] = ("small", "medium", "large")

BACKGROUNDS: Final[tuple[str, ...]] = (
    "plain", "gradient", "striped", "checkered", "gridded", "noisy", "zigzag", "dotted",
)  # fmt: skip

#: Tint of the background -> RGB. Paler or darker than every object colour.
TINTS: Final[dict[str, tuple[int, int, int]]] = {
    "grey": (188, 190, 194),
    "cream": (242, 228, 188),
    "mint": (198, 232, 210),
    "lavender": (218, 208, 240),
    "peach": (250, 214, 190),
    "charcoal": (78, 82, 90),
    "navy": (28, 40, 104),
    "teal": (26, 98, 100),
}

#: The attributes of an object, in the order of the canonical full name ("large red striped star").
ATTRIBUTES: Final[tuple[str, ...]] = ("size", "color", "texture", "shape")

#: Names of the nine cells of the image, row by row.
CELLS: Final[tuple[str, ...]] = (
    "top left", "top centre", "top right",
    "middle left", "centre", "middle right",
    "bottom left", "bottom centre", "bottom right",
)  # fmt: skip

#: Ways to refer to an object: by how it looks, by a relation to another, as the outermost or largest, by where it is, and so on.
REFERENCES: Final[tuple[str, ...]] = ("looks", "relation", "extreme", "place", "nearest", "between")

#: Question families, from the plain to the involved.
FAMILIES: Final[tuple[str, ...]] = (
    "attribute",
    "extreme",
    "region",
    "count",
    "color_association",
    "shape_association",
    "texture_association",
    "geometry",
    "relation",
    "same_attribute",
    "comparison",
    "distance",
    "between",
    "occlusion",
    "unique_value",
    "more_common",
    "exclusion",
    "chain",
    "counterfactual",
)
