"""`mmud demo`: everything it promises is there, a second run redoes nothing, a killed one goes on; with training and without."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmud.cli import run
from mmud.dataset.store import Dataset
from mmud.demo import QUICK, SYSTEMS, run_demo
from mmud.demo.plan import OTHERS
from mmud.demo.training import why_left_out
from mmud.errors import MmudError
from mmud.evaluators.evaluation import evaluate
from mmud.evaluators.predictions import PredictionFolder

ROOT = Path(__file__).resolve().parent.parent
WITHOUT_IMAGES = [name for name in OTHERS if name != "mean-image"]
PARTS = "MMUD_SCENES_TINY"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The quick demo where the small backbones have no weights."""
    folder = tmp_path_factory.mktemp("demo") / "d"
    with pytest.MonkeyPatch.context() as patch:
        # Every demo has the same dataset, and so the same files in the user's cache, which another process may be clearing.
        patch.setenv("MMUD_CACHE", str(folder.with_name("cache")))
        patch.setenv(PARTS, str(folder.with_name("nothing")))
        outcome = subprocess.run(
            [sys.executable, "cli.py", "demo", "--quick", "-o", str(folder), "--json"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert outcome.returncode == 0, outcome.stderr
        assert json.loads(outcome.stdout) == json.loads((folder / "demo.json").read_bytes())
        assert all(name in outcome.stderr for name in WITHOUT_IMAGES)
        assert len([line for line in outcome.stderr.splitlines() if "training is left out" in line]) == 1
        yield folder


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """When each file was last written, and which file it is; what is written each time is left out."""
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("demo.json", "demo-plan.json")
    }


def said_by(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "demo.json").read_bytes())
    return found


def predictions_of(folder: Path, name: str) -> Path:
    return folder / "predictions" if name == said_by(folder)["shown"] else folder / "others" / name / "predictions"


# -- without training -------------------------------------------------------------------------------------------------------


def test_what_it_promises_is_there(demo: Path) -> None:
    for name in (
        "gallery.html",
        "leaderboard.html",
        "leaderboard.csv",
        "dataset/mmud.json",
        "scores.json",
        "demo.json",
    ):
        assert (demo / name).is_file(), name
    board = (demo / "leaderboard.html").read_text("utf-8")
    for name in WITHOUT_IMAGES:
        assert PredictionFolder(predictions_of(demo, name)).tasks
        assert (demo / "scores" / name / "scores.json").is_file()
        assert (demo / "systems" / f"{name}.html").is_file()
        assert name in board
    assert not list(demo.rglob("*.partial"))
    assert (demo / "run" / "run.json").is_file()
    assert set(json.loads((demo / "scores.json").read_bytes())["tasks"]) == {
        "referring_segmentation",
        "reasoning_segmentation",
        "captioning",
    }


def test_without_weights_it_says_what_adds_the_training(demo: Path) -> None:
    said = said_by(demo)
    assert said["shown"] == "retrieval"
    assert "MM931" in said["left_out"]
    assert "mmud pretrain scenes-tiny" in said["left_out"]
    assert all(figure["aim"] is None for figure in said["figures"])


def test_without_torch_it_says_what_adds_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "torch" else real(name, *more))
    said = why_left_out()
    assert said is not None
    assert "torch" in said
    assert ".[baselines]" in said


def test_a_pretraining_that_is_not_finished_leaves_the_training_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    (tmp_path / "language_model").mkdir()
    (tmp_path / "language_model" / "model.safetensors").write_bytes(b"")
    monkeypatch.setenv(PARTS, str(tmp_path))
    said = why_left_out()
    assert said is not None
    assert "lacks vision_tower, image_decoder, vision_map" in said


def test_its_figures_are_those_of_evaluate(demo: Path) -> None:
    said = said_by(demo)["scores"]
    for name in ("retrieval", "union"):
        found = evaluate(predictions_of(demo, name), demo / "dataset", replicates=0).scores["tasks"]
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
    said = said_by(demo)["annotation"]
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
    run_demo(folder, QUICK, say=lambda text: None)
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
    said = (demo / "predictions" / "captioning.jsonl").read_bytes()
    shutil.rmtree(folder / "scores" / "retrieval")
    shutil.rmtree(folder / "predictions")
    before = stamps(folder)
    run_demo(folder, QUICK, say=lambda text: None)
    assert (folder / "predictions" / "captioning.jsonl").read_bytes() == said
    after = stamps(folder)
    changed = {name for name in before if before[name] != after.get(name)}
    # Pages show figures, and one of them was new.
    assert {"leaderboard.html", "gallery.html", "scores.json"} <= changed
    assert not {name for name in changed if name.startswith(("dataset/", "coco/", "annotation/", "run/", "others/"))}
    assert set(after) == set(stamps(demo))


