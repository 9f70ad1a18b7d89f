"""`mmud link`: the next version of a dataset with tags, and the measure against tags that are there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmud.annotations import tags
from mmud.annotations.linking.measuring import split_tags
from mmud.cli import run
from mmud.dataset.linked import REPORT_NAME
from mmud.dataset.sources.scenes.config import preset
from mmud.dataset.sources.scenes.source import sample_of
from mmud.dataset.sources.scenes.world import generate
from mmud.dataset.store import Dataset
from mmud.dataset.writer import write_dataset
from mmud.records import Sample


def scenes(count: int) -> list[Sample]:
    return [sample_of(generate(preset("easy", seed=6), index)) for index in range(count)]


def untagged(samples: list[Sample]) -> list[Sample]:
    return [sample.model_copy(update={"answer": split_tags(sample.answer)[0]}) for sample in samples]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """The same answers with tags and without."""
    made = scenes(12)
    write_dataset(tmp_path / "tagged", {"train": made[:8], "test": made[8:]})
    bare = untagged(made)
    write_dataset(tmp_path / "bare", {"train": bare[:8], "test": bare[8:]})
    return tmp_path / "tagged", tmp_path / "bare"


def rows(folder: Path) -> list[dict[str, Any]]:
    return [row for _, row in Dataset(folder).rows(images=True)]


def test_answers_get_their_tags_back(folders: tuple[Path, Path], tmp_path: Path) -> None:
    tagged, bare = folders
    out = tmp_path / "out"
    before = rows(bare)
    assert run(["link", str(bare), "-o", str(out), "-q"]) == 0
    assert rows(bare) == before
    restored = 0
    for row, true, plain in zip(rows(out), rows(tagged), before, strict=True):
        assert {key: row[key] for key in row if key not in ("answer", "provenance")} == {
            key: plain[key] for key in plain if key not in ("answer", "provenance")
        }
        assert split_tags(row["answer"])[0] == plain["answer"]
        restored += row["answer"] == true["answer"]
        edits = json.loads(row["provenance"])["labels"]["answer"]["edits"]
        assert edits == [
            {"by": "mmud link", "what": "tagged", "tags": len(tags.parse(row["answer"])), "least_score": 0.8}
        ]
    assert restored >= 11
    assert run(["validate", str(out), "-q", "--select", "MM3", "--fail-on", "warning"]) == 0
    report = json.loads((out / REPORT_NAME).read_text("utf-8"))
    assert report["samples"] == {"read": 12, "changed": 12}
    assert report["tags"]["placed"] == sum(len(tags.parse(row["answer"])) for row in rows(out))


def test_what_is_tagged_stays_as_it_is(folders: tuple[Path, Path], tmp_path: Path) -> None:
    tagged, _ = folders
    out = tmp_path / "out"
    assert run(["link", str(tagged), "-o", str(out), "-q"]) == 0
    assert [row["answer"] for row in rows(out)] == [row["answer"] for row in rows(tagged)]


def test_the_measure(folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tagged, _ = folders
    assert run(["link", str(tagged), "--measure", "--json", "-q"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["texts"] == 12
    assert found["tags"] == sum(len(tags.parse(row["answer"])) for row in rows(tagged))
    assert found["precision"] >= 0.95
    assert found["recall"] >= 0.8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bare", "tagged"]


def test_a_dry_run_writes_nothing(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, bare = folders
    assert run(["link", str(bare), "--dry-run", "--limit", "3", "--json", "-q"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["partial"]
    assert found["samples"]["read"] == 3
    assert found["output"] is None
    assert len(found["examples"]) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bare", "tagged"]


def test_a_score_that_nothing_reaches(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    _, bare = folders
    assert run(["link", str(bare), "--dry-run", "--min-score", "1", "--json", "-q"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tags"]["placed"] == 0
    assert found["unsure"]["proposals"] > 0


@pytest.mark.parametrize(
    "arguments", [[], ["-o", "OUT", "--measure"], ["-o", "OUT", "--limit", "2"], ["--min-score", "2", "--dry-run"]]
)
def test_wrong_usage(folders: tuple[Path, Path], tmp_path: Path, arguments: list[str]) -> None:
    out = str(tmp_path / "out")
    assert run(["link", str(folders[1]), *(out if part == "OUT" else part for part in arguments), "-q"]) == 2
    assert not Path(out).exists()
