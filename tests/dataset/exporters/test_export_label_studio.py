"""Label Studio tasks: the documented schema, the interface that shows them, and masks decoded by its format's definition."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from exporter_samples import HOSTILE_IDS
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmud.annotations.masks import Mask
from mmud.dataset.exporters.brush import brush_rle
from mmud.dataset.exporters.label_studio import label_of
from mmud.dataset.exporters.runner import Request, run_export
from mmud.dataset.store import Dataset
from mmud.records import Sample


def unpack(data: list[int]) -> np.ndarray:
    """Decode ``@thi.ng/rle-pack``, bit by bit, as that package documents it."""
    bits = "".join(f"{byte:08b}" for byte in data)
    position = 0

    def read(count: int) -> int:
        nonlocal position
        position += count
        return int(bits[position - count : position], 2)

    total, value_bits = read(32), read(5) + 1
    widths = [read(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < total:
        repeated = read(1)
        length = read(widths[read(2)]) + 1
        values += [read(value_bits)] * length if repeated else [read(value_bits) for _ in range(length)]
    return np.array(values, dtype=np.uint8)


@settings(max_examples=200, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 20), st.integers(1, 20))))
def test_a_brush_is_the_mask(array: np.ndarray) -> None:
    pixels = unpack(brush_rle(Mask.from_array(array))).reshape(*array.shape, 4)
    assert (pixels == 255 * array[:, :, None]).all()


def test_long_runs_are_split() -> None:
    array = np.zeros((300, 500), dtype=bool)
    array[100:250, :] = True
    pixels = unpack(brush_rle(Mask.from_array(array))).reshape(300, 500, 4)
    assert ((pixels[:, :, 3] == 255) == array).all()


def test_the_sdk_decodes_a_brush() -> None:
    brush = pytest.importorskip("label_studio_sdk.converter.brush", reason="label-studio-sdk is not installed")
    array = np.add.outer(np.arange(33), np.arange(47)) % 9 < 4
    pixels = brush.decode_rle(brush_rle(Mask.from_array(array))).reshape(33, 47, 4)
    assert ((pixels[:, :, 3] == 255) == array).all()


def test_the_sdk_accepts_the_tasks(mixed: Dataset, tmp_path: Path) -> None:
    interface = pytest.importorskip("label_studio_sdk.label_interface", reason="label-studio-sdk is not installed")
    run_export(mixed, "label-studio", tmp_path / "out")
    view = interface.LabelInterface((tmp_path / "out" / "label_config.xml").read_text("utf-8"))
    view.validate()
    for split in mixed.splits:
        for task in json.loads((tmp_path / "out" / f"tasks_{split}.json").read_text("utf-8")):
            # The SDK's validate_task calls its own validate_annotation without the annotation; this is the check it means.
            for labelled in task["annotations"]:
                assert view.validate_prediction(labelled, return_errors=True) == []
            assert view.validate_task({"data": task["data"]})


def _results(task: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [row for row in task["annotations"][0]["result"] if row["type"] == kind]


def test_tasks_follow_the_interface(mixed: Dataset, tmp_path: Path) -> None:
    report = run_export(mixed, "label-studio", tmp_path / "my out")
    config = ET.fromstring((tmp_path / "my out" / "label_config.xml").read_text("utf-8"))
    controls = {node.get("name"): node for node in config.iter() if node.get("toName") == "image"}
    assert config.find("Image").get("value") == "$image"  # type: ignore[union-attr]
    labels = {name: {label.get("value") for label in node.iter("Label")} for name, node in controls.items()}
    kinds = {"brushlabels": "BrushLabels", "polygonlabels": "PolygonLabels", "rectanglelabels": "RectangleLabels"}
    kinds["textarea"] = "TextArea"
    for split in mixed.splits:
        tasks = json.loads((tmp_path / "my out" / f"tasks_{split}.json").read_text("utf-8"))
        samples = list(mixed.samples(split))
        assert [task["data"]["sample_id"] for task in tasks] == [sample.sample_id for sample in samples]
        for task, sample in zip(tasks, samples, strict=True):
            # "my out" is quoted in the address, and names the file under the document root.
            folder, _, name = task["data"]["image"].partition("?d=")[2].rpartition("/")
            assert unquote(folder) == "my out/images"
            assert (tmp_path / "my out" / "images" / unquote(name)).is_file()
            for row in task["annotations"][0]["result"]:
                assert controls[row["from_name"]].tag == kinds[row["type"]]
                assert row["to_name"] == "image"
                if row["type"] != "textarea":
                    assert set(row["value"][row["type"]]) <= labels[row["from_name"]]
                    assert (row["original_width"], row["original_height"]) == (sample.width, sample.height)
            _check_regions(task, sample)
            # The whole row travels along: an import loses nothing that was not edited.
            assert Sample.from_row(task["data"]["mmud"]) == sample
    lost = {loss["what"]: loss["count"] for loss in report.losses}
    assert lost == {"polygons that differ from their mask": 2}


def _check_regions(task: dict[str, Any], sample: Sample) -> None:
    regions: dict[int, list[dict[str, Any]]] = {}
    for row in task["annotations"][0]["result"]:
        if row["type"] != "textarea":
            regions.setdefault(int(row["id"].partition(".")[0][1:]), []).append(row)
    assert sorted(regions) == list(range(1, len(sample.objects) + 1))
    phrases = {row["id"]: row["value"]["text"] for row in _results(task, "textarea") if row["from_name"] == "phrases"}
    for number, item in enumerate(sample.objects, 1):
        own = regions[number]
        assert len({row["id"] for row in own}) == len(own)
        assert phrases.get(own[0]["id"], []) == list(item.phrases)
        kind = own[0]["type"]
        assert own[0]["value"][kind] == [label_of(item.category)]
        if kind == "rectanglelabels":
            assert item.segmentation is None
            value = own[0]["value"]
            scale = (sample.width, sample.height) * 2
            box = [value[key] * side / 100 for key, side in zip(("x", "y", "width", "height"), scale, strict=True)]
            assert box == pytest.approx(list(item.bbox))
            continue
        if kind == "brushlabels":
            pixels = unpack(own[0]["value"]["rle"]).reshape(sample.height, sample.width, 4)[:, :, 3]
            drawn = Mask.from_array(pixels)
        else:
            scale = np.array([sample.width, sample.height]) / 100
            drawn = Mask.from_polygons(
                [(np.array(row["value"]["points"]) * scale).ravel().tolist() for row in own],
                sample.height,
                sample.width,
            )
        assert drawn == Mask.of(item.segmentation)  # type: ignore[arg-type]
    texts = {
        row["from_name"]: row["value"]["text"] for row in _results(task, "textarea") if row["id"] == row["from_name"]
    }
    wanted = {name: [getattr(sample, name)] for name in ("caption", "question", "answer") if getattr(sample, name)}
    assert texts == wanted


def test_predictions_and_prefix(mixed: Dataset, tmp_path: Path) -> None:
    options = {"as": "predictions", "image_prefix": "s3://bucket/"}
    run_export(mixed, "label-studio", tmp_path / "out", Request(options=options, splits=("train",)))
    tasks = json.loads((tmp_path / "out" / "tasks_train.json").read_text("utf-8"))
    assert len(tasks) == len(HOSTILE_IDS)
    assert {task["data"]["image"][:12] for task in tasks} == {"s3://bucket/"}
    assert all(task["predictions"][0]["model_version"] == "data" for task in tasks)
    assert all("annotations" not in task for task in tasks)


def test_labels_are_one_line_of_xml() -> None:
    assert label_of("a\x00b\n c\x1b") == "ab c"
    assert label_of("\x01\n") == "object"
