"""The official release: records in the shapes of method.md and of the repository's loaders, written with ``pickle.dump``."""

from __future__ import annotations

import math
import pickle
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco

from mmud.cli import run
from mmud.dataset.build import build
from mmud.dataset.recipe import Recipe
from mmud.dataset.sources.base import ConvertedRow
from mmud.dataset.sources.official import OfficialSource
from mmud.dataset.sources.release.form import FIELDS
from mmud.dataset.sources.release.restore import restore_record
from mmud.dataset.store import Dataset
from mmud.errors import MmudError
from tests.dataset.sources.drained import Drained, drained

HEIGHT, WIDTH = 60, 80
FIRST = [10.0, 10.0, 40.0, 10.0, 40.0, 30.0, 10.0, 30.0]
SECOND = [45.0, 20.0, 70.0, 20.0, 70.0, 50.0, 45.0, 50.0]


def box_of(polygon: list[float]) -> list[float]:
    across, down = polygon[0::2], polygon[1::2]
    return [min(across), min(down), max(across) - min(across), max(down) - min(down)]


def rle_of(polygon: list[float], height: int = HEIGHT, width: int = WIDTH) -> dict[str, Any]:
    return coco.frPyObjects([polygon], height, width)[0]


def record(**changes: Any) -> tuple[Any, ...]:
    """A record without any oddity, changed."""
    fields = {
        "image_path": "COCO_train2014_000000000001.jpg",
        "caption": "Two people stand in a bright kitchen beside a wooden table.",
        "enriched_text": "##Question: Who is nearer to the door? \n##Answer: <SEP> The man <LCL-1>, not the woman <LCL-2>.",
        "sample_texts": [["man on the left", "left man"], ["woman in red"]],
        "sample_masks": [FIRST, SECOND],
        "sample_boxs": [box_of(FIRST), box_of(SECOND)],
        "sample_height": HEIGHT,
        "sample_width": WIDTH,
        "sample_category": [1, 1],
        "sample_category_text": ["person", "person"],
        "caption_len": 14,
        "enriched_text_len": 30,
    }
    assert list(fields) == list(FIELDS)
    assert set(changes) <= set(fields)
    return tuple({**fields, **changes}.values())


def release(folder: Path, train: list[Any], images: bool = False, **others: list[Any]) -> Path:
    folder.mkdir(exist_ok=True)
    for split, records in {"train": train, **others}.items():
        (folder / f"{split}.pkl").write_bytes(pickle.dumps(records))
    if images:
        (folder / "images").mkdir(exist_ok=True)
        for one in [item for records in (train, *others.values()) for item in records]:
            name = one[0].replace("\\", "/").rpartition("/")[2]
            Image.new("RGB", (WIDTH, HEIGHT), (9, 99, 200)).save(folder / "images" / name)
    return folder


def read(folder: Path, train: list[Any], **options: Any) -> Drained:
    path = release(folder, train)
    return drained(OfficialSource.from_options({"path": str(path), "images": "none", **options}))


def test_a_record_without_oddity(tmp_path: Path) -> None:
    found = read(tmp_path, [record()])
    (sample,) = found.samples
    assert not found.findings
    assert not found.file_findings
    assert (found.items[0].split, found.items[0].group) == ("train", "coco:1")
    assert sample.sample_id == "COCO_train2014_000000000001"
    assert (sample.source, sample.source_image_id) == ("official", "COCO_train2014_000000000001")
    assert (sample.height, sample.width) == (HEIGHT, WIDTH)
    assert sample.caption == record()[1]
    assert sample.question == "Who is nearer to the door?"
    assert sample.answer == "The man <LCL-1>, not the woman <LCL-2>."
    first, second = sample.objects
    assert first.phrases == ("man on the left", "left man")
    assert (first.category, first.category_id, second.category) == ("person", 1, "person")
    assert first.polygons == (tuple(FIRST),)
    assert first.bbox == tuple(box_of(FIRST))
    assert first.segmentation is not None
    assert first.segmentation.counts == rle_of(FIRST)["counts"].decode()
    assert first.area == coco.area(rle_of(FIRST))
    assert sample.provenance["official"] == {
        "index": 0,
        "path": "COCO_train2014_000000000001.jpg",
        "caption_len": 14,
        "enriched_text_len": 30,
    }


CLEF = {"sample_masks": [[rle_of(FIRST)], [rle_of(SECOND)]], "image_path": "1603.jpg"}
OVERLAPPING = [rle_of(FIRST), rle_of([30.0, 20.0, 50.0, 20.0, 50.0, 40.0, 30.0, 40.0])]
ANSWER = "##Question: Who? \n##Answer: <SEP> "