def test_another_seed_is_another_demo(demo: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(demo, tmp_path / "d")
    small = replace(QUICK, samples=40)
    result = run_demo(folder, small, seed=1, say=lambda text: None)
    fresh = run_demo(tmp_path / "fresh", small, seed=1, say=lambda text: None)
    assert result.scores == fresh.scores
    assert set(stamps(folder)) == set(stamps(tmp_path / "fresh"))
    assert result.scores["retrieval"] != said_by(demo)["scores"]["retrieval"]


def test_quick_and_full_exclude_each_other(tmp_path: Path) -> None:
    assert run(["demo", "--quick", "--full", "-o", str(tmp_path / "d"), "-q"]) == 2
    assert not (tmp_path / "d").exists()


# -- with training ----------------------------------------------------------------------------------------------------------

SMALL = replace(
    QUICK,
    samples=40,
    steps=12,
    batch=4,
    training={"valid_limit": 2, "validations": 12, "log_every": 1, "predict_batch": 8},
    predicting={"max_new_tokens": 8},
)
"""A checkpoint after each step, so that a kill finds one early."""

KILLED = """
import sys
from pathlib import Path
from tests.test_demo import SMALL, run_demo
run_demo(Path(sys.argv[1]), SMALL)
"""


@dataclass(frozen=True)
class Trained:
    """A demo whose training was killed and gone on with.

    Attributes:
        folder: of the demo.
        steps: those that had a checkpoint when it was killed.
        said: by the second run.
    """

    folder: Path
    steps: list[int]
    said: list[str]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("transformers", reason="transformers is not installed")
    from mmud.baselines.backbones import pretraining

    root = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretraining, "GATE_SCENES", 20)
        pretraining.pretrain(root / "parts", steps=dict.fromkeys(pretraining.STAGES, 1))
        patch.setenv("MMUD_CACHE", str(root / "cache"))
        patch.setenv(PARTS, str(root / "parts"))
        checkpoints = root / "d" / "run" / "work" / "checkpoints"
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(root / "d")], cwd=ROOT, stdout=subprocess.DEVNULL, env=os.environ.copy()
        )
        try:
            until = time.monotonic() + 240
            while child.poll() is None and not list(checkpoints.glob("step-*")) and time.monotonic() < until:
                time.sleep(0.01)
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
        steps = sorted(int(path.name.removeprefix("step-")) for path in checkpoints.glob("step-*"))
        said: list[str] = []
        run_demo(root / "d", SMALL, say=said.append)
        yield Trained(root / "d", steps, said)


def test_a_killed_training_goes_on_from_its_checkpoint(trained: Trained) -> None:
    assert trained.steps
    assert trained.steps[-1] < SMALL.steps, "it was killed too late to say anything"
    assert any(f"Going on after step {trained.steps[-1]}." in line for line in trained.said)
    said = json.loads((trained.folder / "run" / "model" / "train.json").read_bytes())
    assert (said["steps"], said["resumed_from"]) == (SMALL.steps, trained.steps[-1])
    assert said["dataset"]["fingerprint"] == Dataset(trained.folder / "dataset").fingerprint


def test_the_trained_system_lies_at_the_top(trained: Trained) -> None:
    folder, said = trained.folder, said_by(trained.folder)
    assert (said["shown"], said["left_out"]) == ("neural-tuning", "")
    assert json.loads((folder / "predictions" / "submission.json").read_bytes())["name"] == "neural-tuning"
    board = (folder / "leaderboard.html").read_text("utf-8")
    assert all(name in board for name in ("neural-tuning", *OTHERS))
    assert {figure["title"] for figure in said["figures"]} >= {
        "referring gIoU",
        "reasoning gIoU",
        "caption CIDEr-D",
        "tags said, referring",
        "tags said, reasoning",
        "<GLB> said",
        "image feature, cosine",
        "drawn images, Fréchet distance",
    }
    assert said["scores"]["oracle"]["generation"]["frechet_distance"] == pytest.approx(0.0, abs=1e-6)
    assert said["scores"]["mean-image"]["generation"]["frechet_distance"] > 0


