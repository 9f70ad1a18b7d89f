"""Segmentation protocols: how published codes turn masks into gIoU and cIoU, as data.

gIoU and cIoU are no single numbers. Public codes differ in the unit they average over, in what an empty label scores, in
what a missing mask costs, in the resolution, in small constants, and in how parts that overlap are joined. A `Protocol`
states each of these; the arithmetic that follows it is in `mmud.evaluators.segmentation.scoring`, and knows no names.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mmud.registry import Registry


class Unit(StrEnum):
    """What gIoU averages over."""

    OBJECT = "object"
    EXPRESSION = "expression"


class EmptyRule(StrEnum):
    """When an expression that means nothing in the image scores 1; otherwise it scores 0."""

    NOTHING = "nothing predicted"
    """No mask, or one without foreground, or flagged as no-target."""
    FLAGGED = "flagged"
    """Flagged as no-target, whatever its mask holds; a mask without foreground alone is not enough."""
    EMPTY_UNION = "empty union"
    """No foreground in the label or the mask; a mask that is absent counts by `MissingRule`."""
    NEVER = "never"


class MissingRule(StrEnum):
    """What a mask that is absent, or flagged as no-target, costs where there is a target."""

    NOTHING = "nothing predicted"
    """Intersection 0, union the label's area."""
    NO_INTERSECTION = "no intersection"
    """Intersection 0, union with the mask as it is."""
    AS_IT_IS = "as it is"
    """The mask counts as if it were not flagged; an absent one as one without foreground."""
    LEFT_OUT = "left out"
    """IoU 0, and an absent mask adds nothing to cIoU's sums; a flag has no effect."""


class Join(StrEnum):
    """How the masks of several parts become one."""

    UNION = "union"
    ONCE = "once"
    """Only pixels that exactly one part covers: parts were summed and compared with 1."""
    SUM_ENCODED = "sum encoded"
    """Parts were summed and the sum was run-length encoded, which takes every change of value for a change of colour."""


class Targets(StrEnum):
    """Which units something is counted over."""

    ALL = "all"
    TARGETED = "targeted"
    """Only those whose label is not empty."""
    GREFCOCO = "grefcoco"
    """Unions of empty labels only where the source is gRefCOCO."""


@dataclass(frozen=True, slots=True)
class View:
    """The pixels that masks are compared on.

    Attributes:
        resolution: side of the square that both masks are resized to (nearest neighbour); None for the image's own size.
        parts: how the parts of one object become its label.
        objects: how the objects of one expression become its label.
        ignore: pixels that a label declares to be ignored are left out.
    """

    resolution: int | None = None
    parts: Join = Join.UNION
    objects: Join = Join.UNION
    ignore: bool = True

    @property
    def key(self) -> str:
        """Names the view in rows. Labels of a dataset have no pixels to ignore, so ``ignore`` makes no difference there."""
        return "/".join(
            [
                str(self.resolution or "original"),
                self.parts.value.replace(" ", "-"),
                self.objects.value.replace(" ", "-"),
            ]
        )


@dataclass(frozen=True, slots=True)
class Protocol:
    """The rules of one published evaluation.

    Attributes:
        name: as ``--protocol`` takes it.
        title: whose it is.
        unit: what gIoU averages over.
        empty: when an empty label scores 1.
        missing: what an absent or flagged mask costs.
        view: the pixels that are compared.
        eps: added to the union in each IoU.
        pooled_eps: added to the summed union in cIoU.
        mean_eps: added to the number of units in gIoU.
        empty_unions: where the area of a mask on an empty label joins cIoU's union: ALL, or only for GREFCOCO.
        thresholds_over: the units that precision at a threshold divides by.
        extra: whether masks that belong to no object count: as units of IoU 0, and in cIoU's union.
        resolution_note: what a signature says of the resolution.
    """

    name: str
    title: str
    unit: Unit
    empty: EmptyRule
    missing: MissingRule
    view: View = View()
    eps: float = 0.0
    pooled_eps: float = 0.0
    mean_eps: float = 0.0
    empty_unions: Targets = Targets.ALL
    thresholds_over: Targets = Targets.ALL
    extra: bool = False
    resolution_note: str = "original"

    def fields(self) -> dict[str, object]:
        """The fields of a signature."""
        return {
            "protocol": self.name,
            "unit": self.unit.value,
            "empty": _EMPTY_FIELD[self.empty],
            "missing": _MISSING_FIELD[self.missing],
            "res": self.resolution_note,
            "eps": self.eps or None,
        }


