"""REFER layout, read back by a reader that goes through the files as the published ``refer.py`` does."""

from __future__ import annotations

import json
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exporter_samples import coco_object, full_sample
from pycocotools import mask as coco_mask

from mmud.annotations.masks import Mask
from mmud.cli import run
from mmud.dataset.exporters.runner import Request, run_export
from mmud.dataset.store import Dataset
from mmud.dataset.writer import write_dataset
from mmud.records import ImageReference, Sample


class ReferReader:
    """Opens what `lichengunc/refer` opens, by the keys it uses: files by data set and split, then refs to annotations."""

    def __init__(self, root: Path, dataset: str, split_by: str) -> None:
        assert dataset in ("refcoco", "refcoco+", "refcocog", "refclef")
        images = "images/saiapr_tc-12" if dataset == "refclef" else "images/mscoco/images/train2014"
        self.images_folder = root / images
        with open(root / dataset / f"refs({split_by}).p", "rb") as stream:
            self.refs = pickle.load(stream)
        instances = json.loads((root / dataset / "instances.json").read_text("utf-8"))
        self.annotations = {row["id"]: row for row in instances["annotations"]}
        self.images = {row["id"]: row for row in instances["images"]}
        self.categories = {row["id"]: row["name"] for row in instances["categories"]}
        self.annotation_of = {ref["ref_id"]: self.annotations[ref["ann_id"]] for ref in self.refs}
        self.sentences = {row["sent_id"]: row for ref in self.refs for row in ref["sentences"]}
        self.tokens = {number: row["tokens"] for number, row in self.sentences.items()}

    def mask(self, ref: dict[str, Any]) -> np.ndarray:
        annotation = self.annotation_of[ref["ref_id"]]
        image = self.images[ref["image_id"]]
        segmentation = annotation["segmentation"]
        if isinstance(segmentation[0], list):
            segmentation = coco_mask.frPyObjects(segmentation, image["height"], image["width"])
        return np.sum(coco_mask.decode(segmentation), axis=2).astype(np.uint8)


def test_a_refer_reader_finds_every_phrase_and_mask(mixed: Dataset, tmp_path: Path) -> None:
    report = run_export(mixed, "refer", tmp_path / "out")
    reader = ReferReader(tmp_path / "out", "refcoco", "mmud")
    wanted = [
        (sample.sample_id, split, item)
        for split in mixed.splits
        for sample in mixed.samples(split)
        for item in sample.objects
        if item.phrases
    ]
    assert len(reader.refs) == len(reader.annotation_of) == len(wanted) == report.counts["refs"]
    for ref, (sample_id, split, item) in zip(reader.refs, wanted, strict=True):
        image = reader.images[ref["image_id"]]
        assert image["sample_id"] == sample_id
        assert (reader.images_folder / ref["file_name"]).is_file()
        assert ref["file_name"] == image["file_name"]
        assert ref["split"] == {"train": "train", "valid": "val"}[split]
        assert [row["sent"] for row in ref["sentences"]] == list(item.phrases)
        assert [row["sent_id"] for row in ref["sentences"]] == ref["sent_ids"]
        assert all(row["tokens"] for row in ref["sentences"])
        annotation = reader.annotation_of[ref["ref_id"]]
        assert tuple(annotation["bbox"]) == item.bbox
        assert reader.categories[ref["category_id"]] == (item.category or "object")
        if item.segmentation is not None:
            assert (np.minimum(reader.mask(ref), 1) == Mask.of(item.segmentation).decode()).all()
    assert len(reader.sentences) == sum(len(item.phrases) for _, _, item in wanted)
    assert {ref["ref_id"] for ref in reader.refs} >= {100 + number for number in range(17)}
    lost = {loss["what"]: loss["count"] for loss in report.losses}
    assert lost["ref ids of objects without a phrase"] == 1
    assert lost["split names"] == 2
    same = json.loads((tmp_path / "out" / "refcoco" / "refs(mmud).json").read_text("utf-8"))
    assert same == reader.refs
    captions = json.loads((tmp_path / "out" / "refcoco" / "captions.json").read_text("utf-8"))
    assert len(captions["annotations"]) == 17


def test_the_pickle_holds_nothing_but_plain_values(mixed: Dataset, tmp_path: Path) -> None:
    run_export(mixed, "refer", tmp_path / "out", Request(options={"dataset": "refclef", "split_by": "a/../b"}))
    (file,) = (tmp_path / "out" / "refclef").glob("refs(*.p")
    names = {opcode.name for opcode, _, _ in pickletools.genops(file.read_bytes())}
    assert not names & {
        "GLOBAL",
        "STACK_GLOBAL",
        "REDUCE",
        "BUILD",
        "INST",
        "OBJ",
        "NEWOBJ",
        "EXT1",
        "PERSID",
        "BINPERSID",
    }
    assert (tmp_path / "out" / "images" / "saiapr_tc-12").is_dir()


