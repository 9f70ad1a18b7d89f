"""The official form: release -> MMUD -> release loses nothing, and the paper's loaders read what other samples become."""

from __future__ import annotations

import json
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exporter_samples import HOSTILE_IDS, full_sample, picture
from PIL import Image
from pycocotools import mask as coco_mask

from mmud.annotations.masks import Mask
from mmud.cli import run
from mmud.dataset.exporters.official import estimated_tokens
from mmud.dataset.exporters.runner import Request, run_export
from mmud.dataset.store import Dataset
from mmud.dataset.writer import write_dataset

HEIGHT, WIDTH = 24, 32


def load(path: Path) -> list[tuple[Any, ...]]:
    with open(path, "rb") as stream:
        return pickle.load(stream)  # type: ignore[no-any-return]


def rle(array: np.ndarray) -> dict[str, Any]:
    """As pycocotools encodes it, and as the release holds RefCLEF's masks."""
    return coco_mask.encode(np.asfortranarray(array.astype(np.uint8)))  # type: ignore[no-any-return]


def halves() -> tuple[np.ndarray, np.ndarray]:
    """Two parts of a mask that share a column."""
    left = np.zeros((HEIGHT, WIDTH), dtype=bool)
    right = left.copy()
    left[2:20, 3:11] = True
    right[2:20, 10:25] = True
    return left, right


def official_record(number: int, **changes: Any) -> tuple[Any, ...]:
    """A record as the release has them: a flat polygon, and from RefCLEF a list of RLEs."""
    left, right = halves()
    values: dict[str, Any] = {
        "image_path": f"{number}.jpg",
        "caption": f"Image {number}: a kitchen, é.",
        "enriched_text": "##Question: What is where? \n##Answer: <SEP> The table <LCL-1> by the <LCL-2>, that table <LCL-1>.",
        "sample_texts": [["right table"], ["the left one", "lamp near wall"]],
        "sample_masks": [[1.5, 2.0, 20.25, 2.0, 20.25, 15.0, 1.5, 15.0], [rle(left), rle(right)]],
        "sample_boxs": [[1.5, 2.0, 18.75, 13.0], [3.0, 2.0, 22.0, 18.0]],
        "sample_height": HEIGHT,
        "sample_width": WIDTH,
        "sample_category": [67, 15],
        "sample_category_text": ["dining table", "lamp"],
        "caption_len": 12,
        "enriched_text_len": 34,
    }
    return tuple((values | changes).values())


