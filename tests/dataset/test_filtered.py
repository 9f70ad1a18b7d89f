"""`mmud filter`: the next version of a dataset, its report, its settings, and a model that is asked without the image.

Counts are those of samples made here; what stays must be equal to what was there, column by column.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_service import Service, serving

from mmud.annotations.filters.settings import make_plan
from mmud.cli import run
from mmud.dataset.filtered import LOG_NAME, REPORT_NAME
from mmud.dataset.recipe import Recipe
from mmud.dataset.sources.scenes.config import preset
from mmud.dataset.sources.scenes.source import sample_of
from mmud.dataset.sources.scenes.world import generate
from mmud.dataset.store import Dataset
from mmud.dataset.writer import write_dataset
from mmud.errors import MmudError
from mmud.plugins import status
from mmud.records import Sample

SHORT = "A dog."
LEAK = "I'm sorry, I cannot see the image that you mean."


def scene(index: int, **changes: Any) -> Sample:
    return sample_of(generate(preset("easy", seed=5), index)).model_copy(update=changes)


def samples() -> dict[str, list[Sample]]:
    train = [scene(0), scene(1, caption=SHORT), scene(2, answer=LEAK), scene(3, caption=SHORT, answer=LEAK)]
    return {"train": train, "test": [scene(4), scene(5, caption="", question="", answer="")]}


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "drafts", samples(), sources=[{"name": "scenes"}]).path


def filtered(*arguments: Any) -> int:
    return run(["filter", *map(str, arguments), "-q"])


def rows(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["sample_id"]: row for _, row in Dataset(folder).rows(images=True)}


def test_refused_labels_are_emptied_and_nothing_else_changes(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    before = rows(dataset)
    assert filtered(dataset, "-o", out) == 0
    assert rows(dataset) == before
    after = rows(out)
    assert list(after) == list(before)
    made = [sample for split in samples().values() for sample in split]
    for sample, row in zip(made, after.values(), strict=True):
        same = {key: value for key, value in row.items() if key not in ("caption", "question", "answer", "provenance")}
        assert same == {key: before[sample.sample_id][key] for key in same}
        assert row["caption"] == ("" if sample.caption == SHORT else sample.caption)
        assert (row["question"], row["answer"]) == (
            ("", "") if sample.answer == LEAK else (sample.question, sample.answer)
        )
    assert run(["validate", str(out), "-q", "--fail-on", "error"]) == 0
    edits = json.loads(after[made[3].sample_id]["provenance"])["labels"]
    assert edits["caption"]["edits"] == [{"by": "mmud filter", "codes": ["MM470", "MM471"], "what": "refused"}]
    assert edits["answer"]["edits"][0]["codes"] == ["MM473", "MM475"]


def test_refused_labels_are_kept_word_for_word(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert filtered(dataset, "-o", out) == 0
    log = [json.loads(line) for line in (out / LOG_NAME).read_text("utf-8").splitlines()]
    made = samples()["train"]
    assert [entry["sample_id"] for entry in log] == [sample.sample_id for sample in made[1:]]
    assert log[0]["caption"] == SHORT
    assert log[1]["answer"] == LEAK
    assert log[1]["question"] == made[2].question
    assert {reason["code"] for reason in log[2]["reasons"]} == {"MM470", "MM471", "MM473", "MM475"}


def test_samples_go_with_their_labels(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert filtered(dataset, "-o", out, "--drop", "samples") == 0
    made = samples()
    assert list(rows(out)) == [made["train"][0].sample_id, *(sample.sample_id for sample in made["test"])]
    assert Dataset(out).splits == ["train", "test"]


def test_the_report(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, copy = tmp_path / "out", tmp_path / "report.json"
    assert filtered(dataset, "-o", out, "--report", copy, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(copy.read_text("utf-8"))
    assert json.loads((out / REPORT_NAME).read_text("utf-8")).items() <= printed.items()
    assert printed["labels"] == {
        "captions": {"read": 5, "kept": 3, "dropped": 2},
        "pairs": {"read": 5, "kept": 3, "dropped": 2},
    }
    assert printed["samples"]["train"] == {"read": 4, "kept": 4, "dropped": 0}
    short = next(entry for entry in printed["filters"] if entry["code"] == "MM470")
    assert (short["captions"], short["pairs"]) == (2, 0)
    assert {example["text"] for example in short["examples"]} == {SHORT}
    assert printed["fingerprint"] == Dataset(out).fingerprint


def test_the_same_run_gives_the_same_bytes(dataset: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert filtered(dataset, "-o", tmp_path / name / "out") == 0
    files = sorted(file.relative_to(tmp_path / "one") for file in (tmp_path / "one").rglob("*") if file.is_file())
    assert files
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file


def test_codes_can_be_chosen(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert filtered(dataset, "--dry-run", "--select", "MM473", "--json") == 0
    chosen = json.loads(capsys.readouterr().out)
    assert [entry["code"] for entry in chosen["filters"]] == ["MM473"]
    assert chosen["labels"]["captions"]["dropped"] == 0
    assert filtered(dataset, "--dry-run", "--ignore", "MM47", "--json") == 0
    assert json.loads(capsys.readouterr().out)["labels"]["pairs"]["dropped"] == 0
    assert filtered(dataset, "--dry-run", "--select", "MM999") == 2
    assert list(tmp_path.iterdir()) == [dataset]


def test_a_dry_run_prints_settings_that_can_be_used_again(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert filtered(dataset, "--dry-run") == 0
    text = capsys.readouterr().out
    table = text[text.index("[filters]") : text.index("Nothing was written")]
    assert make_plan(tomllib.loads(table)["filters"]) == make_plan({})
    file = tmp_path / "filters.toml"
    file.write_text(
        '[filters]\ndrop = "samples"\n[filters.short]\ncaption_words = 1\n[filters.information]\naction = "off"\n'
    )
    assert filtered(dataset, "--dry-run", "--filters", file, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["settings"]["short"]["caption_words"] == 1
    assert found["samples"]["train"]["kept"] == 2
    assert found["labels"]["captions"]["kept"] == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[filters.shrt]\n", "no filter is called 'shrt'"),
        ("[filters.short]\ncaption = 3\n", "short.caption"),
        ("[filters.short]\ncaption_words = -1\n", "short.caption_words"),
        ('[filters.blind]\naction = "maybe"\n', "blind.action"),
        ('[filters]\ndrop = "all"\n', "drop is labels or samples"),
        ("filters = 3\n", "filters is a table"),
        ("[build]\n", "no table [filters]"),
        ("[filters\n", "cannot read"),
    ],
)
def test_settings_that_cannot_be(
    dataset: Path, tmp_path: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "filters.toml"
    file.write_text(text)
    assert filtered(dataset, "--dry-run", "--filters", file) == 2
    error = capsys.readouterr().err
    assert "MM490" in error
    assert said in error


def test_a_recipe_carries_the_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = '[[source]]\ntype = "scenes"\nsamples = 4\n\n[filters]\ndrop = "samples"\n\n[filters.short]\ncaption_words = 900\n'
    (tmp_path / "recipe.toml").write_text(text)
    recipe = Recipe.read(tmp_path / "recipe.toml")
    assert Recipe.from_dict(tomllib.loads(recipe.to_toml())) == recipe
    built = tmp_path / "built"
    assert run(["build", str(tmp_path / "recipe.toml"), "-o", str(built), "-q"]) == 0
    capsys.readouterr()
    assert filtered(built, "--dry-run", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["settings"]["short"]["caption_words"] == 900
    assert found["labels"]["captions"]["kept"] == 0
    with pytest.raises(MmudError, match="filters is a table"):
        Recipe.from_dict({"source": [{"type": "scenes"}], "filters": 3})


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["-o", "OUT", "--limit", "1"],
        ["-o", "OUT", "--endpoint", "http://127.0.0.1:1/v1"],
        ["-o", "OUT", "--answers", "a.jsonl"],
        ["-o", "OUT", "--drop", "all"],
        ["--dry-run", "--endpoint", "http://127.0.0.1:1/v1", "--model", "m"],
    ],
)
def test_wrong_usage(dataset: Path, tmp_path: Path, arguments: list[str]) -> None:
    assert filtered(dataset, *(str(tmp_path / "out") if part == "OUT" else part for part in arguments)) == 2
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert filtered(dataset, "-o", out) == 0
    assert filtered(dataset, "-o", out) == 2
    assert filtered(dataset, "-o", out, "--force") == 0


# -- a model that sees no image -------------------------------------------------------------------------------------------


def says(body: dict[str, Any]) -> str:
    """Knows one answer."""
    return "It is the frog." if "croaks" in body["messages"][0]["content"][0]["text"] else "UNKNOWN"


@pytest.fixture
def service() -> Iterator[Service]:
    with serving(says) as server:
        yield server


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    known = scene(0, question="Which small green animal croaks in the pond?", answer="The frog <LCL-1> does.")
    return write_dataset(tmp_path / "pairs", {"train": [known, scene(1), scene(2)]}).path


def test_a_model_is_asked_once_for_each_question(
    pairs: Path, tmp_path: Path, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    asking = ["--endpoint", service.endpoint, "--model", "blind", "--select", "MM474", "--json"]
    assert filtered(pairs, "-o", tmp_path / "out", *asking) == 0
    found = json.loads(capsys.readouterr().out)
    (blind,) = found["filters"]
    assert blind["pairs"] == 1
    assert "saw no image answered 'It is the frog.'" in blind["examples"][0]["reason"]
    assert len(service.requests) == 3
    assert all("image_url" not in json.dumps(body) for body in service.requests)
    # The answers are there: a second run asks nobody.
    assert filtered(pairs, "-o", tmp_path / "out", "--force", *asking) == 0
    assert len(service.requests) == 3


def test_failures_are_not_kept_and_leave_nothing_behind(pairs: Path, tmp_path: Path, service: Service) -> None:
    answers = tmp_path / "answers.jsonl"
    asking = ["--endpoint", service.endpoint, "--model", "blind", "--answers", answers]
    service.always = 401
    assert filtered(pairs, "-o", tmp_path / "out", *asking) == 6
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob("*.partial"))
    assert b"answer" not in answers.read_bytes()
    service.always = None
    answers.write_bytes(answers.read_bytes() + b'\n{"key": "cut sho')
    assert filtered(pairs, "-o", tmp_path / "out", *asking) == 0
    assert sum(b'"answer"' in line for line in answers.read_bytes().splitlines()) == 3


def test_a_question_that_the_service_refuses_counts_as_not_known(
    pairs: Path, tmp_path: Path, service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    service.always = 400
    asking = ["--endpoint", service.endpoint, "--model", "blind", "--select", "MM474", "--json"]
    assert filtered(pairs, "-o", tmp_path / "out", *asking) == 0
    assert json.loads(capsys.readouterr().out)["labels"]["pairs"]["dropped"] == 0


def test_plugins_lists_the_filters() -> None:
    names = [row["name"] for row in status() if row["kind"] == "filter"]
    assert {"short", "blind", "duplicates", "counts"} <= set(names)
    assert all(row["state"] == "ok" for row in status() if row["kind"] == "filter")
