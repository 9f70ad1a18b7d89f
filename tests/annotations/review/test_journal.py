"""The journal: nothing confirmed is lost, whatever is killed or cut short; one writer at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmud.annotations.review.journal import Entry, Journal, Kind, Verdict, read_journal, read_journals
from mmud.errors import MmudError

ROOT = Path(__file__).resolve().parents[3]


def entry(**fields: Any) -> Entry:
    values: dict[str, Any] = {"reviewer": "anna", "dataset": "d" * 64, "sample": "s1", "labels": "e" * 64}
    values |= {"kind": Kind.VERDICT, "verdict": Verdict.ACCEPT} if "kind" not in fields else {}
    return Entry.new(**(values | fields))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@settings(max_examples=150, deadline=None)
@given(text=TEXT, field=st.sampled_from(["question", "answer", "caption"]))
def test_any_text_comes_back(text: str, field: str) -> None:
    made = entry(kind=Kind.EDIT, field=field, text=text)
    line = made.to_line()
    assert line.count(b"\n") == 1
    assert Entry.from_line(line) == made


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(1, 400))
def test_a_line_cut_short_costs_that_line_alone(cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("journal") / "j.jsonl"
    first, second, third = entry(), entry(kind=Kind.EDIT, field="answer", text="a\u2028<LCL-1>"), entry(sample="s2")
    torn = second.to_line()
    cut = min(cut, len(torn) - 2)
    path.write_bytes(first.to_line() + torn[: -1 - cut])
    with Journal(path) as journal:
        assert journal.entries == [first]
        assert [finding.code.id for finding in journal.findings] == (["MM980"] if len(torn) - 1 - cut else [])
        journal.append(third)
    assert read_journal(path)[0] == [first, third]


def test_a_whole_last_line_without_its_line_feed_counts(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    first, second = entry(), entry(sample="s2")
    path.write_bytes(first.to_line()[:-1])
    with Journal(path) as journal:
        journal.append(second)
    assert read_journal(path) == ([first, second], [])


@pytest.mark.parametrize(
    "line",
    [
        b"[]", b"{", b'{"mmud_review": 2, "kind": "verdict"}', b'{"mmud_review": 1}', b"\xff\xfe", b"null", b"[" * 100_000,
        b'{"mmud_review": 1, "kind": "verdict", "verdict": "maybe"}', entry().to_line().replace(b'"id"', b'"ident"').strip(),
        entry().to_line().replace(b'"s1"', b"7").strip(), entry().to_line().replace(b'"s1"', b'"\\ud800"').strip(),
    ],
)  # fmt: skip
def test_a_line_that_is_no_entry_is_named_and_passed_over(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    first, last = entry(), entry(sample="s2")
    path.write_bytes(first.to_line() + line + b"\n" + last.to_line())
    entries, findings = read_journal(path)
    assert entries == [first, last]
    assert [(finding.code.id, finding.place.line) for finding in findings] == [("MM980", 2)]


@pytest.mark.parametrize(
    "fields",
    [
        {"reviewer": ""}, {"reviewer": " anna"}, {"reviewer": "a\nb"}, {"reviewer": "x" * 65}, {"sample": ""}, {"labels": ""},
        {"kind": Kind.EDIT, "field": "objects", "text": "x"}, {"kind": Kind.EDIT, "field": "answer", "text": "x" * 100_001},
        {"kind": Kind.EDIT, "field": "answer", "text": "\udc00"}, {"kind": Kind.UNDO}, {"kind": Kind.VERDICT},
        {"kind": Kind.VERDICT, "verdict": Verdict.SKIP, "final": True}, {"kind": Kind.EDIT, "field": "answer", "text": 7},
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(MmudError) as caught:
        entry(**fields)
    assert caught.value.code.id == "MM984"


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path):
        code = (
            "import sys; from pathlib import Path; from mmud.errors import MmudError\n"
            "from mmud.annotations.review.journal import Journal\n"
            "try: Journal(Path(sys.argv[1]))\nexcept MmudError as error: print(error.code.id)"
        )
        command = [sys.executable, "-c", code, str(path)]
        other = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        assert other.stdout.strip() == "MM985"
        assert read_journal(path) == ([], [])
    Journal(path).close()


def test_everything_confirmed_survives_a_kill(tmp_path: Path) -> None:
    """A process that says each id after `append` returns is killed at an arbitrary moment: every id said is in the journal."""
    path = tmp_path / "j.jsonl"
    code = (
        "import sys; from pathlib import Path\n"
        "from mmud.annotations.review.journal import Entry, Journal, Kind\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "while True:\n"
        "    made = Entry.new(reviewer='a', dataset='d', sample='s', labels='l', kind=Kind.EDIT, field='answer',\n"
        "                     text='x' * 9999)\n"
        "    journal.append(made); print(made.id, flush=True)\n"
    )
    said: list[str] = []
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert process.stdout is not None
        with process.stdout as lines:
            said.append(next(lines).strip())
            time.sleep(0.15)
            os.kill(process.pid, signal.SIGKILL)
            said += [line.strip() for line in lines if line.endswith("\n")]
        process.wait()
    entries, findings = read_journal(path)
    assert len(said) > 4
    assert set(said) <= {one.id for one in entries}
    assert all("cut short" in finding.message or "no entry" in finding.message for finding in findings)
    assert len(findings) <= 2


def test_a_full_disk_leaves_no_half_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "j.jsonl"
    first, second, third = entry(), entry(sample="s2"), entry(sample="s3")
    with Journal(path) as journal:
        journal.append(first)
        write = os.write

        def full(descriptor: int, data: bytes) -> int:
            if len(data) < 40:
                raise OSError(28, "No space left on device")
            return write(descriptor, data[: len(data) - 20])

        monkeypatch.setattr("os.write", full)
        with pytest.raises(MmudError) as caught:
            journal.append(second)
        assert caught.value.code.id == "MM008"
        monkeypatch.setattr("os.write", write)
        journal.append(third)
    assert read_journal(path) == ([first, third], [])


def test_several_journals_are_one(tmp_path: Path) -> None:
    early, late = entry(), entry(sample="s2")
    object.__setattr__(early, "time", "2026-01-01T00:00:00.000Z")
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(late.to_line())
    b.write_bytes(early.to_line() + late.to_line())
    assert read_journals([a, b]) == ([early, late], [])
    # One journal keeps its own order: clocks are set back now and then.
    a.write_bytes(late.to_line() + early.to_line())
    assert read_journals([a])[0] == [late, early]


def test_lines_are_plain_json(tmp_path: Path) -> None:
    row = json.loads(entry(reason="vague").to_line())
    assert row.pop("mmud_review") == 1
    assert set(row) == {"id", "time", "reviewer", "dataset", "sample", "labels", "kind", "verdict", "reason"}
