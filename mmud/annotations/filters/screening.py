"""Running filters over samples: once past all of them, then a verdict on each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Any, Self

from mmud import codes as common
from mmud.annotations.filters.base import FILTERS, Action, Filter, FilterSettings, Label, Reason, Tools, texts
from mmud.annotations.filters.subject import Subject
from mmud.annotations.linking.nouns import category_key
from mmud.errors import MmudError
from mmud.records import Sample

_BATCH = 256


@dataclass(frozen=True, slots=True)
class Verdict:
    """What filters say of one sample.

    Attributes:
        refused, reported: name of the filter and its reason, in the order in which filters look.
        labels: the labels that the sample has.
    """

    refused: tuple[tuple[str, Reason], ...] = ()
    reported: tuple[tuple[str, Reason], ...] = ()
    labels: tuple[Label, ...] = ()

    @property
    def refused_labels(self) -> frozenset[Label]:
        return frozenset(reason.label for _, reason in self.refused)


def labels_of(sample: Sample) -> tuple[Label, ...]:
    """The labels that a sample has: those of which some text is not empty."""
    return tuple(label for label in Label if any(getattr(sample, field).strip() for field in label.fields))


def without(sample: Sample, labels: Iterable[Label]) -> Sample:
    """The sample with these labels emptied."""
    return sample.model_copy(update={field: "" for label in labels for field in label.fields})


class Screening:
    """Filters at work on one set of samples.

    Args:
        settings: filter -> thresholds, of the filters that look.
        selected: ids of the codes that count.
        tools: what filters may use.

    Raises:
        MmudError: MM004 to MM006 for a filter that cannot be had.
    """

    def __init__(
        self,
        settings: Mapping[str, FilterSettings],
        selected: frozenset[str],
        tools: Tools = Tools(),  # noqa: B008
    ) -> None:
        self._selected = selected
        self._vocabulary: set[str] = set()
        self._filters: dict[str, Filter[Any]] = {}
        try:
            for name, values in settings.items():
                self._filters[name] = FILTERS.get(name)(values, tools)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let every filter let go of what it holds."""
        for one in self._filters.values():
            one.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def survey(self, samples: Iterable[Sample]) -> None:
        """Pass all samples once: categories are collected, and filters see what they compare."""
        watching = {name: one for name, one in self._filters.items() if type(one).observe is not Filter.observe}
        for sample in samples:
            self._vocabulary.update(category_key(item.category) for item in sample.objects)
            for name, one in watching.items():
                with _Blamed(name, one):
                    one.observe(sample)
        for name, one in self._filters.items():
            with _Blamed(name, one):
                one.finish()
        self._vocabulary.discard("")

    def verdicts(self, samples: Iterable[Sample]) -> Iterator[tuple[Sample, Verdict]]:
        """Each sample with what the filters say of it, in the order given; `survey` comes first."""
        vocabulary = frozenset(self._vocabulary)
        iterator = iter(samples)
        while batch := list(islice(iterator, _BATCH)):
            subjects = [Subject(sample, vocabulary) for sample in batch]
            found: list[list[tuple[str, Reason]]] = [[] for _ in batch]
            for name, one in self._filters.items():
                with _Blamed(name, one):
                    answers = one.look_at(subjects)
                    for reasons, answer in zip(found, answers, strict=True):
                        reasons += [(name, reason) for reason in answer if self._counts(one, reason)]
            for sample, reasons in zip(batch, found, strict=True):
                yield sample, self._verdict(sample, reasons)

    def _counts(self, one: Filter[Any], reason: Reason) -> bool:
        if reason.code not in one.codes:
            raise ValueError(f"it gives {reason.code.id}, which is not among its codes")
        return reason.code.id in self._selected

    def _verdict(self, sample: Sample, reasons: list[tuple[str, Reason]]) -> Verdict:
        there = labels_of(sample)
        real = [(name, reason) for name, reason in reasons if reason.label in there]
        sides: dict[Action, list[tuple[str, Reason]]] = {action: [] for action in Action}
        for name, reason in real:
            sides[self._filters[name].settings.action_on(reason.label)].append((name, reason))
        return Verdict(tuple(sides[Action.REFUSE]), tuple(sides[Action.REPORT]), there)


class _Blamed:
    """Names the plug-in whose filter fails; an error of a built-in one is a fault of this package and stays what it is."""

    def __init__(self, name: str, one: Filter[Any]) -> None:
        self._name, self._module = name, type(one).__module__

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, MmudError) and not self._module.startswith("mmud."):
            message = f"the filter {self._name!r} fails: {type(error).__name__}: {error}"
            raise MmudError(common.PLUGIN_BROKEN, message) from error


def label_text(sample: Sample, label: Label) -> str:
    """The text of a label, for people."""
    return texts(Subject(sample), label)
