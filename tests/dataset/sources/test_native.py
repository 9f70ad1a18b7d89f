"""A dataset as a source: what was written comes back; datasets merge and are split anew."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from mmud.dataset.build import build
from mmud.dataset.recipe import Recipe
from mmud.dataset.sources.native import NativeSource
from mmud.dataset.store import Dataset
from mmud.dataset.writer import write_dataset
from mmud.errors import MmudError
from mmud.records import ImageReference, MaskedObject, Sample
from tests.dataset.sources.drained import drained


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMUD_CACHE", str(tmp_path / "cache"))


def sample(number: int, **changes: Any) -> Sample:
    return Sample(
        **{
            "sample_id": f"s{number}",
            "image": ImageReference(bytes=b"image %d" % number, path=f"{number}.jpg"),
            "width": 40,
            "height": 30,
            "source": "mine",
            "source_image_id": str(number),
            "caption": f"caption {number}",
            "objects": (MaskedObject(phrases=("a thing",), bbox=(1.0, 2.0, 3.0, 4.0), area=12.0),),
            "provenance": {"made": number},
            **changes,
        }
    )


def dataset(path: Path, numbers: range, images: Any = "embed", **changes: Any) -> list[Sample]:
    samples = [sample(number, **changes) for number in numbers]
    half = len(samples) // 2
    write_dataset(path, {"train": samples[:half], "test": samples[half:]}, images=images, shard_rows=7)
    return samples


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    samples = dataset(tmp_path / "one", range(40))
    found = drained(NativeSource.from_options({"path": str(tmp_path / "one")}))
    assert found.samples == samples
    assert [item.split for item in found.items] == ["train"] * 20 + ["test"] * 20
    assert found.items[3].group == "mine:3"
    only = drained(NativeSource.from_options({"path": str(tmp_path / "one"), "splits": ["test"]}))
    assert only.samples == samples[20:]


def test_items_may_be_asked_for_in_any_order_and_by_a_copy(tmp_path: Path) -> None:
    samples = dataset(tmp_path / "one", range(30))
    source = NativeSource.from_options({"path": str(tmp_path / "one")})
    items = list(source.items())
    copy = pickle.loads(pickle.dumps(source))
    for index in (29, 0, 13, 14, 2):
        assert source.convert(items[index]).sample == copy.convert(items[index]).sample == samples[index]


def test_groups_are_those_of_the_first_build(tmp_path: Path) -> None:
    dataset(tmp_path / "coco", range(2), source="refcoco")
    dataset(tmp_path / "said", range(2), provenance={"group": "coco:9"})
    dataset(tmp_path / "alone", range(2), source="scenes")
    dataset(tmp_path / "nameless", range(2), source="mine", source_image_id="")

    def groups(name: str) -> list[str]:
        return [item.group for item in NativeSource.from_options({"path": str(tmp_path / name)}).items()]

    assert groups("coco") == ["coco:0", "coco:1"]
    assert groups("said") == ["coco:9", "coco:9"]
    assert groups("alone") == ["scenes:s0", "scenes:s1"]
    assert groups("nameless") == ["mine:s0", "mine:s1"]


def test_datasets_merge_and_split_anew(tmp_path: Path) -> None:
    first, second = dataset(tmp_path / "one", range(20)), dataset(tmp_path / "two", range(20, 50))
    both = {"type": "mmud", "path": [str(tmp_path / "one"), str(tmp_path / "two")]}
    report = build(Recipe(sources=(both,)), tmp_path / "both", workers=2)
    assert dict(report.splits) == {"train": 25, "test": 25}
    merged = Dataset(tmp_path / "both")
    assert sorted(s.sample_id for s in merged.samples()) == sorted(s.sample_id for s in first + second)
    assert {s.sample_id: s for s in merged.samples(images=True)} == {s.sample_id: s for s in first + second}
    shares = {"train": 0.6, "valid": 0.2, "test": 0.2}
    report = build(Recipe(sources=(both,), split=shares), tmp_path / "anew")
    assert dict(report.splits) == {"train": 30, "valid": 10, "test": 10}
    with pytest.raises(MmudError, match="MM751"):
        build(Recipe(sources=({"type": "mmud", "path": [str(tmp_path / "one")] * 2},)), tmp_path / "twice")


def test_embedded_images_cannot_be_linked(tmp_path: Path) -> None:
    dataset(tmp_path / "one", range(4))
    recipe = Recipe(sources=({"type": "mmud", "path": str(tmp_path / "one")},), images="link")
    with pytest.raises(MmudError, match="no image file to link to"):
        build(recipe, tmp_path / "linked")


def test_linked_images_stay_linked_or_are_embedded(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"file")
    dataset(tmp_path / "one", range(4), "link", image=ImageReference(path=str(tmp_path / "a.jpg")))
    table = {"type": "mmud", "path": str(tmp_path / "one")}
    build(Recipe(sources=(table,), images="link"), tmp_path / "linked")
    assert {s.image.path for s in Dataset(tmp_path / "linked").samples(images=True)} == {str(tmp_path / "a.jpg")}
    build(Recipe(sources=(table,)), tmp_path / "embedded")
    assert {s.image.bytes for s in Dataset(tmp_path / "embedded").samples(images=True)} == {b"file"}


def test_folders_and_options_that_cannot_be(tmp_path: Path) -> None:
    dataset(tmp_path / "one", range(4))

    def refused(**options: Any) -> str:
        with pytest.raises(MmudError) as raised:
            NativeSource.from_options(options)
        return raised.value.code.id

    assert refused() == "MM001"
    assert refused(path=str(tmp_path)) == "MM102"
    assert refused(path=str(tmp_path / "none")) == "MM002"
    assert refused(path=str(tmp_path / "one"), splits=["valid"]) == "MM108"
    assert refused(path=str(tmp_path / "one"), images="x") == "MM001"


def test_a_damaged_shard(tmp_path: Path) -> None:
    dataset(tmp_path / "one", range(4))
    source = NativeSource.from_options({"path": str(tmp_path / "one")})
    items = list(source.items())
    for shard in (tmp_path / "one" / "data").glob("*.parquet"):
        data = bytearray(shard.read_bytes())
        data[4:-2000] = bytes(len(data[4:-2000]))
        shard.write_bytes(data)
    with pytest.raises(MmudError) as raised:
        source.convert(items[0])
    assert raised.value.code.id in ("MM106", "MM101", "MM107")
