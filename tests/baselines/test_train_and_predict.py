"""The two verbs, on built-in baselines and on one of another package."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from plugin_site import install

from mmud.baselines.base import BASELINES
from mmud.cli import run
from mmud.dataset.store import Dataset
from mmud.evaluators.evaluation import evaluate
from mmud.evaluators.predictions import PredictionFolder
from mmud.records import Task

ROOT = Path(__file__).resolve().parents[2]


def result(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    capsys.readouterr()
    assert run([*arguments, "--json", "-q"]) == code
    captured = capsys.readouterr()
    return json.loads(captured.out) if code == 0 else captured.err


def test_from_fitting_to_scores(scenes: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = str(scenes.path), str(tmp_path / "run")
    trained = result(capsys, "train", "retrieval", "--data", data, "-o", out, "--set", "thumbnail=32", "--seed", "7")
    assert trained == {"run": out, **json.loads((tmp_path / "run" / "run.json").read_bytes())}
    assert trained["status"] == "done"
    assert (trained["options"], trained["seed"]) == ({"thumbnail": 32}, 7)
    assert trained["dataset"]["fingerprint"] == scenes.fingerprint
    assert {"mmud", "python", "numpy", "pyarrow", "pillow"} <= set(trained["versions"])
    predicted = result(capsys, "predict", out, "--data", data, "-o", str(tmp_path / "p"), "--name", "Nearest")
    assert predicted["tasks"] == {task.value: scenes.length("test") for task in Task}
    info = PredictionFolder(tmp_path / "p").submission
    assert info is not None
    assert info.name == "Nearest"
    assert json.loads((tmp_path / "p" / "submission.json").read_bytes())["prediction"]["run"]["seed"] == 7
    assert 0 < evaluate(tmp_path / "p", scenes).scores["tasks"]["captioning"]["metrics"]["cider_d"]["value"] < 10


def test_a_run_repeats_by_its_own_command(scenes: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shlex

    first = tmp_path / "a b"
    result(
        capsys, "train", "mean-image", "--data", str(scenes.path), "-o", str(first), "--set", "sizes=1", "--limit", "9"
    )
    command = shlex.split(json.loads((first / "run.json").read_bytes())["command"])
    kept = {path.name: path.read_bytes() for path in (first / "model").iterdir()}
    assert run([*command[1:], "--force", "-q"]) == 0
    assert {path.name: path.read_bytes() for path in (first / "model").iterdir()} == kept


def test_runs_are_not_mixed_or_overwritten(scenes: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit = ["train", "most-frequent-caption", "--data", str(scenes.path), "-o", str(tmp_path / "run")]
    result(capsys, *fit)
    assert "MM003" in result(capsys, *fit, code=2)
    assert result(capsys, *fit, "--resume")["status"] == "done"
    assert "MM943" in result(capsys, *fit, "--seed", "1", code=2)
    assert result(capsys, *fit, "--seed", "1", "--force")["seed"] == 1
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    fit[-1] = str(tmp_path / "mine")
    assert "MM003" in result(capsys, *fit, "--force", code=2)
    assert (tmp_path / "mine" / "thesis.tex").exists()


def test_unfinished_runs_do_not_predict_and_go_on(
    scenes: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    fit = ["train", "most-frequent-caption", "--data", str(scenes.path), "-o", str(folder)]
    result(capsys, *fit)
    said = json.loads((folder / "run.json").read_bytes())
    (folder / "run.json").write_text(json.dumps({**said, "status": "running"}))
    predict = ["predict", str(folder), "--data", str(scenes.path), "-o", str(tmp_path / "p")]
    error = result(capsys, *predict, code=2)
    assert "MM941" in error
    assert said["command"] in error
    assert result(capsys, *fit)["status"] == "done"
    result(capsys, *predict)
    (folder / "run.json").write_text('{"format": "mmud-run"')
    assert "MM940" in result(capsys, *predict, code=2)
    (folder / "run.json").write_text(json.dumps(said))
    (folder / "model" / "texts.json").write_text("[]")
    assert "MM904" in result(capsys, *predict, code=2)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["predict", "retrieval"], 2, "MM942"),
        (["predict", "orakel"], 2, "Did you mean oracle"),
        (["predict", "oracle", "--set", "wrong=1"], 2, "MM905"),
        (["predict", "perturbed", "--set", "strength=nan"], 2, "MM905"),
        (["predict", "oracle", "--endpoint", "http://127.0.0.1:1"], 2, "MM905"),
        (["predict", "oracle", "--tasks", "captions"], 2, "MM001"),
        (["predict", "union", "--tasks", "captioning"], 2, "MM945"),
        (["predict", "oracle", "--split", "none"], 2, "MM108"),
        (["predict", "oracle", "--shard", "3/2"], 2, "MM001"),
        (["predict", "oracle", "empty"], 2, "MM001"),
        (["predict", "openai"], 2, "MM905"),
        (["train", "oracle"], 2, "MM942"),
        (["train", "retrieval", "--set", "thumbnail"], 2, "MM001"),
        (["train", "retrieval", "--set", "thumbnail=1"], 2, "MM905"),
    ],
)
def test_bad_input_has_a_code(
    scenes: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, text: str
) -> None:
    error = result(capsys, *arguments, "--data", str(scenes.path), "-o", str(tmp_path / "o"), code=code)
    assert text in error
    assert "Traceback" not in error
    assert not (tmp_path / "o").exists()


def test_a_dry_run_writes_nothing(scenes: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, count = str(scenes.path), scenes.length("test")
    asked = result(capsys, "predict", "empty", "--data", data, "-o", str(tmp_path / "p"), "--dry-run", "--limit", "5")
    assert asked["tasks"] == dict.fromkeys(["referring_segmentation", "reasoning_segmentation", "captioning"], 5)
    asked = result(capsys, "predict", "union", "--data", data, "-o", str(tmp_path / "p"), "--dry-run", "--shard", "1/2")
    assert asked["tasks"]["referring_segmentation"] == (count + 1) // 2
    fitted = result(capsys, "train", "retrieval", "--data", data, "-o", str(tmp_path / "r"), "--dry-run")
    assert fitted["samples"] == scenes.length("train")
    assert list(tmp_path.iterdir()) == []


def test_shards_by_the_command(scenes: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", str(scenes.path)]
    parts = [str(tmp_path / name) for name in "12"]
    for index, part in enumerate(parts, start=1):
        result(capsys, "predict", "union", *data, "-o", part, "--shard", f"{index}/2")
    result(capsys, "predict", *parts, "--merge", *data, "-o", str(tmp_path / "joined"))
    result(capsys, "predict", "union", *data, "-o", str(tmp_path / "whole"))
    for name in ("referring_segmentation.jsonl", "reasoning_segmentation.jsonl"):
        assert (tmp_path / "joined" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert "MM948" in result(capsys, "predict", parts[0], "--merge", *data, "-o", str(tmp_path / "x"), code=5)


def example() -> str:
    """The outside example of docs/baselines.md, word for word."""
    text = (ROOT / "docs" / "baselines.md").read_text("utf-8")
    found = re.search(r"<!-- example -->\n```python\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


def test_a_baseline_of_another_package(
    scenes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The example of the guide, installed as pip would leave it, is fitted, predicted with and scored from the command line."""
    site = tmp_path / "site"
    site.mkdir()
    install(site, "average_mask", {"average-mask": "average_mask:AverageMask"}, example())
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    importlib.invalidate_caches()
    BASELINES.__dict__.pop("entries", None)
    try:
        assert "average-mask" in BASELINES
        data, model, out = str(scenes.path), str(tmp_path / "run"), str(tmp_path / "p")
        trained = result(capsys, "train", "average-mask", "--data", data, "-o", model, "--set", "share=0.2")
        assert trained["options"]["share"] == 0.2
        assert trained["description"]["parameters"] == 64 * 64
        result(capsys, "predict", model, "--data", data, "-o", out)
        value = evaluate(out, scenes).value("referring_segmentation", "gIoU")
        assert value is not None
        assert 0.0 < value < 0.5
        assert run(["plugins", "--json"]) == 0
        assert "average_mask" in capsys.readouterr().out
    finally:
        BASELINES.__dict__.pop("entries", None)
        sys.modules.pop("average_mask", None)