ODDITIES: list[tuple[str, dict[str, Any], set[str]]] = [
    ("Windows folder", {"image_path": "D:\\data\\images\\1603.jpg"}, {"MM723"}),
    ("tag repeated", {"enriched_text": ANSWER + "He <LCL-1> and he <LCL-1>, she <LCL-2>."}, {"MM725"}),
    ("tag out of range", {"enriched_text": ANSWER + "He <LCL-1>, she <LCL-2>, it <LCL-3>."}, {"MM302"}),
    ("tag zero", {"enriched_text": ANSWER + "He <LCL-1>, she <LCL-2>, it <LCL-0>."}, {"MM302"}),
    ("tag malformed", {"enriched_text": ANSWER + "He <LCL-1>, she <LCL-2>, it <LCL 3."}, {"MM301"}),
    ("object untagged", {"enriched_text": ANSWER + "He <LCL-1>."}, {"MM726"}),
    ("tags of the paper", {"enriched_text": ANSWER + "He <OBJ-1>, she <OBJ-2>."}, {"MM728"}),
    ("no separator", {"enriched_text": "##Question: Who?\n##Answer: He <LCL-1>, she <LCL-2>."}, {"MM727"}),
    ("no form at all", {"enriched_text": "He <LCL-1> and she <LCL-2>."}, {"MM727"}),
    ("RefCLEF", CLEF, {"MM734"}),
    ("several parts", {"sample_masks": [[rle_of(FIRST), rle_of(SECOND)], SECOND]}, {"MM734", "MM729", "MM741"}),
    ("overlapping parts", {"sample_masks": [FIRST, OVERLAPPING]}, {"MM729", "MM730", "MM741"}),
    ("punctuation", {"sample_texts": [["man, left"], ["what?"]]}, {"MM731"}),
    ("long caption", {"caption_len": 301}, {"MM733"}),
    ("long text", {"enriched_text_len": 999}, {"MM733"}),
    ("six objects", {
        "sample_masks": [FIRST] * 6, "sample_boxs": [box_of(FIRST)] * 6, "sample_texts": [["x"]] * 6,
        "sample_category": [1] * 6, "sample_category_text": ["person"] * 6,
        "enriched_text": ANSWER + " ".join(f"<LCL-{i}>" for i in range(1, 7)),
    }, {"MM732"}),
    ("lists differ", {"sample_boxs": [box_of(FIRST)]}, {"MM724", "MM742"}),
    ("no texts", {"sample_texts": None}, {"MM721", "MM724"}),
    ("no masks", {"sample_masks": []}, {"MM724", "MM734", "MM744"}),
    ("box elsewhere", {"sample_boxs": [box_of(SECOND), box_of(SECOND)]}, {"MM741"}),
    ("box of three", {"sample_boxs": [[1.0, 2.0, 3.0], box_of(SECOND)]}, {"MM721", "MM742"}),
    ("box negative", {"sample_boxs": [[1.0, 2.0, -3.0, 4.0], box_of(SECOND)]}, {"MM721", "MM742"}),
    ("box NaN", {"sample_boxs": [[math.nan, 2.0, 3.0, 4.0], box_of(SECOND)]}, {"MM721", "MM742"}),
    ("polygon of two points", {"sample_masks": [[1.0, 2.0, 3.0, 4.0], SECOND]}, {"MM721", "MM740"}),
    ("polygon of odd length", {"sample_masks": [[*FIRST, 5.0], SECOND]}, {"MM721", "MM740"}),
    ("polygon NaN", {"sample_masks": [[math.nan, *FIRST[1:]], SECOND]}, {"MM721", "MM740"}),
    ("RLE beyond the image", {"sample_masks": [FIRST, [{"size": [HEIGHT, WIDTH], "counts": b"0`0"}]]}, {"MM721", "MM740"}),
    ("RLE of another size", {"sample_masks": [FIRST, [rle_of(SECOND, 61, 80)]]}, {"MM721", "MM740"}),
    ("RLE alone", {"sample_masks": [FIRST, rle_of(SECOND)]}, {"MM721"}),
    ("polygon in a list", {"sample_masks": [FIRST, [SECOND]]}, {"MM721"}),
    ("two polygons", {"sample_masks": [FIRST, [SECOND, FIRST]]}, {"MM721", "MM729", "MM741"}),
    ("caption no text", {"caption": None}, {"MM721"}),
    ("enriched text no text", {"enriched_text": 5}, {"MM721", "MM726"}),
    ("phrase no text", {"sample_texts": [["x", 7], ["y"]]}, {"MM721"}),
    ("one text for a list", {"sample_texts": ["x", ["y"]]}, {"MM721"}),
    ("category no number", {"sample_category": ["one", 1]}, {"MM721"}),
    ("category no name", {"sample_category_text": [1, "person"]}, {"MM721"}),
    ("length no count", {"caption_len": None}, {"MM721"}),
    ("length negative", {"caption_len": -1}, {"MM721"}),
    ("height a float", {"sample_height": 60.0}, {"MM721"}),
    ("lists as tuples", {"sample_category": (1, 1)}, {"MM721"}),
    ("half a character", {"caption": "broken \ud83d here"}, {"MM737"}),
    ("half a character in a phrase", {"sample_texts": [["\udc00"], ["y"]]}, {"MM737"}),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "expected"), [row[1:] for row in ODDITIES], ids=[row[0] for row in ODDITIES])
