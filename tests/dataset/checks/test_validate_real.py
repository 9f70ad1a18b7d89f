"""Real COCO images and objects: what is known to be wrong is found, what is right is not reported."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from mmud.annotations.masks import Mask
from mmud.dataset.checks.engine import validate
from mmud.dataset.checks.image_reading import read_image
from mmud.dataset.checks.masks import BOX_SHARE, FREE_PIXELS, OUTLINE_PIXELS
from mmud.dataset.checks.repeats import NEAR_BITS
from mmud.dataset.image_hash import distances
from mmud.dataset.writer import write_dataset
from mmud.records import ImageReference, MaskedObject, Sample

pytestmark = pytest.mark.data

CROWD = 900100370162
"""A crowd region whose area says 45,562 and which decodes to 40,661 pixels."""


def _files(shared_data: Path, split: str) -> tuple[dict[str, Any], dict[int, str], Path]:
    folder = shared_data / "coco_mini"
    instances = json.loads((folder / "annotations" / f"instances_{split}2017.json").read_text())
    captions: dict[int, str] = {}
    for entry in json.loads((folder / "annotations" / f"captions_{split}2017.json").read_text())["annotations"]:
        captions.setdefault(entry["image_id"], entry["caption"])
    return instances, captions, folder / f"{split}2017"


def _samples(shared_data: Path, split: str) -> Iterator[Sample]:
    """One sample an image, with all its objects as COCO has them."""
    instances, captions, folder = _files(shared_data, split)
    names = {entry["id"]: entry["name"] for entry in instances["categories"]}
    by_image: dict[int, list[dict[str, Any]]] = {}
    for annotation in instances["annotations"]:
        by_image.setdefault(annotation["image_id"], []).append(annotation)
    for image in instances["images"]:
        height, width = image["height"], image["width"]
        objects = []
        for annotation in by_image.get(image["id"], []):
            form = annotation["segmentation"]
            objects.append(
                MaskedObject(
                    segmentation=Mask.from_coco(form, height, width).to_record(),
                    polygons=tuple(map(tuple, form)) if isinstance(form, list) else None,
                    bbox=annotation["bbox"],
                    area=annotation["area"],
                    category=names[annotation["category_id"]],
                    category_id=annotation["category_id"],
                    iscrowd=bool(annotation["iscrowd"]),
                    ann_id=annotation["id"],
                )
            )
        file = folder / image["file_name"].rpartition("/")[2]
        yield Sample(
            sample_id=f"{split}-{image['id']}",
            image=ImageReference(bytes=file.read_bytes(), path=file.name),
            width=width,
            height=height,
            source="coco",
            source_image_id=str(image["id"]),
            caption=captions.get(image["id"], ""),
            objects=tuple(objects),
            license="see COCO",
        )


@pytest.fixture(scope="module")
def coco_dataset(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real") / "coco"
    write_dataset(folder, {"train": _samples(shared_data, "train"), "valid": _samples(shared_data, "val")})
    return folder


@pytest.fixture(scope="module")
def annotations(shared_data: Path) -> list[dict[str, Any]]:
    found = []
    for split in ("train", "val"):
        instances = _files(shared_data, split)[0]
        sizes = {image["id"]: (image["height"], image["width"]) for image in instances["images"]}
        found += [{**entry, "size": sizes[entry["image_id"]]} for entry in instances["annotations"]]
    return found


def test_what_is_said_of_coco(coco_dataset: Path, annotations: list[dict[str, Any]]) -> None:
    with validate(coco_dataset) as report:
        findings = list(report.findings())
    counts = Counter(finding.code.id for finding in findings)
    assert not report.by_severity()[max(report.by_severity())], [
        str(f) for f in findings if f.severity.label == "error"
    ]
    # No phrases, questions and answers in COCO: one note an object, one an image.
    assert counts["MM406"] == len(annotations) == 1363
    assert counts["MM402"] == report.tally.samples == 159
    several = [a for a in annotations if isinstance(a["segmentation"], list) and len(a["segmentation"]) > 1]
    assert counts["MM216"] + counts["MM217"] + counts["MM219"] >= len(several)
    assert counts["MM216"] + counts["MM217"] <= len(several)
    # Masks are drawn from the polygons, boxes and areas are COCO's: only crowds' areas are off.
    assert not {"MM201", "MM202", "MM203", "MM204", "MM207", "MM209", "MM210", "MM215", "MM220"} & set(counts)
    flagged = [finding for finding in findings if finding.code.id == "MM211"]
    assert any("45562" in finding.message and "40661" in finding.message for finding in flagged)
    crowds = {(a["image_id"], a["area"]) for a in annotations if a["iscrowd"]}
    for finding in flagged:
        image = int((finding.place.sample or "").rpartition("-")[2])
        area = float(finding.message.split()[3].rstrip(","))
        assert (image, area) in crowds, str(finding)


def test_crossings_agree_with_a_plain_loop_on_real_outlines(
    coco_dataset: Path, annotations: list[dict[str, Any]]
) -> None:
    expected = 0
    for annotation in annotations:
        if isinstance(annotation["segmentation"], list):
            expected += sum(_crosses(polygon) for polygon in annotation["segmentation"])
    with validate(coco_dataset, select=["MM214"], images=False) as report:
        assert report.counts["MM214"] == expected


def _crosses(polygon: list[float]) -> bool:
    points = np.array(polygon).reshape(-1, 2)
    after = np.roll(points, -1, axis=0)

    def side(a: np.ndarray, b: np.ndarray, p: np.ndarray) -> np.ndarray:
        value = (b[0] - a[0]) * (p[..., 1] - a[1]) - (b[1] - a[1]) * (p[..., 0] - a[0])
        return np.where(np.abs(value) < 1e-9, 0, np.sign(value))

    for i in range(len(points)):
        a, b = points[i], after[i]
        straddles = side(a, b, points[i + 1 :]) * side(a, b, after[i + 1 :]) < 0
        for j in np.flatnonzero(straddles) + i + 1:
            if side(points[j], after[j], a) * side(points[j], after[j], b) < 0:
                return True
    return False


def test_tolerances_are_above_what_drawing_causes(annotations: list[dict[str, Any]]) -> None:
    """pycocotools draws; the differences to COCO's own boxes and areas are what the tolerances must cover."""
    worst_box, worst_area = 0.0, 0.0
    for annotation in annotations:
        if annotation["iscrowd"]:
            continue
        height, width = annotation["size"]
        drawn = coco.merge(coco.frPyObjects(annotation["segmentation"], height, width))
        x, y, w, h = annotation["bbox"]
        own = coco.toBbox([drawn])[0]
        off = np.abs(np.array([x, y, x + w, y + h]) - [own[0], own[1], own[0] + own[2], own[1] + own[3]]).max()
        worst_box = max(worst_box, off / max(FREE_PIXELS, BOX_SHARE * max(height, width)))
        allowed = FREE_PIXELS + OUTLINE_PIXELS * 2 * (own[2] + own[3])
        worst_area = max(worst_area, abs(annotation["area"] - coco.area([drawn])[0]) / allowed)
    assert 0.5 < worst_box < 0.8
    assert worst_area < 0.5


