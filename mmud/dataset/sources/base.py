"""What a source is: it lists its items cheaply, and turns one item into a sample.

The two halves are apart so that listing is fast and serial while converting (rasterising, reading images, drawing) may run in
several processes, and so that a build that was killed skips what is done without converting it again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from mmud.errors import Finding, MmudError
from mmud.records import Sample
from mmud.registry import Registry


@dataclass(frozen=True, slots=True)
class Item:
    """One sample to be.

    Attributes:
        key: the sample's id, unique within the source.
        split: the source's own split; None where it has none.
        group: what the image is, as in "coco:573125": items of one group, from whichever source, never land in two splits.
        payload: what `Source.convert` needs; small and picklable.
    """

    key: str
    split: str | None
    group: str
    payload: Any


@dataclass(frozen=True, slots=True)
class Converted:
    """A converted item: the sample and what was odd about it. ``sample.image`` has a path, or bytes, or both."""

    sample: Sample
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ConvertedRow:
    """A converted item without a sample in between: the row that `mmud.records.Sample.to_row` would give, without image bytes."""

    row: dict[str, Any]
    findings: list[Finding] = field(default_factory=list)


class Source(ABC):
    """Where samples come from. A source is picklable: workers get a copy.

    A plug-in subclasses this and announces the class in the entry-point group ``mmud.sources``.
    """

    name: ClassVar[str]
    """What a recipe and the command line call it."""

    @classmethod
    @abstractmethod
    def from_options(cls, options: dict[str, Any]) -> Source:
        """Make a source from a recipe's table (or the command line's options), checked.

        Raises:
            MmudError: MM001 for an option that is unknown, missing or unusable; MM002 for a path that does not exist.
        """

    @abstractmethod
    def options(self) -> dict[str, Any]:
        """The options that make this source again: JSON- and TOML-compatible, no None."""

    @abstractmethod
    def items(self) -> Iterator[Item]:
        """List the items, in an order that depends on nothing but the source. May be called several times.

        Raises:
            MmudError: MM7xx when a file cannot be read at all.
        """

    @abstractmethod
    def convert(self, item: Item) -> Converted:
        """Turn an item into a sample; oddities become findings.

        Raises:
            MmudError: when the item holds nothing that could be kept.
        """

    def convert_many(self, items: Sequence[Item]) -> Iterator[Converted | ConvertedRow | MmudError]:
        """What `convert` gives, or raises, for each of some items, in order.

        A source that is faster with many at once overrides it; a `ConvertedRow` stands for the sample of its row.
        """
        for item in items:
            try:
                yield self.convert(item)
            except MmudError as error:
                yield error

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """For the manifest and the card: name, title, licence, homepage, citation, files with their SHA-256."""

    def findings(self) -> list[Finding]:
        """Oddities that belong to no sample (a file's extra key, a reference to nothing), known after `items` was read."""
        return []


SOURCES: Registry[type[Source]] = Registry(
    "source",
    "mmud.sources",
    {
        "official": "mmud.dataset.sources.official:OfficialSource",
        "refer": "mmud.dataset.sources.refer:ReferSource",
        "coco": "mmud.dataset.sources.coco:CocoSource",
        "refclef": "mmud.dataset.sources.refclef:RefclefSource",
        "scenes": "mmud.dataset.sources.scenes.source:ScenesSource",
        "mmud": "mmud.dataset.sources.native:NativeSource",
        "label-studio": "mmud.dataset.sources.label_studio:LabelStudioSource",
    },
)
"""Sources by name."""
