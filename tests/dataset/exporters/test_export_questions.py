"""The participants' half: what each task gives is there, and no label is, in any form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from exporter_samples import HOSTILE_IDS, picture

from mmud.annotations.masks import Mask
from mmud.baselines.floors.labels import Oracle
from mmud.baselines.inputs import open_inputs
from mmud.baselines.predicting import write_predictions
from mmud.dataset.exporters.runner import Request, run_export
from mmud.dataset.store import Dataset
from mmud.dataset.writer import write_dataset
from mmud.evaluators.evaluation import evaluate
from mmud.evaluators.submissions.expectations import expectations
from mmud.records import ImageReference, MaskedObject, Sample, Task

IMAGE_TASKS = (Task.REFERRING_SEGMENTATION, Task.REASONING_SEGMENTATION, Task.CAPTIONING)


def _rows(folder: Path, split: str, task: Task) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / split / f"{task}.jsonl").read_text("utf-8").splitlines()]


def test_each_task_gets_what_it_needs(mixed: Dataset, tmp_path: Path) -> None:
    report = run_export(mixed, "questions", tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "questions.json").read_text())
    assert manifest["dataset_fingerprint"] == mixed.fingerprint
    assert set(manifest["tasks"]) == set(Task)
    for split in mixed.splits:
        samples = {sample.sample_id: sample for sample in mixed.samples(split, images=True)}
        for task in Task:
            rows = _rows(tmp_path / "out", split, task)
            assert len(rows) == manifest["splits"][split]["questions"][task]
            for row in rows:
                sample = samples[row["sample_id"]]
                assert (row["width"], row["height"]) == (sample.width, sample.height)
                if task is not Task.GENERATION:
                    assert (tmp_path / "out" / row["image"]).read_bytes() == sample.image.bytes
        referring = {row["sample_id"]: row for row in _rows(tmp_path / "out", split, Task.REFERRING_SEGMENTATION)}
        assert set(referring) == {name for name, sample in samples.items() if sample.objects}
        for name, row in referring.items():
            assert [tuple(item["phrases"]) for item in row["objects"]] == [o.phrases for o in samples[name].objects]
        questions = {
            row["sample_id"]: row["question"] for row in _rows(tmp_path / "out", split, Task.REASONING_SEGMENTATION)
        }
        assert questions == {
            sample.sample_id: sample.question for sample in samples.values() if sample.question and sample.answer
        }
        captions = {row["sample_id"]: row["caption"] for row in _rows(tmp_path / "out", split, Task.GENERATION)}
        assert captions == {sample.sample_id: sample.caption for sample in samples.values() if sample.caption}
    assert [finding.code.id for finding in report.findings] == ["MM783"]
    assert manifest["leaks"]


def test_no_label_is_given(mixed: Dataset, tmp_path: Path) -> None:
    report = run_export(mixed, "questions", tmp_path / "out", Request(tasks=IMAGE_TASKS))
    assert report.findings == []
    secrets = set()
    for split in mixed.splits:
        for sample in mixed.samples(split):
            secrets |= {sample.caption, sample.answer, *(item.category for item in sample.objects)}
            secrets |= {
                item.segmentation.counts
                for item in sample.objects
                if item.segmentation and len(item.segmentation.counts) > 6
            }
            secrets |= {str(item.ann_id) for item in sample.objects if item.ann_id and item.ann_id > 9999}
            secrets |= {(sample.image.path or "").rpartition("\\")[2].partition(".")[0]}
    # Short or common words stand in the files for other reasons.
    secrets -= {"", "box", "ring", "dog", "cat", *map(str, range(20))}
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file() and path.suffix in (".json", ".jsonl"):
            text = path.read_text("utf-8")
            assert not [secret for secret in secrets if json.dumps(secret, ensure_ascii=False)[1:-1] in text], path
    blind = Dataset(tmp_path / "out" / "dataset")
    assert blind.splits == mixed.splits
    for split in mixed.splits:
        for hidden, sample in zip(blind.samples(split, images=True), mixed.samples(split, images=True), strict=True):
            assert hidden.sample_id == sample.sample_id
            assert hidden.question == sample.question
            assert hidden.image.bytes == sample.image.bytes
            assert [item.phrases for item in hidden.objects] == [item.phrases for item in sample.objects]
            assert (hidden.caption, hidden.answer, hidden.provenance, hidden.source_image_id) == ("", "", {}, "")
            for item in hidden.objects:
                assert item == type(item)(phrases=item.phrases)


def test_generation_alone_comes_without_images(mixed: Dataset, tmp_path: Path) -> None:
    report = run_export(mixed, "questions", tmp_path / "out", Request(tasks=(Task.GENERATION,)))
    assert report.findings == []
    assert not (tmp_path / "out" / "images").exists()
    blind = Dataset(tmp_path / "out" / "dataset")
    rows = _rows(tmp_path / "out", "train", Task.GENERATION)
    assert len(rows) == len(HOSTILE_IDS)
    assert [row["caption"] for row in rows] == [sample.caption for sample in mixed.samples("train")]
    for hidden in blind.samples("train", images=True):
        assert hidden.image.bytes is None
        assert hidden.caption
        assert (hidden.question, hidden.objects) == ("", ())


@pytest.mark.parametrize("task", IMAGE_TASKS)
def test_one_task_gives_no_more_than_its_own(mixed: Dataset, tmp_path: Path, task: Task) -> None:
    run_export(mixed, "questions", tmp_path / "out", Request(tasks=(task,), options={"dataset": "no"}))
    assert not (tmp_path / "out" / "dataset").exists()
    files = {path.name for path in (tmp_path / "out" / "train").iterdir()}
    assert files == {f"{task}.jsonl"}


@pytest.mark.parametrize("split", ["train", "valid"])
def test_what_is_asked_is_what_is_scored(mixed: Dataset, tmp_path: Path, split: str) -> None:
    """The scorer's own list of what a submission must hold, from the labels and from the questions."""
    run_export(mixed, "questions", tmp_path / "out")
    asked, scored = expectations(tmp_path / "out", split), expectations(mixed.path, split)
    assert asked.fingerprint == scored.fingerprint
    for task in Task:
        assert dict(asked.tasks[task]) == dict(scored.tasks[task]), task