def test_near_duplicates_are_told_from_other_photographs(shared_data: Path) -> None:
    files = sorted((shared_data / "coco_mini").rglob("*.jpg"))
    original, smaller = [], []
    for file in files:
        data = file.read_bytes()
        image = Image.open(io.BytesIO(data))
        stream = io.BytesIO()
        image.convert("RGB").resize((image.width // 2, image.height // 2)).save(stream, "JPEG", quality=60)
        original.append(read_image(data, None, Path()).hash)
        smaller.append(read_image(stream.getvalue(), None, Path()).hash)
    first, second = np.array(original, dtype=np.uint64), np.array(smaller, dtype=np.uint64)
    own = distances(first, second)
    assert (own <= NEAR_BITS).mean() > 0.97
    others = distances(first[:, None], first[None])[np.triu_indices(len(files), 1)]
    assert others.min() > 2 * NEAR_BITS


def test_a_planted_copy_is_found(shared_data: Path, tmp_path: Path) -> None:
    """The image of a training sample, halved and saved again under another id, in valid."""
    train = list(_samples(shared_data, "train"))[:20]
    valid = list(_samples(shared_data, "val"))[:5]
    image = Image.open(io.BytesIO(train[7].image.bytes or b"")).convert("RGB")
    stream = io.BytesIO()
    image.resize((image.width // 2, image.height // 2)).save(stream, "JPEG", quality=60)
    size = {"width": image.width // 2, "height": image.height // 2, "objects": ()}
    valid[2] = valid[2].model_copy(update={"image": ImageReference(bytes=stream.getvalue()), **size})
    write_dataset(tmp_path / "d", {"train": train, "valid": valid})
    with validate(tmp_path / "d", select=["MM60"]) as report:
        (finding,) = report.findings()
    assert finding.code.id == "MM607"
    assert finding.place.sample == valid[2].sample_id
    assert train[7].sample_id in finding.message