def test_each_oddity_is_kept_and_reported(tmp_path: Path, changes: dict[str, Any], expected: set[str]) -> None:
    found = read(tmp_path, [record(**changes)])
    assert set(found.codes) == expected
    (sample,) = found.samples
    assert len(sample.objects) == (6 if expected == {"MM732"} else 2)
    for finding in found.findings:
        assert finding.place.sample == sample.sample_id
        assert finding.place.file is not None
        assert finding.place.row == 0


def plain(value: Any) -> Any:
    """What provenance, which is JSON, can give back: lists, text for bytes, text for numbers that are not finite."""
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    return value


@pytest.mark.parametrize("changes", [row[1] for row in ODDITIES] + [{}], ids=[row[0] for row in ODDITIES] + ["none"])
def test_every_record_comes_back(tmp_path: Path, changes: dict[str, Any]) -> None:
    before = record(**changes)
    (sample,) = read(tmp_path, [before]).samples
    # A row on disk holds the provenance as JSON.
    row = sample.to_row()
    after = restore_record(type(sample).from_row(row))
    if before[1] == "broken \ud83d here" or before[3] == [["\udc00"], ["y"]]:
        assert "\ufffd" in str(after)
        return
    if not any(isinstance(value, tuple) for value in before):
        assert plain(after) == plain(before)
    if "MM721" not in {row[0] for row in ODDITIES if row[1] is changes}:
        assert len(after) == 12


def test_usual_records_come_back_to_the_byte(tmp_path: Path) -> None:
    records = [record(), record(**CLEF), record(image_path="D:\\a\\b.jpg"), record(sample_masks=[FIRST, OVERLAPPING])]
    found = read(tmp_path, records)
    assert [restore_record(sample) for sample in found.samples] == records
    assert [restore_record(type(s).from_row(s.to_row())) for s in found.samples] == records


def test_records_of_the_first_form(tmp_path: Path) -> None:
    found = read(tmp_path, [record()[:10]])
    assert set(found.codes) == {"MM722"}
    assert restore_record(found.samples[0]) == record()[:10]


@pytest.mark.parametrize(
    "broken",
    [
        (),
        record()[:11],
        (*record(), 1),
        {"image_path": "1.jpg"},
        None,
        "1603.jpg",
        record(image_path=None),
        record(image_path=""),
        record(image_path="folder\\"),
        record(sample_texts=[["x"]] * 20_000),
    ],
    ids=lambda value: str(type(value).__name__),
)
def test_what_is_no_record_stops_with_its_place(tmp_path: Path, broken: Any) -> None:
    path = release(tmp_path, [record(), broken])
    source = OfficialSource.from_options({"path": str(path), "images": "none"})
    with pytest.raises(MmudError) as raised:
        list(source.items())
    assert raised.value.code.id == "MM720"
    assert raised.value.where.row == 1
    assert raised.value.where.file == str(path / "train.pkl")


