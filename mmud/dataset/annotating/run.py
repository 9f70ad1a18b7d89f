"""From a dataset and an annotator to a new version: first everything is asked, then everything is written.

Answers are kept in a file beside the output before anything is made of them, so a run that stops, for whatever reason, is gone on
with by the same command. Writing needs no network and follows the dataset's own order: the order of answers changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from mmud import codes as general_codes
from mmud.annotations.drafting import codes
from mmud.annotations.drafting.answers import AnswerFile, answer_key
from mmud.annotations.drafting.base import Annotator, Context, DraftTask
from mmud.annotations.drafting.budget import Budget, Prices, Usage
from mmud.annotations.drafting.engine import Asked, Asking
from mmud.dataset.annotating.planning import AnnotatePlan, AnnotateRequest, plan_drafts
from mmud.dataset.annotating.report import AnnotateReport, money
from mmud.dataset.annotating.writing import NewVersion
from mmud.dataset.store import Dataset
from mmud.errors import MmudError
from mmud.files import refuse_existing

Advance = Callable[[int, int, str], None]
"""Told how many drafts were settled, how many of the total need no work, and a remark such as the cost so far."""


def _silent(done: int, spared: int, remark: str) -> None:
    """Progress that nobody looks at."""


@dataclass(frozen=True)
class Limits:
    """What may be spent in all, earlier runs on the same file of answers included.

    Attributes:
        prices: of tokens.
        max_cost, max_requests: None for no limit.
        partial: when they are reached, write the new version with the drafts there are.
    """

    prices: Prices = field(default_factory=Prices)
    max_cost: float | None = None
    max_requests: int | None = None
    partial: bool = False

    def check(self) -> None:
        """
        Raises:
            MmudError: MM001 for a limit that cannot be kept.
        """
        if self.max_cost is not None and not self.prices.known:
            message = "--max-cost needs --price-in or --price-out: what a token costs"
            raise MmudError(general_codes.USAGE, message)


def answers_path(output: Path) -> Path:
    """Where answers are kept when nothing else is said: beside the output."""
    return output.with_name(output.name + ".answers.sqlite")


def annotate(
    dataset: Dataset,
    output: Path,
    annotator: Annotator,
    request: AnnotateRequest,
    *,
    limits: Limits | None = None,
    answers: Path | None = None,
    force: bool = False,
    asking: Callable[[int], Advance] = lambda total: _silent,
    writing: Callable[[int], None] = lambda count: None,
    note: Callable[[str], None] = lambda text: None,
) -> AnnotateReport:
    """Draft labels and write the dataset with them as a new one.

    Args:
        dataset: whose labels are drafted; it is not changed.
        output: the folder to make.
        annotator: who drafts.
        request: what.
        limits: what may be spent.
        answers: the file of answers; beside the output when left out. Only annotators that keep answers have one.
        force: replace a folder that is there.
        asking: from the number of drafts wanted to who is told of progress in asking.
        writing: told how many samples were written.
        note: for a person.

    Raises:
        MmudError: MM003 when the output exists, MM001 when it is the dataset itself, MM950 to MM952 when the service fails, MM964
            when the budget is spent, MM965 when nothing usable comes, MM966 when the file of answers cannot be used. What was
            answered is kept.
    """
    limits = limits or Limits()
    limits.check()
    if output.resolve() == dataset.path.resolve():
        raise MmudError(general_codes.USAGE, "a dataset is never edited in place: name another output")
    refuse_existing(output, force)
    plan, report = _begin(dataset, annotator, request)
    file = answers or answers_path(output)
    # Only who keeps answers has a file of them.
    with AnswerFile(file) if annotator.keeps_answers else nullcontext() as kept:
        asked = Asked()
        if kept is not None:
            asked = _ask(dataset, plan, annotator, kept, limits, asking(plan.drafts.total()))
            report.kept, report.found, report.usage = asked.kept, asked.found, kept.spent()
            report.cost = _cost(limits.prices, report.usage)
            _stop_at_failure(asked, limits, note)
        version = NewVersion(dataset, output, annotator, request, plan, kept, asked, force)
        report.dataset = version.write(report, limits.prices, writing)
    return report


def _ask(
    dataset: Dataset, plan: AnnotatePlan, annotator: Annotator, kept: AnswerFile, limits: Limits, advance: Advance
) -> Asked:
    budget = Budget(limits.prices, limits.max_cost, limits.max_requests, kept.spent())

    def tell(asked: int, found: int) -> None:
        advance(asked, found, f"{money(budget.cost)} spent" if limits.prices.known else "")

    return Asking(annotator, kept, budget, tell).ask_all(plan.wanted(dataset))


def _stop_at_failure(asked: Asked, limits: Limits, note: Callable[[str], None]) -> None:
    failure = asked.failure
    if failure is None:
        return
    if failure.code == codes.BUDGET_SPENT and limits.partial:
        note(f"warning: {failure.message}; the new version has the drafts there are")
        return
    given = sum(asked.kept.values()) + sum(asked.found.values())
    raise MmudError(failure.code, f"{failure.message} ({given:,} answers are kept)", failure.where, failure.hint)


def _begin(dataset: Dataset, annotator: Annotator, request: AnnotateRequest) -> tuple[AnnotatePlan, AnnotateReport]:
    """What is to be drafted, and the report that counts it."""
    cannot = [task.value for task in request.tasks if task not in annotator.tasks]
    if cannot or not request.tasks:
        able = ", ".join(annotator.tasks)
        message = f"{annotator.name} does not draft {', '.join(cannot) or 'nothing'}"
        raise MmudError(general_codes.USAGE, message, hint=f"It drafts {able}.")
    plan = plan_drafts(dataset, request)
    annotator.begin(Context(dataset.manifest.recipe))
    return plan, AnnotateReport(wanted=plan.drafts, half=plan.half)


def _cost(prices: Prices, usage: Usage) -> float | None:
    return prices.cost(usage.prompt_tokens, usage.completion_tokens) if prices.known else None


def estimate(
    dataset: Dataset,
    output: Path,
    annotator: Annotator,
    request: AnnotateRequest,
    *,
    limits: Limits | None = None,
    answers: Path | None = None,
) -> AnnotateReport:
    """What `annotate` would ask, and what that is expected to cost; nothing is asked and nothing is written.

    Answers that are kept already are looked up, which reads the images.
    """
    limits = limits or Limits()
    limits.check()
    plan, report = _begin(dataset, annotator, request)
    expected = Usage()
    file = answers or answers_path(output)
    if annotator.keeps_answers:
        with AnswerFile(file) if file.exists() else nullcontext() as kept:
            samples = plan.wanted_labels(dataset) if kept is None else plan.wanted(dataset)
            seen: set[bytes] = set()
            for sample, tasks in samples:
                for task in tasks:
                    key = None if kept is None else answer_key(annotator, sample, task)
                    if kept is not None and key is not None and (key in kept or key in seen):
                        report.found[task] += 1
                        continue
                    seen.update(() if key is None else (key,))
                    tokens = annotator.estimate(sample, task)
                    expected += Usage(1, tokens.prompt_tokens, tokens.completion_tokens)
            report.usage = Usage() if kept is None else kept.spent()
    report.expected, report.cost = expected, _cost(limits.prices, expected)
    return report


def tasks_named(names: list[str]) -> tuple[DraftTask, ...]:
    """Tasks by name, each once, in their own order.

    Raises:
        MmudError: MM001 for a name that is none.
    """
    unknown = [name for name in names if name not in list(DraftTask)]
    if unknown:
        known = ", ".join(DraftTask)
        raise MmudError(general_codes.USAGE, f"{unknown[0]!r} is nothing that is drafted", hint=f"It is {known}.")
    return tuple(task for task in DraftTask if task.value in names)
