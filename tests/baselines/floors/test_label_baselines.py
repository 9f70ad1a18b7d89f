"""Oracle, empty, union and spoilt predictions: figures that are known beforehand, on synthetic and on real images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mmud.annotations.masks import Mask
from mmud.baselines.floors.constant import Empty
from mmud.baselines.floors.labels import Oracle, Union
from mmud.baselines.floors.perturbed import Perturbed
from mmud.baselines.predicting import write_predictions
from mmud.dataset.store import Dataset
from mmud.errors import MmudError
from mmud.evaluators.evaluation import evaluate
from mmud.evaluators.predictions import PredictionFolder
from mmud.evaluators.protocols import names_of
from mmud.records import Prediction, Sample, Task

REFERRING, CAPTIONING = "referring_segmentation", "captioning"


@pytest.mark.data
@pytest.mark.parametrize("name", ["mini_refcoco", "coco_mini"])
def test_real_data_scores_as_it_must(real: dict[str, Dataset], name: str, tmp_path: Path) -> None:
    dataset = real[name]
    found = {}
    for kind, baseline in (("oracle", Oracle()), ("empty", Empty()), ("perturbed", Perturbed({"strength": 0.1}))):
        folder = write_predictions(tmp_path / kind, dataset, baseline, tasks=[Task(REFERRING), Task(CAPTIONING)])
        found[kind] = evaluate(folder, dataset, protocol="all", metrics=["all"]).scores["tasks"]
    for protocol in names_of("all"):
        for metric in ("gIoU", "cIoU"):
            perfect, nothing, spoilt = (
                found[kind][REFERRING]["protocols"][protocol]["metrics"][metric]["value"]
                for kind in ("oracle", "empty", "perturbed")
            )
            # 1e-5 of mean_eps, objects whose own parts overlap, and (at 224) objects that vanish: see docs/metrics/protocols.md.
            assert perfect == pytest.approx(1.0, abs=2e-3), protocol
            # Sa2VA leaves missing masks out of both sums, so that nothing is left of cIoU when all are missing.
            assert nothing == (None if (protocol, metric) == ("sa2va", "cIoU") else 0.0), protocol
            assert 0.5 < spoilt < 0.9, protocol
    assert found["oracle"][REFERRING]["metrics"]["gIoU"]["value"] == 1.0
    assert found["oracle"][REFERRING]["metrics"]["boundary_IoU"]["value"] == 1.0
    assert found["oracle"][CAPTIONING]["metrics"]["cider_d"]["value"] == pytest.approx(10.0)
    assert found["empty"][CAPTIONING]["metrics"]["cider_d"]["value"] == 0.0


@pytest.mark.data
def test_a_set_without_phrases_asks_by_category(real: dict[str, Dataset], tmp_path: Path) -> None:
    coco = real["coco_mini"]
    folder = write_predictions(tmp_path / "p", coco, Oracle(), tasks=[Task(REFERRING)])
    result = evaluate(folder, coco, by=["category", "size"]).scores["tasks"][REFERRING]
    assert result["metrics"]["gIoU"]["n"] == coco.manifest.counts["objects"]
    assert set(result["slices"]["size"]) == {"small", "medium", "large"}
    assert "person" in result["slices"]["category"]


def test_an_oracle_is_the_labels_and_scores_perfectly(scenes: Dataset, tmp_path: Path) -> None:
    folder = write_predictions(tmp_path / "p", scenes, Oracle())
    samples = {sample.sample_id: sample for sample in scenes.samples("test")}
    for prediction in PredictionFolder(folder).read(Task(REFERRING), lambda finding: None):
        objects = samples[prediction.sample_id].objects
        assert [mask.segmentation for mask in prediction.masks] == [item.segmentation for item in objects]
    for prediction in PredictionFolder(folder).read(Task.REASONING_SEGMENTATION, lambda finding: None):
        assert prediction.answer == samples[prediction.sample_id].answer
    scores = evaluate(folder, scenes)
    assert [scores.value(task, "gIoU") for task in (REFERRING, "reasoning_segmentation")] == [1.0, 1.0]
    assert scores.value(CAPTIONING, "cider_d") == pytest.approx(10.0)


def test_the_union_covers_every_object_and_stays_low(scenes: Dataset, tmp_path: Path) -> None:
    folder = write_predictions(tmp_path / "p", scenes, Union())
    samples = {sample.sample_id: sample for sample in scenes.samples("test")}
    for task in (Task(REFERRING), Task.REASONING_SEGMENTATION):
        for prediction in PredictionFolder(folder).read(task, lambda finding: None):
            labels = [item.segmentation for item in samples[prediction.sample_id].objects]
            everything = np.any([Mask.of(label).decode() for label in labels if label is not None], axis=0)
            for mask in prediction.masks:
                assert mask.segmentation is not None
                assert np.array_equal(Mask.of(mask.segmentation).decode(), everything)
    value = evaluate(folder, scenes).value(REFERRING, "gIoU")
    # The mean share of one object in all of them: below one half where every sample has two objects or more.
    assert value is not None
    assert 0.1 < value < 0.5


def test_spoilt_predictions_are_seeded(scenes: Dataset) -> None:
    def answer(sample: Sample, task: Task, seed: int, strength: float) -> Prediction:
        return Perturbed({"strength": strength}, seed).answer(sample, task).prediction

    sample = scenes.first("test")
    for task in (Task(REFERRING), Task.REASONING_SEGMENTATION, Task(CAPTIONING)):
        assert answer(sample, task, 3, 0.3) == answer(sample, task, 3, 0.3)
        assert answer(sample, task, 0, 0.0) == Oracle().answer(sample, task).prediction
    captions = {answer(sample, Task(CAPTIONING), seed, 0.3).caption for seed in range(8)}
    assert len(captions) > 1
    masks = answer(sample, Task(REFERRING), 1, 0.3).masks
    areas = {Mask.of(mask.segmentation).area for mask in masks if mask.segmentation}
    assert areas != {Mask.of(item.segmentation).area for item in sample.objects if item.segmentation}


def test_the_folder_that_is_written(scenes: Dataset, tmp_path: Path) -> None:
    folder = write_predictions(tmp_path / "p", scenes, Oracle(), name="labels")
    assert PredictionFolder(folder).tasks == list(Task)
    info = PredictionFolder(folder).submission
    assert info is not None
    assert (info.name, info.split, info.dataset_fingerprint) == ("labels", "test", scenes.fingerprint)
    lines = (folder / "generation.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    assert (folder / first["image"]).read_bytes() == scenes.first("test", images=True).image_bytes()
    with pytest.raises(MmudError, match="MM003"):
        write_predictions(folder, scenes, Oracle())
    nothing = write_predictions(tmp_path / "n", scenes, Empty())
    assert Task.GENERATION not in PredictionFolder(nothing).tasks


def test_predictions_for_another_dataset_are_noticed(scenes: Dataset, tmp_path: Path) -> None:
    folder = write_predictions(tmp_path / "p", scenes, Oracle(), tasks=[Task(CAPTIONING)])
    info = json.loads((folder / "submission.json").read_text())
    (folder / "submission.json").write_text(json.dumps({**info, "dataset_fingerprint": "other"}))
    found = evaluate(folder, scenes)
    assert [finding.code.id for finding in found.findings] == ["MM812"]
    assert found.scores["findings"]["counts"] == {"MM812": 1}