def test_scores_json_is_what_evaluate_says_of_predictions(trained: Trained) -> None:
    folder = trained.folder
    said = json.loads((folder / "scores.json").read_bytes())
    extras = {"generation": {"extractor": "scenes-tiny"}}
    found = evaluate(folder / "predictions", folder / "dataset", extras=extras).scores
    of_features = ("feature_cosine", "feature_mae")
    for task, about in found["tasks"].items():
        for metric, figure in about["metrics"].items():
            if metric not in of_features:
                assert said["tasks"][task]["metrics"][metric] == figure
    # The predicted features themselves, by numpy.
    lines = [json.loads(line) for line in (folder / "predictions" / "generation.jsonl").read_text().splitlines()]
    with np.load(folder / "features.npz") as arrays:
        real = dict(zip(arrays["sample_ids"].tolist(), arrays["features"], strict=True))
    cosines = []
    for line in lines:
        a, b = np.array(line["feature"]), real[line["sample_id"]].astype(float)
        cosines.append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    assert said["tasks"]["generation"]["metrics"]["feature_cosine"]["value"] == pytest.approx(
        np.mean(cosines), abs=1e-5
    )
    assert "features" in said["tasks"]["generation"]["metrics"]["feature_cosine"]["signature"]


def test_tags_are_counted_in_the_files(trained: Trained) -> None:
    folder = trained.folder
    said = json.loads((folder / "scores.json").read_bytes())["tags_emitted"]
    read = [
        json.loads(line) for line in (folder / "predictions" / "referring_segmentation.jsonl").read_text().splitlines()
    ]
    masks = [mask for line in read for mask in line["masks"]]
    assert said["referring_segmentation"]["n"] == len(masks)
    assert said["referring_segmentation"]["value"] == sum(mask is not None for mask in masks) / len(masks)
    assert said["reasoning_segmentation"]["n"] == Dataset(folder / "dataset").length("test")
    assert said["generation"]["n"] == Dataset(folder / "dataset").length("test")


def test_the_gallery_draws_what_was_predicted(trained: Trained) -> None:
    page = (trained.folder / "gallery.html").read_text("utf-8")
    records = page.partition('"records": ')[2].partition("</script>")[0].rstrip()
    cards = json.loads(records.removesuffix("}"))
    assert len(cards) == Dataset(trained.folder / "dataset").length("test")
    for card in cards:
        assert [one["title"] for one in card["beside"]] == [
            "Masks predicted from the phrases",
            "Masks of the predicted answer",
            "Image drawn from the caption",
        ]
        assert all(one["image"].startswith("data:image/") for one in card["beside"])
        texts = dict(card["texts"])
        assert {"Predicted answer", "Predicted caption"} <= texts.keys()
        # Its tags are the answer's own: as tags of the page they would light up the sample's objects.
        assert "<LCL-" not in texts["Predicted answer"]


def test_a_second_run_of_the_trained_demo_redoes_nothing(trained: Trained) -> None:
    before = stamps(trained.folder)
    run_demo(trained.folder, SMALL, say=lambda text: None)
    assert stamps(trained.folder) == before


def test_a_training_stays_where_its_weights_are_missing_for_once(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that was mistyped must not cost an hour; elsewhere the demo does what it can without training."""
    folder = shutil.copytree(trained.folder, tmp_path / "d")
    before = stamps(folder)
    monkeypatch.setenv(PARTS, str(tmp_path / "nothing"))
    with pytest.raises(MmudError, match=r"MM003.*neural-tuning.*MM931"):
        run_demo(folder, SMALL, say=lambda text: None)
    assert stamps(folder) == before
    result = run_demo(tmp_path / "elsewhere", SMALL, say=lambda text: None)
    assert result.shown == "retrieval"
    assert set(result.scores) == set(WITHOUT_IMAGES)


@pytest.mark.slow
def test_the_quick_demo_trains_with_the_weights_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PARTS, raising=False)
    monkeypatch.setenv("MMUD_CACHE", str(tmp_path / "cache"))
    left_out = why_left_out()
    if left_out is not None:
        pytest.skip(left_out)
    assert run(["demo", "--quick", "-o", str(tmp_path / "d"), "-q"]) == 0
    said = said_by(tmp_path / "d")
    assert said["shown"] == "neural-tuning"
    assert set(said["scores"]) >= set(OTHERS)
    assert set(SYSTEMS) >= set(said["scores"])