@pytest.mark.data
@pytest.mark.parametrize(("name", "split_by"), [("refcoco", "unc"), ("refcoco+", "unc"), ("refcocog", "umd")])
def test_real_refs_come_back(shared_data: Path, tmp_path: Path, name: str, split_by: str) -> None:
    folder = shared_data / "mini_refcoco"
    refs = json.loads((folder / name / f"refs({split_by}).json").read_text())
    dataset = write_dataset(tmp_path / "data", _samples(folder, refs), images="link")
    run_export(dataset, "refer", tmp_path / "out", Request(options={"dataset": name, "split_by": split_by}))
    reader = ReferReader(tmp_path / "out", name, split_by)
    real = {row["id"]: row for row in json.loads((folder / "instances.json").read_text())["annotations"]}
    again = {ref["ref_id"]: ref for ref in reader.refs}
    assert set(again) == {ref["ref_id"] for ref in refs}
    for ref in refs:
        other = again[ref["ref_id"]]
        for key in ("ann_id", "image_id", "category_id", "split", "file_name"):
            assert other[key] == ref[key], key
        for key in ("sent", "raw", "tokens"):
            assert [row[key] for row in other["sentences"]] == [row[key] for row in ref["sentences"]]
        assert reader.annotation_of[ref["ref_id"]]["segmentation"] == real[ref["ann_id"]]["segmentation"]
        assert reader.annotation_of[ref["ref_id"]]["bbox"] == real[ref["ann_id"]]["bbox"]
        assert reader.mask(other).any()


@pytest.mark.data
@pytest.mark.parametrize(("name", "split_by"), [("refcoco", "unc"), ("refcoco+", "unc"), ("refcocog", "umd")])
def test_real_refs_survive_a_build(shared_data: Path, tmp_path: Path, name: str, split_by: str) -> None:
    """Published files -> `mmud build refer` -> `mmud export --to refer`: the refs are the published ones, ids and splits too."""
    folder = shared_data / "mini_refcoco"
    flags = ["--dataset", name, "--split-by", split_by, "--instances", str(folder / "instances.json")]
    built = [
        "build",
        "refer",
        str(folder),
        *flags,
        "--images",
        str(folder / "images"),
        "-o",
        str(tmp_path / "data"),
        "-q",
    ]
    assert run(built) == 0
    report = run_export(
        Dataset(tmp_path / "data"), "refer", tmp_path / "out", Request(options={"dataset": name, "split_by": split_by})
    )
    reader = ReferReader(tmp_path / "out", name, split_by)
    real = json.loads((folder / name / f"refs({split_by}).json").read_text())
    again = {ref["ref_id"]: ref for ref in reader.refs}
    assert set(again) == {ref["ref_id"] for ref in real}
    assert all(again[ref["ref_id"]] == ref for ref in real)
    assert {loss["what"] for loss in report.losses} <= {"provenance"}


def test_notes_on_refs_may_have_any_form(tmp_path: Path) -> None:
    notes: list[Any] = [
        {"refs": 7},
        {"refs": [3, {"object": "1"}, {"object": 1, "split": 4, "sent_ids": ["x"], "raw": 9}]},
        {"refs": [{"object": 1, "split": "testA", "sent_ids": [5, 5], "raw": ["A", "B"]}, {"object": 99}]},
        {"refs": [{"object": 1, "sent_ids": [7, 10**30]}, {"object": 1, "sent_ids": [8]}]},
        {"refs": [{"object": 1, "split": "testB", "sent_ids": [9]}]},
    ]
    samples = [
        full_sample(number, f"s{number}").model_copy(update={"provenance": note}) for number, note in enumerate(notes)
    ]
    report = run_export(write_dataset(tmp_path / "data", {"valid": samples}), "refer", tmp_path / "out")
    reader = ReferReader(tmp_path / "out", "refcoco", "mmud")
    assert len(reader.sentences) == sum(len(ref["sentences"]) for ref in reader.refs)
    first = [ref for ref in reader.refs if ref["ref_id"] in range(100, 105)]
    assert [ref["split"] for ref in first] == ["val", "val", "testA", "val", "testB"]
    assert [row["raw"] for row in first[2]["sentences"]] == ["A", "B"]
    assert first[2]["sent_ids"][0] == 5
    lost = {loss["what"]: loss["count"] for loss in report.losses}
    assert lost["refs that share an object"] == 1
    assert lost["published sentence ids"] == 1 + 3 + 1


def _samples(folder: Path, refs: list[dict[str, Any]]) -> dict[str, list[Sample]]:
    """One sample an image and split, all of the image's annotations, phrases where a ref has them."""
    instances = json.loads((folder / "instances.json").read_text())
    names = {row["id"]: row["name"] for row in instances["categories"]}
    images = {row["id"]: row for row in instances["images"]}
    found: dict[str, list[Sample]] = {}
    for number, split in dict.fromkeys((ref["image_id"], ref["split"]) for ref in refs):
        image = images[number]
        own = {ref["ann_id"]: ref for ref in refs if (ref["image_id"], ref["split"]) == (number, split)}
        objects = []
        for row in instances["annotations"]:
            if row["image_id"] != number:
                continue
            ref = own.get(row["id"])
            phrases = tuple(sentence["raw"] for sentence in ref["sentences"]) if ref else ()
            objects.append(coco_object(row, image, names, phrases, ref["ref_id"] if ref else None))
        sample = Sample(
            sample_id=f"{split}-{number}",
            width=image["width"],
            height=image["height"],
            source="refcoco",
            source_image_id=str(number),
            image=ImageReference(path=str(folder / "images" / image["file_name"])),
            objects=tuple(objects),
        )
        found.setdefault(split, []).append(sample)
    return found
