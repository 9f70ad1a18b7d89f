"""The card and the Croissant metadata, read back by those who are to read them: PyYAML, Hugging Face datasets, mlcroissant."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from mmud.annotations.masks import Mask
from mmud.dataset.card import render_card
from mmud.dataset.contents import look
from mmud.dataset.croissant import Publication, croissant
from mmud.dataset.fields import COLUMN_NOTES, OBJECT_NOTES
from mmud.dataset.schema import COLUMNS, schema
from mmud.dataset.source_facts import FACTS
from mmud.dataset.store import Dataset
from mmud.dataset.writer import DatasetWriter, write_dataset
from mmud.records import ImageReference, MaskedObject, Sample


def made(count: int, prefix: str, sources: tuple[str, ...] = ("refcoco", "refclef")) -> Iterator[Sample]:
    generator = np.random.default_rng(len(prefix))
    for number in range(count):
        pixels = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG")
        objects = tuple(
            MaskedObject(
                phrases=("the left one",) * (part % 3),
                segmentation=Mask.full(6, 8).to_record() if part else None,
                polygons=((0.0, 0.0, 4.0, 0.0, 4.0, 4.0),) if part == 2 else None,
                bbox=(0.0, 0.0, 8.0, 6.0),
                area=48.0,
                category="dog",
                ann_id=part or None,
            )
            for part in range(number % 4)
        )
        yield Sample(
            sample_id=f"{prefix}{number}",
            image=ImageReference(bytes=stream.getvalue(), path=f"{number}.png"),
            width=8,
            height=6,
            source=sources[number % len(sources)],
            source_image_id=str(number),
            caption="a dog" if number % 2 else "",
            question="which one barks?" if number % 3 else "",
            answer="the dog <LCL-1>" if number % 6 else "",
            objects=objects,
            license="CC BY" if number % 5 else "",
        )


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    splits = {"train": made(12, "a"), "valid": made(3, "b"), "test": made(2, "c")}
    return write_dataset(tmp_path / "pets", splits, shard_rows=5)


def _header(card: str) -> dict[str, object]:
    _, text, _ = card.split("---\n", 2)
    return yaml.safe_load(text)  # type: ignore[no-any-return]


def test_every_new_dataset_has_its_card(dataset: Dataset) -> None:
    assert (dataset.path / "README.md").read_text("utf-8") == render_card(dataset)


def test_the_header_is_what_hubs_read(dataset: Dataset) -> None:
    header = _header(render_card(dataset))
    assert header["pretty_name"] == "pets"
    assert header["license"] == "other"
    assert header["size_categories"] == ["n<1K"]
    assert set(header["task_categories"]) == {  # type: ignore[arg-type]
        "image-segmentation",
        "visual-question-answering",
        "image-to-text",
        "text-to-image",
    }
    assert header["configs"] == [
        {
            "config_name": "default",
            "data_files": [{"split": name, "path": f"data/{name}-*.parquet"} for name in ("train", "valid", "test")],
        }
    ]


def test_tasks_without_labels_are_not_claimed(tmp_path: Path) -> None:
    sample = Sample(sample_id="a", width=9, height=9, source="scenes", objects=(MaskedObject(phrases=("x",)),))
    header = _header(render_card(write_dataset(tmp_path / "d", {"train": [sample]})))
    assert header["task_categories"] == ["image-segmentation"]
    assert header["license"] == "mit"
    assert "captioning" not in header["tags"]  # type: ignore[operator]
    assert "task_categories" not in _header(render_card(write_dataset(tmp_path / "e", {"train": []})))


def test_counts_are_those_of_the_samples(dataset: Dataset) -> None:
    contents = look(dataset)
    samples = [(split, sample) for split in dataset.splits for sample in dataset.samples(split)]
    for split in dataset.splits:
        for source in ("refcoco", "refclef"):
            own = [sample for name, sample in samples if (name, sample.source) == (split, source)]
            found = contents.counts[split, source]
            assert found["samples"] == len(own)
            assert found["objects"] == sum(len(sample.objects) for sample in own)
            assert found["phrases"] == sum(len(item.phrases) for sample in own for item in sample.objects)
            assert found["captions"] == found["generation"] == sum(bool(sample.caption) for sample in own)
            assert found["reasoning_segmentation"] == sum(
                bool(sample.question) and "<LCL-" in sample.answer for sample in own
            )
            assert found["referring_segmentation"] == sum(
                any(item.phrases for item in sample.objects) for sample in own
            )
    for source, licenses in contents.licenses.items():
        own_licenses = [sample.license for _, sample in samples if sample.source == source]
        assert licenses == {name: own_licenses.count(name) for name in set(own_licenses)}
    assert "| **train** |  | 12 |" in render_card(dataset)


def test_sources_are_credited(tmp_path: Path) -> None:
    names = tuple(FACTS)
    described = [
        {
            "name": "refcoco",
            "title": "RefCOCO | unc",
            "license": "somebody's terms",
            "citation": "@misc{mine}",
            "files": {"refs(unc).p": "ab" * 32},
        }
    ]
    dataset = write_dataset(tmp_path / "d", {"train": made(14, "a", names)}, sources=described)
    card = render_card(dataset)
    for facts in FACTS.values():
        assert facts.title in card
        for reference in facts.references:
            assert card.count(f"{{{reference.key},") == 1
    assert "somebody's terms" in card
    assert "@misc{mine}" in card
    assert f"- `refs(unc).p` sha256 `{'ab' * 32}`" in card
    assert "RefCOCO \\| unc" in card
    assert "| refcoco | CC BY |" in card


def test_linked_images_are_announced(tmp_path: Path) -> None:
    embedded = write_dataset(tmp_path / "d", {"train": made(3, "a")})
    linked = write_dataset(tmp_path / "e", {"train": made(3, "a")}, images="link")
    assert "images are not in this folder" in render_card(linked)
    assert "images are not in this folder" not in render_card(embedded)


def test_a_card_given_takes_its_place(tmp_path: Path) -> None:
    writer = DatasetWriter(tmp_path / "d", {}, "embed")
    writer.write_part("train", 0, [sample.to_row() for sample in made(2, "a")])
    finished = writer.finish({"train": 1}, [], files={"README.md": "mine\n"})
    assert (finished.path / "README.md").read_text() == "mine\n"


@pytest.mark.parametrize("name", ['a "b": c', "x | y", "日本", "- a\n- b"])
def test_strange_names(tmp_path: Path, name: str) -> None:
    dataset = write_dataset(tmp_path / "d", {"train": made(2, "a")}, name=name)
    assert _header(render_card(dataset))["pretty_name"] == name


def test_every_column_is_explained() -> None:
    assert tuple(COLUMN_NOTES) == COLUMNS
    fields = schema().field("objects").type.value_type
    assert tuple(OBJECT_NOTES) == tuple(fields.field(i).name for i in range(fields.num_fields))


# -- Hugging Face datasets ----------------------------------------------------------------------------------------------

_LOAD = """
import json, sys
from datasets import load_dataset
loaded = load_dataset(sys.argv[1], cache_dir=sys.argv[2])
report = {
    split: [[row["sample_id"], list(row["image"].size), row["image"].getpixel((3, 2)), row["answer"],
             [[item["segmentation"], item["polygons"], item["bbox"], item["phrases"]] for item in row["objects"]]]
            for row in rows]
    for split, rows in loaded.items()
}
print(json.dumps(report))
"""


def test_datasets_opens_the_folder(dataset: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    cache = tmp_path / "cache"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(cache)}
    # A process of its own: datasets reads these variables once, when it is imported.
    done = subprocess.run(
        [sys.executable, "-c", _LOAD, str(dataset.path), str(cache)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert list(report) == ["train", "valid", "test"]
    for split, rows in report.items():
        expected = list(dataset.samples(split, images=True))
        assert len(rows) == len(expected)
        for (sample_id, size, pixel, answer, objects), sample in zip(rows, expected, strict=True):
            image = Image.open(io.BytesIO(sample.image_bytes()))
            assert (sample_id, tuple(size), tuple(pixel), answer) == (
                sample.sample_id,
                image.size,
                image.getpixel((3, 2)),
                sample.answer,
            )
            rows_ = [item.to_row() for item in sample.objects]
            assert objects == [[row[n] for n in ("segmentation", "polygons", "bbox", "phrases")] for row in rows_]


# -- Croissant ----------------------------------------------------------------------------------------------------------

PUBLICATION = Publication("https://example.org/pets", "Somebody", "2026-01-02")


def test_croissant_lists_every_shard_and_column(dataset: Dataset) -> None:
    document = croissant(dataset, PUBLICATION)
    files = {entry["@id"]: entry for entry in document["distribution"] if entry["@type"] == "cr:FileObject"}
    shards = [shard for split in dataset.manifest.splits.values() for shard in split.shards]
    assert {name: entry["sha256"] for name, entry in files.items()} == {shard.file: shard.sha256 for shard in shards}
    for name, entry in files.items():
        assert entry["contentSize"] == f"{(dataset.path / name).stat().st_size} B"
    samples = next(entry for entry in document["recordSet"] if entry["@id"] == "samples")
    assert [entry["name"] for entry in samples["field"]] == ["split", *COLUMNS]
    for required in (
        "@context",
        "@type",
        "conformsTo",
        "description",
        "license",
        "name",
        "url",
        "creator",
        "datePublished",
    ):
        assert document[required]
    assert json.loads(json.dumps(document)) == document
    assert Publication().missing == ["url", "creator", "date"]


def test_mlcroissant_reads_it(dataset: Dataset) -> None:
    mlcroissant = pytest.importorskip("mlcroissant", reason="MLCommons' reader is not installed")
    (dataset.path / "croissant.json").write_text(json.dumps(croissant(dataset, PUBLICATION)), "utf-8")
    read = mlcroissant.Dataset(jsonld=dataset.path / "croissant.json")
    assert not read.metadata.ctx.issues.errors
    assert not read.metadata.ctx.issues.warnings
    records = {record["samples/sample_id"].decode(): record for record in read.records("samples")}
    assert len(records) == len(dataset)
    for split in dataset.splits:
        for sample in dataset.samples(split):
            record = records[sample.sample_id]
            assert record["samples/split"].decode() == split
            assert record["samples/caption"].decode() == sample.caption
            assert record["samples/image"].size == (sample.width, sample.height)
            if sample.objects:
                found = [entry["samples/objects/segmentation_counts"] for entry in record["samples/objects"]]
                assert [None if text is None else text.decode() for text in found] == [
                    item.segmentation.counts if item.segmentation else None for item in sample.objects
                ]
