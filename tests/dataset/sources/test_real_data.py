"""The sources on real files: COCO, the RefCOCO family and ReferIt, held against what the files themselves say."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

from mmud.annotations.masks import Mask
from mmud.cli import run
from mmud.dataset.store import Dataset
from mmud.records import Sample

pytestmark = pytest.mark.data


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMUD_CACHE", str(tmp_path / "cache"))


def built(tmp_path: Path, *arguments: object) -> list[Sample]:
    target = tmp_path / "built"
    assert run(["build", *map(str, arguments), "-o", str(target), "-q", "--force"]) == 0
    assert run(["validate", str(target), "-q", "--fail-on", "error"]) == 0
    return list(Dataset(target).samples())


@pytest.mark.parametrize("split", ["train2017", "val2017"])
def test_every_object_of_coco_is_kept_as_it_stands(shared_data: Path, tmp_path: Path, split: str) -> None:
    folder = shared_data / "coco_mini"
    instances = folder / "annotations" / f"instances_{split}.json"
    captions = folder / "annotations" / f"captions_{split}.json"
    samples = built(tmp_path, "coco", "--instances", instances, "--captions", captions, "--images", folder / split)
    data = json.loads(instances.read_text("utf-8"))
    annotations = {annotation["id"]: annotation for annotation in data["annotations"]}
    sizes = {image["id"]: (image["height"], image["width"]) for image in data["images"]}
    assert {int(sample.source_image_id) for sample in samples} == sizes.keys()
    seen = [item for sample in samples for item in sample.objects]
    assert {item.ann_id for item in seen} == annotations.keys()
    for sample in samples:
        size = sizes[int(sample.source_image_id)]
        assert (sample.height, sample.width) == size
        assert sample.caption
        for item in sample.objects:
            annotation = annotations[item.ann_id or 0]
            reference = annotation["segmentation"]
            if isinstance(reference, list):
                reference = coco.merge(coco.frPyObjects(reference, *size))
            elif isinstance(reference["counts"], list):
                reference = coco.frPyObjects(reference, *size)
            assert item.segmentation is not None
            assert Mask.of(item.segmentation, *size).counts == reference["counts"]
            assert list(item.bbox) == annotation["bbox"]
            assert item.area == annotation["area"]
            assert item.iscrowd == bool(annotation["iscrowd"])
            if isinstance(annotation["segmentation"], list):
                assert [list(polygon) for polygon in item.polygons or ()] == annotation["segmentation"]


@pytest.mark.parametrize(("dataset", "split_by"), [("refcoco", "unc"), ("refcoco+", "unc"), ("refcocog", "umd")])
@pytest.mark.parametrize("form", ["p", "json"])
def test_every_ref_of_the_family_is_kept(
    shared_data: Path, tmp_path: Path, dataset: str, split_by: str, form: str
) -> None:
    folder = shared_data / "mini_refcoco"
    layout = tmp_path / "layout" / dataset
    layout.mkdir(parents=True)
    name = f"refs({split_by}).{form}"
    (layout / name).write_bytes((folder / dataset / name).read_bytes())
    options = ["--dataset", dataset, "--split-by", split_by, "--instances", folder / "instances.json"]
    samples = built(tmp_path, "refer", layout.parent, *options, "--images", folder / "images")
    refs = json.loads((folder / dataset / f"refs({split_by}).json").read_text("utf-8"))
    expected = {ref["ref_id"]: ref for ref in refs}
    found = {item.ref_id: (sample, item) for sample in samples for item in sample.objects}
    assert found.keys() == expected.keys()
    for ref_id, ref in expected.items():
        sample, item = found[ref_id]
        assert int(sample.source_image_id) == ref["image_id"]
        assert item.ann_id == ref["ann_id"]
        assert list(item.phrases) == list(dict.fromkeys(sentence["sent"] for sentence in ref["sentences"]))
        assert (sample.question, sample.answer) == ("", "")
    assert len(samples) == len({ref["image_id"] for ref in refs})


def test_whole_objects_not_first_polygons(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "mini_refcoco"
    options = ["--dataset", "refcoco", "--split-by", "unc", "--instances", folder / "instances.json"]
    samples = built(tmp_path, "refer", folder, *options, "--images", folder / "images")
    parted = [item for sample in samples for item in sample.objects if len(item.polygons or ()) > 1]
    assert parted
    for item in parted:
        assert item.segmentation is not None
        whole = Mask.of(item.segmentation)
        first = Mask.from_polygons([(item.polygons or ())[0]], *whole.size)
        assert first.area < whole.area


def test_several_datasets_share_an_image(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "mini_refcoco"
    common = ["--images", folder / "images", "--instances", folder / "instances.json"]
    options = ["--dataset", "refcoco", "--dataset", "refcoco+", "--split-by", "unc"]
    samples = built(tmp_path, "refer", folder, *options, *common)
    images = Counter(sample.source_image_id for sample in samples)
    assert max(images.values()) == 1
    refs: list[dict[str, Any]] = []
    for name in ("refcoco", "refcoco+"):
        refs += json.loads((folder / name / "refs(unc).json").read_text("utf-8"))
    assert len(images) == len({ref["image_id"] for ref in refs})
    phrases = {(int(s.source_image_id), phrase) for s in samples for item in s.objects for phrase in item.phrases}
    assert phrases == {(ref["image_id"], sentence["sent"]) for ref in refs for sentence in ref["sentences"]}


def test_the_gallery_and_an_export_of_real_data(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "mini_refcoco"
    options = ["--dataset", "refcoco", "--split-by", "unc", "--instances", folder / "instances.json"]
    samples = built(tmp_path, "refer", folder, *options, "--images", folder / "images")
    target = str(tmp_path / "built")
    assert run(["browse", target, "-o", str(tmp_path / "page.html"), "-q"]) == 0
    assert run(["export", target, "--to", "refer", "-o", str(tmp_path / "refer"), "-q"]) == 0
    again = list((tmp_path / "refer").rglob("instances.json"))
    assert len(again) == 1
    annotations = {one["id"]: one for one in json.loads(again[0].read_text("utf-8"))["annotations"]}
    for sample in samples:
        for item in sample.objects:
            assert np.allclose(annotations[item.ann_id]["bbox"], item.bbox)
