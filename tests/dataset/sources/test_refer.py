"""The REFER layout: real referring expressions, compared with their files as they stand, and every way to break them."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco

from mmud.dataset.build import build
from mmud.dataset.recipe import Recipe
from mmud.dataset.sources.description import names_of
from mmud.dataset.sources.refer import ReferSource
from mmud.dataset.store import Dataset
from mmud.errors import MmudError
from tests.dataset.sources.drained import Drained, drained, write_json

SETS = (("refcoco", "unc"), ("refcoco+", "unc"), ("refcocog", "umd"))
SPLITS = {"train": "train", "val": "valid", "test": "test", "testA": "test", "testB": "test"}


def read(**options: Any) -> Drained:
    return drained(ReferSource.from_options(options))


def refs_of(folder: Path, name: str, split_by: str) -> list[dict[str, Any]]:
    return list(json.loads((folder / name / f"refs({split_by}).json").read_text()))


@pytest.mark.parametrize(("name", "split_by"), SETS)
@pytest.mark.parametrize("form", ["folder", "inner folder", "pickle", "json"])
def test_each_real_set(shared_data: Path, name: str, split_by: str, form: str) -> None:
    folder = shared_data / "mini_refcoco"
    path = {
        "folder": folder,
        "inner folder": folder / name,
        "pickle": folder / name / f"refs({split_by}).p",
        "json": folder / name / f"refs({split_by}).json",
    }[form]
    found = read(
        path=str(path),
        dataset=name,
        split_by=split_by,
        instances=str(folder / "instances.json"),
        images=str(folder / "images"),
    )
    assert not found.findings
    assert not found.file_findings
    refs = refs_of(folder, name, split_by)
    by_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for ref in refs:
        by_image[ref["image_id"]].append(ref)
    assert {sample.source_image_id for sample in found.samples} == set(map(str, by_image))
    annotations = {one["id"]: one for one in json.loads((folder / "instances.json").read_text())["annotations"]}
    for item, sample in zip(found.items, found.samples, strict=True):
        own = sorted(by_image[int(sample.source_image_id)], key=lambda ref: ref["ref_id"])
        assert item.key == f"{name}-{sample.source_image_id}"
        assert item.group == f"coco:{sample.source_image_id}"
        assert item.split == SPLITS[own[0]["split"]]
        assert sample.source == name
        assert (sample.question, sample.answer) == ("", "")
        assert Path(str(sample.image.path)).name == own[0]["file_name"]
        first = {ref["ann_id"]: ref for ref in reversed(own)}
        assert [obj.ann_id for obj in sample.objects] == list(dict.fromkeys(ref["ann_id"] for ref in own))
        for obj in sample.objects:
            annotation = annotations[obj.ann_id]
            sentences = [s["sent"] for ref in own if ref["ann_id"] == obj.ann_id for s in ref["sentences"]]
            assert list(obj.phrases) == list(dict.fromkeys(sentences))
            assert obj.ref_id == first[obj.ann_id]["ref_id"]
            assert obj.bbox == tuple(annotation["bbox"])
            rle = coco.merge(coco.frPyObjects(annotation["segmentation"], sample.height, sample.width))
            assert obj.segmentation is not None
            assert obj.segmentation.counts == rle["counts"].decode()
        kept = [(ref["ref_id"], ref["split"], ref["sent_ids"]) for ref in sample.provenance["refs"]]
        assert sorted(kept) == [(ref["ref_id"], ref["split"], ref["sent_ids"]) for ref in own]


def test_sets_joined_by_image(shared_data: Path) -> None:
    folder = shared_data / "mini_refcoco"
    names = [name for name, _ in SETS]
    options = {"path": str(folder), "dataset": names, "images": str(folder / "images")}
    found = read(**options, captions=str(folder / "captions.json"))
    # README: 29 refs with ann_id and 55 sentences in the three sets. Joined, refs about one annotation are one object.
    refs = [(name, ref) for name, split_by in SETS for ref in refs_of(folder, name, split_by)]
    assert len(refs) == 29
    assert sum(len(ref["sentences"]) for _, ref in refs) == 55
    objects = {(ref["image_id"], ref["ann_id"]) for _, ref in refs}
    assert sum(len(sample.objects) for sample in found.samples) == len(objects)
    assert len(found.samples) == len({ref["image_id"] for _, ref in refs})
    expected: dict[tuple[str, Any], set[str]] = defaultdict(set)
    for _, ref in refs:
        expected[str(ref["image_id"]), ref["ann_id"]] |= {s["sent"] for s in ref["sentences"]}
    assert {
        (sample.source_image_id, obj.ann_id): set(obj.phrases) for sample in found.samples for obj in sample.objects
    } == expected
    assert all(item.key.startswith("refer-") for item in found.items)
    # An image that RefCOCO evaluates on (testA) and RefCOCOg validates on: the strictest goes.
    assert found.file_codes == {"MM764": 1}
    assert {item.key: item.split for item in found.items}["refer-100667"] == "test"
    with_captions = [sample for sample in found.samples if sample.caption]
    captioned = {str(one["image_id"]) for one in json.loads((folder / "captions.json").read_text())["annotations"]}
    assert {sample.source_image_id for sample in with_captions} == captioned & {
        s.source_image_id for s in found.samples
    }
    assert with_captions
    for sample in with_captions:
        assert len(sample.provenance["captions"]) == 5
        assert sample.caption in {text.strip() for text in sample.provenance["captions"]}
    total = sum(len(sample.provenance["refs"]) for sample in found.samples)
    assert total == 29


def test_refs_without_annotations(shared_data: Path) -> None:
    folder = shared_data / "mini_refcoco"
    found = read(
        path=str(folder / "refs_without_ann_id.json"),
        images=str(folder / "images"),
        instances=str(folder / "instances.json"),
    )
    # README: 22 more.
    assert sum(len(sample.objects) for sample in found.samples) == 22
    assert found.codes == {"MM765": 22, "MM744": 22}
    assert all(obj.ann_id is None for sample in found.samples for obj in sample.objects)


def test_boxes_without_instances(shared_data: Path) -> None:
    folder = shared_data / "mini_refcoco" / "no_instances"
    found = read(path=str(folder / "refs_boxes.json"), images=str(folder / "images"))
    refs = json.loads((folder / "refs_boxes.json").read_text())
    assert len(found.samples) == 9
    assert set(found.codes) == {"MM744"}
    boxes = {(ref["image_id"], ref["ann_id"]): tuple(map(float, ref["bbox"])) for ref in refs}
    sizes = {ref["image_id"]: (ref["width"], ref["height"]) for ref in refs}
    for sample in found.samples:
        assert (sample.width, sample.height) == sizes[int(sample.source_image_id)]
        with Image.open(str(sample.image.path)) as image:
            assert image.size == (sample.width, sample.height)
        for obj in sample.objects:
            assert obj.segmentation is None
            assert obj.bbox == boxes[int(sample.source_image_id), obj.ann_id]


def test_the_12708_real_refs(shared_data: Path) -> None:
    path = shared_data / "refs" / "merged_refs_all_sources.json"
    refs = json.loads(path.read_text())
    source = ReferSource.from_options({"path": str(path), "images": "none"})
    with pytest.raises(MmudError, match="MM745"):
        list(source.items())
    source = ReferSource.from_options({"path": str(path), "images": "none", "sizes": "assumed"})
    items = list(source.items())
    samples = [source.convert(item).sample for item in items]
    # README: 12,708 expressions on 4,521 images, 8,056 with ann_id.
    kept = [(ref["dataset"], ref["ref_id"]) for sample in samples for ref in sample.provenance["refs"]]
    assert len(samples) == 4521
    assert len(kept) == len(set(kept)) == 12_708
    assert sorted(kept) == sorted((ref["dataset"], ref["ref_id"]) for ref in refs)
    with_ids = [ref for sample in samples for ref in sample.provenance["refs"] if "ann_id" in ref]
    assert len(with_ids) == 8056
    evaluation = {str(ref["image_id"]) for ref in refs if ref["split"].startswith("test")}
    assert {
        sample.source_image_id for item, sample in zip(items, samples, strict=True) if item.split == "test"
    } == evaluation
    for sample in samples:
        assert sample.provenance["size"]
        for obj in sample.objects:
            assert obj.bbox[0] + obj.bbox[2] <= sample.width + 1e-6
    only = ReferSource.from_options(
        {"path": str(path), "images": "none", "sizes": "boxes", "dataset": "refcocog", "splits": ["test"]}
    )
    assert {item.split for item in only.items()} == {"test"}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_build_of_real_images(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setenv("MMUD_CACHE", str(tmp_path / "cache"))
    folder = shared_data / "mini_refcoco"
    table = {
        "type": "refer",
        "path": str(folder),
        "dataset": [name for name, _ in SETS],
        "images": str(folder / "images"),
    }
    report = build(Recipe(sources=(table,), shard_rows=4), tmp_path / "out", workers=workers)
    assert dict(report.splits) == {"valid": 6, "test": 8}
    dataset = Dataset(tmp_path / "out")
    assert sum(obj.segmentation is not None for sample in dataset.samples() for obj in sample.objects) == 25


# -- made files --------------------------------------------------------------------------------------------------------------

SQUARE = [2.0, 3.0, 12.0, 3.0, 12.0, 9.0, 2.0, 9.0]


def ref(number: Any, image: Any = 1, ann: Any = 10, split: Any = "train", **changes: Any) -> dict[str, Any]:
    sentence = {
        "sent": f"thing {number}",
        "raw": f"Thing {number}.",
        "tokens": ["thing", str(number)],
        "sent_id": number,
    }
    return {
        "ref_id": number,
        "ann_id": ann,
        "image_id": image,
        "category_id": 1,
        "split": split,
        "file_name": f"COCO_train2014_{image:012d}_{ann}.jpg" if isinstance(image, int) else "x",
        "sentences": [sentence],
        "sent_ids": [number],
        **changes,
    }


def layout(folder: Path, refs: Any, name: str = "refcoco", split_by: str = "unc", suffix: str = "json") -> Path:
    inner = folder / name
    inner.mkdir(exist_ok=True)
    file = inner / f"refs({split_by}).{suffix}"
    file.write_bytes(json.dumps(refs).encode() if suffix == "json" else pickle.dumps(refs, 2))
    write_json(
        inner / "instances.json",
        {
            "images": [
                {"id": n, "file_name": f"COCO_train2014_{n:012d}.jpg", "width": 40, "height": 30} for n in (1, 2)
            ],
            "annotations": [
                {
                    "id": number,
                    "image_id": image,
                    "category_id": 1,
                    "segmentation": [SQUARE],
                    "bbox": [2, 3, 10, 6],
                    "area": 60,
                }
                for number, image in ((10, 1), (11, 1), (20, 2))
            ],
            "categories": [{"id": 1, "name": "dog"}],
        },
    )
    return folder


@pytest.mark.parametrize("suffix", ["json", "p"])
def test_a_layout_without_fault(tmp_path: Path, suffix: str) -> None:
    path = layout(tmp_path, [ref(2), ref(1, ann=11), ref(3), ref(4, image=2, ann=20, split="val")], suffix=suffix)
    found = read(path=str(path), dataset="refcoco", images="none")
    assert not found.findings
    assert not found.file_findings
    first, second = found.samples
    assert [obj.ann_id for obj in first.objects] == [11, 10], "in the order of ref ids"
    assert first.objects[1].phrases == ("thing 2", "thing 3"), "expressions about one annotation are one object's"
    assert [item.split for item in found.items] == ["train", "valid"]
    assert first.provenance["refs"][0] == {
        "dataset": "refcoco", "split_by": "unc", "ref_id": 1, "ann_id": 11, "split": "train", "sent_ids": [1],
        "raw": ["Thing 1."], "object": 1,
    }  # fmt: skip
    assert second.provenance["file_name"] == "COCO_train2014_000000000002.jpg", "without the annotation's number"


REFS: list[tuple[str, list[Any], dict[str, int], dict[str, int], int]] = [
    ("ref twice", [ref(1), ref(1)], {"MM762": 1}, {}, 1),
    ("no annotation id", [ref(1, ann=None)], {}, {"MM765": 1, "MM744": 1}, 1),
    ("unknown annotation", [ref(1, ann=99)], {"MM761": 1}, {"MM744": 1}, 1),
    ("annotation of another image", [ref(1, ann=20)], {"MM761": 2}, {"MM744": 1}, 1),
    ("unknown image", [ref(1), ref(2, image=77, ann=None)], {"MM761": 1, "MM745": 1}, {}, 1),
    ("image no number", [ref(1), ref(2, image="x")], {"MM717": 1}, {}, 1),
    ("no ref at all", [ref(1), "x", None], {"MM717": 2}, {}, 1),
    ("several splits", [ref(1), ref(2, split="val")], {"MM764": 1}, {}, 1),
    ("another split", [ref(1, split="trainval")], {"MM766": 1}, {}, 1),
    ("split with a slash", [ref(1, split="../x")], {"MM766": 1}, {}, 1),
    ("split no text", [ref(1, split=5)], {}, {}, 1),
    ("no sentence", [ref(1, sentences=[])], {"MM747": 1}, {}, 1),
    ("sentence empty", [ref(1, sentences=[{"sent": " "}, {"sent": "x"}])], {"MM747": 1}, {}, 1),
    ("sentences no list", [ref(1, sentences=7)], {"MM747": 1}, {}, 1),
    ("sentence of tokens", [ref(1, sentences=[{"tokens": ["red", "dog"]}])], {}, {}, 1),
    ("sentences as texts", [ref(1, sentences=["red dog", "dog"])], {}, {}, 1),
    ("half a character", [ref(1, sentences=["red \ud83d"])], {}, {}, 1),
]


@pytest.mark.parametrize(
    ("refs", "file_codes", "codes", "samples"), [row[1:] for row in REFS], ids=[row[0] for row in REFS]
)
def test_faults(
    tmp_path: Path, refs: list[Any], file_codes: dict[str, int], codes: dict[str, int], samples: int
) -> None:
    found = read(path=str(layout(tmp_path, refs)), dataset="refcoco", images="none")
    assert found.file_codes == file_codes
    assert found.codes == codes
    assert len(found.samples) == samples


def test_names_and_sizes_where_nothing_says_them(tmp_path: Path) -> None:
    file = write_json(
        tmp_path / "list.json",
        [ref(1, file_name=None), ref(2, image=2, ann=None, file_name=None, bbox=[1, 2, 30.2, 9])],
    )
    sizes = write_json(
        tmp_path / "sizes.json", {"1": [50, 60], "COCO_train2014_000000000002.jpg": [31, 12], "3": [0, 1], "4": 7}
    )
    found = read(path=str(file), images="none", sizes=str(sizes))
    assert [(sample.width, sample.height) for sample in found.samples] == [(50, 60), (31, 12)]
    assert found.file_codes == {"MM767": 2, "MM717": 2}
    found = read(path=str(file), images="none", sizes="boxes")
    assert [(sample.width, sample.height) for sample in found.samples] == [(32, 11)]
    assert found.codes["MM746"] == 1
    assert found.file_codes["MM745"] == 1
    found = read(path=str(file), images="none", sizes="assumed")
    assert [(sample.width, sample.height) for sample in found.samples] == [(640, 640), (32, 11)]
    Image.new("RGB", (21, 22)).save(tmp_path / "COCO_train2014_000000000002.jpg")
    found = read(path=str(file), images=str(tmp_path))
    assert [(sample.width, sample.height) for sample in found.samples] == [(21, 22)]


def test_the_splitting_is_found_or_asked_for(tmp_path: Path) -> None:
    path = layout(tmp_path, [ref(1)], split_by="mine")
    assert read(path=str(path), dataset="refcoco", images="none").samples
    layout(tmp_path, [ref(2), ref(3, image=2, ann=20)], split_by="unc")
    assert len(read(path=str(path), dataset="refcoco", images="none").samples) == 2, "the published one goes first"
    assert len(read(path=str(path), dataset="refcoco", split_by="mine", images="none").samples) == 1

    def refused(**options: Any) -> str:
        with pytest.raises(MmudError) as raised:
            ReferSource.from_options({"path": str(path), "images": "none", **options})
        return raised.value.code.id

    assert refused(dataset="refcoco", split_by="google") == "MM760"
    assert refused(dataset="refcocog") == "MM760"
    assert refused(dataset=["refcoco", "refcoco"], split_by=["a", "b", "c"]) == "MM001"
    assert refused(dataset="refcoco", sizes="none.json") == "MM002"
    assert refused(dataset="refcoco", instances=str(tmp_path)) == "MM001"
    assert refused(dataset=5) == "MM001"
    assert refused(path=str(tmp_path / "gone")) == "MM002"
    assert refused(path=[str(tmp_path), str(tmp_path)]) == "MM001"
    layout(tmp_path, [ref(2)], name="refcocog", split_by="a")
    layout(tmp_path, [ref(2)], name="refcocog", split_by="b")
    assert refused(dataset="refcocog") == "MM760", "two splittings, neither of them published"


def test_run_lengths_of_refclef(tmp_path: Path) -> None:
    path = layout(tmp_path, [ref(1, file_name="1_10.jpg")], name="refclef")
    instances = json.loads((path / "refclef" / "instances.json").read_text())
    parts = [coco.frPyObjects([polygon], 30, 40)[0] for polygon in (SQUARE, [20.0, 15.0, 30.0, 15.0, 30.0, 25.0])]
    instances["annotations"][0]["segmentation"] = [{"size": p["size"], "counts": p["counts"].decode()} for p in parts]
    write_json(path / "refclef" / "instances.json", instances)
    found = read(path=str(path), dataset="refclef", images="none")
    (obj,) = found.samples[0].objects
    assert obj.segmentation is not None
    assert obj.segmentation.counts == coco.merge(parts)["counts"].decode()
    assert (found.items[0].key, found.items[0].group) == ("refclef-1", "saiapr:1")


@pytest.mark.parametrize("data", [b"", b"{}", b'"x"', b"[", b"7", b"PK\x03\x04"])
def test_files_of_another_kind(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "list.json").write_bytes(data)
    source = ReferSource.from_options({"path": str(tmp_path / "list.json"), "images": "none"})
    with pytest.raises(MmudError) as raised:
        list(source.items())
    assert raised.value.code.id in ("MM710", "MM714")


def test_a_malicious_pickle(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> Any:
            return exec, (f"open({str(tmp_path / 'LOADED')!r}, 'w')",)

    layout(tmp_path, [])
    (tmp_path / "refcoco" / "refs(unc).json").unlink()
    (tmp_path / "refcoco" / "refs(unc).p").write_bytes(pickle.dumps([Runs()]))
    source = ReferSource.from_options({"path": str(tmp_path), "dataset": "refcoco", "images": "none"})
    with pytest.raises(MmudError, match="MM701"):
        list(source.items())
    (tmp_path / "refcoco" / "refs(unc).p").write_bytes(pickle.dumps({"no": "list"}))
    with pytest.raises(MmudError, match="MM704"):
        list(source.items())
    assert not (tmp_path / "LOADED").exists()


def test_a_copy_converts_what_another_listed(tmp_path: Path) -> None:
    path = layout(tmp_path, [ref(1), ref(2, ann=11)])
    options = {"path": str(path), "dataset": "refcoco", "images": "none"}
    source = ReferSource.from_options(options)
    (item,) = source.items()
    fresh = ReferSource.from_options(options)
    moved = pickle.loads(pickle.dumps(source))
    assert source.convert(item).sample == fresh.convert(item).sample == moved.convert(item).sample


def test_sets_on_different_images_may_number_them_alike(tmp_path: Path) -> None:
    path = layout(tmp_path, [ref(1), {**ref(1), "dataset": "another"}])
    items = list(ReferSource.from_options({"path": str(path), "images": "none", "sizes": "assumed"}).items())
    assert sorted(item.key for item in items) == ["refer-another-1", "refer-coco-1"]


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=8,
)
BROKEN = st.dictionaries(
    st.sampled_from([*ref(1), "bbox", "width", "height", "dataset", "sents"]), ANY, max_size=4
).map(lambda changes: {**ref(1), **changes})


@given(st.lists(BROKEN | ANY, max_size=4), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
def test_no_list_is_fatal(tmp_path: Path, refs: list[Any], as_pickle: bool) -> None:
    path = layout(tmp_path, [])
    (path / "refcoco" / "refs(unc).p").unlink(missing_ok=True)
    layout(tmp_path, refs, suffix="p" if as_pickle else "json")
    try:
        read(path=str(path), images="none", sizes="assumed")
    except MmudError as error:
        assert error.code.id in ("MM745", "MM760")


def sentence(text: str, number: int | None) -> dict[str, Any]:
    return {"sent": text, "raw": text, "tokens": text.split(), **({} if number is None else {"sent_id": number})}


def test_every_sentence_id_is_kept(tmp_path: Path) -> None:
    """A sentence that comes twice is one phrase and two ids; a sentence without an id takes no other's id away."""
    first = ref(1, sentences=[sentence("left man", 5), sentence("man", 6), sentence("left man", 7)])
    second = ref(2, ann=11, sentences=[sentence("dog", 8), sentence("pup", None)])
    third = ref(3, ann=11, sentences=[sentence("pup", 9)])
    folder = layout(tmp_path, [first, second, third])
    (sample,) = read(path=str(folder), dataset="refcoco", images="none").samples
    assert [item.phrases for item in sample.objects] == [("left man", "man"), ("dog", "pup")]
    kept = {one["ref_id"]: (one["sent_ids"], one.get("phrases")) for one in sample.provenance["refs"]}
    assert kept == {1: ([5, 6, 7], [1, 2, 1]), 2: ([8, None], None), 3: ([9], [2])}