@pytest.mark.parametrize(
    "sides", [(0, WIDTH), (-3, WIDTH), (HEIGHT, None), ("60", WIDTH), (True, WIDTH), (10**9, WIDTH)]
)
def test_a_size_that_cannot_be_is_taken_from_elsewhere(tmp_path: Path, sides: tuple[Any, Any]) -> None:
    changed = {"sample_height": sides[0], "sample_width": sides[1]}
    path = release(tmp_path, [record(**changed)])
    source = OfficialSource.from_options({"path": str(path), "images": "none"})
    (item,) = source.items()
    with pytest.raises(MmudError, match="MM720"):
        source.convert(item)
    # The image tells, or a mask that has a size.
    path = release(tmp_path, [record(**changed)], images=True)
    (sample,) = drained(OfficialSource.from_options({"path": str(path)})).samples
    assert (sample.height, sample.width) == (HEIGHT, WIDTH)
    (sample,) = read(tmp_path, [record(**changed, **CLEF)]).samples
    assert (sample.height, sample.width) == (HEIGHT, WIDTH)


def test_swapped_sides_are_seen_by_the_image_or_the_masks(tmp_path: Path) -> None:
    swapped = {"sample_height": WIDTH, "sample_width": HEIGHT}
    path = release(tmp_path, [record(**swapped)], images=True)
    found = drained(OfficialSource.from_options({"path": str(path)}))
    assert found.codes == {"MM735": 1}
    assert (found.samples[0].height, found.samples[0].width) == (HEIGHT, WIDTH)
    assert restore_record(found.samples[0]) == record(**swapped)
    found = read(tmp_path, [record(**swapped, **CLEF)])
    assert found.codes["MM735"] == 1
    assert restore_record(found.samples[0]) == record(**swapped, **CLEF)


def test_images_are_found_by_their_last_name(tmp_path: Path) -> None:
    records = [record(image_path="D:\\x\\1603.jpg"), record(), record(image_path="gone.jpg")]
    path = release(tmp_path, records, images=True)
    (path / "images" / "gone.jpg").unlink()
    (path / "images" / "deeper").mkdir()
    (path / "images" / "1603.jpg").rename(path / "images" / "deeper" / "1603.jpg")
    found = drained(OfficialSource.from_options({"path": str(path)}))
    assert [Path(str(sample.image.path)).is_file() for sample in found.samples] == [True, True, False]
    assert found.codes == {"MM723": 1, "MM501": 1}
    with pytest.raises(MmudError, match="MM501"):
        found.samples[2].image_bytes()


@pytest.mark.parametrize(
    "name", ["../outside.jpg", "/etc/hostname", "..\\outside.jpg", "C:\\x\\outside.jpg", "a\0b.jpg"]
)
def test_no_image_outside_the_folders_is_linked(tmp_path: Path, name: str) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "outside.jpg")
    path = release(tmp_path / "release", [record(image_path=name)])
    (path / "images").mkdir()
    found = drained(OfficialSource.from_options({"path": str(path)}))
    assert found.codes["MM501"] == 1
    assert str(found.samples[0].image.path).startswith(str(path / "images"))


def test_an_image_that_comes_again(tmp_path: Path) -> None:
    again = [record(), record(), record(image_path="COCO_train2014_000000000001-2.jpg"), record()]
    path = release(tmp_path, again[:3], test=[again[3]])
    found = drained(OfficialSource.from_options({"path": str(path), "images": "none"}))
    stem = "COCO_train2014_000000000001"
    assert [item.key for item in found.items] == [stem, f"{stem}-2", f"{stem}-2-2", f"{stem}-3"]
    assert {item.group for item in (found.items[0], found.items[1], found.items[3])} == {"coco:1"}
    assert found.file_codes == {"MM736": 3}
    assert [restore_record(sample) for sample in found.samples] == again


def test_the_form_with_lengths_goes_first(tmp_path: Path) -> None:
    path = release(tmp_path, [record()[:10]])
    (path / "train_withlength.pkl").write_bytes(pickle.dumps([record()]))
    (path / "test.pkl").write_bytes(pickle.dumps([record(image_path="2.jpg")]))
    found = drained(OfficialSource.from_options({"path": str(path), "images": "none"}))
    assert [item.split for item in found.items] == ["train", "test"]
    assert not found.findings
    only = OfficialSource.from_options({"path": str(path), "images": "none", "splits": ["test"]})
    assert [item.split for item in only.items()] == ["test"]


def test_options_and_folders_that_cannot_be(tmp_path: Path) -> None:
    def refused(**options: Any) -> str:
        with pytest.raises(MmudError) as raised:
            OfficialSource.from_options(options)
        return raised.value.code.id

    path = str(release(tmp_path / "release", [record()]))
    assert refused() == "MM001"
    assert refused(path=5) == "MM001"
    assert refused(path=path) == "MM001", "no images named and none beside"
    assert refused(path=path, images=str(tmp_path / "none")) == "MM002"
    assert refused(path=str(tmp_path / "none"), images="none") == "MM002"
    assert refused(path=path, images="none", imagse="x") == "MM001"
    assert refused(path=path, images="none", splits=["trian"]) == "MM001"
    assert refused(path=path, images="none", features=str(tmp_path / "none")) == "MM002"
    (tmp_path / "empty").mkdir()
    assert refused(path=str(tmp_path / "empty"), images="none") == "MM760"


