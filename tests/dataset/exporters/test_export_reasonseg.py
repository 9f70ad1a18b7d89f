"""ReasonSeg, read back as LISA reads it: shapes sorted by area, drawn with OpenCV's outline and filling."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exporter_samples import HOSTILE_IDS, array_object, picture, polygon_object

from mmud.annotations import tags
from mmud.annotations.masks import Mask
from mmud.dataset.exporters.runner import Request, run_export
from mmud.dataset.store import Dataset
from mmud.dataset.writer import write_dataset
from mmud.records import Sample, Task

cv2 = pytest.importorskip("cv2", reason="opencv-python-headless, which LISA's reader fills with, is not installed")


def read_as_lisa(path: Path) -> tuple[np.ndarray, list[str], bool]:
    """The image's mask (1 target, 255 ignored), its texts, and whether they are sentences.

    As LISA's ``get_mask_from_json`` does: whole-number points; large shapes first; "flag" skipped; "ignore" is 255.
    """
    height, width = cv2.imread(str(path.with_suffix(".jpg"))).shape[:2]
    content = json.loads(path.read_text())
    shapes = [shape for shape in content["shapes"] if shape["label"].lower() != "flag"]

    def draw(mask: np.ndarray, shape: dict[str, Any], value: int) -> np.ndarray:
        points = np.array([shape["points"]], dtype=np.int32)
        cv2.polylines(mask, points, True, value, 1)
        cv2.fillPoly(mask, points, value)
        return mask

    areas = [draw(np.zeros((height, width), np.uint8), shape, 1).sum() for shape in shapes]
    mask = np.zeros((height, width), np.uint8)
    for index in np.argsort(areas)[::-1]:
        draw(mask, shapes[index], 255 if "ignore" in shapes[index]["label"].lower() else 1)
    return mask, content["text"], content["is_sentence"]


def _file_of(folder: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (folder / "names.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        found.setdefault(row["sample_id"], []).append(row["file"])
    return found


def test_lisa_reads_every_question(mixed: Dataset, tmp_path: Path) -> None:
    report = run_export(mixed, "reasonseg", tmp_path / "out")
    files = _file_of(tmp_path / "out")
    for split, folder in (("train", "train"), ("valid", "val")):
        explained = json.loads((tmp_path / "out" / "explanatory" / f"{folder}.json").read_text("utf-8"))
        answers = {row["image"]: row for row in explained}
        # LISA finds samples by listing *.jpg and taking .json for .jpg.
        listed = {f"{folder}/{path.name}" for path in (tmp_path / "out" / folder).glob("*.jpg")}
        assert listed == {names[0] for names in files.values() if names[0].startswith(f"{folder}/")}
        for sample in mixed.samples(split):
            if sample.sample_id not in files:
                continue
            (name,) = files[sample.sample_id]
            mask, text, is_sentence = read_as_lisa((tmp_path / "out" / name).with_suffix(".json"))
            assert text == [sample.question]
            assert is_sentence is True
            numbers = [number for number in tags.indices(sample.answer) if number <= len(sample.objects)]
            wanted = Mask.union([Mask.of(sample.objects[number - 1].segmentation) for number in numbers])
            assert (mask == wanted.decode()).all()
            assert answers[name.partition("/")[2]]["query"] == sample.question
            assert answers[name.partition("/")[2]]["outputs"] == tags.remove(sample.answer)
    full = len(HOSTILE_IDS)
    assert report.counts["questions"] == full + 1
    lost = {loss["what"]: loss["count"] for loss in report.losses}
    assert lost["samples without a question and a tagged mask"] == 3
    assert lost["objects that the answer does not tag"] == 3 * full + 2
    assert lost["captions"] == full
    assert lost["phrases of a reasoning export"] == 5 * full + 2


def test_expressions_are_entries_of_their_own(mixed: Dataset, tmp_path: Path) -> None:
    request = Request(splits=("train",), tasks=(Task.REFERRING_SEGMENTATION,))
    report = run_export(mixed, "reasonseg", tmp_path / "out", request)
    files = _file_of(tmp_path / "out")
    for sample in mixed.samples("train"):
        asked = [item for item in sample.objects if item.phrases and item.segmentation is not None]
        for item, name in zip(asked, files[sample.sample_id], strict=True):
            mask, text, is_sentence = read_as_lisa((tmp_path / "out" / name).with_suffix(".json"))
            assert (tuple(text), is_sentence) == (item.phrases, False)
            assert ((mask == 1) == Mask.of(item.segmentation).decode().astype(bool)).all()
    assert report.counts["expressions"] == 3 * len(HOSTILE_IDS)
    lost = {loss["what"]: loss["count"] for loss in report.losses}
    assert lost["objects without a phrase and a mask"] == 2 * len(HOSTILE_IDS)


def test_a_crowd_of_the_targets_category_is_ignored(tmp_path: Path) -> None:
    height, width = 20, 30
    target = polygon_object([[2.0, 2.0, 12.0, 2.0, 12.0, 12.0, 2.0, 12.0]], height, width, category="cat")
    area = np.zeros((height, width), dtype=bool)
    area[5:18, 8:29] = True
    crowd = array_object(area, category="cat", iscrowd=True)
    other = array_object(~area, category="dog", iscrowd=True)
    sample = Sample(
        sample_id="s",
        width=width,
        height=height,
        source="made",
        image={"bytes": picture(1, width, height)},  # type: ignore[arg-type]
        question="Which cat is alone?",
        answer="This one <LCL-1>.",
        objects=(target, crowd, other),
    )
    dataset = write_dataset(tmp_path / "data", {"train": [sample]})
    run_export(dataset, "reasonseg", tmp_path / "out")
    mask, _, _ = read_as_lisa(tmp_path / "out" / "train" / "s.json")
    own = Mask.of(target.segmentation).decode().astype(bool)
    assert ((mask == 1) == own).all()
    assert ((mask == 255) == (area & ~own)).all()


@pytest.mark.data
def test_real_masks_are_exact_for_lisa(coco_mini: Dataset, tmp_path: Path) -> None:
    """Traced masks are drawn pixel for pixel; COCO's own polygons, cut to whole numbers by the same reader, are not."""
    samples = []
    for sample in coco_mini.samples("val", images=True):
        numbers = [number for number, item in enumerate(sample.objects, 1) if not item.iscrowd]
        answer = " ".join(tags.render(number) for number in numbers)
        samples.append(sample.model_copy(update={"question": "Where are they?", "answer": answer}))
    dataset = write_dataset(tmp_path / "data", {"val": samples}, images="link")
    run_export(dataset, "reasonseg", tmp_path / "out")
    files = _file_of(tmp_path / "out")
    compared = 0
    plain, whole = [], []
    for sample in samples:
        if sample.sample_id not in files:
            continue
        mask, _, _ = read_as_lisa((tmp_path / "out" / files[sample.sample_id][0]).with_suffix(".json"))
        masks = [Mask.of(item.segmentation) for item in sample.objects if not item.iscrowd]
        wanted = Mask.union(masks).decode()
        assert ((mask == 1) == wanted.astype(bool)).all()
        compared += len(masks)
        for item in sample.objects:
            for polygon in item.polygons or ():
                drawn = np.zeros(wanted.shape, np.uint8)
                points = np.array([np.reshape(polygon, (-1, 2))], dtype=np.int32)
                cv2.polylines(drawn, points, True, 1, 1)
                cv2.fillPoly(drawn, points, 1)
                true = Mask.from_polygons([polygon], *wanted.shape).decode()
                plain.append((drawn & true).sum())
                whole.append((drawn | true).sum())
    assert compared > 500
    # What copying the polygons would have cost, and tracing does not; docs/export.md quotes this line.
    copied = float(np.mean(np.array(plain) / np.maximum(whole, 1)))
    print(f"{compared} masks exact; the source's {len(plain)} polygons, read the same way: mean IoU {copied:.3f}")
    assert copied < 0.95
