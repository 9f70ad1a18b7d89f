"""The generation task in the harness: features from the submission, distances equal to the room's own functions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmud.errors import MmudError
from mmud.evaluators.checking import RefusedPredictions
from mmud.evaluators.collecting import Shard
from mmud.evaluators.comparison import compare_rows
from mmud.evaluators.evaluation import evaluate, merge_evaluations
from mmud.evaluators.generation.scores import score_features

GENERATION = "generation"
DIMENSIONS = 8


@pytest.fixture
def features(made: Any, tmp_path: Path) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    ids = [sample.sample_id for sample in made.dataset.samples("test")]
    truth = generator.normal(size=(len(ids), DIMENSIONS)).astype(np.float32)
    said = (truth + generator.normal(0, 0.5, truth.shape)).astype(np.float32)
    np.savez(tmp_path / "reference.npz", sample_ids=np.array(ids), features=truth)
    write(tmp_path / "p", ids, said)
    return {"ids": ids, "truth": truth, "said": said, "reference": tmp_path / "reference.npz", "folder": tmp_path / "p"}


def write(folder: Path, ids: list[str], said: np.ndarray) -> None:
    folder.mkdir(exist_ok=True)
    rows = [{"sample_id": name, "feature": vector.tolist()} for name, vector in zip(ids, said, strict=True)]
    (folder / "generation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def options(features: dict[str, Any]) -> dict[str, Any]:
    return {"extras": {"generation": {"reference_features": str(features["reference"])}}, "tasks": ["generation"]}


def test_figures_equal_those_of_the_feature_matrices(made: Any, features: dict[str, Any]) -> None:
    found = evaluate(features["folder"], made.dataset, **options(features)).scores["tasks"][GENERATION]["metrics"]
    expected = score_features(features["said"], features["truth"], paired=True).metrics
    assert set(found) == set(expected) == {"frechet_distance", "kid", "feature_mae", "feature_cosine"}
    for name, score in expected.items():
        assert found[name]["value"] == pytest.approx(score.value, rel=1e-9, abs=1e-12)
        assert found[name]["low"] < found[name]["value"] < found[name]["high"]
        assert found[name]["low"] == pytest.approx(score.low, rel=0.35, abs=0.05)
        assert "extractor:features" in found[name]["signature"]


def test_shards_give_the_same_bits(made: Any, features: dict[str, Any], tmp_path: Path) -> None:
    whole = evaluate(features["folder"], made.dataset, **options(features))
    folders = []
    for index in (2, 1, 3):
        part = evaluate(features["folder"], made.dataset, shard=Shard(index, 3), **options(features))
        part.save(tmp_path / str(index))
        folders.append(tmp_path / str(index))
    assert merge_evaluations(folders).scores == whole.scores


def test_the_same_features_are_at_distance_zero_and_compare_as_equal(made: Any, features: dict[str, Any]) -> None:
    write(features["folder"], features["ids"], features["truth"])
    perfect = evaluate(features["folder"], made.dataset, **options(features))
    metrics = perfect.scores["tasks"][GENERATION]["metrics"]
    assert metrics["frechet_distance"]["value"] == pytest.approx(0.0, abs=1e-9)
    assert metrics["feature_cosine"]["value"] == pytest.approx(1.0)
    same = compare_rows(perfect.rows, perfect.rows).tasks[GENERATION]
    assert all(one.result.p == 1.0 for one in same.values())


def test_a_worse_system_is_found_worse(made: Any, features: dict[str, Any]) -> None:
    good = evaluate(features["folder"], made.dataset, **options(features)).rows
    noise = np.random.default_rng(1).normal(0.8, 2.0, features["said"].shape)
    write(features["folder"], features["ids"], (features["said"] + noise).astype(np.float32))
    bad = evaluate(features["folder"], made.dataset, **options(features)).rows
    found = compare_rows(good, bad).tasks[GENERATION]
    assert found["frechet_distance"].result.difference is not None
    assert found["frechet_distance"].result.difference > 0
    assert found["feature_cosine"].losses is not None
    assert found["feature_cosine"].wins is not None
    assert found["feature_cosine"].losses > found["feature_cosine"].wins
    for name in ("frechet_distance", "feature_mae", "feature_cosine"):
        assert found[name].result.p is not None
        assert found[name].result.p < 0.01


def test_a_slice_is_its_own_distance(made: Any, features: dict[str, Any]) -> None:
    found = evaluate(features["folder"], made.dataset, by=["source"], **options(features)).scores
    part = found["tasks"][GENERATION]["slices"]["source"]["other"]["metrics"]
    chosen = [index for index, sample in enumerate(made.dataset.samples("test")) if sample.source == "other"]
    expected = score_features(features["said"][chosen], features["truth"][chosen], paired=True).metrics
    assert part["frechet_distance"]["value"] == pytest.approx(expected["frechet_distance"].value)
    assert part["frechet_distance"]["n"] == len(chosen)


def test_what_is_missing_is_said(made: Any, features: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(MmudError, match="MM816") as caught:
        evaluate(features["folder"], made.dataset, tasks=["generation"])
    assert caught.value.exit_code == 4
    with pytest.raises(MmudError, match="MM815"):
        evaluate(features["folder"], made.dataset)
    np.savez(tmp_path / "few.npz", sample_ids=np.array(features["ids"][:5]), features=features["truth"][:5])
    with pytest.raises(MmudError, match="MM876"):
        evaluate(features["folder"], made.dataset, **options({**features, "reference": tmp_path / "few.npz"}))
    (tmp_path / "bad.npz").write_bytes(b"PK")
    with pytest.raises(MmudError, match="MM825"):
        evaluate(features["folder"], made.dataset, **options({**features, "reference": tmp_path / "bad.npz"}))
    lines = (features["folder"] / "generation.jsonl").read_text().splitlines()
    (features["folder"] / "generation.jsonl").write_text("\n".join([lines[0].replace("]", ", NaN]"), *lines[1:]]))
    with pytest.raises(RefusedPredictions, match="MM808"):
        evaluate(features["folder"], made.dataset, **options(features))


def test_an_extractor_reads_images_of_both_sides(made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in network (mean colour by quarter) through the same door as a real one: generated files, stored bytes."""
    from mmud.baselines.floors.labels import Oracle
    from mmud.baselines.predicting import write_predictions
    from mmud.evaluators.generation import extractors
    from mmud.records import Task

    class MeanColours:
        def __init__(self, options: Any) -> None:
            self.identity = extractors.ExtractorIdentity("mean-colours", "none", "0" * 64)

        def extract(self, sources: Any, progress: Any = None) -> np.ndarray:
            rows = []
            for source in sources:
                pixels = source.pixels().astype(np.float32)
                half = pixels.shape[0] // 2
                rows.append(np.concatenate([pixels[:half].mean((0, 1)), pixels[half:].mean((0, 1))]))
            return np.stack(rows)

    monkeypatch.setattr(extractors.EXTRACTORS, "get", lambda name: MeanColours)
    folder = write_predictions(tmp_path / "images", made.dataset, Oracle(), tasks=[Task.GENERATION])
    settings = {"extras": {"generation": {"extractor": "mean-colours"}}}
    metrics = evaluate(folder, made.dataset, **settings).scores["tasks"][GENERATION]["metrics"]
    assert metrics["frechet_distance"]["value"] == pytest.approx(0.0, abs=1e-6)
    assert metrics["feature_cosine"]["value"] == pytest.approx(1.0)
    assert "weights:000000000000" in metrics["kid"]["signature"]
