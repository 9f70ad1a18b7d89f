"""The next version: what was decided and nothing else changes; who, when, before and after stand with each sample."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mmud.annotations.review.journal import Entry, Kind, Verdict
from mmud.annotations.review.labels import label_hash
from mmud.cli import run
from mmud.dataset.reviewed import default_journal
from mmud.dataset.store import Dataset
from mmud.dataset.writer import write_dataset
from mmud.records import ImageReference, MaskedObject, Sample

COUNT = 7


def samples(first: int, count: int) -> Iterator[Sample]:
    for number in range(first, first + count):
        yield Sample(
            sample_id=f"s{number}",
            image=ImageReference(bytes=b"bytes of an image", path=f"{number}.png"),
            width=8,
            height=6,
            source="made",
            caption=f"caption {number}",
            question=f"question {number}?",
            answer=f"answer {number} <LCL-1>",
            objects=(MaskedObject(phrases=("it",), category="thing", bbox=(1.0, 1.0, 3.0, 3.0)),),
            provenance={"labels": {"answer": {"annotator": "template"}}},
        )


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    monkeypatch.setenv("MMUD_CACHE", str(tmp_path / "cache"))
    return write_dataset(
        tmp_path / "data", {"train": samples(0, 5), "test": samples(5, 2)}, shard_rows=2, sources=[{"name": "made"}]
    )


class Book:
    """A journal written line by line, as a server would."""

    def __init__(self, dataset: Dataset, path: Path | None = None) -> None:
        self.dataset = dataset
        self.path = path or default_journal(dataset.path)
        self.path.touch()

    def _add(self, reviewer: str, sample: str, **fields: Any) -> Entry:
        labels = fields.pop("labels", None) or label_hash(self.dataset.find(sample))
        values = {"reviewer": reviewer, "dataset": self.dataset.fingerprint, "sample": sample, "labels": labels}
        entry = Entry.new(**values, **fields)
        with open(self.path, "ab") as stream:
            stream.write(entry.to_line())
        return entry

    def say(self, reviewer: str, sample: str, verdict: str, **fields: Any) -> Entry:
        return self._add(reviewer, sample, kind=Kind.VERDICT, verdict=Verdict(verdict), **fields)

    def edit(self, reviewer: str, sample: str, field: str, text: str) -> Entry:
        return self._add(reviewer, sample, kind=Kind.EDIT, field=field, text=text)


def outcome(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    capsys.readouterr()
    code = run(["review", *arguments, "--json", "-q"])
    return code, json.loads(capsys.readouterr().out)


def test_a_review_becomes_the_next_version(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    book = Book(dataset)
    book.say("anna", "s0", "accept")
    edit = book.edit("anna", "s1", "answer", "the thing <OBJ-1>\r\nis here")
    accept = book.say("anna", "s1", "accept")
    book.say("ben", "s5", "reject", reason="vague")
    book.edit("ben", "s2", "caption", "nobody accepted this")
    book.say("ben", "s3", "skip")
    before = {file: file.read_bytes() for file in dataset.path.rglob("*") if file.is_file()}
    out = tmp_path / "next"
    code, facts = outcome(capsys, str(dataset.path), "--apply", "-o", str(out))
    assert code == 0
    wanted = {
        "accepted": 2,
        "rejected": 1,
        "undecided": 4,
        "disputed": 0,
        "kept": 6,
        "dropped": 1,
        "edits": 1,
        "pending": 1,
    }
    assert {name: facts[name] for name in wanted} == wanted
    assert facts["reasons"] == {"vague": 1}
    assert {file: file.read_bytes() for file in dataset.path.rglob("*") if file.is_file()} == before
    made = Dataset(out)
    assert {split: made.length(split) for split in made.splits} == {"train": 5, "test": 1}
    found = {sample.sample_id: sample for sample in made.samples(images=True)}
    old = {sample.sample_id: sample for sample in dataset.samples(images=True)}
    assert set(found) == set(old) - {"s5"}
    assert all(found[name] == old[name] for name in ("s2", "s3", "s4", "s6"))
    assert found["s1"].answer == "the thing <LCL-1>\nis here"
    assert found["s1"].model_copy(update={"answer": old["s1"].answer, "provenance": {}}) == old["s1"].model_copy(
        update={"provenance": {}}
    )
    assert found["s1"].image.bytes == b"bytes of an image"
    assert found["s1"].provenance == {
        "labels": {
            "answer": {
                "annotator": "template",
                "edits": [
                    {
                        "by": "anna",
                        "time": edit.time,
                        "what": "edited",
                        "before": "answer 1 <LCL-1>",
                        "after": "the thing <LCL-1>\nis here",
                    }
                ],
            }
        },
        "reviews": [{"verdict": "accept", "by": [{"reviewer": "anna", "time": accept.time}]}],
    }
    record = json.loads((out / "review.json").read_text("utf-8"))
    assert record["dataset"]["fingerprint"] == dataset.fingerprint
    assert record["progress"]["reviewers"]["anna"]["accept"] == 2
    assert "review of data" in (out / "README.md").read_text("utf-8")
    # The same journal gives the same bytes.
    code, _ = outcome(capsys, str(dataset.path), "--apply", "-o", str(tmp_path / "again" / "next"))
    assert code == 0
    assert {path.name: path.read_bytes() for path in out.rglob("*.parquet")} == {
        path.name: path.read_bytes() for path in (tmp_path / "again" / "next").rglob("*.parquet")
    }


def test_policies(dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    book = Book(dataset)
    book.say("anna", "s0", "accept")
    book.say("ben", "s1", "reject")
    book.say("anna", "s2", "accept")
    book.say("ben", "s2", "reject")
    out = str(tmp_path / "next")

    def kept(*options: str) -> list[str]:
        assert run(["review", str(dataset.path), "--apply", "-o", out, "--force", "-q", *options]) == 0
        return [sample.sample_id for sample in Dataset(out).samples()]

    capsys.readouterr()
    assert run(["review", str(dataset.path), "--apply", "-o", out, "-q"]) == 3
    error = capsys.readouterr().err
    assert "MM986" in error
    assert "s2" in error
    assert not Path(out).exists()
    assert kept("--disputed", "keep", "--undecided", "drop") == ["s0", "s2"]
    assert kept("--disputed", "drop") == ["s0", "s3", "s4", "s5", "s6"]
    assert kept("--disputed", "drop", "--rejected", "empty") == ["s0", "s1", "s3", "s4", "s5", "s6"]
    emptied = Dataset(out).find("s1")
    assert (emptied.caption, emptied.question, emptied.answer) == ("", "", "")
    assert emptied.objects == dataset.find("s1").objects
    assert emptied.provenance["labels"]["caption"]["edits"][0]["before"] == "caption 1"
    book.say("carl", "s2", "accept", final=True)
    assert kept("--undecided", "drop") == ["s0", "s2"]
    code, facts = outcome(capsys, str(dataset.path), "--apply", "-o", str(tmp_path / "dry"), "--dry-run")
    assert (code, facts["output"], facts["disputed"]) == (0, None, 0)
    assert not (tmp_path / "dry").exists()


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("answer", "it <LCL-2>"), ("answer", "it <LCL 1>"), ("answer", "it <LCL-0>"), ("answer", "a lcl <LCL-"),
        ("caption", "a thing <LCL-1>"), ("question", "which <LCL-9>?"),
    ],
)  # fmt: skip
def test_an_edit_that_breaks_tags_stops_everything(
    field: str, text: str, dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    book = Book(dataset)
    book.edit("anna", "s1", field, text)
    book.say("anna", "s1", "accept")
    assert run(["review", str(dataset.path), "--apply", "-o", str(tmp_path / "next"), "-q"]) == 3
    assert "MM983" in capsys.readouterr().err
    assert not (tmp_path / "next").exists()


def test_decisions_are_bound_to_what_was_seen(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    book = Book(dataset)
    for name in ("s0", "s1", "s2"):
        book.say("anna", name, "reject")
    # A later build: s1 has another caption, s2 is gone, the rest is as it was.
    later = [
        sample.model_copy(update={"caption": "new"} if sample.sample_id == "s1" else {})
        for sample in dataset.samples("train", images=True)
        if sample.sample_id != "s2"
    ]
    other = write_dataset(tmp_path / "later", {"train": later})
    code, facts = outcome(capsys, str(other.path), "--apply", "-o", str(tmp_path / "next"), "--journal", str(book.path))
    assert code == 0
    assert [sample.sample_id for sample in Dataset(tmp_path / "next").samples()] == ["s1", "s3", "s4"]
    assert [finding["code"] for finding in facts["findings"]] == ["MM982", "MM988"]
    # Nothing of it fits: refused.
    strange = write_dataset(tmp_path / "strange", {"train": samples(90, 2)})
    assert run(["review", str(strange.path), "--status", "--journal", str(book.path)]) == 2
    assert "MM981" in capsys.readouterr().err
    # A line whose hash was changed by hand does not count, though its fingerprint is right.
    forged = Book(dataset, tmp_path / "forged.jsonl")
    forged.say("anna", "s0", "reject", labels="0" * 64)
    code, facts = outcome(
        capsys, str(dataset.path), "--apply", "-o", str(tmp_path / "n2"), "--journal", str(forged.path)
    )
    assert (code, facts["kept"], facts["rejected"], facts["findings"][0]["code"]) == (0, COUNT, 0, "MM982")


def test_status_prints_progress_and_kappa(dataset: Dataset, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    anna, ben = Book(dataset, tmp_path / "anna.jsonl"), Book(dataset, tmp_path / "ben.jsonl")
    for number in range(6):
        anna.say("anna", f"s{number}", "accept" if number < 4 else "reject")
        ben.say("ben", f"s{number}", "accept" if number < 3 else "reject")
    ben.edit("ben", "s0", "caption", "x")
    journals = ("--journal", str(anna.path), "--journal", str(ben.path))
    code, facts = outcome(capsys, str(dataset.path), "--status", *journals)
    assert code == 0
    assert facts["progress"]["decided"] == 6
    assert facts["disputes"] == 2
    (pair,) = facts["agreement"]
    # By hand: p_o = 5/6, p_e = (4*3 + 2*3) / 36 = 1/2, kappa = 2/3.
    assert pair["table"] == [[3, 1], [0, 2]]
    assert pair["kappa"] == pytest.approx(2 / 3)
    assert run(["review", str(dataset.path), "--status", *journals]) == 0
    text = capsys.readouterr().out
    assert "anna and ben" in text
    assert "0.6667" in text


def test_wrong_usage(dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = str(dataset.path)
    inside = str(dataset.path / "data" / "j.jsonl")
    for arguments in (
        ["--apply"], ["--apply", "--status"], ["-o", "x"], ["--dry-run"], ["--journal", "a", "--journal", "b"],
        ["--journal", inside],
    ):  # fmt: skip
        assert run(["review", name, *arguments]) == 2
        assert "MM001" in capsys.readouterr().err
    assert run(["review", name, "--status"]) == 2
    assert "MM002" in capsys.readouterr().err
    assert run(["review", str(tmp_path / "nothing"), "--status"]) == 3
    assert "MM102" in capsys.readouterr().err
