"""What a filter is: it looks at the labels of one sample and says which ones should not be kept, and why.

A filter may look at all samples first (`Filter.observe`). Its verdict on a sample must not depend on the order of the samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

from mmud.annotations.filters.subject import Subject
from mmud.errors import Code
from mmud.records import Sample
from mmud.registry import Registry


class Label(StrEnum):
    """What is kept or refused as one: a caption, or a question with its answer."""

    CAPTION = "caption"
    PAIR = "pair"

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a sample that it consists of."""
        return ("caption",) if self is Label.CAPTION else ("question", "answer")


class Action(StrEnum):
    """What becomes of a label that a filter speaks against."""

    REFUSE = "refuse"
    REPORT = "report"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a label should not be kept.

    Attributes:
        code: which of the filter's codes.
        label: which label.
        message: what was seen, on one line.
    """

    code: Code
    label: Label
    message: str


class FilterSettings(BaseModel):
    """Thresholds of a filter: a table ``[filters.NAME]`` of a recipe.

    Attributes:
        action: refuse the label, only report it, or do not look.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: Action = Action.REFUSE

    def action_on(self, label: Label) -> Action:
        """What becomes of labels of this kind."""
        return self.action


S = TypeVar("S", bound=FilterSettings)


class Asker(Protocol):
    """A text-only model: safe to ask from several threads at once."""

    def ask(self, prompt: str) -> str:
        """What the model answers."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What a filter may use besides the samples.

    Attributes:
        asker: a text-only model; None where there is none.
    """

    asker: Asker | None = None


class Filter(Generic[S]):
    """One filter. A plug-in subclasses this and announces the class in the entry-point group ``mmud.filters``.

    Args:
        settings: of the class `settings_type`.
        tools: what it may use.
    """

    name: ClassVar[str]
    """As in ``[filters.NAME]``."""

    codes: ClassVar[tuple[Code, ...]]
    """Every code that it gives as a reason."""

    settings_type: ClassVar[type[FilterSettings]] = FilterSettings

    def __init__(self, settings: S, tools: Tools = Tools()) -> None:
        self.settings = settings
        self.tools = tools

    def observe(self, sample: Sample) -> None:
        """Look at a sample before any verdict is asked for; all samples come by once, in any order."""

    def finish(self) -> None:
        """Every sample came by."""

    def look(self, subject: Subject) -> Iterator[Reason]:
        """Why labels of a sample should not be kept; a label that is empty is never spoken against."""
        return iter(())

    def look_at(self, subjects: Sequence[Subject]) -> list[list[Reason]]:
        """The reasons of several samples: for filters that gain from looking at many at once."""
        return [list(self.look(subject)) for subject in subjects]

    def close(self) -> None:
        """Let go of files and connections."""


FILTERS: Registry[type[Filter[Any]]] = Registry(
    "filter",
    "mmud.filters",
    {
        "short": "mmud.annotations.filters.short:ShortFilter",
        "information": "mmud.annotations.filters.information:InformationFilter",
        "repetition": "mmud.annotations.filters.repetition:RepetitionFilter",
        "refusal": "mmud.annotations.filters.refusal:RefusalFilter",
        "language": "mmud.annotations.filters.language:LanguageFilter",
        "tags": "mmud.annotations.filters.tagging:TagFilter",
        "unnamed": "mmud.annotations.filters.unnamed:UnnamedFilter",
        "absent": "mmud.annotations.filters.absent:AbsentFilter",
        "untagged": "mmud.annotations.filters.untagged:UntaggedFilter",
        "categories": "mmud.annotations.filters.categories:CategoryFilter",
        "counts": "mmud.annotations.filters.counts:CountFilter",
        "duplicates": "mmud.annotations.filters.duplicates:DuplicateFilter",
        "blind": "mmud.annotations.filters.blind:BlindFilter",
    },
)
"""Filters by name, in the order in which they look: what costs least comes first."""


def texts(subject: Subject, label: Label) -> str:
    """The text of a label: the caption, or question and answer on two lines; empty where the label is."""
    return "\n".join(filter(None, (getattr(subject.sample, field) for field in label.fields)))


def quoted(text: str, most: int = 60) -> str:
    """A stranger's text on one line, not too long, without control characters."""
    line = " ".join(text.split())
    line = line if len(line) <= most else line[: most - 1] + "…"
    return line if line.isprintable() else repr(line)[1:-1]
