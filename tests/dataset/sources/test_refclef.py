"""RefCLEF in the ReferIt layout: all of its real regions, and SAIAPR's masks as MATLAB files, which scipy writes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco
from scipy.io import savemat

from mmud.dataset.sources.refclef import RefclefSource
from mmud.errors import MmudError
from tests.dataset.sources.drained import Drained, drained, write_json


def test_all_real_regions(shared_data: Path) -> None:
    folder = shared_data / "refclef"
    source = RefclefSource.from_options({"path": str(folder), "images": "none"})
    items = list(source.items())
    samples = [source.convert(item).sample for item in items]
    boxes = json.loads((folder / "referit_bbox.json").read_text())
    sizes = json.loads((folder / "referit_imsize.json").read_text())
    expected: dict[str, dict[str, list[str]]] = {
        split: json.loads((folder / f"referit_query_{split}.json").read_text()) for split in ("train", "val", "test")
    }
    kept: dict[str, dict[str, set[str]]] = {"train": {}, "val": {}, "test": {}}
    for item, sample in zip(items, samples, strict=True):
        image = sample.source_image_id
        assert (item.key, item.group) == (f"refclef-{image}", f"saiapr:{image}")
        assert item.split == {"train": "train", "val": "valid", "test": "test"}[sample.provenance["split"]]
        assert [sample.width, sample.height] == sizes[f"{image}.jpg"]
        for obj, region in zip(sample.objects, sample.provenance["regions"], strict=True):
            key = f"{image}_{region}"
            kept[sample.provenance["split"]][key] = set(obj.phrases)
            left, top, right, bottom = boxes[key]
            # Both corners lie inside the region.
            assert obj.bbox == (left, top, right - left + 1, bottom - top + 1)
            assert obj.bbox[0] + obj.bbox[2] <= sample.width
            assert obj.bbox[1] + obj.bbox[3] <= sample.height
    assert kept == {
        split: {key: {text.strip() for text in texts} for key, texts in table.items()}
        for split, table in expected.items()
    }
    # 365 regions of the file have no expression, 11 images none at all; no masks are there.
    counted = [finding for finding in source.findings() if finding.code.id == "MM747"]
    assert [finding.message for finding in counted] == ["365 regions have a box and no expression; they are left out"]
    assert sum(finding.code.id == "MM763" for finding in source.findings()) == 11
    assert sum(finding.code.id == "MM744" for finding in source.findings()) == 1


def test_the_two_real_images_are_found(shared_data: Path) -> None:
    source = RefclefSource.from_options({"path": str(shared_data / "refclef")})
    found = {item.key: item for item in source.items()}
    for number in (38100, 40429):
        converted = source.convert(found[f"refclef-{number}"])
        assert Path(str(converted.sample.image.path)).is_file()
        assert not converted.findings


def layout(folder: Path, **changes: Any) -> Path:
    tables: dict[str, Any] = {
        "bbox": {"1_1": [2, 3, 11, 8], "1_2": [0, 0, 39, 29], "2_1": [5, 5, 9, 9]},
        "imsize": {"1.jpg": [40, 30], "2.jpg": [40, 30]},
        "query_train": {"1_2": ["sky"], "1_1": ["dog ", "dog", "left dog"]},
        "query_val": {"2_1": ["cat"]},
        "query_test": {},
        **changes,
    }
    for name, table in tables.items():
        if table is not None:
            write_json(folder / f"referit_{name}.json", table)
    (folder / "referit_train_imlist.txt").write_text("1\n")
    (folder / "referit_val_imlist.txt").write_text("2\n")
    return folder


def read(folder: Path, **options: Any) -> Drained:
    return drained(RefclefSource.from_options({"path": str(folder), "images": "none", **options}))


def test_regions_in_order_and_phrases_once(tmp_path: Path) -> None:
    found = read(layout(tmp_path))
    first, second = found.samples
    assert [obj.phrases for obj in first.objects] == [("dog", "left dog"), ("sky",)]
    assert first.objects[0].bbox == (2.0, 3.0, 10.0, 6.0)
    assert first.objects[0].area == 60.0
    assert [item.split for item in found.items] == ["train", "valid"]
    assert second.provenance["regions"] == [1]


def region(polygon: list[float], height: int = 30, width: int = 40) -> np.ndarray:
    return coco.decode(coco.frPyObjects([polygon], height, width))[:, :, 0]


def test_masks_of_matlab_files(tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    inside = region([2.0, 3.0, 12.0, 3.0, 12.0, 9.0, 2.0, 9.0])
    # util/io.py of the layout's publisher: the region is where segimg_t is 0.
    savemat(masks / "1_1.mat", {"segimg_t": np.where(inside, 0, 255).astype(np.uint8)}, do_compression=True)
    savemat(masks / "1_2.mat", {"other": inside})
    savemat(masks / "2_1.mat", {"segimg_t": np.zeros((5, 6), np.uint8)})
    found = read(layout(tmp_path), masks=str(masks))
    first = found.samples[0].objects[0]
    assert first.segmentation is not None
    assert first.segmentation.counts == coco.encode(np.asfortranarray(inside))["counts"].decode()
    assert first.area == inside.sum()
    assert found.codes == {"MM740": 2}
    (masks / "1_2.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(300))
    (masks / "2_1.mat").unlink()
    assert read(layout(tmp_path), masks=str(masks)).codes == {"MM740": 1, "MM744": 1}
    (masks / "1_2.mat").write_bytes(bytes(1 << 19))
    assert read(layout(tmp_path), masks=str(masks)).codes == {"MM740": 1, "MM744": 1}


@pytest.mark.parametrize(
    ("changes", "file_codes", "codes"),
    [
        ({"bbox": {"1_1": [2, 3, 11, 8], "2_1": [5, 5, 9, 9]}}, {}, {"MM742": 1}),
        ({"bbox": {"1_1": [2, 3, 1, 8], "1_2": "x", "2_1": [5, 5, 9, 9]}}, {}, {"MM742": 2}),
        ({"imsize": {"2.jpg": [40, 30]}}, {"MM745": 1}, {}),
        ({"imsize": {"1.jpg": "x", "2.jpg": [40, -30]}}, {"MM745": 2}, {}),
        ({"imsize": None}, {"MM745": 2}, {}),
        ({"query_val": None}, {"MM761": 1, "MM747": 1}, {}),
        ({"query_val": {"2_1": ["cat"], "x": ["y"], "3_1": [], "4_1": [5]}}, {"MM747": 3}, {}),
        ({"query_val": {"2_1": ["cat"], "9_1": ["dog"]}}, {"MM761": 1, "MM745": 1}, {}),
        ({"query_train": {}}, {"MM763": 1, "MM747": 1}, {}),
    ],
    ids=str,
)
def test_faults(tmp_path: Path, changes: dict[str, Any], file_codes: dict[str, int], codes: dict[str, int]) -> None:
    found = read(layout(tmp_path, **changes))
    assert found.file_codes == {"MM744": 1, **file_codes}
    assert found.codes == codes


def test_folders_and_options_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(MmudError, match="MM760"):
        read(tmp_path)
    layout(tmp_path)
    with pytest.raises(MmudError, match="MM001"):
        read(tmp_path, splits=["valid"])
    assert [item.split for item in read(tmp_path, splits=["val"]).items] == ["valid"]
    (tmp_path / "referit_bbox.json").write_text("[]")
    with pytest.raises(MmudError, match="MM714"):
        read(tmp_path)
    (tmp_path / "referit_bbox.json").write_text("[1, ")
    with pytest.raises(MmudError, match="MM710"):
        read(tmp_path)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["1_1", "2_1", "x"]), inner, max_size=2)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["bbox", "imsize", "query_train", "query_val", "query_test"]), ANY, max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
def test_no_table_is_fatal(tmp_path: Path, changes: dict[str, Any]) -> None:
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    try:
        read(layout(tmp_path, **changes))
    except MmudError as error:
        assert error.code.id in ("MM714", "MM760")
