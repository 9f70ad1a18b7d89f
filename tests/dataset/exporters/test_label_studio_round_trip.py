"""Label Studio there and back: nothing is lost without edits, edits come back, and what is foreign is refused or reported.

Edits are made in the JSON as Label Studio's own front end makes them (documented result format); brushes that its SDK draws are
read where the SDK is installed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exporter_samples import HOSTILE_IDS, full_sample
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmud.annotations.masks import Mask
from mmud.cli import run
from mmud.dataset.exporters.brush import brush_mask, brush_rle
from mmud.dataset.exporters.runner import Request, run_export
from mmud.dataset.store import Dataset
from mmud.dataset.writer import write_dataset
from mmud.records import Sample

Tasks = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMUD_CACHE", str(tmp_path / "cache"))


def as_label_studio(task: dict[str, Any], number: int) -> dict[str, Any]:
    """A task as Label Studio's own export holds it: its keys around ours, its numbers through its own arithmetic."""
    for annotation in task["annotations"]:
        annotation |= {"id": number, "completed_by": {"id": 3, "email": "ann@example.org"}, "was_cancelled": False}
        annotation |= {"created_at": "2026-11-24T07:00:00Z", "updated_at": "2026-11-24T08:00:00Z", "lead_time": 3.5}
        for result in annotation["result"]:
            value = result["value"]
            for name in ("x", "y", "width", "height"):
                if name in value:
                    value[name] = value[name] / 100 * 731.25 / 731.25 * 100 * (1 + 1e-13)
            if "points" in value:
                value["points"] = [[x / 100 * 731.25 / 731.25 * 100, y * (1 + 1e-13)] for x, y in value["points"]]
    return {"id": number, "drafts": [], "predictions": [], "meta": {}, "project": 1, **task}


def exported(dataset: Dataset, folder: Path) -> list[Path]:
    """The dataset's tasks, one file a split, as Label Studio gives them back."""
    run_export(dataset, "label-studio", folder, Request(images="none"))
    files = sorted(folder.glob("tasks_*.json"))
    for file in files:
        tasks = json.loads(file.read_text("utf-8"))
        text = json.dumps([as_label_studio(task, number) for number, task in enumerate(tasks)])
        file.write_text(text, "utf-8")
    return files


def imported(dataset: Dataset, files: list[Path], output: Path, *options: str, code: int = 0) -> Dataset:
    kept = ["--images", dataset.manifest.images]
    command = ["build", "label-studio", *map(str, files), "--data", str(dataset.path), *kept, "-o", str(output), "-q"]
    assert run([*command, *options]) == code
    return Dataset(output)


