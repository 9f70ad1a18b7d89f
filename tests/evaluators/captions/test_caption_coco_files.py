"""The readers of COCO's caption files: real files, and each way in which such a file can be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmud.errors import ExitCode, MmudError
from mmud.evaluators.captions.coco_files import read_references, read_results
from mmud.evaluators.captions.score import score_captions

GOOD = {
    "images": [{"id": 7}, {"id": "b"}],
    "annotations": [
        {"image_id": 7, "id": 1, "caption": "A dog."},
        {"image_id": "b", "id": 2, "caption": "A cat."},
        {"image_id": "7", "id": 3, "caption": "One dog."},
    ],
}


def write(folder: Path, content: Any) -> Path:
    path = folder / "file.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def refused(code: str, read: Any, path: Path) -> MmudError:
    with pytest.raises(MmudError) as caught:
        read(path)
    assert caught.value.code.id == code, caught.value
    assert caught.value.where.file == str(path)
    return caught.value


def test_references_are_grouped_by_image(tmp_path: Path) -> None:
    assert read_references(write(tmp_path, GOOD)) == {"7": ["A dog.", "One dog."], "b": ["A cat."]}


def test_results_are_read(tmp_path: Path) -> None:
    entries = [{"image_id": 7, "caption": "A dog."}, {"image_id": "b", "caption": ""}]
    assert read_results(write(tmp_path, entries)) == {"7": "A dog.", "b": ""}


@pytest.mark.data
def test_real_files(shared_data: Path) -> None:
    """The references of val2017, and a results file that lacks 11 of its images."""
    references = read_references(shared_data / "captions" / "captions_val2017.json")
    assert len(references) == 5000
    assert sum(map(len, references.values())) == 25_014
    results = read_results(shared_data / "captions" / "captions_val2017_constant_aaa_results.json")
    assert len(results) == 4989
    with pytest.raises(MmudError) as caught:
        score_captions(references, results)
    assert caught.value.code.id == "MM850"
    assert caught.value.exit_code == ExitCode.PREDICTIONS
    assert "11 of 5000" in caught.value.message
    assert score_captions(references, results, missing="empty").metrics["cider_d"] < 0.01


@pytest.mark.parametrize("text", ["", "{", "[1,", '{"annotations": [}', "\ufeff[]x"])
def test_what_is_not_json(tmp_path: Path, text: str) -> None:
    refused("MM858", read_references, write(tmp_path, text))
    refused("MM858", read_results, write(tmp_path, text))


def test_what_is_not_text_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "binary.json"
    path.write_bytes(b"\x80\x81")
    refused("MM858", read_results, path)
    refused("MM002", read_results, tmp_path / "none.json")
    refused("MM858", read_results, tmp_path)


def test_json_that_nests_without_end(tmp_path: Path) -> None:
    refused("MM858", read_results, write(tmp_path, "[" * 200_000))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_none(tmp_path: Path, number: str) -> None:
    refused("MM858", read_results, write(tmp_path, f'[{{"image_id": {number}, "caption": "a"}}]'))
    refused("MM858", read_references, write(tmp_path, f'{{"annotations": [{{"image_id": 1, "caption": {number}}}]}}'))


@pytest.mark.parametrize("content", [[], "text", 3, None, {"images": []}, {"annotations": {}}])
def test_references_of_another_form(tmp_path: Path, content: Any) -> None:
    refused("MM858", read_references, write(tmp_path, json.dumps(content)))


@pytest.mark.parametrize("content", [{}, GOOD, "text", 3, None])
def test_results_of_another_form(tmp_path: Path, content: Any) -> None:
    refused("MM858", read_results, write(tmp_path, json.dumps(content)))


@pytest.mark.parametrize(
    "entry",
    [
        "a caption",
        None,
        {"caption": "a"},
        {"image_id": 1},
        {"image_id": 1, "caption": None},
        {"image_id": 1, "caption": ["a"]},
        {"image_id": 1, "caption": 3},
        {"image_id": None, "caption": "a"},
        {"image_id": 1.0, "caption": "a"},
        {"image_id": True, "caption": "a"},
        {"image_id": [1], "caption": "a"},
    ],
)
def test_entries_that_are_no_captions(tmp_path: Path, entry: Any) -> None:
    good = {"image_id": 0, "caption": "a"}
    assert refused("MM853", read_results, write(tmp_path, [good, entry])).where.row == 1
    assert refused("MM853", read_references, write(tmp_path, {"annotations": [good, entry]})).where.row == 1


def test_two_captions_of_one_image(tmp_path: Path) -> None:
    entries = [{"image_id": 7, "caption": "a"}, {"image_id": "7", "caption": "b"}]
    error = refused("MM852", read_results, write(tmp_path, entries))
    assert error.where.sample == "7"
    assert error.exit_code == ExitCode.PREDICTIONS


def test_images_without_captions_and_captions_without_images(tmp_path: Path) -> None:
    refused("MM854", read_references, write(tmp_path, GOOD | {"images": [*GOOD["images"], {"id": 9}]}))
    refused("MM858", read_references, write(tmp_path, GOOD | {"images": [{"id": 7}]}))
    refused("MM858", read_references, write(tmp_path, GOOD | {"images": {}}))
    refused("MM858", read_references, write(tmp_path, GOOD | {"images": [7]}))
    refused("MM854", read_references, write(tmp_path, {"annotations": []}))