def test_repeated_sentences_come_back(tmp_path: Path) -> None:
    from mmud.dataset.exporters.runner import Request, run_export

    folder = layout(tmp_path, [ref(1, sentences=[sentence("man", 5), sentence("boy", 6), sentence("man", 7)])])
    table = {"type": "refer", "path": str(folder), "dataset": "refcoco", "images": "none"}
    build(Recipe(sources=(table,), images="link"), tmp_path / "data")
    run_export(Dataset(tmp_path / "data"), "refer", tmp_path / "out", Request(images="none"))
    (back,) = json.loads((tmp_path / "out" / "refcoco" / "refs(mmud).json").read_text())
    assert [(one["sent_id"], one["sent"]) for one in back["sentences"]] == [(5, "man"), (6, "boy"), (7, "man")]


def test_files_of_one_name_are_all_described(shared_data: Path) -> None:
    """RefCOCO's and RefCOCO+'s expressions are both called refs(unc).p; each keeps its checksum (hashlib's)."""
    folder = shared_data / "mini_refcoco"
    source = ReferSource.from_options({"path": str(folder), "dataset": ["refcoco", "refcoco+"], "images": "none"})
    files = source.describe()["files"]
    for name in ("refcoco", "refcoco+"):
        data = (folder / name / "refs(unc).p").read_bytes()
        assert files[f"{name}/refs(unc).p"] == hashlib.sha256(data).hexdigest()
    assert not any(Path(name).is_absolute() for name in files)


def test_names_of_files_are_distinct_and_say_no_more_than_they_must() -> None:
    files = [Path(name) for name in ("/s/a/x.p", "/s/b/x.p", "/o/1/x.p", "/o/2/y.json", "/o/2/x.p", "/o/2/y.json")]
    assert {name: str(path) for name, path in names_of(files, Path("/s")).items()} == {
        "a/x.p": "/s/a/x.p", "b/x.p": "/s/b/x.p", "1/x.p": "/o/1/x.p", "y.json": "/o/2/y.json", "2/x.p": "/o/2/x.p",
    }  # fmt: skip
    assert names_of([]) == {}