@pytest.fixture
def half_named(tmp_path: Path) -> Dataset:
    """Phrases for some objects of train, for none of test, as where plain COCO is a split; and labels that are not whole."""
    mask = Mask.full(4, 6).to_record()

    def samples(split: str, named: bool) -> Iterator[Sample]:
        for number in range(6):
            objects = [
                MaskedObject(segmentation=mask, category="dog", phrases=("the dog",) if named and number else ())
            ]
            objects.append(MaskedObject(segmentation=mask if number != 3 else None, category="cat"))
            yield Sample(
                sample_id=f"{split}{number}",
                width=6,
                height=4,
                source="made",
                image=ImageReference(bytes=picture(number, 6, 4), path=f"{split}{number}.png"),
                caption="a dog and a cat" if number != 1 else " ",
                question="What barks?" if number != 2 else "",
                answer="The dog <LCL-1> does." if number != 4 else "",
                objects=tuple(objects) if number != 5 else (),
            )

    return write_dataset(tmp_path / "half", {"train": samples("train", True), "test": samples("test", False)})


@pytest.mark.parametrize("split", ["train", "test"])
def test_evaluate_requires_what_was_asked(half_named: Dataset, tmp_path: Path, split: str) -> None:
    """The questions, the list that a submission is checked by, and the rows that are scored, are of the same samples."""
    run_export(half_named, "questions", tmp_path / "out")
    folder = write_predictions(tmp_path / "p", half_named, Oracle(), split=split, tasks=IMAGE_TASKS)
    rows = evaluate(folder, half_named, split=split).rows.table.select(["task", "sample_id"]).to_pylist()
    assert {row["task"] for row in rows} == set(IMAGE_TASKS)
    for task in IMAGE_TASKS:
        asked = {row["sample_id"] for row in _rows(tmp_path / "out", split, task)}
        scored = {row["sample_id"] for row in rows if row["task"] == task}
        assert asked == scored == set(expectations(half_named.path, split).tasks[task])
        given, wanted = expectations(tmp_path / "out", split), expectations(half_named.path, split)
        assert dict(given.tasks[task]) == dict(wanted.tasks[task])
    referring = {
        row["sample_id"]: row["objects"] for row in _rows(tmp_path / "out", split, Task.REFERRING_SEGMENTATION)
    }
    phrases = {tuple(item["phrases"]) for objects in referring.values() for item in objects}
    assert phrases == ({("the dog",), ()} if split == "train" else {("dog",), ("cat",)})
    assert (f"{split}0" in referring) == (split == "test")


def test_a_split_without_phrases_can_be_answered_from_its_questions(half_named: Dataset, tmp_path: Path) -> None:
    run_export(half_named, "questions", tmp_path / "out")
    task = Task.REFERRING_SEGMENTATION
    given = open_inputs(tmp_path / "out", "test").samples(task, images=False, labels=False)
    from_labels = open_inputs(half_named.path, "test").samples(task, images=False, labels=False)
    assert [sample.objects for _, sample in given] == [sample.objects for _, sample in from_labels]
    blind = Dataset(tmp_path / "out" / "dataset")
    assert {item.phrases for sample in blind.samples("test") for item in sample.objects} == {("dog",), ("cat",)}
