"""Oracle, empty and spoilt predictions, on made data and on real COCO and RefCOCO images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmud.annotations.masks import Mask
from mmud.cli import run
from mmud.dataset.store import Dataset
from mmud.errors import MmudError
from mmud.evaluators.evaluation import evaluate
from mmud.evaluators.predictions import PredictionFolder
from mmud.evaluators.protocols import names_of
from mmud.evaluators.reference_predictions import empty, oracle, perturbed, write_predictions
from mmud.records import Task

REFERRING, CAPTIONING = "referring_segmentation", "captioning"


@pytest.fixture(scope="module")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    """mini_refcoco (three sets joined) and the validation half of coco_mini, as `mmud build` makes them."""
    root = tmp_path_factory.mktemp("real")
    refs, coco = shared_data / "mini_refcoco", shared_data / "coco_mini"
    sets = [argument for name in ("refcoco", "refcoco+", "refcocog") for argument in ("--dataset", name)]
    layout = ["--instances", str(refs / "instances.json"), "--captions", str(refs / "captions.json")]
    images = ["--images", str(refs / "images"), "-o", str(root / "refs"), "-q"]
    assert run(["build", "refer", str(refs), *sets, *layout, *images]) == 0
    annotations = coco / "annotations"
    files = ["--instances", str(annotations / "instances_val2017.json")]
    files += ["--captions", str(annotations / "captions_val2017.json"), "--images", str(coco / "val2017")]
    assert run(["build", "coco", *files, "--set", "split=test", "-o", str(root / "coco"), "-q"]) == 0
    return {"mini_refcoco": Dataset(root / "refs"), "coco_mini": Dataset(root / "coco")}


@pytest.mark.data
@pytest.mark.parametrize("name", ["mini_refcoco", "coco_mini"])
def test_real_data_scores_as_it_must(real: dict[str, Dataset], name: str, tmp_path: Path) -> None:
    dataset = real[name]
    found = {}
    for kind, predictor in (("oracle", oracle), ("empty", empty), ("perturbed", perturbed(0, 0.1))):
        folder = write_predictions(tmp_path / kind, dataset, predictor, tasks=[Task(REFERRING), Task(CAPTIONING)])
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
    folder = write_predictions(tmp_path / "p", coco, oracle, tasks=[Task(REFERRING)])
    result = evaluate(folder, coco, by=["category", "size"]).scores["tasks"][REFERRING]
    assert result["metrics"]["gIoU"]["n"] == coco.manifest.counts["objects"]
    assert set(result["slices"]["size"]) == {"small", "medium", "large"}
    assert "person" in result["slices"]["category"]


def test_an_oracle_is_the_labels(made: Any) -> None:
    samples = {sample.sample_id: sample for sample in made.dataset.samples("test")}
    for prediction in PredictionFolder(made.oracle).read(Task(REFERRING), lambda finding: None):
        objects = samples[prediction.sample_id].objects
        assert [mask.segmentation for mask in prediction.masks] == [item.segmentation for item in objects]
    for prediction in PredictionFolder(made.oracle).read(Task.REASONING_SEGMENTATION, lambda finding: None):
        assert prediction.answer == samples[prediction.sample_id].answer


def test_spoilt_predictions_are_seeded(made: Any) -> None:
    sample = made.dataset.first("test")
    for task in (Task(REFERRING), Task.REASONING_SEGMENTATION, Task(CAPTIONING)):
        assert perturbed(3, 0.3)(sample, task) == perturbed(3, 0.3)(sample, task)
        assert perturbed(0, 0.0)(sample, task) == oracle(sample, task)
    captions = {perturbed(seed, 0.3)(sample, Task(CAPTIONING)).caption for seed in range(8)}
    assert len(captions) > 1
    areas = {Mask.of(m.segmentation).area for m in perturbed(1, 0.3)(sample, Task(REFERRING)).masks if m.segmentation}
    assert areas != {Mask.of(item.segmentation).area for item in sample.objects}


def test_the_folder_that_is_written(made: Any, tmp_path: Path) -> None:
    folder = write_predictions(tmp_path / "p", made.dataset, oracle, name="labels")
    assert PredictionFolder(folder).tasks == list(Task)
    info = PredictionFolder(folder).submission
    assert info is not None
    assert (info.name, info.split, info.dataset_fingerprint) == ("labels", "test", made.dataset.fingerprint)
    lines = (folder / "generation.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    assert (folder / first["image"]).read_bytes() == made.dataset.first("test", images=True).image_bytes()
    with pytest.raises(MmudError, match="MM003"):
        write_predictions(folder, made.dataset, oracle)
    nothing = write_predictions(tmp_path / "n", made.dataset, empty)
    assert Task.GENERATION not in PredictionFolder(nothing).tasks


def test_predictions_for_another_dataset_are_noticed(made: Any, tmp_path: Path) -> None:
    folder = write_predictions(tmp_path / "p", made.dataset, oracle, tasks=[Task(CAPTIONING)])
    info = json.loads((folder / "submission.json").read_text())
    (folder / "submission.json").write_text(json.dumps({**info, "dataset_fingerprint": "other"}))
    found = evaluate(folder, made.dataset)
    assert [finding.code.id for finding in found.findings] == ["MM812"]
    assert found.scores["findings"]["counts"] == {"MM812": 1}
