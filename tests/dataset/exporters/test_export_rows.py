"""JSON Lines, WebDataset and the native folder: every field comes back, read with pandas, webdataset and datasets."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from exporter_samples import HOSTILE_IDS
from PIL import Image

from mmud.dataset.card import render_card
from mmud.dataset.exporters.runner import Request, run_export
from mmud.dataset.store import Dataset
from mmud.dataset.writer import write_dataset
from mmud.records import ImageReference, Sample


def _bare(sample: Sample, path: str | None = None) -> Sample:
    return sample.model_copy(update={"image": ImageReference(path=path if path is not None else sample.image.path)})


def test_json_lines_hold_everything(mixed: Dataset, tmp_path: Path) -> None:
    report = run_export(mixed, "jsonl", tmp_path / "out")
    assert report.losses == []
    for split in mixed.splits:
        # Read as text first: a reader that splits at U+2028 or U+0085 must find the same lines.
        lines = (tmp_path / "out" / f"{split}.jsonl").read_text("utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        files = [tmp_path / "out" / row.pop("file_name") for row in rows]
        samples = list(mixed.samples(split, images=True))
        assert [Sample.from_row(row) for row in rows] == [_bare(sample) for sample in samples]
        assert [file.read_bytes() for file in files] == [sample.image.bytes for sample in samples]
        frame = pd.read_json(tmp_path / "out" / f"{split}.jsonl", lines=True, dtype={"sample_id": str})
        assert frame["sample_id"].tolist() == [sample.sample_id for sample in samples]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # webdataset leaves its shards open
def test_webdataset_reads_every_shard(mixed: Dataset, tmp_path: Path) -> None:
    wds = pytest.importorskip("webdataset", reason="the webdataset package is not installed")
    report = run_export(mixed, "webdataset", tmp_path / "out", Request(shard_size=7))
    shards = sorted(name for name in report.files if name.startswith("train-"))
    assert shards == [f"train-{number:06d}.tar" for number in range(3)]
    reader = wds.WebDataset([str(tmp_path / "out" / name) for name in shards], shardshuffle=False)
    found = list(reader.decode("pil"))
    samples = list(mixed.samples("train", images=True))
    assert len(found) == len(samples) == len(HOSTILE_IDS)
    for row, sample in zip(found, samples, strict=True):
        labels = dict(row["json"])
        assert labels.pop("split") == "train"
        assert Sample.from_row(labels) == _bare(sample)
        picture = next(row[kind] for kind in ("jpeg", "png") if kind in row)
        assert np.array_equal(np.asarray(picture), np.asarray(Image.open(io.BytesIO(sample.image.bytes or b""))))
    assert len({row["__key__"].lower() for row in found}) == len(samples)
    names = [json.loads(line) for line in (tmp_path / "out" / "names.jsonl").read_text("utf-8").splitlines()]
    assert {row["sample_id"] for row in names} == {s.sample_id for split in mixed.splits for s in mixed.samples(split)}


def test_a_native_copy_is_the_same_dataset(mixed: Dataset, tmp_path: Path) -> None:
    report = run_export(mixed, "native", tmp_path / "out", Request(shard_size=5))
    again = Dataset(tmp_path / "out")
    assert again.fingerprint == mixed.fingerprint
    assert again.manifest.sources == mixed.manifest.sources
    assert [shard.rows for shard in again.shards("train")] == [5, 5, 5, 2]
    assert report.counts == {"samples": len(HOSTILE_IDS) + 4}
    for split in mixed.splits:
        for one, other in zip(mixed.samples(split, images=True), again.samples(split, images=True), strict=True):
            assert other.image.bytes == one.image.bytes
            name = (one.image.path or "").replace("\\", "/").rpartition("/")[2]
            assert other.image.path == (name or f"{one.sample_id}.png")


def test_hugging_face_datasets_opens_the_native_folder(
    mixed: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="the datasets package is not installed")
    run_export(mixed, "parquet", tmp_path / "out", Request(shard_size=5))
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(part) for name, part in loaded.items()} == {"train": len(HOSTILE_IDS), "valid": 4}
    first, sample = loaded["train"][0], mixed.first("train", images=True)
    assert np.array_equal(np.asarray(first["image"]), np.asarray(Image.open(io.BytesIO(sample.image.bytes or b""))))
    assert first["answer"] == sample.answer
    assert [item["phrases"] for item in first["objects"]] == [list(item.phrases) for item in sample.objects]
    assert first["objects"][0]["segmentation"]["counts"] == sample.objects[0].segmentation.counts  # type: ignore[union-attr]


def test_linking_lays_embedded_images_beside(mixed: Dataset, tmp_path: Path) -> None:
    run_export(mixed, "native", tmp_path / "out", Request(images="link", splits=("train",)))
    again = Dataset(tmp_path / "out")
    assert again.splits == ["train"]
    assert again.manifest.images == "link"
    for one, other in zip(mixed.samples("train", images=True), again.samples("train", images=True), strict=True):
        assert other.image.bytes is None
        assert other.image_bytes() == one.image.bytes
        assert Path(other.image.path or "").parent == tmp_path / "out" / "images"
    once_more = run_export(again, "native", tmp_path / "embedded", Request(images="embed"))
    assert once_more.counts["samples"] == len(HOSTILE_IDS)
    assert Dataset(tmp_path / "embedded").first(images=True).image.bytes == mixed.first(images=True).image.bytes


def test_a_card_is_written_for_what_was_exported(mixed: Dataset, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data", {split: mixed.samples(split, images=True) for split in mixed.splits})
    report = run_export(dataset, "native", tmp_path / "part", Request(limit=2))
    assert (tmp_path / "part" / "README.md").read_text("utf-8") == render_card(Dataset(tmp_path / "part"))
    assert report.partial
    assert report.notes == []
    (tmp_path / "data" / "README.md").write_text("# my own words\n")
    report = run_export(dataset, "native", tmp_path / "whole")
    assert any("README.md" in note for note in report.notes)


@pytest.mark.parametrize(
    "name", ["coco", "refer", "reasonseg", "llava", "webdataset", "jsonl", "native", "label-studio", "questions"]
)
def test_the_bytes_never_vary(mixed: Dataset, tmp_path: Path, name: str) -> None:
    def digest(folder: Path) -> dict[str, str]:
        return {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    run_export(mixed, name, tmp_path / "a" / "out", Request(splits=("valid", "train")))
    run_export(mixed, name, tmp_path / "b" / "out", Request(splits=("train", "valid")))
    first = digest(tmp_path / "a" / "out")
    assert first == digest(tmp_path / "b" / "out")
    assert len(first) > 1
    _no_wall_clock(tmp_path / "a" / "out")


def _no_wall_clock(folder: Path) -> None:
    import tarfile

    for path in folder.glob("*.tar"):
        with tarfile.open(path) as tar:
            members: list[Any] = tar.getmembers()
            assert {(member.mtime, member.uid, member.gid, member.uname) for member in members} == {(0, 0, 0, "")}