ODD: list[dict[str, Any]] = [
    {},
    {"image_path": "D:\\MMUD\\images\\7.jpg"},
    {"enriched_text": "##Question: Which? \n##Answer: <SEP> This <OBJ-1>."},
    {"enriched_text": "no form at all"},
    {"enriched_text": "##Question:Which?\n##Answer:<SEP>That <LCL-9>.\n"},
    {"enriched_text": ""},
    {"sample_masks": [[rle(halves()[0])], [rle(halves()[1])]]},
    {"sample_masks": [[rle(halves()[1]), rle(halves()[0])], [2.0, 3.0, 9.0, 3.0, 9.0, 9.0]]},
    {"sample_texts": [["only one"]], "sample_category": [3]},
    {"sample_texts": [[], []]},
    {"sample_category_text": ["", "lamp"]},
    {"sample_boxs": [[1, 2, 3, 4], [5, 6, 7, 8]]},
    {"sample_texts": [["with, punctuation!"], ["x" * 300]]},
    {"caption": "line\u2028end \x85 and \x00"},
    {"caption_len": 900},
    {
        "sample_texts": [["a"]] * 12,
        "sample_masks": [[1.5, 2.0, 20.25, 2.0, 20.25, 15.0]] * 12,
        "sample_boxs": [[1.5, 2.0, 18.75, 13.0]] * 12,
        "sample_category": [1] * 12,
        "sample_category_text": ["x"] * 12,
    },
]


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A folder as the release is, with every oddity that its loaders survive."""
    folder = tmp_path / "release"
    (folder / "images").mkdir(parents=True)
    records = [official_record(number, **changes) for number, changes in enumerate(ODD)]
    # The same image twice, and one of every split.
    splits = {"train": [*records, official_record(3)], "valid": [official_record(50)], "test": [official_record(60)]}
    for split, rows in splits.items():
        with open(folder / f"{split}_withlength.pkl", "wb") as stream:
            pickle.dump(rows, stream)
        for row in rows:
            name = row[0].rpartition("\\")[2]
            number = int(name.partition(".")[0])
            (folder / "images" / name).write_bytes(picture(number, WIDTH, HEIGHT, "JPEG"))
    return folder


def build(release: Path, output: Path) -> Dataset:
    arguments = ["build", "official", str(release), "--images", str(release / "images"), "-o", str(output), "-q"]
    assert run(arguments) in (0, 3)
    return Dataset(output)


def test_the_release_comes_back_record_by_record(release: Path, tmp_path: Path) -> None:
    dataset = build(release, tmp_path / "data")
    report = run_export(dataset, "official", tmp_path / "out")
    assert report.losses == []
    for split in ("train", "valid", "test"):
        real = load(release / f"{split}_withlength.pkl")
        for name in (f"{split}.pkl", f"{split}_withlength.pkl"):
            again = load(tmp_path / "out" / name)
            assert len(again) == len(real)
            for ours, theirs in zip(again, real, strict=True):
                assert ours == theirs
                assert type(ours) is tuple
    for path in (release / "images").iterdir():
        assert (tmp_path / "out" / "images" / path.name).read_bytes() == path.read_bytes()
    assert len(list((tmp_path / "out" / "images").iterdir())) == len(list((release / "images").iterdir()))
    # And once more through the importer: the same labels.
    assert build(tmp_path / "out", tmp_path / "again").fingerprint == dataset.fingerprint


def test_records_without_lengths_stay_so(release: Path, tmp_path: Path) -> None:
    rows = [row[:10] for row in load(release / "valid_withlength.pkl")]
    for file in release.glob("*.pkl"):
        file.unlink()
    (release / "valid.pkl").write_bytes(pickle.dumps(rows))
    report = run_export(build(release, tmp_path / "data"), "official", tmp_path / "out")
    assert load(tmp_path / "out" / "valid.pkl") == rows
    (full,) = load(tmp_path / "out" / "valid_withlength.pkl")
    assert full[:10] == rows[0]
    assert [(loss["what"], loss["count"]) for loss in report.losses] == [("token counts", 2)]
    assert all(isinstance(value, int) and value > 5 for value in full[10:])


def test_an_edited_sample_is_not_written_as_it_was(release: Path, tmp_path: Path) -> None:
    dataset = build(release, tmp_path / "data")
    edited = {"2": {"answer": "Another <LCL-2>."}, "0": {"answer": "Quite another <LCL-2>."}}
    samples = [
        sample.model_copy(update=edited.get(sample.sample_id, {})) for sample in dataset.samples("train", images=True)
    ]
    report = run_export(write_dataset(tmp_path / "edited", {"train": samples}), "official", tmp_path / "out")
    again = load(tmp_path / "out" / "train.pkl")
    real = load(release / "train_withlength.pkl")
    assert again[2][2] == "##Question: Which? \n##Answer: <SEP> Another <LCL-2>."
    assert again[0][2] == "##Question: What is where? \n##Answer: <SEP> Quite another <LCL-2>."
    assert again[3:] == real[3:]
    assert {loss["what"]: loss["count"] for loss in report.losses}["records as they were released"] >= 1


class OfficialLoader:
    """Reads a split as both loaders of the paper's repository do: the type of a mask's first element, then pycocotools."""

    def __init__(self, folder: Path, split: str) -> None:
        self.folder = folder
        self.records = load(folder / f"{split}_withlength.pkl")
        assert load(folder / f"{split}.pkl") == self.records

    def mask(self, value: Any, height: int, width: int) -> np.ndarray:
        rles = coco_mask.frPyObjects([value], height, width) if type(value[0]) is float else value
        return np.sum(coco_mask.decode(rles), axis=2) == 1

    def __iter__(self) -> Any:
        for record in self.records:
            path, _, enriched, texts, masks, _, height, width, _, _, caption_len, enriched_len = record
            image = Image.open(self.folder / "images" / path.split("\\")[-1]).convert("RGB")
            question, answer = enriched.replace("##Question:", "").replace("\n##Answer:", "").split("<SEP>")
            assert caption_len <= 2000
            assert enriched_len <= 2000
            assert all(texts)
            assert type(masks[0][0]) in (float, dict)
            yield record, image, question.strip(), answer.strip(), [self.mask(value, height, width) for value in masks]


def test_the_official_loaders_read_other_samples(mixed: Dataset, tmp_path: Path) -> None:
    report = run_export(mixed, "official", tmp_path / "out")
    lost = {loss["what"]: loss["count"] for loss in report.losses}
    for split in mixed.splits:
        samples = [sample for sample in mixed.samples(split, images=True) if sample.objects]
        read = list(OfficialLoader(tmp_path / "out", split))
        assert len(read) == len(samples)
        for (record, image, question, answer, masks), sample in zip(read, samples, strict=True):
            assert image.size == (sample.width, sample.height)
            assert (record[1], question, answer) == (sample.caption, sample.question, sample.answer)
            assert record[9] == [item.category for item in sample.objects]
            assert record[5] == [list(item.bbox) for item in sample.objects]
            for texts, item in zip(record[3], sample.objects, strict=True):
                assert texts == list(item.phrases) or not item.phrases
            for mask, item in zip(masks, sample.objects, strict=True):
                wanted = Mask.of(item.segmentation).decode() if item.segmentation else np.zeros(mask.shape)
                assert (mask == wanted).all()
    full = len(HOSTILE_IDS)
    assert lost["samples without an object"] == 3
    assert lost["objects without a mask"] == full
    assert lost["objects without a phrase"] == full + 2
    assert lost["polygons as polygons"] == 2 * full + 2
    assert lost["token counts"] == 2 * (full + 1)
    assert lost["ref ids, of samples from elsewhere"] == 2 * full + 1


def test_provenance_of_any_shape_does_no_harm(tmp_path: Path) -> None:
    shapes: list[Any] = [
        1,
        [],
        "x",
        {"raw": 3},
        {"frame": ["a"]},
        {"parts": {"1": 5}},
        {"raw": {"sample_masks": "zz"}},
        {"path": 7},
    ]
    samples = [
        full_sample(number, f"s{number}").model_copy(update={"provenance": {"official": shape}})
        for number, shape in enumerate(shapes)
    ]
    dataset = write_dataset(tmp_path / "data", {"train": samples})
    report = run_export(dataset, "official", tmp_path / "out")
    assert len(list(OfficialLoader(tmp_path / "out", "train"))) == len(samples)
    assert report.counts["records"] == len(samples)


def test_the_pickles_call_nothing(mixed: Dataset, tmp_path: Path) -> None:
    run_export(mixed, "official", tmp_path / "out", Request(images="none"))
    names = {opcode.name for opcode, _, _ in pickletools.genops((tmp_path / "out" / "train.pkl").read_bytes())}
    assert not names & {"GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD", "INST", "OBJ", "NEWOBJ"}


@pytest.mark.data
def test_real_objects_are_read_by_the_official_loader(coco_mini: Dataset, tmp_path: Path) -> None:
    run_export(coco_mini, "official", tmp_path / "out", Request(splits=("val",)))
    samples = [sample for sample in coco_mini.samples("val") if sample.objects]
    for (_, _, _, _, masks), sample in zip(OfficialLoader(tmp_path / "out", "val"), samples, strict=True):
        for mask, item in zip(masks, sample.objects, strict=True):
            assert (mask == Mask.of(item.segmentation).decode()).all()  # type: ignore[arg-type]


def test_estimates_are_near_what_the_paper_counts() -> None:
    """The paper's captions are about 120 tokens; those of the release are about 94 words (shared/findings.md)."""
    sentence = "The image shows an indoor setting that appears to be a bustling kitchen, with a table near the camera. "
    words = len((sentence * 5).split())
    assert 1.15 * words < estimated_tokens(sentence * 5) < 1.5 * words
    assert estimated_tokens("") == 1
    assert json.dumps(estimated_tokens(None)) == "1"
