"""What an annotator is: from a sample with its image and objects to drafted labels.

A plug-in subclasses `Annotator` and announces the class in the entry-point group ``mmud.annotators``. It drafts one sample at a
time; reading the dataset, asking for nothing twice, budgets, going on after a kill and writing the new dataset are not its work.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from mmud.annotations.drafting import codes
from mmud.annotations.drafting.budget import Meter
from mmud.errors import MmudError
from mmud.options import Options as Options
from mmud.options import read_options
from mmud.records import Sample
from mmud.registry import Registry


class DraftTask(StrEnum):
    """What is drafted in one go."""

    CAPTION = "caption"
    QUESTION = "question"

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a sample that the draft fills; a question comes with its answer."""
        return ("caption",) if self is DraftTask.CAPTION else ("question", "answer")


class LeftOut(MmudError):
    """This draft cannot be made; others may be."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft, checked and clean.

    Attributes:
        labels: a text for each of the task's fields; tags only in the answer, and only of objects that there are.
        model: what wrote it; empty where the annotator is all there is.
        answer: the model's own words, where the labels were read from them.
        repaired: the first answer was unusable, and this is the second.
    """

    labels: Mapping[str, str]
    model: str = ""
    answer: str = ""
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tokens that a draft is expected to take, for an estimate of its cost."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Context:
    """What an annotator may know of the dataset besides a sample.

    Attributes:
        recipe: how it was built, as its manifest holds it; None where that is not known.
    """

    recipe: Mapping[str, Any] | None = field(default=None)


class Annotator(ABC):
    """Drafts labels.

    Args:
        options: by name; strings, as the command line has them, are converted.
        seed: of everything random.

    Raises:
        MmudError: MM960 for an option that is unknown or has a value out of bounds.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    version: ClassVar[str] = "1"
    """Changed whenever drafts come out different."""

    tasks: ClassVar[tuple[DraftTask, ...]] = tuple(DraftTask)
    reads_images: ClassVar[bool] = True
    keeps_answers: ClassVar[bool] = False
    """Whether drafts cost time or money: each is then asked for once and kept in the file of answers."""

    options_class: ClassVar[type[Options]] = Options

    options: Options

    def __init__(self, options: Mapping[str, Any] | None = None, seed: int = 0) -> None:
        self.seed = seed
        self.options = read_options(self.options_class, options, self.name, codes.ANNOTATOR_OPTION)

    @property
    def concurrency(self) -> int:
        """How many requests may be on their way at once (for annotators that keep answers)."""
        return 1

    @property
    def threads(self) -> int:
        """How many drafts are made at once, each in a thread of its own; more than `concurrency` where requests wait for
        each other in `draft` itself, so that preparing and keeping overlap with them.
        """
        return self.concurrency

    @property
    def give_up(self) -> int:
        """So many drafts left out in a row end the run (for annotators that keep answers)."""
        return 20

    def begin(self, context: Context) -> None:
        """Called once, before the first draft."""
        return

    def prompt_version(self, task: DraftTask) -> str:
        """The name of what the model is asked with; empty where nothing is."""
        return ""

    def model_name(self) -> str:
        """The model that is asked; empty where there is none."""
        return ""

    def identity(self, task: DraftTask) -> dict[str, Any]:
        """Everything besides the sample that a draft depends on, JSON-compatible: two equal ones give equal drafts."""
        return {"annotator": self.name, "version": self.version, "seed": self.seed, **self.options.lasting()}

    def estimate(self, sample: Sample, task: DraftTask) -> Estimate:
        """The tokens that a draft is expected to take; the sample comes without its image."""
        return Estimate()

    @abstractmethod
    def draft(self, sample: Sample, task: DraftTask, meter: Meter) -> Draft:
        """Draft one sample.

        Args:
            sample: with its image, where `reads_images` says so.
            task: what to draft.
            meter: told of each request to a paid service before it is sent, and of its tokens afterwards.

        Raises:
            LeftOut: when this draft cannot be made.
            MmudError: when no draft can be made any more; MM964 from the meter.
        """

    def stop(self) -> None:
        """Called from another thread when no draft is wanted any more: what waits for a next attempt is to give up."""
        return


ANNOTATORS: Registry[type[Annotator]] = Registry(
    "annotator",
    "mmud.annotators",
    {
        "scenes": "mmud.dataset.sources.scenes.annotator:ScenesAnnotator",
        "template": "mmud.annotations.drafting.template:TemplateAnnotator",
        "openai": "mmud.annotations.drafting.chat:ChatAnnotator",
    },
)
"""Annotators by name."""
