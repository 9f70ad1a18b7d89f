"""`mmud demo --quick`: everything it promises is there, a second run redoes nothing, an interrupted one goes on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmud.cli import run
from mmud.dataset.store import Dataset
from mmud.demo import SYSTEMS, run_demo
from mmud.evaluators.evaluation import evaluate
from mmud.evaluators.predictions import PredictionFolder

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("demo") / "d"
    with pytest.MonkeyPatch.context() as patch:
        # Every demo has the same dataset, and so the same files in the user's cache, which another process may be clearing.
        patch.setenv("MMUD_CACHE", str(folder.with_name("cache")))
        outcome = subprocess.run(
            [sys.executable, "cli.py", "demo", "--quick", "-o", str(folder), "--json"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert outcome.returncode == 0, outcome.stderr
        assert json.loads(outcome.stdout) == json.loads((folder / "demo.json").read_bytes())
        assert all(name in outcome.stderr for name in SYSTEMS)
        yield folder


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """When each file was last written, and which file it is; demo.json alone is written each time."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in folder.rglob("*")
        if path.is_file() and path.name != "demo.json"
    }


def test_what_it_promises_is_there(demo: Path) -> None:
    for name in ("gallery.html", "leaderboard.html", "leaderboard.csv", "dataset/mmud.json", "demo.json"):
        assert (demo / name).is_file(), name
    board = (demo / "leaderboard.html").read_text("utf-8")
    for name in SYSTEMS:
        assert PredictionFolder(demo / "predictions" / name).tasks
        assert (demo / "scores" / name / "scores.json").is_file()
        assert (demo / "systems" / f"{name}.html").is_file()
        assert name in board
    assert not list(demo.rglob("*.partial"))


def test_its_figures_are_those_of_evaluate(demo: Path) -> None:
    said = json.loads((demo / "demo.json").read_bytes())["scores"]
    for name in ("retrieval", "union"):
        found = evaluate(demo / "predictions" / name, demo / "dataset", replicates=0).scores["tasks"]
        for task, about in found.items():
            assert {metric: figure["value"] for metric, figure in about["metrics"].items()} == said[name][task]
    referring = {name: about.get("referring_segmentation", {}).get("gIoU") for name, about in said.items()}
    assert referring["oracle"] == 1.0
    assert referring["empty"] == 0.0
    assert 0.0 < referring["retrieval"] < referring["union"] < referring["perturbed"] < 1.0


def test_labels_are_drafted_tagged_filtered_and_reviewed(demo: Path) -> None:
    """Counts of the files themselves: each step loses what its report says and nothing else, and the end has all four tasks."""
    work = demo / "annotation"
    steps = {name: Dataset(work / name) for name in ("drafts", "linked", "filtered", "reviewed")}
    original = Dataset(demo / "dataset")
    said = json.loads((demo / "demo.json").read_bytes())["annotation"]
    everyone = {sample.sample_id for sample in original.samples()}
    for name in ("drafts", "linked", "filtered"):
        assert {sample.sample_id for sample in steps[name].samples()} == everyone
    complete = {one.sample_id for one in steps["filtered"].samples() if one.caption and one.question and one.answer}
    reviewed = list(steps["reviewed"].samples())
    assert {sample.sample_id for sample in reviewed} == complete
    assert 0.5 * len(everyone) < len(complete) == said["samples"] == said["review"]["accepted"]
    assert said["review"]["rejected"] == len(everyone) - len(complete)
    labels = said["filtered"]
    assert labels["captions"]["kept"] == sum(bool(sample.caption) for sample in steps["filtered"].samples())
    # Drafts are of objects and phrases alone: none is the world's own caption, and masks stay what they are.
    own = {sample.sample_id: sample for sample in original.samples()}
    for sample in reviewed:
        assert sample.caption != own[sample.sample_id].caption
        assert sample.objects == own[sample.sample_id].objects
        assert "<LCL-" in sample.answer
        (record,) = sample.provenance["reviews"]
        assert (record["verdict"], [by["reviewer"] for by in record["by"]]) == ("accept", ["stand-in"])
    assert run(["validate", str(work / "reviewed"), "-q"]) == 0
    assert said["findings"] == {}


def test_an_interrupted_annotation_goes_on(demo: Path, tmp_path: Path) -> None:
    """A journal that a kill cut short is written anew; a person's own, beside it, is not touched."""
    folder = shutil.copytree(demo, tmp_path / "d")
    work = folder / "annotation"
    (work / "annotation.json").unlink()
    shutil.rmtree(work / "reviewed")
    journal = work / "stand-in.review.jsonl"
    journal.write_bytes(journal.read_bytes()[:-40])
    mine = work / "filtered.review.jsonl"
    mine.write_bytes(b"mine\n")
    run_demo(folder, quick=True, say=lambda text: None)
    assert mine.read_bytes() == b"mine\n"
    said = [json.loads((path / "annotation" / "annotation.json").read_bytes()) for path in (demo, folder)]
    assert said[0] == said[1]
    # Provenance holds when each was decided, which differs.
    found = [Dataset(path / "annotation" / "reviewed").samples() for path in (demo, folder)]
    assert [one.model_copy(update={"provenance": {}}) for one in found[0]] == [
        one.model_copy(update={"provenance": {}}) for one in found[1]
    ]


def test_a_second_run_redoes_nothing(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, said = stamps(demo), (demo / "demo.json").read_bytes()
    assert run(["demo", "--quick", "-o", str(demo), "-q"]) == 0
    assert stamps(demo) == before
    assert (demo / "demo.json").read_bytes() == said
    assert "Open" in capsys.readouterr().out


def test_what_is_missing_is_made_again_and_the_rest_kept(demo: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(demo, tmp_path / "d")
    said = (demo / "predictions" / "retrieval" / "captioning.jsonl").read_bytes()
    shutil.rmtree(folder / "scores" / "retrieval")
    shutil.rmtree(folder / "predictions" / "retrieval")
    (folder / "leaderboard.html").unlink()
    before = stamps(folder)
    run_demo(folder, quick=True, say=lambda text: None)
    assert (folder / "predictions" / "retrieval" / "captioning.jsonl").read_bytes() == said
    after = stamps(folder)
    changed = {name for name in before if before[name] != after.get(name)}
    assert not {name for name in changed if name.startswith(("dataset/", "coco/", "runs/", "predictions/", "gallery"))}
    assert set(after) == set(stamps(demo))


def test_another_seed_is_another_demo(demo: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(demo, tmp_path / "d")
    result = run_demo(folder, quick=True, seed=1, say=lambda text: None)
    fresh = run_demo(tmp_path / "fresh", quick=True, seed=1, say=lambda text: None)
    assert result.scores == fresh.scores
    assert set(stamps(folder)) == set(stamps(tmp_path / "fresh"))
    assert result.scores["retrieval"] != json.loads((demo / "demo.json").read_bytes())["scores"]["retrieval"]
