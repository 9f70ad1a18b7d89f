"""`mmud stats` and `mmud card` as they are typed: what is printed, what is written, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from mmud.cli import run
from mmud.dataset.card import render_card
from mmud.dataset.statistics.collect import collect
from mmud.dataset.store import Dataset
from mmud.dataset.writer import write_dataset
from mmud.records import MaskedObject, Sample


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    def samples(prefix: str, count: int) -> list[Sample]:
        return [
            Sample(
                sample_id=f"{prefix}{number}",
                width=40,
                height=30,
                source="refcoco" if number % 2 else "scenes",
                caption="a long caption " * number,
                objects=tuple(
                    MaskedObject(phrases=("left one",), area=500.0 * part, category=f"kind {part}")
                    for part in range(number % 4)
                ),
            )
            for number in range(count)
        ]

    return write_dataset(tmp_path / "d", {"train": samples("a", 40), "test": samples("b", 9)})


def test_stats_prints_what_was_counted(dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["stats", str(dataset.path), "--by", "source", "--json", "-q"]) == 0
    printed = json.loads(capsys.readouterr().out)
    expected = json.loads(json.dumps(collect(dataset, "source").to_dict()))
    assert {name: printed[name] for name in expected} == expected
    assert printed["fingerprint"] == dataset.fingerprint


def test_stats_for_people(dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["stats", str(dataset.path), "--by", "category", "--most", "2", "-q"]) == 0
    text = capsys.readouterr().out
    assert "kind 0" in text
    assert "kind 1" in text
    assert "kind 2" not in text
    assert "… and 1 more" in text
    assert "questions" not in text
    assert run(["stats", str(dataset.path), "--limit", "10", "-q"]) == 0
    assert "Partial: the first 10 samples only." in capsys.readouterr().out
    assert run(["stats", str(dataset.path), "--split", "test", "-q"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("d, split test, fingerprint")
    assert "Partial" not in text

    plots = tmp_path / "plots"
    assert run(["stats", str(dataset.path), "--plots", str(plots), "-q"]) == 0
    assert (plots / "caption_words.svg").exists()
    capsys.readouterr()
    assert run(["stats", str(dataset.path), "--plots", str(plots), "-q"]) == 2
    assert "MM003" in capsys.readouterr().err
    assert run(["stats", str(dataset.path), "--plots", str(plots), "-q", "--force"]) == 0


def test_bad_folders_and_arguments(dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("stats", "card", "leakage"):
        assert run([verb, str(tmp_path)]) == 3
        assert "MM102" in capsys.readouterr().err
    assert run(["stats", str(dataset.path), "--split", "nope"]) == 2
    assert run(["stats", str(dataset.path), "--by", "colour"]) == 2
    assert run(["card", str(dataset.path), "--croissant", "--date", "yesterday"]) == 2
    (dataset.path / "data" / "train-00000-of-00001.parquet").write_bytes(b"PAR1")
    capsys.readouterr()
    for arguments in (["stats"], ["card"], ["leakage"], ["split", "-o", str(tmp_path / "new"), "--ratios", "a=1"]):
        assert run([arguments[0], str(dataset.path), *arguments[1:]]) == 3
        assert "MM106" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_card_prints_and_writes(dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["card", str(dataset.path)]) == 0
    printed = capsys.readouterr().out
    assert printed == render_card(dataset)
    assert yaml.safe_load(printed.split("---\n")[1])["pretty_name"] == "d"
    assert run(["card", str(dataset.path), "--croissant", "-q"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["name"] == "d"
    assert not (dataset.path / "croissant.json").exists()

    (dataset.path / "README.md").write_text("stale")
    assert run(["card", str(dataset.path), "--write", "--url", "https://example.org", "--creator", "me", "--json"]) == 0
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)["written"]) == 2
    assert "--date" in captured.err
    assert "--url" not in captured.err
    assert (dataset.path / "README.md").read_text("utf-8") == render_card(dataset)
    written = json.loads((dataset.path / "croissant.json").read_text("utf-8"))
    assert written["url"] == "https://example.org"
    assert run(["validate", str(dataset.path), "--select", "MM1", "-q"]) in (0, 3)
    assert "croissant.json" not in capsys.readouterr().out
