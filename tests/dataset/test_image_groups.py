"""Which samples show one image. File names are COCO's and the refer files' own; grouping is checked by brute
force: the connected components of "shares a key"."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmud.dataset.image_groups import ImageGroups, image_key, image_number, keys_of_row
from mmud.dataset.leakage.audit import audit
from mmud.dataset.leakage.codes import SOURCE_IMAGE_LEAKS
from mmud.dataset.source_facts import FACTS
from mmud.dataset.sources.official import OfficialSource
from mmud.dataset.split.run import SplitRequest, plan_split
from mmud.dataset.writer import write_dataset
from mmud.records import Sample
from tests.dataset.sources.drained import drained
from tests.dataset.sources.test_official import record, release


@pytest.mark.parametrize(
    "text",
    [
        "573125",
        "000000573125",
        "COCO_train2014_000000573125.jpg",
        "COCO_train2014_000000573125_3.jpg",
        "train2014/COCO_train2014_000000573125.jpg",
        r"D:\images\000000573125.jpg",
        " 573125 ",
    ],
)
def test_one_number_for_a_coco_image(text: str) -> None:
    for source in ("refcoco", "RefCOCO+", "refcocog", "coco"):
        assert image_key(source, text) == "coco:573125"


def test_file_names_of_coco_agree_with_its_ids(shared_data: Path) -> None:
    for file in ("coco_mini/annotations/instances_train2017.json", "mini_refcoco/instances.json"):
        for image in json.loads((shared_data / file).read_bytes())["images"]:
            assert image_number("coco", image["file_name"]) == str(image["id"])


def test_other_families_stay_apart() -> None:
    assert image_key("refclef", "573125") == "saiapr:573125"
    assert image_key("refclef", "0573125") == "saiapr:573125"
    assert image_key("somewhere", "a/b.jpg") == "somewhere:a/b.jpg"
    assert image_key("refcoco", "") is None
    # Two synthetic worlds count from zero alike: their numbers name no image.
    assert image_key("scenes", "12") is None


def test_bytes_and_paths(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"picture")
    row = {"source": "coco", "source_image_id": "7", "image": {"bytes": b"picture", "path": "a.jpg"}}
    linked = {**row, "image": {"bytes": None, "path": str(tmp_path / "a.jpg")}}
    gone = {**row, "image": {"bytes": None, "path": "gone.jpg"}}
    assert list(keys_of_row(row)) == list(keys_of_row(linked))
    assert list(keys_of_row(gone)) == ["coco:7", "path:gone.jpg"]
    assert list(keys_of_row({**row, "image": None}, by_number=False)) == []


@given(st.lists(st.lists(st.integers(0, 12), max_size=3), max_size=30))
def test_groups_are_connected_components(rows: list[list[int]]) -> None:
    groups = ImageGroups()
    for row in rows:
        groups.add(row)
    labels = list(range(len(rows)))
    for _ in rows:
        for i, first in enumerate(rows):
            for j, second in enumerate(rows):
                if set(first) & set(second):
                    labels[i] = labels[j] = min(labels[i], labels[j])
    assert [groups.root(position) for position in range(len(rows))] == labels
    assert sorted(position for group in groups.groups().values() for position in group) == list(range(len(rows)))


def test_the_facts_are_whole() -> None:
    for name, facts in FACTS.items():
        assert facts.name == name
        assert facts.title
        assert facts.label_terms
        assert facts.image_terms
        for reference in facts.references:
            text = reference.bibtex()
            assert text.count("{") == text.count("}")
            assert reference.kind in ("article", "inproceedings")


def test_an_image_of_the_release_that_kept_its_name_is_the_one_of_coco(tmp_path: Path) -> None:
    """The source's group, leakage and splitting see one image; a number of the release's own is no number of COCO's."""
    names = ("COCO_train2014_000000573125.jpg", "573125.jpg")
    path = release(tmp_path / "release", [record(image_path=name) for name in names])
    found = drained(OfficialSource.from_options({"path": str(path), "images": "none"}))
    assert [item.group for item in found.items] == ["coco:573125", "mmud:573125"]
    assert [image_key(one.source, one.source_image_id) for one in found.samples] == ["coco:573125", "mmud:573125"]

    of_coco = Sample(sample_id="of-coco", width=40, height=30, source="refcoco", source_image_id="573125", caption="a")
    dataset = write_dataset(tmp_path / "both", {"train": iter(found.samples), "test": iter([of_coco])}, images="link")
    (match,) = audit([dataset]).matches[SOURCE_IMAGE_LEAKS]
    assert dataset.sample("train", match.leaked).sample_id == "COCO_train2014_000000573125"
    plan = plan_split(dataset, SplitRequest(shares={"train": 0.5, "test": 0.5}))
    assert plan.images == 2
    assert plan.together == 2
