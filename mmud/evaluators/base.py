"""What an evaluator is: it turns a sample and its prediction into numbers that can be added, and sums into metrics.

That one decision gives everything else: shards and merging (rows are kept, sums are exact), bootstrap intervals (weighted
sums), paired tests (sums with systems swapped), slices (sums over some rows), and inspection of single samples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmud.errors import Finding, MmudError
from mmud.evaluators import codes
from mmud.evaluators.protocols import PROTOCOLS as PROTOCOLS  # found here by `mmud plugins`
from mmud.records import Prediction, Sample, Task
from mmud.registry import Registry

Numbers = NDArray[np.float64]
Sums = Mapping[str, Numbers]
"""Column -> its sums, one for each weighting of the samples: shape (weightings,)."""

UNITS = "_units"
"""The column of ones that counts units, where an evaluator declares no other."""


@dataclass(frozen=True, slots=True)
class Metric:
    """What a figure is.

    Attributes:
        name: as in "gIoU".
        unit: "fraction", "words", "distance" and the like.
        low, high: bounds; None where there is none.
        higher_is_better: None where neither direction is better, as for a length.
        description: one sentence.
    """

    name: str
    unit: str = "fraction"
    low: float | None = 0.0
    high: float | None = 1.0
    higher_is_better: bool | None = True
    description: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """A sample and what a system says about it; ``image`` is where a predicted image lies."""

    sample: Sample
    prediction: Prediction
    image: Path | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """What a person chose for an evaluation.

    Attributes:
        protocols: names of segmentation protocols; the first one gives the main figures.
        match: how reasoning masks find their objects: "tag" or "hungarian".
        metrics: the names asked for; None for each evaluator's own choice.
        by_category: in referring, objects are asked for by their category, since no object of the split has a phrase.
        extras: settings of single evaluators by name, as in ``{"generation": {"extractor": "features"}}``. They are for making
            rows and are not kept with them: what figures need besides rows is the evaluator's `state`.
    """

    protocols: tuple[str, ...] = ("mmud",)
    match: str = "hungarian"
    metrics: frozenset[str] | None = None
    by_category: bool = False
    extras: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


Reduce = Callable[[Sums], Mapping[str, Any]]
"""From sums to metrics: name -> shape (weightings,), NaN where a metric has no value."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Numbers that add up, one line a unit, and how metrics come of their sums.

    A unit is what a metric counts: a sample, or an object of one.

    Attributes:
        columns: name -> one number a unit, shape (units,). Integers are summed exactly, floats rounded once.
        owner: the number of the row that each unit belongs to, shape (units,); a row may have several units, or none.
        reduce: from sums of the columns to metrics.
        counts: metric -> the column whose sum is its n.
        fields: metric -> the fields of its signature, in order.
        values: figures that are no function of sums (a Fréchet distance): taken as they stand; what ``reduce`` gives for them
            is their first-order expansion, for intervals and tests.
        labels: slice -> the value that each unit has, shape (units,); for slices of units rather than of samples.
        findings: what a reader must know.
    """

    columns: Mapping[str, NDArray[Any]]
    owner: NDArray[np.int64]
    reduce: Reduce
    counts: Mapping[str, str]
    fields: Mapping[str, Mapping[str, object]]
    values: Mapping[str, float | None] = field(default_factory=dict)
    labels: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


class Evaluator(ABC):
    """Base class of evaluators. A third-party one needs ``name``, ``tasks``, ``metrics``, `row` and `reduce`.

    Attributes:
        name: of the evaluator; its rows are kept in a column of this name.
        tasks: what it scores.
        metrics: what it can report, in order.
    """

    name: ClassVar[str]
    tasks: ClassVar[tuple[Task, ...]]
    metrics: ClassVar[tuple[Metric, ...]]

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()

    @property
    def needs_images(self) -> bool:
        """Whether samples must come with their image's bytes."""
        return False

    def why_not(self) -> str | None:
        """Why this evaluator cannot work with the options it was given; None when it can."""
        return None

    def applies(self, sample: Sample, task: Task) -> bool:
        """Whether a sample has the labels that this evaluator needs; only samples of the task are asked about."""
        return True

    def begin(self, fingerprint: str, split: str) -> None:
        """Learn which dataset, by its fingerprint, and which split of it rows will be made for; called before `observe`."""
        return

    def finish(self) -> Sequence[Finding]:
        """Called once all rows are made. What a reader must know about how they were made."""
        return ()

    def observe(self, task: Task, sample: Sample) -> None:
        """See one sample of the split before any row is made; all of them are shown, whatever shard the rows are for."""
        return

    def state(self, task: Task) -> dict[str, Any]:
        """What `figures` needs besides the rows; JSON-compatible, kept beside them."""
        return {}

    def restore(self, task: Task, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave, before rows that were kept are reduced."""
        return

    @abstractmethod
    def row(self, sample: Sample, prediction: Prediction) -> Mapping[str, Any]:
        """The sufficient statistics of one sample: names to numbers, the same names for every sample."""

    def rows(self, cases: Sequence[Case]) -> Sequence[Mapping[str, Any]]:
        """The statistics of several samples; override it where a batch is faster."""
        return [self.row(case.sample, case.prediction) for case in cases]

    def row_type(self) -> pa.DataType | None:
        """The Arrow type of rows; None lets it be inferred from them."""
        return None

    def variants(self) -> tuple[str, ...]:
        """Names under which the same rows give different figures (protocols); the first one gives the main figures."""
        return ("",)

    def figures(self, task: Task, rows: pa.StructArray, variant: str = "") -> Figures:
        """What adds up, from rows that were made or read back.

        Args:
            task: theirs.
            rows: shape (rows,), as `row` gave them.
            variant: one of `variants`.

        Raises:
            MmudError: MM823 when a row holds something else than numbers, MM821 when it does not hold what is needed.
        """
        columns: dict[str, NDArray[Any]] = {UNITS: np.ones(len(rows), dtype=np.int64)}
        for position in range(rows.type.num_fields):
            name = rows.type.field(position).name
            column = rows.field(position)
            values = column.to_numpy(zero_copy_only=False)
            if column.null_count or values.dtype.kind not in "iufb":
                message = f"evaluator {self.name!r}: {name!r} is not a number in every row"
                raise MmudError(codes.ROW_MALFORMED, message)
            columns[name] = values
        return Figures(
            columns=columns,
            owner=np.arange(len(rows)),
            reduce=self.reduce,
            counts={metric.name: UNITS for metric in self.metrics},
            fields={metric.name: {"evaluator": self.name} for metric in self.metrics},
        )

    @abstractmethod
    def reduce(self, sums: Sums) -> Mapping[str, Any]:
        """Metrics from sums of the rows' numbers.

        Args:
            sums: column -> shape (weightings,): one entry for the data as they are, and one for each resampling.

        Returns:
            Metric name -> shape (weightings,); NaN where a metric has no value.
        """


@contextmanager
def blamed_on(evaluator: Evaluator | type[Evaluator]) -> Iterator[None]:
    """What a stranger's evaluator raises is its fault, and is said so; ours is ours.

    Raises:
        MmudError: MM823 for whatever an evaluator from outside the package raised.
    """
    try:
        yield
    except MmudError:
        raise
    except Exception as error:  # a stranger's code may fail in any way
        made_by = evaluator if isinstance(evaluator, type) else type(evaluator)
        if made_by.__module__.partition(".")[0] == "mmud":
            raise
        message = f"evaluator {evaluator.name!r} failed: {type(error).__name__}: {error}"
        raise MmudError(codes.ROW_MALFORMED, message) from error


def _fault(found: Any) -> str | None:
    """Why something is no evaluator that can be made; None where it is one."""
    if not (isinstance(found, type) and issubclass(found, Evaluator)):
        return "is no subclass of mmud.evaluators.base.Evaluator"
    declared = [name for name in ("name", "tasks", "metrics") if not hasattr(found, name)]
    lacking = [*declared, *sorted(getattr(found, "__abstractmethods__", ()))]
    return f"lacks {', '.join(lacking)}" if lacking else None


EVALUATORS: Registry[type[Evaluator]] = Registry(
    "evaluator",
    "mmud.evaluators",
    {
        "segmentation": "mmud.evaluators.segmentation.evaluator:SegmentationEvaluator",
        "answers": "mmud.evaluators.text:AnswerEvaluator",
        "captions": "mmud.evaluators.text:CaptionEvaluator",
        "caption_images": "mmud.evaluators.caption_images:CaptionImageEvaluator",
        "generation": "mmud.evaluators.images:GenerationEvaluator",
    },
    _fault,
)

BUILT_IN = ("mmud:segmentation", "mmud:answers", "mmud:captions", "mmud:caption_images", "mmud:generation")
"""With their package, so that a plug-in which claims one of these names stops nobody who does not ask for it."""
