"""Asking for drafts: many at once, each kept before it is used, none twice, within a budget, and stopped in good order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from mmud.annotations.drafting import codes
from mmud.annotations.drafting.answers import AnswerFile, answer_key
from mmud.annotations.drafting.base import Annotator, DraftTask, LeftOut
from mmud.annotations.drafting.budget import Budget, Meter
from mmud.errors import MmudError
from mmud.records import Sample

Wanted = tuple[Sample, tuple[DraftTask, ...]]
"""A sample with its image, and what is to be drafted of it."""

_KEYED = tuple[DraftTask, bytes]


@dataclass
class Asked:
    """What asking came to.

    Attributes:
        kept: task -> drafts that this run was given and kept.
        found: task -> drafts that were there already, or are asked for on behalf of an equal sample.
        left_out: key -> why there is no draft.
        unread: (sample, task) -> why there is no key: its image cannot be read.
        failure: what ended the run early; None when all was asked.
    """

    kept: Counter[DraftTask] = field(default_factory=Counter)
    found: Counter[DraftTask] = field(default_factory=Counter)
    left_out: dict[bytes, MmudError] = field(default_factory=dict)
    unread: dict[tuple[str, DraftTask], MmudError] = field(default_factory=dict)
    failure: MmudError | None = None


@dataclass(frozen=True, slots=True)
class _Done:
    """What became of the drafts of one sample: None for a draft that is kept; and what kept the rest from being asked."""

    drafts: list[tuple[DraftTask, bytes, LeftOut | None]]
    failure: MmudError | None = None


class Asking:
    """One run of asking.

    Args:
        annotator: which keeps answers.
        answers: where they are kept.
        budget: what may be spent.
        advance: told how many drafts were settled by asking, and how many needed no asking.
    """

    def __init__(
        self,
        annotator: Annotator,
        answers: AnswerFile,
        budget: Budget,
        advance: Callable[[int, int], None] = lambda asked, found: None,
    ) -> None:
        self._annotator = annotator
        self._answers = answers
        self._budget = budget
        self._advance = advance
        self._asked = Asked()
        self._in_a_row = 0

    def ask_all(self, wanted: Iterable[Wanted]) -> Asked:
        """Ask for every draft that is not kept yet.

        When something fails for good, or the budget is spent, nothing new is asked; what is under way is waited for and kept.
        """
        most = 2 * self._annotator.threads
        running: dict[Future[_Done], list[bytes]] = {}
        keys: set[bytes] = set()
        pool = ThreadPoolExecutor(self._annotator.threads, thread_name_prefix="mmud-draft")
        try:
            for sample, tasks in wanted:
                missing = self._missing(sample, tasks, keys)
                if not missing:
                    continue
                asked = [key for _, key in missing]
                keys.update(asked)
                running[pool.submit(self._draft, sample, missing)] = asked
                while len(running) >= most:
                    self._collect(running, keys)
                if self._asked.failure is not None:
                    break
            while running:
                self._collect(running, keys)
        except BaseException:
            self._annotator.stop()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        return self._asked

    def _missing(self, sample: Sample, tasks: tuple[DraftTask, ...], under_way: set[bytes]) -> list[_KEYED]:
        try:
            keyed = [(task, answer_key(self._annotator, sample, task)) for task in tasks]
        except MmudError as error:
            self._asked.unread.update({(sample.sample_id, task): error for task in tasks})
            self._advance(len(tasks), 0)
            return []
        missing = [(task, key) for task, key in keyed if key not in under_way and key not in self._answers]
        asked = {task for task, _ in missing}
        self._asked.found.update(task for task in tasks if task not in asked)
        if len(missing) < len(tasks):
            self._advance(0, len(tasks) - len(missing))
        return missing

    def _draft(self, sample: Sample, missing: list[_KEYED]) -> _Done:
        """The drafts of one sample, one after the other, in a thread of its own."""
        found: list[tuple[DraftTask, bytes, LeftOut | None]] = []
        for task, key in missing:
            meter = Meter(self._budget)
            try:
                draft = self._annotator.draft(sample, task, meter)
            except LeftOut as error:
                self._answers.add_failure(task, sample.sample_id, error.code.id, meter.usage)
                found.append((task, key, error))
            except MmudError as error:
                if meter.usage.requests:
                    self._answers.add_failure(task, sample.sample_id, error.code.id, meter.usage)
                return _Done(found, error)
            else:
                prompt = self._annotator.prompt_version(task)
                self._answers.add(key, task, sample.sample_id, draft, prompt, meter.usage)
                found.append((task, key, None))
            finally:
                meter.close()
        return _Done(found)

    def _collect(self, running: dict[Future[_Done], list[bytes]], keys: set[bytes]) -> None:
        """Wait for the next samples to be done; the first failure among them stops the rest."""
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            keys.difference_update(running.pop(future))
            if future.cancelled():
                continue
            error = future.exception()
            if error is None:
                result = future.result()
                self._count(result, running)
                if result.failure is not None:
                    self._end(result.failure, running)
            elif isinstance(error, MmudError):
                self._end(error, running)
            else:
                raise error

    def _count(self, done: _Done, running: dict[Future[_Done], list[bytes]]) -> None:
        for task, key, error in done.drafts:
            if error is None:
                self._asked.kept[task] += 1
            else:
                self._asked.left_out[key] = error
        self._advance(len(done.drafts), 0)
        # A sample that has nothing to draft from says nothing about the service.
        tried = [error for _, _, error in done.drafts if error is None or error.code != codes.NOTHING_TO_SAY]
        if None in tried:
            self._in_a_row = 0
        elif tried:
            self._in_a_row += 1
            if self._in_a_row >= self._annotator.give_up and self._asked.failure is None:
                message = f"{self._in_a_row} samples in a row; the last: {tried[-1]}"
                self._end(MmudError(codes.TOO_MANY_LEFT_OUT, message), running)

    def _end(self, error: MmudError, running: dict[Future[_Done], list[bytes]]) -> None:
        for future in running:
            future.cancel()
        if self._asked.failure is None:
            self._asked.failure = error
        if error.code != codes.BUDGET_SPENT:
            # What waits for a next attempt gives up; what the service is answering now is still taken.
            self._annotator.stop()