_EMPTY_FIELD = {
    EmptyRule.NOTHING: "1",
    EmptyRule.FLAGGED: "1-if-flagged",
    EmptyRule.EMPTY_UNION: "1-if-empty-union",
    EmptyRule.NEVER: "0",
}
_MISSING_FIELD = {
    MissingRule.NOTHING: "0",
    MissingRule.NO_INTERSECTION: "0-union-kept",
    MissingRule.AS_IT_IS: "as-it-is",
    MissingRule.LEFT_OUT: "left-out",
}

MMUD = Protocol(
    name="mmud",
    title="MMUD's own, the strictest",
    unit=Unit.OBJECT,
    empty=EmptyRule.NOTHING,
    missing=MissingRule.NOTHING,
    extra=True,
)
LISA = Protocol(
    name="lisa",
    title="LISA, PixelLM, GLaMM",
    unit=Unit.EXPRESSION,
    empty=EmptyRule.EMPTY_UNION,
    missing=MissingRule.AS_IT_IS,
    view=View(parts=Join.ONCE),
    eps=1e-5,
    pooled_eps=1e-10,
    mean_eps=1e-5,
)
RELA = Protocol(
    name="rela",
    title="ReLA on gRefCOCO",
    unit=Unit.EXPRESSION,
    empty=EmptyRule.FLAGGED,
    missing=MissingRule.NO_INTERSECTION,
    view=View(resolution=480, ignore=False),
    thresholds_over=Targets.TARGETED,
    resolution_note="480",
)
GSVA = Protocol(
    name="gsva",
    title="GSVA",
    unit=Unit.EXPRESSION,
    empty=EmptyRule.FLAGGED,
    missing=MissingRule.AS_IT_IS,
    view=View(parts=Join.ONCE, objects=Join.ONCE, ignore=False),
    eps=1e-8,
    pooled_eps=1e-10,
    mean_eps=1e-5,
    empty_unions=Targets.GREFCOCO,
)
SA2VA = Protocol(
    name="sa2va",
    title="Sa2VA",
    unit=Unit.EXPRESSION,
    empty=EmptyRule.EMPTY_UNION,
    missing=MissingRule.LEFT_OUT,
    view=View(parts=Join.SUM_ENCODED, ignore=False),
    eps=1e-5,
    pooled_eps=1e-10,
)
SEEM = Protocol(
    name="seem",
    title="SEEM, X-Decoder",
    unit=Unit.EXPRESSION,
    empty=EmptyRule.NEVER,
    missing=MissingRule.AS_IT_IS,
    view=View(ignore=False),
    eps=1e-6,
    resolution_note="model",
)
OFFICIAL = Protocol(
    name="official",
    title="NeuralTuning",
    unit=Unit.OBJECT,
    empty=EmptyRule.NEVER,
    missing=MissingRule.AS_IT_IS,
    view=View(resolution=224, parts=Join.ONCE, ignore=False),
    resolution_note="224",
)

PROTOCOLS: Registry[Protocol] = Registry(
    "protocol",
    "mmud.protocols",
    {
        protocol.name: f"mmud.evaluators.protocols:{protocol.name.upper()}"
        for protocol in (MMUD, LISA, RELA, GSVA, SA2VA, SEEM, OFFICIAL)
    },
)

ALL = "all"


def names_of(wanted: str) -> tuple[str, ...]:
    """The protocols that ``--protocol`` names: one, several joined by commas, or ``all`` (the default one first).

    Raises:
        MmudError: MM004 for a name that is none.
    """
    if wanted == ALL:
        rest = [name for name in PROTOCOLS.names() if name != MMUD.name]
        return (MMUD.name, *rest)
    names = tuple(dict.fromkeys(name.strip() for name in wanted.split(",") if name.strip()))
    for name in names or (wanted,):
        PROTOCOLS.get(name)
    return names
