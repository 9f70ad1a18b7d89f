"""LLaVA conversations: what its loader asks of a row, and every text and mask of the dataset in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from exporter_samples import HOSTILE_IDS

from mmud.annotations import tags
from mmud.annotations.masks import Mask
from mmud.dataset.exporters.runner import Request, run_export
from mmud.dataset.store import Dataset
from mmud.records import Task


def _rows(folder: Path, split: str) -> dict[tuple[str, str], dict[str, Any]]:
    rows = json.loads((folder / f"llava_{split}.json").read_text("utf-8"))
    found = {tuple(row["id"].rsplit("/", 1)): row for row in rows}
    assert len(found) == len(rows)
    return found  # type: ignore[return-value]


def test_rows_are_what_the_loader_takes(mixed: Dataset, tmp_path: Path) -> None:
    run_export(mixed, "llava", tmp_path / "out")
    for split in mixed.splits:
        for row in _rows(tmp_path / "out", split).values():
            speakers = [turn["from"] for turn in row["conversations"]]
            assert speakers == ["human", "gpt"] * (len(speakers) // 2)
            assert speakers
            assert all(turn["value"].strip() for turn in row["conversations"])
            # One image token, in the first question, exactly where the row has an image.
            tokens = [turn["value"].count("<image>") for turn in row["conversations"]]
            assert tokens == [int("image" in row)] + [0] * (len(tokens) - 1)
            if "image" in row:
                assert (tmp_path / "out" / "images" / row["image"]).is_file()


def test_every_text_and_mask_is_there(mixed: Dataset, tmp_path: Path) -> None:
    report = run_export(mixed, "llava", tmp_path / "out")
    for split in mixed.splits:
        rows = _rows(tmp_path / "out", split)
        for sample in mixed.samples(split):
            own = {task: rows.get((sample.sample_id, task)) for task in Task}
            if sample.caption:
                assert own[Task.CAPTIONING]["conversations"][1]["value"] == sample.caption  # type: ignore[index]
                generation = own[Task.GENERATION]
                assert generation is not None
                assert sample.caption in generation["conversations"][0]["value"]
                assert "image" not in generation
                assert (tmp_path / "out" / "images" / generation["target_image"]).is_file()
            if sample.question and sample.answer:
                turns = own[Task.REASONING_SEGMENTATION]["conversations"]  # type: ignore[index]
                assert turns[0]["value"] == f"<image>\n{sample.question}"
                assert turns[1]["value"] == sample.answer
                _check_objects(own[Task.REASONING_SEGMENTATION], tags.indices(sample.answer), sample)
            asked = {number: list(item.phrases) for number, item in enumerate(sample.objects, 1) if item.phrases}
            if asked:
                row = own[Task.REFERRING_SEGMENTATION]
                assert row is not None
                assert _phrases(row) == asked
                _check_objects(row, list(asked), sample)
    full = len(HOSTILE_IDS)
    lost = {loss["what"]: loss["count"] for loss in report.losses}
    assert lost["objects without a phrase"] == full + 2
    assert lost["questions without an answer, or answers without a question"] == 2
    assert lost["polygons"] == 2 * full + 2
    assert report.counts["captioning conversations"] == report.counts["generation conversations"] == full


def _phrases(row: dict[str, Any]) -> dict[int, list[str]]:
    """Phrases by object number, put together again from the turns."""
    found: dict[int, list[str]] = {}
    turns = row["conversations"]
    for question, answer in zip(turns[::2], turns[1::2], strict=True):
        wanted = question["value"].partition("Segment each of these:\n")[2].split("\n")
        for number, phrase in zip(tags.indices(answer["value"]), wanted, strict=True):
            found.setdefault(number, []).append(phrase)
    return dict(sorted(found.items()))


def _check_objects(row: dict[str, Any] | None, numbers: list[int], sample: Any) -> None:
    assert row is not None
    real = [number for number in numbers if number <= len(sample.objects)]
    assert sorted(item["tag"] for item in row["objects"]) == sorted(tags.render(number) for number in real)
    for item in row["objects"]:
        (number,) = tags.indices(item["tag"])
        own = sample.objects[number - 1]
        assert tuple(item["bbox"]) == own.bbox
        assert item["category"] == own.category
        if own.segmentation is not None:
            assert Mask.from_coco(item["segmentation"], sample.height, sample.width) == Mask.of(own.segmentation)


def test_tasks_are_chosen(mixed: Dataset, tmp_path: Path) -> None:
    request = Request(tasks=(Task.CAPTIONING,), images="none")
    report = run_export(mixed, "llava", tmp_path / "out", request)
    assert dict(report.counts) == {"captioning conversations": len(HOSTILE_IDS)}
    assert not (tmp_path / "out" / "images").exists()