def found_codes(dataset: Dataset) -> list[str]:
    lines = (dataset.path / "findings.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line)["code"] for line in lines]


def test_nothing_is_lost_without_edits(mixed: Dataset, tmp_path: Path) -> None:
    made = imported(mixed, exported(mixed, tmp_path / "ls"), tmp_path / "back")
    assert made.fingerprint == mixed.fingerprint
    assert {split: made.length(split) for split in made.splits} == {
        split: mixed.length(split) for split in mixed.splits
    }
    assert list(made.samples()) == list(mixed.samples())
    pairs = zip(made.samples(images=True), mixed.samples(images=True), strict=True)
    assert all(one.image.bytes == other.image.bytes for one, other in pairs)
    assert found_codes(made) == []


@pytest.mark.data
def test_nothing_of_real_images_is_lost(coco_mini: Dataset, tmp_path: Path) -> None:
    made = imported(coco_mini, exported(coco_mini, tmp_path / "ls"), tmp_path / "back")
    assert made.fingerprint == coco_mini.fingerprint
    assert list(made.samples(images=True)) == list(coco_mini.samples(images=True))


@pytest.fixture
def one(tmp_path: Path) -> Dataset:
    samples = [full_sample(number, f"s{number}") for number in range(3)]
    return write_dataset(tmp_path / "data", {"train": samples}, sources=[{"name": "made"}])


Edit = Callable[[dict[str, Any]], None]


def edited(dataset: Dataset, tmp_path: Path, edit: Edit, **options: Any) -> tuple[Sample, Sample, list[str]]:
    """The second sample before and after an edit of its task, and the codes that were met; no other sample may change."""
    files = exported(dataset, tmp_path / "ls")
    tasks = json.loads(files[0].read_text("utf-8"))
    edit(tasks[1])
    files[0].write_text(json.dumps(tasks), "utf-8")
    made = imported(dataset, files, tmp_path / "back", **options)
    before, after = list(dataset.samples()), list(made.samples())
    assert (after[0], after[2]) == (before[0], before[2])
    return before[1], after[1], found_codes(made)


def results(task: dict[str, Any], identity: str, kind: str = "") -> Tasks:
    found: Tasks = task["annotations"][0]["result"]
    return [row for row in found if row["id"] == identity and row["type"].startswith(kind)]


def test_an_edited_text_comes_back(one: Dataset, tmp_path: Path) -> None:
    def edit(task: dict[str, Any]) -> None:
        results(task, "caption")[0]["value"]["text"] = ["A new caption.\r\nTwo lines."]
        results(task, "answer")[0]["value"]["text"] = ["The cat <OBJ-2>."]
        task["annotations"][0]["result"].remove(results(task, "question")[0])

    before, after, codes = edited(one, tmp_path, edit)
    assert (after.caption, after.question, after.answer) == ("A new caption.\nTwo lines.", "", "The cat <LCL-2>.")
    assert after.objects == before.objects
    assert codes == []
    record = after.provenance["labels"]["answer"]["edits"][0]
    assert record["by"] == "label-studio ann@example.org"
    assert (record["before"], record["after"]) == (before.answer, after.answer)
    assert record["time"] == "2026-11-24T08:00:00Z"


def test_edited_labels_and_phrases_come_back(one: Dataset, tmp_path: Path) -> None:
    def edit(task: dict[str, Any]) -> None:
        results(task, "o1", "polygon")[0]["value"]["polygonlabels"] = ["cat"]
        results(task, "o3", "brush")[0]["value"]["brushlabels"] = ["a new category"]
        results(task, "o1", "textarea")[0]["value"]["text"] = ["the box on the left", "a second phrase"]
        task["annotations"][0]["result"].remove(results(task, "o3", "textarea")[0])

    before, after, codes = edited(one, tmp_path, edit)
    first, _, third, *_ = after.objects
    # A category of the dataset keeps its id; a new one has none.
    assert (first.category, first.category_id) == ("cat", 17)
    assert (third.category, third.category_id) == ("a new category", None)
    assert first.phrases == ("the box on the left", "a second phrase")
    assert third.phrases == ()
    assert first.polygons == before.objects[0].polygons
    assert first.ref_id == before.objects[0].ref_id
    assert after.objects[1] == before.objects[1]
    assert after.provenance["label_studio"]["changed"] == [
        "object 1: category", "object 1: phrases", "object 3: category", "object 3: phrases"
    ]  # fmt: skip
    assert codes == []


def test_an_edited_mask_comes_back(one: Dataset, tmp_path: Path) -> None:
    drawn = np.zeros((24, 32), bool)
    drawn[3:9, 4:20] = True

    def edit(task: dict[str, Any]) -> None:
        results(task, "o1", "polygon")[0]["value"]["points"][0] = [50.0, 25.0]
        results(task, "o2.2", "polygon")[0]["value"]["points"] = [[0, 0], [50, 0], [50, 50]]
        results(task, "o3", "brush")[0]["value"]["rle"] = brush_rle(Mask.from_array(drawn))
        results(task, "o5", "rectangle")[0]["value"]["width"] = 50.0

    before, after, codes = edited(one, tmp_path, edit)
    old, new = before.objects, after.objects
    assert new[0].polygons == ((16.0, 6.0, *old[0].polygons[0][2:]),)  # type: ignore[index]
    assert new[0].segmentation == Mask.from_polygons(new[0].polygons, 24, 32).to_record()  # type: ignore[arg-type]
    # The part that nobody moved keeps its own numbers.
    assert new[1].polygons == (old[1].polygons[0], (0.0, 0.0, 16.0, 0.0, 16.0, 12.0))  # type: ignore[index]
    assert new[2].segmentation == Mask.from_array(drawn).to_record()
    assert (new[2].bbox, new[2].area) == ((4.0, 3.0, 16.0, 6.0), 96.0)
    assert new[3] == old[3]
    assert new[4].bbox == (1.0, 2.0, 16.0, 8.25)
    assert codes == []


def test_objects_deleted_and_added_renumber_the_tags(one: Dataset, tmp_path: Path) -> None:
    def edit(task: dict[str, Any]) -> None:
        rows = task["annotations"][0]["result"]
        task["annotations"][0]["result"] = [row for row in rows if row["id"].partition(".")[0] != "o1"]
        region = {
            "id": "xYz12",
            "from_name": "polygon",
            "to_name": "image",
            "type": "polygonlabels",
            "origin": "manual",
        }
        region |= {"original_width": 32, "original_height": 24, "image_rotation": 0}
        value = {"points": [[0, 0], [25, 0], [25, 50], [0, 50]], "closed": True, "polygonlabels": ["dog"]}
        task["annotations"][0]["result"].append({**region, "value": value})
        said = {**region, "from_name": "phrases", "type": "textarea", "value": {"text": ["the new one"]}}
        task["annotations"][0]["result"].append(said)
        results(task, "answer")[0]["value"]["text"] = ["The dog <LCL-1> barks; the ring <LCL-3>, the new dog <LCL-6>."]

    before, after, codes = edited(one, tmp_path, edit)
    assert after.objects[:4] == before.objects[1:]
    added = after.objects[4]
    assert (added.category, added.category_id, added.phrases) == ("dog", 18, ("the new one",))
    assert added.polygons == ((0.0, 0.0, 8.0, 0.0, 8.0, 12.0, 0.0, 12.0),)
    assert added.area == 96.0
    assert after.answer == "The dog barks; the ring <LCL-2>, the new dog <LCL-5>."
    assert codes == ["MM796"]


def test_deleting_the_last_object_leaves_no_tag_behind(one: Dataset, tmp_path: Path) -> None:
    def edit(task: dict[str, Any]) -> None:
        rows = task["annotations"][0]["result"]
        task["annotations"][0]["result"] = [row for row in rows if row["id"] in ("o1", "answer", "caption", "question")]

    _, after, codes = edited(one, tmp_path, edit)
    assert len(after.objects) == 1
    assert after.answer == "The dog <LCL-1> barks; the ring is round, and the dog <LCL-1> again."
    assert codes == ["MM796"]


def test_what_is_foreign_is_reported(one: Dataset, tmp_path: Path) -> None:
    def edit(task: dict[str, Any]) -> None:
        task["data"]["colour"] = "blue"
        row = {
            "id": "k",
            "from_name": "points",
            "to_name": "image",
            "type": "keypointlabels",
            "value": {"x": 1, "y": 1},
        }
        orphan = {"id": "gone", "from_name": "phrases", "type": "textarea", "value": {"text": ["x"]}}
        task["annotations"][0]["result"] += [row, orphan]
        results(task, "answer")[0]["value"]["text"] = ["A <LCL-9> and a <LCL 1>."]

    before, after, codes = edited(one, tmp_path, edit)
    assert sorted(codes) == ["MM793", "MM793", "MM793", "MM797"]
    assert after.objects == before.objects


def test_annotations_that_do_not_count(one: Dataset, tmp_path: Path) -> None:
    def several(task: dict[str, Any]) -> None:
        late = json.loads(json.dumps(task["annotations"][0]))
        late["updated_at"] = "2026-12-01T00:00:00Z"
        late["result"] = [row for row in late["result"] if row["id"] != "caption"]
        cancelled = {**late, "was_cancelled": True, "updated_at": "2027-01-01T00:00:00Z", "result": []}
        task["annotations"] = [late, cancelled, task["annotations"][0]]

    _, after, codes = edited(one, tmp_path, several)
    assert (after.caption, codes) == ("", ["MM794"])

    def untouched(task: dict[str, Any]) -> None:
        task["annotations"] = []

    before, after, codes = edited(one, tmp_path / "second", untouched)
    assert (after, codes) == (before, ["MM795"])


@pytest.mark.parametrize(
    ("code", "edit"),
    [
        ("MM792", lambda task: results(task, "o1", "polygon")[0].update(original_width=640)),
        ("MM792", lambda task: results(task, "o1", "polygon")[0].update(image_rotation=90)),
        ("MM792", lambda task: results(task, "o1", "polygon")[0]["value"].update(points=[[1, 2], [3]])),
        ("MM792", lambda task: results(task, "o1", "polygon")[0]["value"].update(points=[[1, 2], [3, 4]])),
        ("MM792", lambda task: results(task, "o1", "polygon")[0]["value"].update(points=[["1", 2]] * 3)),
        ("MM792", lambda task: results(task, "o3", "brush")[0]["value"].update(rle=[1, 2, 3])),
        ("MM792", lambda task: results(task, "o3", "brush")[0]["value"].update(rle=[300])),
        ("MM792", lambda task: results(task, "o3", "brush")[0]["value"].update(rle="AAAA")),
        ("MM792", lambda task: results(task, "o3", "brush")[0]["value"].update(rle=brush_rle(Mask.empty(24, 33)))),
        ("MM792", lambda task: results(task, "o5", "rect")[0]["value"].update(rotation=10)),
        ("MM792", lambda task: results(task, "o5", "rect")[0]["value"].update(width=-1)),
        ("MM792", lambda task: results(task, "o5", "rect")[0].update(value=None)),
        ("MM798", lambda task: task["data"]["mmud"].update(caption="changed since")),
        ("MM101", lambda task: task["data"]["mmud"].update(colour="blue")),
        ("MM790", lambda task: task["data"].pop("mmud")),
        ("MM790", lambda task: task["data"].pop("sample_id")),
        ("MM790", lambda task: task.pop("data")),
        ("MM790", lambda task: task["annotations"][0].pop("result")),
        ("MM790", lambda task: task.update(annotations=7)),
    ],
)
def test_what_cannot_be_read_is_refused(
    code: str, edit: Edit, one: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = exported(one, tmp_path / "ls")
    tasks = json.loads(files[0].read_text("utf-8"))
    edit(tasks[1])
    files[0].write_text(json.dumps(tasks), "utf-8")
    command = ["build", "label-studio", str(files[0]), "--data", str(one.path), "-o", str(tmp_path / "back"), "-q"]
    assert run(command) == 3
    assert f"error: {code}" in capsys.readouterr().err
    assert not (tmp_path / "back").exists()


def test_tasks_and_samples_that_have_no_partner(one: Dataset, tmp_path: Path) -> None:
    files = exported(one, tmp_path / "ls")
    tasks = json.loads(files[0].read_text("utf-8"))
    strange = json.loads(json.dumps(tasks[0]))
    strange["data"]["sample_id"] = "a stranger"
    files[0].write_text(json.dumps([tasks[1], tasks[1], strange]), "utf-8")
    made = imported(one, files, tmp_path / "back")
    assert list(made.samples()) == list(one.samples())
    assert sorted(found_codes(made)) == ["MM791", "MM799"]
    less = imported(one, files, tmp_path / "less", "--set", "unlisted=drop")
    assert [sample.sample_id for sample in less.samples()] == ["s1"]


def test_several_processes_and_the_recipe_give_the_same(mixed: Dataset, tmp_path: Path) -> None:
    files = exported(mixed, tmp_path / "ls")
    made = imported(mixed, files, tmp_path / "back", "--workers", "2", "--shard-size", "6")
    assert made.fingerprint == mixed.fingerprint
    assert len(list(made.samples("train"))) == len(HOSTILE_IDS)
    assert run(["build", str(made.path / "recipe.toml"), "-o", str(tmp_path / "again"), "-q"]) == 0
    assert Dataset(tmp_path / "again").fingerprint == mixed.fingerprint


@settings(max_examples=150, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 20), st.integers(1, 20))))
def test_a_brush_comes_back(array: np.ndarray) -> None:
    mask = Mask.from_array(array)
    assert brush_mask(bytes(brush_rle(mask)), *array.shape) == mask


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_are_a_mask_or_a_value_error(data: bytes) -> None:
    try:
        mask = brush_mask(data, 4, 5)
    except ValueError:
        return
    assert mask.size == (4, 5)


def test_a_brush_with_literal_values_is_read() -> None:
    """`@thi.ng/rle-pack` writes single values after a bit 0; ours never does, other writers do."""
    values = [0, 0, 0, 255, 9, 9, 9, 0]
    head = f"{8:032b}{7:05b}{2:04b}{3:04b}{7:04b}{15:04b}"
    bits = head + f"0{0:02b}{7:03b}" + "".join(f"{value:08b}" for value in values)
    bits += "0" * (-len(bits) % 8)
    mask = brush_mask(int(bits, 2).to_bytes(len(bits) // 8, "big"), 1, 2)
    assert mask.decode().tolist() == [[1, 0]]


def test_a_brush_of_the_sdk_is_read() -> None:
    brush = pytest.importorskip("label_studio_sdk.converter.brush", reason="label-studio-sdk is not installed")
    array = (np.add.outer(np.arange(33), np.arange(47)) % 9 < 4).astype(np.uint8) * 255
    assert brush_mask(bytes(brush.mask2rle(array)), 33, 47) == Mask.from_array(array > 0)
