"""CLIPScore of captions: `mmud evaluate --tasks captioning --metrics clip_score`, on stand-in networks.

Expected values are the published expression of Hessel et al. 2021 (equation 1, prompt included), written out here on the
stand-in's embeddings.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_evaluate_images import Quarters, Reader

from mmud.cli import run
from mmud.errors import MmudError
from mmud.evaluators.collecting import Shard
from mmud.evaluators.evaluation import evaluate, merge_evaluations, rescore
from mmud.evaluators.generation import extractors
from mmud.evaluators.predictions import PredictionFolder
from mmud.records import Task

CAPTIONING = "captioning"
NETWORKS = {"quarters": Quarters, "reader": Reader}


@pytest.fixture(autouse=True)
def networks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(extractors.EXTRACTORS, "get", NETWORKS.__getitem__)
    monkeypatch.setenv("MMUD_CACHE", str(tmp_path / "cache"))


def score(made: Any, extractor: str | None = "reader", metrics: tuple[str, ...] = ("clip_score",), **more: Any) -> Any:
    extras = {"generation": {"extractor": extractor}} if extractor else {}
    more.setdefault("tasks", [CAPTIONING])
    return evaluate(made.perturbed, made.dataset, metrics=metrics, extras=extras, **more)


def published(made: Any, prompt: str) -> list[float]:
    """Cosines of the real images and the predicted captions."""
    said = PredictionFolder(made.perturbed).read(Task.CAPTIONING, lambda finding: None)
    captions = {prediction.sample_id: prediction.caption for prediction in said}
    network = Reader(extractors.ExtractorOptions())
    found = []
    for sample in made.dataset.samples("test", images=True):
        image = network.extract([extractors.ImageSource("", data=sample.image_bytes())])[0].astype(np.float64)
        text = network.embed_texts([captions[sample.sample_id]], prompt)[0][0].astype(np.float64)
        found.append(float(image @ text / np.sqrt((image @ image) * (text @ text))))
    return found


def test_captions_are_scored_against_their_images(made: Any, tmp_path: Path) -> None:
    found = score(made, metrics=("clip_score", "clip_similarity", "cider_d"))
    metrics = found.scores["tasks"][CAPTIONING]["metrics"]
    prompted, plain = published(made, "A photo depicts "), published(made, "")
    assert metrics["clip_score"]["value"] == pytest.approx(2.5 * np.mean(np.maximum(prompted, 0)), abs=1e-12)
    assert metrics["clip_similarity"]["value"] == pytest.approx(100 * np.mean(plain), abs=1e-10)
    assert metrics["clip_score"]["low"] < metrics["clip_score"]["value"] < metrics["clip_score"]["high"]
    assert metrics["clip_score"]["n"] == len(plain)
    assert "|extractor:quarters|" in metrics["clip_score"]["signature"]
    assert "|prompt:A photo depicts|" in metrics["clip_score"]["signature"]
    assert metrics["cider_d"]["value"] > 0
    found.save(tmp_path / "kept")
    assert rescore(found.rows).scores["tasks"] == found.scores["tasks"]
    assert {finding.code.id for finding in found.findings} == {"MM874"}  # the stand-in reads ten words


def test_shards_and_slices(made: Any, tmp_path: Path) -> None:
    whole = score(made, by=["source"])
    for index in (1, 2):
        score(made, shard=Shard(index, 2)).save(tmp_path / str(index))
    merged = merge_evaluations([tmp_path / "1", tmp_path / "2"], by=["source"])
    assert merged.scores == whole.scores
    slices = whole.scores["tasks"][CAPTIONING]["slices"]["source"]
    assert sum(part["metrics"]["clip_score"]["n"] for part in slices.values()) == made.dataset.length("test")


def test_it_is_made_only_where_it_is_asked_for(made: Any) -> None:
    Quarters.looked_at = Reader.looked_at = 0
    assert "clip_score" not in score(made, metrics=()).scores["tasks"][CAPTIONING]["metrics"]
    assert not Reader.looked_at
    assert "clip_score" in score(made, metrics=("all",)).scores["tasks"][CAPTIONING]["metrics"]
    for network in ("quarters", None):
        assert "clip_score" not in score(made, network, ("all",)).scores["tasks"][CAPTIONING]["metrics"]
    assert not Quarters.looked_at


def test_what_cannot_be_had_is_refused(made: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MmudError, match="MM872"):
        score(made, "quarters")
    with pytest.raises(MmudError, match="MM816"):
        score(made, None)
    other = score(made, None, ("clip_score", "gIoU"), tasks=["referring_segmentation"])
    assert [finding.code.id for finding in other.findings] == [
        "MM828"
    ]  # and not MM816, of a task that was not asked for
    noted = score(made, None, ("clip_score", "cider_d"), tasks=None)
    assert "MM816" in {finding.code.id for finding in noted.findings}
    assert set(noted.scores["tasks"][CAPTIONING]["metrics"]) == {"cider_d"}
    arguments = [
        "evaluate",
        str(made.perturbed),
        "--data",
        str(made.dataset.path),
        "--tasks",
        CAPTIONING,
        "--json",
        "-q",
    ]
    assert run([*arguments, "--metrics", "clip_score"]) == 4
    assert "--extractor clip" in capsys.readouterr().err
    assert run([*arguments, "--metrics", "clip_score", "--extractor", "reader"]) == 0
    assert list(json.loads(capsys.readouterr().out)["tasks"][CAPTIONING]["metrics"]) == ["clip_score"]
