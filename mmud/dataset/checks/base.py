"""What a check is, and what it is given.

A check looks at one row at a time, and may leave *facts* about a shard (compact, picklable) from which it draws findings about
the whole dataset. Each shard gets checks of its own, wherever it is worked on, so that neither the number of processes nor
their order changes anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mmud.dataset.manifest import Manifest
from mmud.dataset.store import ShardFile
from mmud.errors import Code, Finding, Place
from mmud.registry import Registry

if TYPE_CHECKING:
    from mmud.dataset.checks.batch import SampleContext

Row = dict[str, Any]
"""A row as Arrow holds it: every field is there, of its column's type or None; lists may have any length."""


@dataclass(frozen=True)
class Scope:
    """What is being validated.

    Attributes:
        folder: the dataset's folder.
        manifest: its manifest.
        selected: the ids of the codes that were asked for.
        images: whether images are read and decoded.
        whole: whether every row is looked at; without it, what only holds of all rows is not checked.
    """

    folder: Path
    manifest: Manifest
    selected: frozenset[str]
    images: bool = True
    whole: bool = True

    def wants(self, *codes: Code) -> bool:
        """Whether any of these codes was asked for: lets a check skip work whose findings nobody wants."""
        return any(code.id in self.selected for code in codes)


@dataclass(frozen=True, slots=True)
class ShardFacts:
    """What a check left about one shard."""

    shard: ShardFile
    facts: Any


class Check:
    """One family of checks. A plug-in subclasses this and announces the class in the entry-point group ``mmud.checks``.

    Args:
        scope: what is being validated.
    """

    codes: ClassVar[tuple[Code, ...]] = ()
    """Every code that the check reports; a finding of another code is an error of the check."""

    needs_images: ClassVar[bool] = False
    """Whether the check is left out when images are not read."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def check(self, row: Row, context: SampleContext) -> Iterator[Finding]:
        """Look at one row.

        Args:
            row: the raw row: nothing about it may be taken for granted but the types of its columns.
            context: its place, its masks and its image, read once for all checks.
        """
        return iter(())

    def facts(self) -> Any:
        """What the rows of the shard left for `finish`: small and picklable, as it may cross processes."""
        return None

    def finish(self, shards: Sequence[ShardFacts]) -> Iterator[Finding]:
        """Look at the whole dataset.

        Args:
            shards: the facts of every shard, in the order of the manifest.
        """
        return iter(())


CHECKS: Registry[type[Check]] = Registry(
    "check",
    "mmud.checks",
    {
        "structure": "mmud.dataset.checks.structure:StructureCheck",
        "masks": "mmud.dataset.checks.masks:MaskCheck",
        "polygons": "mmud.dataset.checks.polygons:PolygonCheck",
        "tags": "mmud.dataset.checks.tags:TagCheck",
        "characters": "mmud.dataset.checks.characters:CharacterCheck",
        "text": "mmud.dataset.checks.text:TextCheck",
        "images": "mmud.dataset.checks.images:ImageCheck",
        "identity": "mmud.dataset.checks.identity:IdentityCheck",
    },
)
"""Checks by name."""


def printable(text: str, most: int = 60) -> str:
    """A stranger's text as it may stand in a message or a terminal: one line, no control characters, not too long."""
    if len(text) > most:
        text = text[: most - 1] + "…"
    return text if text.isprintable() else repr(text)[1:-1]


def sample_place(place: Place, sample_id: Any) -> Place:
    """``place`` with the id of its sample, made printable."""
    name = printable(sample_id, 200) if isinstance(sample_id, str) and sample_id else None
    return Place(name, place.object, place.split, place.file, place.line, place.row, place.field)
