"""The dataset folder: what is written is what is read, whatever the shards; and other tools open it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmud.annotations.masks import Mask
from mmud.dataset.card import render_card
from mmud.dataset.fingerprint import fingerprint_of
from mmud.dataset.schema import record_batch, schema
from mmud.dataset.store import Dataset
from mmud.dataset.writer import DatasetWriter, write_dataset
from mmud.errors import MmudError
from mmud.records import ImageReference, MaskedObject, Sample


def make_samples(count: int, prefix: str = "s") -> Iterator[Sample]:
    generator = np.random.default_rng(7)
    for number in range(count):
        array = generator.random((6, 8)) < 0.4
        objects = [
            MaskedObject(
                phrases=("left one", "the é one"),
                segmentation=Mask.from_array(array).to_record() if part or number % 2 else None,
                polygons=((1.0, 2.0, 3.5, 2.0, 3.5, 4.25),) if part else None,
                bbox=(0.1, 0.2, 3.0, 4.0),
                area=float(array.sum()) + 0.125,
                category="dog",
                category_id=part or None,
                ann_id=number,
            )
            for part in range(number % 4)
        ]
        yield Sample(
            sample_id=f"{prefix}{number}",
            image=ImageReference(bytes=bytes([number % 256]) * 50, path=f"{number}.jpg"),
            width=8,
            height=6,
            source="made" if number % 3 else "other",
            caption="a long caption" * (number % 5),
            question="who?",
            answer="the dog <LCL-1>" if number % 4 else "",
            objects=tuple(objects),
            provenance={"caption": {"by": "test"}} if number % 2 else {},
        )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", {"train": make_samples(70), "valid": make_samples(3, "v")}, shard_rows=30)
    assert list(dataset.samples("train", images=True)) == list(make_samples(70))
    assert [shard.file for shard in dataset.shards("train")] == [
        f"data/train-{i:05d}-of-00003.parquet" for i in range(3)
    ]
    assert len(dataset) == 73
    assert dataset.length("valid") == 3
    expected = list(make_samples(70))
    for index in (0, 29, 30, 31, 69, -1):
        assert dataset.sample("train", index, images=True) == expected[index]
    assert dataset.first(images=True) == expected[0]
    assert dataset.find("v2").sample_id == "v2"
    assert dataset.manifest.counts["by_source"]["other"]["samples"] == 24 + 1
    assert not list(tmp_path.glob("*.partial"))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMUD_CACHE", str(tmp_path / "cache"))


def test_fingerprint_is_of_the_labels_alone(tmp_path: Path) -> None:
    first = write_dataset(tmp_path / "a", {"train": make_samples(900)}, shard_rows=700)
    second = write_dataset(tmp_path / "b", {"train": make_samples(900)}, shard_rows=31, images="link")
    assert first.fingerprint == second.fingerprint
    changed = (
        sample if sample.sample_id != "s5" else sample.model_copy(update={"caption": "x"})
        for sample in make_samples(900)
    )
    assert write_dataset(tmp_path / "c", {"train": changed}).fingerprint != first.fingerprint
    swapped = write_dataset(tmp_path / "e", {"valid": make_samples(900)})
    assert swapped.fingerprint != first.fingerprint


def test_others_open_it(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", {"train": make_samples(9)}, shard_rows=4)
    frame = pd.concat(pd.read_parquet(shard.path) for shard in dataset.shards("train"))
    assert frame["sample_id"].tolist() == [f"s{i}" for i in range(9)]
    assert frame["objects"].map(len).tolist() == [i % 4 for i in range(9)]


def test_a_killed_writer_goes_on(tmp_path: Path) -> None:
    rows = [sample.to_row() for sample in make_samples(8)]
    whole = DatasetWriter(tmp_path / "whole", {"n": 1}, "embed")
    whole.write_part("train", 0, rows[:4])
    whole.write_part("train", 1, rows[4:])
    expected = whole.finish({"train": 2}, [])

    DatasetWriter(tmp_path / "d", {"n": 1}, "embed").write_part("train", 0, rows[:4])
    journal = tmp_path / "d.partial" / "journal.jsonl"
    journal.write_text(journal.read_text() + '{"split": "train", "ind')
    again = DatasetWriter(tmp_path / "d", {"n": 1}, "embed")
    assert again.done("train", 0)
    assert not again.done("train", 1)
    again.write_part("train", 0, [])
    again.write_part("train", 1, rows[4:])
    got = again.finish({"train": 2}, [])
    assert got.manifest.splits == expected.manifest.splits
    assert got.fingerprint == expected.fingerprint

    DatasetWriter(tmp_path / "e", {"n": 1}, "embed").write_part("train", 0, rows[:4])
    assert not DatasetWriter(tmp_path / "e", {"n": 2}, "embed").done("train", 0)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    write_dataset(tmp_path / "d", {"train": make_samples(2)})
    with pytest.raises(MmudError, match="MM003"):
        write_dataset(tmp_path / "d", {"train": make_samples(2)})
    write_dataset(tmp_path / "d", {"train": make_samples(3)}, force=True)
    assert len(Dataset(tmp_path / "d")) == 3


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[Sample]:
        yield from make_samples(5)
        raise RuntimeError("source broke")

    with pytest.raises(RuntimeError):
        write_dataset(tmp_path / "d", {"train": broken()}, shard_rows=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (lambda folder: (folder / "mmud.json").unlink(), "MM102"),
        (lambda folder: (folder / "mmud.json").write_text("{"), "MM103"),
        (lambda folder: (folder / "mmud.json").write_text("[]"), "MM103"),
        (lambda folder: _edit(folder, format_version=99), "MM103"),
        (
            lambda folder: _edit(
                folder, splits={"a": {"samples": 1, "shards": [{"file": "../x", "rows": 1, "sha256": ""}]}}
            ),
            "MM103",
        ),
        (lambda folder: (folder / "data/train-00000-of-00001.parquet").unlink(), "MM104"),
        (lambda folder: (folder / "data/train-00000-of-00001.parquet").write_bytes(b"PAR1"), "MM106"),
        (lambda folder: pd.DataFrame({"a": [1]}).to_parquet(folder / "data/train-00000-of-00001.parquet"), "MM107"),
    ],
)
def test_damage_is_named(tmp_path: Path, damage: object, code: str) -> None:
    write_dataset(tmp_path / "d", {"train": make_samples(5)})
    damage(tmp_path / "d")  # type: ignore[operator]
    with pytest.raises(MmudError, match=code):
        list(Dataset(tmp_path / "d").samples())


def _edit(folder: Path, **changes: object) -> None:
    data = json.loads((folder / "mmud.json").read_text())
    (folder / "mmud.json").write_text(json.dumps({**data, **changes}))


TEXTS = st.text(st.characters(codec="utf-8"), max_size=5)
FLOATS = st.floats(allow_nan=False)
OBJECTS = st.fixed_dictionaries(
    {
        "phrases": st.lists(TEXTS, max_size=3),
        "segmentation": st.none()
        | st.fixed_dictionaries({"size": st.lists(st.integers(1, 9), min_size=2, max_size=2), "counts": TEXTS}),
        "polygons": st.none() | st.lists(st.lists(FLOATS | st.integers(-9, 9), max_size=4), max_size=3),
        "bbox": st.lists(FLOATS, min_size=4, max_size=4),
        "area": FLOATS,
        "category": TEXTS,
        "category_id": st.none() | st.integers(-(2**63), 2**63 - 1),
        "iscrowd": st.booleans(),
        "ref_id": st.none() | st.integers(0, 9),
        "ann_id": st.none() | st.integers(0, 9),
    }
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "sample_id": TEXTS,
            "image": st.fixed_dictionaries({"bytes": st.none() | st.binary(max_size=4), "path": st.none() | TEXTS}),
            "width": st.integers(1, 9),
            "height": st.integers(1, 9),
            **dict.fromkeys(
                ("source", "source_image_id", "caption", "question", "answer", "license", "provenance"), TEXTS
            ),
            "objects": st.lists(OBJECTS, max_size=3),
        }
    ),
    max_size=5,
)


@given(ROWS)
def test_columns_one_by_one_are_what_pyarrow_makes_of_rows(rows: list[dict[str, Any]]) -> None:
    expected = pa.RecordBatch.from_pylist(rows, schema=schema())
    found = record_batch(rows)
    assert found.equals(expected, check_metadata=True)
    found.validate(full=True)


@given(ROWS, st.integers(0, 5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
def test_what_went_by_while_writing_has_the_fingerprint_and_the_card_of_what_is_read(
    tmp_path: Path, rows: list[dict[str, Any]], cut: int
) -> None:
    shutil.rmtree(tmp_path / "d", ignore_errors=True)
    writer = DatasetWriter(tmp_path / "d", {"rows": len(rows)}, "link")
    for index, part in enumerate((rows[:cut], rows[cut:])):
        writer.write_part("train", index, part)
    written = writer.finish({"train": 2}, [])
    assert written.fingerprint == fingerprint_of(written)
    assert (written.path / "README.md").read_text("utf-8") == render_card(written)


def test_shards_that_come_out_of_order_are_read_again(tmp_path: Path) -> None:
    rows = [sample.to_row() for sample in make_samples(8)]
    prints = []
    for name, order in (("a", (0, 1)), ("b", (1, 0))):
        writer = DatasetWriter(tmp_path / name, {"n": 1}, "link")
        for index in order:
            writer.write_part("train", index, rows[4 * index : 4 * index + 4])
        prints.append(writer.finish({"train": 2}, []).fingerprint)
    assert prints[0] == prints[1] == fingerprint_of(Dataset(tmp_path / "a"))
