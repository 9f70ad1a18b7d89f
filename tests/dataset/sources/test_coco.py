"""COCO's layout: real annotations against pycocotools' own reading, and every way in which such files are broken."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco

from mmud.dataset.build import build
from mmud.dataset.recipe import Recipe
from mmud.dataset.sources.coco import CocoSource
from mmud.errors import MmudError
from tests.dataset.sources.drained import Drained, drained, write_json

SQUARE = [2.0, 3.0, 12.0, 3.0, 12.0, 9.0, 2.0, 9.0]


@pytest.mark.parametrize(("split", "objects", "crowds", "captions"), [("train", 739, 8, 400), ("val", 624, 5, 395)])
def test_real_coco(shared_data: Path, split: str, objects: int, crowds: int, captions: int) -> None:
    # The counts are those of the README beside the data (1,363 objects, 13 crowds, 795 captions) and of the files.
    folder = shared_data / "coco_mini"
    instances = folder / "annotations" / f"instances_{split}2017.json"
    options = {
        "instances": str(instances),
        "captions": str(folder / "annotations" / f"captions_{split}2017.json"),
        "images": str(folder / f"{split}2017"),
        "split": split,
    }
    found = drained(CocoSource.from_options(options))
    data = json.loads(instances.read_text())
    assert [sample.source_image_id for sample in found.samples] == [str(image["id"]) for image in data["images"]]
    assert {item.split for item in found.items} == {split}
    assert sum(len(sample.objects) for sample in found.samples) == objects
    assert sum(item.iscrowd for sample in found.samples for item in sample.objects) == crowds
    assert sum(len(sample.provenance["captions"]) for sample in found.samples) == captions
    # Only wrong areas of crowds, which COCO is known for.
    assert set(found.codes) == {"MM743"}
    assert not found.file_findings
    names = {category["id"]: category["name"] for category in data["categories"]}
    annotations = {annotation["id"]: annotation for annotation in data["annotations"]}
    for sample in found.samples:
        assert Path(str(sample.image.path)).is_file()
        assert sample.license.endswith(("License", "restrictions"))
        for item in sample.objects:
            annotation = annotations[item.ann_id]
            assert item.category == names[annotation["category_id"]]
            assert item.bbox == tuple(annotation["bbox"])
            assert item.area == annotation["area"]
            rle = coco.frPyObjects(annotation["segmentation"], sample.height, sample.width)
            whole = coco.merge(rle) if isinstance(rle, list) else rle
            assert item.segmentation is not None
            assert item.segmentation.counts == whole["counts"].decode()


def test_the_known_crowd(shared_data: Path) -> None:
    # README: crowd object 900100370162 decodes to 40,661 px while its `area` says 45,562.
    folder = shared_data / "mini_refcoco"
    options = {"instances": str(folder / "instances.json"), "images": str(folder / "images")}
    found = drained(CocoSource.from_options(options))
    assert sum(len(sample.objects) for sample in found.samples) == 220
    (crowd,) = [item for sample in found.samples for item in sample.objects if item.iscrowd]
    assert (crowd.ann_id, crowd.area) == (900100370162, 45562.0)
    (finding,) = [finding for finding in found.findings if "45562" in finding.message]
    assert finding.code.id == "MM743"
    assert "40661" in finding.message
    people = found.by_id()["coco-573125"]
    # README: this image and three others list only persons, bicycles, cars and motorcycles.
    assert {item.category for item in people.objects} <= {"person", "bicycle", "car", "motorcycle"}


def test_a_build_of_real_images(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMUD_CACHE", str(tmp_path / "cache"))
    folder = shared_data / "coco_mini"
    tables = tuple(
        {
            "type": "coco",
            "instances": str(folder / "annotations" / f"instances_{split}2017.json"),
            "images": str(folder / f"{split}2017"),
            "split": name,
        }
        for split, name in (("train", "train"), ("val", "valid"))
    )
    report = build(Recipe(sources=tables), tmp_path / "out", workers=2)
    assert dict(report.splits) == {"train": 80, "valid": 79}
    assert report.dataset is not None
    sample = report.dataset.sample("train", 0, images=True)
    assert sample.image_bytes() == (folder / "train2017" / str(sample.image.path)).read_bytes()


def table(**changes: Any) -> dict[str, Any]:
    """An instances file without fault, changed."""
    found: dict[str, Any] = {
        "info": {},
        "licenses": [{"id": 4, "name": "Attribution License", "url": "x"}],
        "images": [
            {"id": 1, "file_name": "1.jpg", "width": 40, "height": 30, "license": 4},
            {"id": 2, "file_name": "2.jpg", "width": 40, "height": 30},
        ],
        "annotations": [annotation(10, 1), annotation(11, 2), annotation(12, 1)],
        "categories": [{"id": 1, "name": "dog"}],
    }
    found.update(changes)
    return found


def annotation(number: Any, image: Any, **changes: Any) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "segmentation": [SQUARE],
        "bbox": [2.0, 3.0, 10.0, 6.0],
        "area": 60.0,
        "iscrowd": 0,
        **changes,
    }


def read(folder: Path, value: Any, **options: Any) -> Drained:
    path = write_json(folder / "instances.json", value)
    return drained(CocoSource.from_options({"instances": str(path), "images": "none", **options}))


def test_a_file_without_fault(tmp_path: Path) -> None:
    found = read(tmp_path, table())
    assert not found.findings
    assert not found.file_findings
    assert [(item.key, item.group, item.split) for item in found.items] == [
        ("coco-1", "coco:1", None),
        ("coco-2", "coco:2", None),
    ]
    assert [item.ann_id for item in found.samples[0].objects] == [10, 12]
    assert [sample.license for sample in found.samples] == ["Attribution License", ""]


FILES: list[tuple[str, dict[str, Any], dict[str, int], list[str]]] = [
    ("extra key", {"extra": [1]}, {"MM716": 1}, ["coco-1", "coco-2"]),
    ("image twice", {"images": [*table()["images"], {"id": 1, "file_name": "x"}]}, {"MM762": 1}, ["coco-1", "coco-2"]),
    ("annotation twice", {"annotations": [annotation(10, 1), annotation(10, 1), annotation(11, 2)]}, {"MM762": 1}, ["coco-1", "coco-2"]),
    ("category twice", {"categories": [{"id": 1, "name": "dog"}, {"id": 1, "name": "cat"}]}, {"MM762": 1}, ["coco-1", "coco-2"]),
    ("unknown image", {"annotations": [annotation(10, 1), annotation(11, 2), annotation(12, 99)]}, {"MM761": 1}, ["coco-1", "coco-2"]),
    ("no annotations", {"annotations": [annotation(10, 1)]}, {"MM763": 1}, ["coco-1", "coco-2"]),
    ("image no object", {"images": [*table()["images"], 5]}, {"MM717": 1}, ["coco-1", "coco-2"]),
    ("image id no number", {"images": [*table()["images"], {"id": "x", "file_name": "3.jpg"}]}, {"MM717": 1}, ["coco-1", "coco-2"]),
    ("annotation no object", {"annotations": [*table()["annotations"], "x"]}, {"MM717": 1}, ["coco-1", "coco-2"]),
    ("annotation without image", {"annotations": [*table()["annotations"], annotation(13, None)]}, {"MM717": 1}, ["coco-1", "coco-2"]),
    ("annotation without id", {"annotations": [*table()["annotations"], annotation(None, 1)]}, {"MM717": 1}, ["coco-1", "coco-2"]),
    ("category without name", {"categories": [{"id": 1, "name": "dog"}, {"id": 2}]}, {"MM717": 1}, ["coco-1", "coco-2"]),
    ("size missing", {"images": [{"id": 1, "file_name": "1.jpg"}, table()["images"][1]]}, {"MM717": 1, "MM745": 1}, ["coco-2"]),
    ("size negative", {"images": [{"id": 1, "file_name": "1.jpg", "width": -4, "height": 3}, table()["images"][1]]}, {"MM717": 1, "MM745": 1}, ["coco-2"]),
    ("ids as text", {"annotations": [annotation("10", "1"), annotation("11", "2")]}, {}, ["coco-1", "coco-2"]),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "expected", "keys"), [row[1:] for row in FILES], ids=[row[0] for row in FILES])
def test_faults_of_a_file(tmp_path: Path, changes: dict[str, Any], expected: dict[str, int], keys: list[str]) -> None:
    found = read(tmp_path, table(**changes))
    assert found.file_codes == expected
    assert [item.key for item in found.items] == keys
    for finding in found.file_findings:
        assert finding.place.file == str(tmp_path / "instances.json")


OBJECTS: list[tuple[str, dict[str, Any], set[str]]] = [
    ("no mask", {"segmentation": None}, {"MM744"}),
    ("empty mask", {"segmentation": []}, {"MM744"}),
    ("two points", {"segmentation": [[1.0, 2.0, 3.0, 4.0]]}, {"MM740"}),
    ("odd length", {"segmentation": [[*SQUARE, 1.0]]}, {"MM740"}),
    ("one bad part", {"segmentation": [SQUARE, [1.0, 2.0]]}, {"MM740"}),
    ("NaN", {"segmentation": [[math.nan, *SQUARE[1:]]]}, {"MM713", "MM740"}),
    ("run lengths beyond the image", {"segmentation": {"size": [30, 40], "counts": [0, 5000]}}, {"MM740"}),
    ("run lengths of another size", {"segmentation": {"size": [40, 30], "counts": [1200]}}, {"MM740"}),
    ("box missing", {"bbox": None}, set()),
    ("box negative", {"bbox": [2.0, 3.0, -10.0, 6.0]}, {"MM742"}),
    ("box of text", {"bbox": "2 3 10 6"}, {"MM742"}),
    ("box infinite", {"bbox": [2.0, 3.0, math.inf, 6.0]}, {"MM713", "MM742"}),
    ("box elsewhere", {"bbox": [20.0, 3.0, 10.0, 6.0]}, {"MM741"}),
    ("area elsewhere", {"area": 600.0}, {"MM743"}),
    ("area negative", {"area": -1}, {"MM717"}),
    ("area of text", {"area": "60"}, {"MM717"}),
    ("category unknown", {"category_id": 77}, {"MM761"}),
    ("category no number", {"category_id": "dog"}, set()),
    ("crowd", {"iscrowd": 1, "segmentation": {"size": [30, 40], "counts": [63, 6, 1131]}, "area": 6, "bbox": [2, 3, 1, 6]}, set()),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "expected"), [row[1:] for row in OBJECTS], ids=[row[0] for row in OBJECTS])
def test_faults_of_an_object(tmp_path: Path, changes: dict[str, Any], expected: set[str]) -> None:
    # The file is indented, so that places have lines.
    value = table(annotations=[annotation(10, 1, **changes), annotation(11, 2)])
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(value, indent=1))
    found = drained(CocoSource.from_options({"instances": str(path), "images": "none"}))
    assert set(found.codes) == expected
    (item,) = found.samples[0].objects
    assert item.iscrowd == bool(changes.get("iscrowd"))
    line = 1 + path.read_text()[: path.read_text().index('"id": 10')].count("\n") - 1
    for finding in found.findings:
        assert finding.place.sample == "coco-1"
        assert finding.place.line is not None
        assert finding.place.line >= line


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "MM710"),
        (b"[]", "MM714"),
        (b"{}", "MM714"),
        (b'"text"', "MM714"),
        (b'{"images": 5, "annotations": 6}', None),
        (b'{"images": [], "annotations": []}', None),
        (b'{"images": [{"id": 1}', "MM710"),
        (b"PK\x03\x04", "MM710"),
    ],
)
def test_files_of_another_kind(tmp_path: Path, data: bytes, code: str | None) -> None:
    path = tmp_path / "instances.json"
    path.write_bytes(data)
    source = CocoSource.from_options({"instances": str(path), "images": "none"})
    if code is None:
        assert not list(source.items())
        return
    with pytest.raises(MmudError) as raised:
        list(source.items())
    assert raised.value.code.id == code
    assert raised.value.where.file == str(path)


def test_captions(tmp_path: Path) -> None:
    captions = {
        "info": {},
        "categories": [{"id": 1}],
        "images": [],
        "annotations": [
            {"id": 1, "image_id": 1, "caption": "A dog. "},
            {"id": 2, "image_id": 1, "caption": "A small brown dog on grass.\n"},
            {"id": 2, "image_id": 2, "caption": "Caf\u00e9 \ud83d"},
            {"id": 4, "image_id": 99, "caption": "Nobody's."},
            {"id": 5, "image_id": 1, "caption": None},
            7,
        ],
    }
    path = write_json(tmp_path / "captions.json", captions)
    found = read(tmp_path, table(), captions=str(path))
    # One public COCO subset has categories in its caption file.
    assert found.file_codes == {"MM716": 1, "MM762": 1, "MM761": 1, "MM717": 2}
    first, second = found.samples
    assert first.caption == "A small brown dog on grass."
    assert first.provenance["captions"] == ["A dog. ", "A small brown dog on grass.\n"]
    assert second.caption == "Caf\u00e9 \ufffd"
    assert read(tmp_path, table(), captions=str(path), caption="first").samples[0].caption == "A dog."
    joined = read(tmp_path, table(), captions=str(path), caption="joined").samples[0].caption
    assert joined == "A dog. A small brown dog on grass."
    path.write_text("[]")
    with pytest.raises(MmudError, match="MM714"):
        read(tmp_path, table(), captions=str(path))


def test_latin_1_and_marks(tmp_path: Path) -> None:
    value = table(categories=[{"id": 1, "name": "chien \u00e9gar\u00e9"}])
    path = tmp_path / "instances.json"
    path.write_bytes(json.dumps(value, ensure_ascii=False).encode("latin-1"))
    found = drained(CocoSource.from_options({"instances": str(path), "images": "none"}))
    assert found.samples[0].objects[0].category == "chien \u00e9gar\u00e9"
    assert found.file_codes == {"MM711": 1}


def test_a_size_comes_from_the_image_where_the_file_has_none(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30)).save(tmp_path / "1.jpg")
    (tmp_path / "2.jpg").write_text("not an image")
    images = [{"id": 1, "file_name": "1.jpg"}, {"id": 2, "file_name": "2.jpg"}]
    found = read(tmp_path, table(images=images), images=str(tmp_path))
    assert [(sample.width, sample.height) for sample in found.samples] == [(40, 30)]
    assert found.file_codes["MM745"] == 1


def test_a_set_of_another_name(tmp_path: Path) -> None:
    found = read(tmp_path, table(), name="mine", empty="skip")
    assert [(item.key, item.group) for item in found.items] == [("mine-1", "mine:1"), ("mine-2", "mine:2")]
    assert found.samples[0].source == "mine"
    assert [item.key for item in read(tmp_path, table(annotations=[annotation(1, 2)]), empty="skip").items] == [
        "coco-2"
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"split": "a/b"},
        {"split": ""},
        {"name": "a b"},
        {"caption": "best"},
        {"empty": "no"},
        {"instances": "none.json"},
    ],
)
def test_options_that_cannot_be(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(MmudError) as raised:
        read(tmp_path, table(), **options)
    assert raised.value.code.id in ("MM001", "MM002")


def test_a_file_that_changes_under_the_reader(tmp_path: Path) -> None:
    path = write_json(tmp_path / "instances.json", table())
    source = CocoSource.from_options({"instances": str(path), "images": "none"})
    (first, _) = source.items()
    path.write_text(" " * 2000)
    with pytest.raises(MmudError, match="MM714"):
        source.convert(first)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=8,
)
BROKEN_ANNOTATION = st.dictionaries(st.sampled_from(list(annotation(1, 1))), ANY, max_size=4).map(
    lambda changes: {**annotation(10, 1), **changes}
)
BROKEN_IMAGE = st.dictionaries(st.sampled_from(["id", "file_name", "width", "height", "license"]), ANY, max_size=3).map(
    lambda changes: {**table()["images"][0], **changes}
)


@given(
    st.fixed_dictionaries(
        {
            "images": st.lists(BROKEN_IMAGE | ANY, max_size=3) | ANY,
            "annotations": st.lists(BROKEN_ANNOTATION | ANY, max_size=4) | ANY,
            "categories": st.lists(ANY, max_size=2) | ANY,
            "licenses": ANY,
        }
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
def test_no_file_is_fatal(tmp_path: Path, value: dict[str, Any]) -> None:
    try:
        read(tmp_path, value)
    except MmudError as error:
        assert error.code.id in ("MM714", "MM710")