@pytest.mark.parametrize("processes", [1, 2])
def test_a_whole_build(tmp_path: Path, processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMUD_CACHE", str(tmp_path / "cache"))
    records = [record(image_path=f"D:\\x\\{number}.jpg") for number in range(30)]
    path = release(tmp_path / "release", records[:20], images=True, valid=records[20:25], test=records[25:])
    recipe = Recipe(sources=({"type": "official", "path": str(path)},), shard_rows=8)
    report = build(recipe, tmp_path / "out", workers=processes)
    assert dict(report.splits) == {"train": 20, "valid": 5, "test": 5}
    dataset = Dataset(tmp_path / "out")
    back = [restore_record(sample) for split in ("train", "valid", "test") for sample in dataset.samples(split)]
    assert back == records
    assert report.findings["MM723"] == 30


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([name for name in FIELDS if name != "image_path"]), ANY, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
def test_no_record_is_fatal(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = release(tmp_path, [record(**changes)])
    try:
        found = drained(OfficialSource.from_options({"path": str(path), "images": "none"}))
    except MmudError as error:
        assert error.code.id == "MM720"
        return
    assert len(found.samples) == 1
    restore_record(type(found.samples[0]).from_row(found.samples[0].to_row()))


def test_records_with_numpy_values(tmp_path: Path) -> None:
    changed = record(
        sample_height=np.int64(HEIGHT),
        sample_width=np.int32(WIDTH),
        sample_boxs=[np.array(box_of(FIRST)), box_of(SECOND)],
    )
    found = read(tmp_path, [changed])
    assert not found.findings
    assert restore_record(found.samples[0]) == record()


def test_a_record_nested_without_end(tmp_path: Path) -> None:
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    path = tmp_path / "train.pkl"
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        # The pure-Python pickler: the compiled one gives up on this depth.
        path.write_bytes(pickle._dumps([record(), record(sample_texts=deep, image_path="2.jpg")]))
    finally:
        sys.setrecursionlimit(limit)
    source = OfficialSource.from_options({"path": str(tmp_path), "images": "none"})
    first, second = source.items()
    for item in (second, pickle.loads(pickle.dumps(second))):
        with pytest.raises(MmudError, match="MM704"):
            source.convert(item)
        good, bad = source.convert_many([first, item])
        assert isinstance(good, ConvertedRow)
        assert isinstance(bad, MmudError)
        assert bad.code.id == "MM704"


def test_sharing_does_not_multiply(tmp_path: Path) -> None:
    bomb: list[Any] = ["x"]
    for _ in range(3):
        bomb = [bomb] * 40
    found = read(tmp_path, [record(sample_texts=bomb)])
    assert found.codes["MM721"] == 1
    assert len(found.samples[0].to_row()["provenance"]) < 1_000_000
    for _ in range(20):
        bomb = [bomb] * 40
    with pytest.raises(MmudError, match="MM703"):
        read(tmp_path, [record(sample_texts=bomb)])


def test_malicious_records_never_run(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> Any:
            return exec, (f"open({str(tmp_path / 'LOADED')!r}, 'w')",)

    path = release(tmp_path, [record(), record(caption=Runs(), image_path="2.jpg")])
    source = OfficialSource.from_options({"path": str(path), "images": "none"})
    with pytest.raises(MmudError, match="MM701"):
        list(source.items())
    assert not (tmp_path / "LOADED").exists()


def test_no_images_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "release").mkdir()
    (tmp_path / "release" / "train.pkl").write_bytes(pickle.dumps([record()]))
    # "none" is a word, wherever one stands: a folder of that name is not meant.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMUD_CACHE", str(tmp_path / "cache"))
    for output in ("before", "after"):
        assert run(["build", "official", "release", "--images", "none", "--images", "link", "-o", output, "-q"]) == 0
        dataset = Dataset(tmp_path / output)
        assert dataset.sample("train", 0).image.path is None
        recipe = tomllib.loads((tmp_path / output / "recipe.toml").read_text("utf-8"))
        assert [source["images"] for source in recipe["source"]] == ["none"]
        (tmp_path / "none").mkdir(exist_ok=True)
