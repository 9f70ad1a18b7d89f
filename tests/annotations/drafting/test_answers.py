"""The file of answers and the budget under many threads."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mmud.annotations.drafting.answers import AnswerFile
from mmud.annotations.drafting.base import Draft, DraftTask
from mmud.annotations.drafting.budget import Budget, Meter, Prices, Usage
from mmud.errors import MmudError

ONE = Usage(2, 100, 20)


def together(count: int, work: Callable[[int], None]) -> None:
    """Run the work in so many threads at once; the first exception is raised here."""
    problems: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # raised again below, in the test's own thread
            problems.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]


def add(file: AnswerFile, key: str, caption: str = "A caption.") -> None:
    file.add(key.encode(), DraftTask.CAPTION, "s", Draft({"caption": caption}, "seer", "{…}", True), "caption-1", ONE)


def test_what_many_threads_add_is_there(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "answers.sqlite"
    with AnswerFile(path) as file:
        together(12, lambda number: [add(file, f"{number}-{count}") for count in range(20)][-1])
        file.add_failure(DraftTask.QUESTION, "s", "MM962", ONE)
        assert len(file) == 240
    with AnswerFile(path) as file:
        assert len(file) == 240
        assert file.spent() == Usage(2 * 241, 100 * 241, 20 * 241)
        kept = file.get(b"3-7")
        assert kept is not None
        assert kept.draft == Draft({"caption": "A caption."}, "seer", "{…}", True)
        assert b"3-7" in file
        assert b"no" not in file
        assert file.get(b"no") is None


def test_answers_are_only_added(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    with AnswerFile(path) as file:
        add(file, "a", "The first.")
        add(file, "a", "The second.")
        kept = file.get(b"a")
        assert kept is not None
        assert kept.draft.labels == {"caption": "The first."}
    connection = sqlite3.connect(path)
    for statement in ("update answers set labels = ''", "delete from answers"):
        with pytest.raises(sqlite3.IntegrityError, match="answers stay"):
            connection.execute(statement)
    connection.close()


def test_a_cut_off_file_keeps_what_was_whole(tmp_path: Path) -> None:
    """The log of a process that was killed, cut at any place: what was added before the cut is there, and the file works on."""
    path, log = tmp_path / "a.sqlite", tmp_path / "a.sqlite-wal"
    file = AnswerFile(path)
    sizes = []
    for number in range(6):
        add(file, str(number))
        sizes.append(log.stat().st_size)
    whole, main = log.read_bytes(), path.read_bytes()
    file.__exit__(None, None, None)
    draw = random.Random(1)
    for cut in [0, *sizes, *(draw.randrange(len(whole)) for _ in range(8))]:
        path.write_bytes(main)
        log.write_bytes(whole[:cut])
        with AnswerFile(path) as again:
            assert len(again) >= sum(size <= cut for size in sizes)
            add(again, "more")
            assert b"more" in again


def test_another_programs_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("create table mine (x)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(MmudError, match="MM966"):
        AnswerFile(path)
    assert path.read_bytes() == before


def test_a_budget_holds_under_many_threads() -> None:
    prices = Prices(1e6, 1e6)
    budget = Budget(prices, max_cost=100.0)
    most = 0.0
    lock = threading.Lock()
    draw = random.Random(5)
    answered = []

    def work(number: int) -> None:
        nonlocal most
        while True:
            meter = Meter(budget)
            try:
                meter.admit(2, 5)
            except MmudError as error:
                assert error.code.id == "MM964"
                return
            else:
                time.sleep(draw.uniform(0, 0.002))
                meter.paid(2, draw.randint(0, 5))
                with lock:
                    answered.append(meter.usage)
                    most = max(most, budget.cost)
            finally:
                meter.close()

    together(8, work)
    total = sum(answered, Usage())
    assert budget.spent == total
    assert budget.cost == prices.cost(total.prompt_tokens, total.completion_tokens) == most
    # It stops only when one more request could exceed it.
    assert 93.0 < budget.cost <= 100.0


def test_a_failed_attempt_gives_its_share_back() -> None:
    budget = Budget(Prices(1e6, 0.0), max_cost=10.0)
    meter = Meter(budget)
    for _ in range(5):
        meter.admit(8, 0)
    meter.paid(3, 0)
    meter.close()
    assert (budget.cost, budget.spent) == (3.0, Usage(5, 3, 0))
    second = Meter(budget)
    second.admit(7, 0)
    second.close()
    with pytest.raises(MmudError, match="MM964"):
        Meter(budget).admit(8, 0)
