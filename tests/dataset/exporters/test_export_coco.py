"""COCO export, read back with pycocotools."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from exporter_samples import HOSTILE_IDS
from PIL import Image
from pycocotools.coco import COCO

from mmud.annotations.masks import Mask
from mmud.dataset.exporters.runner import run_export
from mmud.dataset.store import Dataset


def _losses(report: object) -> dict[str, int]:
    return {loss["what"]: loss["count"] for loss in report.losses}  # type: ignore[attr-defined]


def test_pycocotools_reads_every_object(mixed: Dataset, tmp_path: Path) -> None:
    report = run_export(mixed, "coco", tmp_path / "out")
    seen_annotations: set[int] = set()
    for split in mixed.splits:
        coco = COCO(str(tmp_path / "out" / "annotations" / f"instances_{split}.json"))
        captions = COCO(str(tmp_path / "out" / "annotations" / f"captions_{split}.json"))
        by_sample = {image["sample_id"]: image for image in coco.loadImgs(coco.getImgIds())}
        licences = {row["id"]: row["name"] for row in coco.dataset.get("licenses", [])}
        samples = list(mixed.samples(split, images=True))
        assert set(by_sample) == {sample.sample_id for sample in samples}
        for sample in samples:
            image = by_sample[sample.sample_id]
            assert (image["width"], image["height"]) == (sample.width, sample.height)
            assert (image["source"], image["source_image_id"]) == (sample.source, sample.source_image_id)
            assert licences.get(image.get("license"), "") == sample.license
            assert (tmp_path / "out" / "images" / image["file_name"]).read_bytes() == sample.image.bytes
            found = captions.loadAnns(captions.getAnnIds(imgIds=[image["id"]]))
            assert [row["caption"] for row in found] == [sample.caption] * bool(sample.caption)
            rows = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
            assert len(rows) == len(sample.objects)
            for row, item in zip(rows, sample.objects, strict=True):
                assert row["id"] not in seen_annotations
                seen_annotations.add(row["id"])
                assert tuple(row["bbox"]) == item.bbox
                assert row["area"] == item.area
                assert row["iscrowd"] == item.iscrowd
                assert coco.cats[row["category_id"]]["name"] == (item.category or "object")
                if item.segmentation is None:
                    assert row["segmentation"] == []
                else:
                    assert (coco.annToMask(row) == Mask.of(item.segmentation).decode()).all()
    assert report.counts["images"] == len(HOSTILE_IDS) + 4
    full = len(HOSTILE_IDS)
    lost = _losses(report)
    assert lost["questions"] == full + 2
    assert lost["answers"] == full + 2
    assert lost["tags"] == 3 * full + 1 + 3
    assert lost["phrases"] == 5 * full + 2
    assert lost["ref ids"] == 2 * full + 1
    assert lost["provenance"] == full
    # Annotation 1001 is in both splits; category 18 is a dog in one and a wolf in the other.
    assert lost["repeated annotation ids"] == 1
    assert lost["ambiguous category ids"] == 1
    assert lost["polygons that differ from their mask"] == 2
    # Ids such as "name-0" are no numbers, and "2" is an id of both splits.
    assert lost["image ids"] == len(range(0, full, 3)) + 1


def test_ids_are_kept_where_they_can(mixed: Dataset, tmp_path: Path) -> None:
    run_export(mixed, "coco", tmp_path / "out")
    coco = COCO(str(tmp_path / "out" / "annotations" / "instances_train.json"))
    for sample in mixed.samples("train"):
        if sample.source_image_id.isdecimal():
            assert coco.imgs[int(sample.source_image_id)]["sample_id"] == sample.sample_id
        for item in sample.objects:
            if item.ann_id is not None:
                assert coco.anns[item.ann_id]["area"] == item.area
    assert min(coco.anns) > 0
    assert {coco.cats[18]["name"], coco.cats[17]["name"], coco.cats[3]["name"]} == {"dog", "cat", "box"}


def test_polygons_stay_polygons_and_crowds_are_spelled_out(mixed: Dataset, tmp_path: Path) -> None:
    run_export(mixed, "coco", tmp_path / "out")
    data = json.loads((tmp_path / "out" / "annotations" / "instances_train.json").read_text("utf-8"))
    first = mixed.first("train")
    rows = data["annotations"][:5]
    assert rows[0]["segmentation"] == [list(polygon) for polygon in first.objects[0].polygons or ()]
    assert len(rows[1]["segmentation"]) == 2
    assert isinstance(rows[2]["segmentation"]["counts"], str)
    assert isinstance(rows[3]["segmentation"]["counts"], list)


@pytest.mark.data
def test_real_objects_come_back_as_coco_has_them(coco_mini: Dataset, shared_data: Path, tmp_path: Path) -> None:
    report = run_export(coco_mini, "coco", tmp_path / "out")
    objects = 0
    for split in ("train", "val"):
        own = COCO(str(tmp_path / "out" / "annotations" / f"instances_{split}.json"))
        real = COCO(str(shared_data / "coco_mini" / "annotations" / f"instances_{split}2017.json"))
        assert sorted(own.anns) == sorted(real.anns)
        assert sorted(own.imgs) == sorted(real.imgs)
        for number, row in real.anns.items():
            again = own.anns[number]
            for key in ("segmentation", "area", "bbox", "iscrowd", "category_id", "image_id"):
                assert again[key] == row[key], (number, key)
            ours, theirs = own.annToRLE(again), real.annToRLE(row)
            assert list(ours["size"]) == list(theirs["size"])
            assert ours["counts"] == theirs["counts"]
            objects += 1
        for number, image in real.imgs.items():
            assert own.imgs[number]["file_name"] == image["file_name"]
            path = tmp_path / "out" / "images" / image["file_name"]
            assert path.read_bytes() == (shared_data / "coco_mini" / f"{split}2017" / image["file_name"]).read_bytes()
        used = {row["category_id"] for row in real.anns.values()}
        assert used <= set(own.cats)
        assert {n: own.cats[n]["name"] for n in used} == {n: real.cats[n]["name"] for n in used}
    assert objects == report.counts["annotations"] == 1363
    assert not _losses(report)


@pytest.mark.data
def test_an_image_decodes_to_its_size(coco_mini: Dataset, tmp_path: Path) -> None:
    run_export(coco_mini, "coco", tmp_path / "out")
    coco = COCO(str(tmp_path / "out" / "annotations" / "instances_val.json"))
    image = next(iter(coco.imgs.values()))
    with Image.open(tmp_path / "out" / "images" / image["file_name"]) as opened:
        assert np.asarray(opened).shape[:2] == (image["height"], image["width"])
