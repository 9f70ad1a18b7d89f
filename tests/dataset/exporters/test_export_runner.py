"""Running exports: whole or not at all, nothing lost in silence, nothing outside the output; and the verb."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

import pytest
from exporter_samples import HOSTILE_IDS, full_sample, picture

from mmud.cli import run
from mmud.dataset.exporters.base import EXPORTERS, Exporter, Item
from mmud.dataset.exporters.images import sniff
from mmud.dataset.exporters.losses import FIELDS
from mmud.dataset.exporters.runner import Request, run_export
from mmud.dataset.store import Dataset
from mmud.dataset.writer import write_dataset
from mmud.errors import MmudError
from mmud.records import ImageReference, Sample

FORMATS = sorted(set(EXPORTERS.names()))


def _tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("name", FORMATS)
def test_hostile_ids_stay_inside_the_output(mixed: Dataset, tmp_path: Path, name: str) -> None:
    (tmp_path / "room").mkdir()
    report = run_export(mixed, name, tmp_path / "room" / "out")
    assert _tree(tmp_path)[0] == "room"
    assert {path.name for path in (tmp_path / "room").iterdir()} == {"out"}
    names = _tree(tmp_path / "room" / "out")
    assert all(part.isascii() and part.isprintable() for part in names)
    # Nothing collides where letter case does not count.
    assert len({part.lower() for part in names}) == len(names)
    room = tmp_path / "room" / "out"
    assert dict(report.files) == {path: (room / path).stat().st_size for path in report.files}
    # What is not listed is an image or a folder.
    assert all((room / path).is_dir() or sniff((room / path).read_bytes()) for path in set(names) - set(report.files))
    mapping = tmp_path / "room" / "out" / "names.jsonl"
    if mapping.exists():
        rows = [json.loads(line) for line in mapping.read_text("utf-8").splitlines()]
        written = [row["file"] for row in rows]
        assert len(set(written)) == len(written)
        assert {row["sample_id"] for row in rows} <= {*HOSTILE_IDS, "bare", "no-answer", "no-question", "odd"}


@pytest.mark.parametrize("name", FORMATS)
def test_a_dry_run_counts_the_same_and_writes_nothing(mixed: Dataset, tmp_path: Path, name: str) -> None:
    dry = run_export(mixed, name, tmp_path / "out", Request(dry_run=True))
    assert list(tmp_path.iterdir()) == []
    assert dry.dry_run
    real = run_export(mixed, name, tmp_path / "out")
    assert dry.splits == real.splits == {"train": len(HOSTILE_IDS), "valid": 4}
    told = {loss["what"]: loss["count"] for loss in dry.losses}
    counted = {loss["what"]: loss["count"] for loss in real.losses}
    assert told.items() <= counted.items()
    fields = {name for name in EXPORTERS.get(name).cannot_hold if name in FIELDS}
    assert fields & set(counted) == fields & set(told)


@pytest.mark.parametrize("name", FORMATS)
def test_losses_are_what_the_samples_hold(mixed: Dataset, tmp_path: Path, name: str) -> None:
    """Recounted here from the rows, by other code than the exporters'."""
    rows = [row for _, row in mixed.rows()]
    objects = [item for row in rows for item in row["objects"]]
    expected = {
        "captions": sum(row["caption"] != "" for row in rows),
        "questions": sum(row["question"] != "" for row in rows),
        "answers": sum(row["answer"] != "" for row in rows),
        "tags": sum(row["answer"].count("<LCL-") for row in rows),
        "phrases": sum(len(item["phrases"]) for item in objects),
        "masks": sum(item["segmentation"] is not None for item in objects),
        "polygons": sum(item["polygons"] is not None for item in objects),
        "category ids": sum(item["category_id"] is not None for item in objects),
        "annotation ids": sum(item["ann_id"] is not None for item in objects),
        "ref ids": sum(item["ref_id"] is not None for item in objects),
        "provenance": sum(row["provenance"] != "" for row in rows),
    }
    report = run_export(mixed, name, tmp_path / "out")
    for loss in report.losses:
        assert loss["why"]
        if loss["what"] in expected:
            assert loss["count"] == expected[loss["what"]]
    stored = tmp_path / "out" / "losses.json"
    if stored.exists():
        assert json.loads(stored.read_text("utf-8"))["losses"] == report.losses


def test_a_failure_leaves_nothing(mixed: Dataset, tmp_path: Path) -> None:
    good = full_sample(1, "good")
    bad = full_sample(2, "bad").model_copy(update={"image": ImageReference(bytes=b"no image", path="x.jpg")})
    dataset = write_dataset(tmp_path / "data", {"train": [good, bad]})
    for name in FORMATS:
        request = Request(images="embed") if name in ("native", "parquet") else Request()
        with pytest.raises(MmudError, match="MM781"):
            run_export(dataset, name, tmp_path / "room" / name, request)
        assert not (tmp_path / "room").exists() or list((tmp_path / "room").iterdir()) == []


def test_missing_images_are_left_out_and_listed(tmp_path: Path) -> None:
    (tmp_path / "there.png").write_bytes(picture(1, 32, 24))
    samples = [
        full_sample(number, name).model_copy(update={"image": ImageReference(path=str(tmp_path / f"{name}.png"))})
        for number, name in enumerate(["there", "gone"])
    ]
    dataset = write_dataset(tmp_path / "data", {"train": samples}, images="link")
    with pytest.raises(MmudError, match="MM501") as caught:
        run_export(dataset, "coco", tmp_path / "out")
    assert caught.value.where.sample == "gone"
    report = run_export(dataset, "coco", tmp_path / "out", Request(skip_missing_images=True))
    assert report.left_out == 1
    assert [(finding.code.id, finding.place.sample) for finding in report.findings] == [("MM501", "gone")]
    assert report.splits == {"train": 1}
    without = run_export(dataset, "coco", tmp_path / "labels", Request(images="none"))
    assert without.splits == {"train": 2}
    assert not (tmp_path / "labels" / "images").exists()


def test_nothing_is_replaced_unasked(mixed: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request(images="none")
    (tmp_path / "out").mkdir()
    run_export(mixed, "llava", tmp_path / "out", request)
    (tmp_path / "out" / "old").write_text("x")
    with pytest.raises(MmudError, match="MM003"):
        run_export(mixed, "llava", tmp_path / "out", request)
    run_export(mixed, "llava", tmp_path / "out", Request(images="none", force=True))
    assert not (tmp_path / "out" / "old").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    for place in (mixed.path, mixed.path.parent):
        with pytest.raises(MmudError, match="MM782"):
            run_export(mixed, "llava", place, Request(force=True))
    monkeypatch.chdir(tmp_path)
    for place in (Path("."), Path(".."), Path("/")):
        with pytest.raises(MmudError, match="MM782"):
            run_export(mixed, "llava", place, Request(force=True))
    assert len(Dataset(mixed.path)) == len(mixed)


def test_a_leftover_of_a_killed_export_is_no_obstacle(mixed: Dataset, tmp_path: Path) -> None:
    (tmp_path / "out.partial" / "images").mkdir(parents=True)
    (tmp_path / "out.partial" / "junk").write_text("half")
    run_export(mixed, "jsonl", tmp_path / "out", Request(images="none"))
    assert _tree(tmp_path / "out") == ["losses.json", "names.jsonl", "train.jsonl", "valid.jsonl"]


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("coco", Request(shard_size=3)),
        ("coco", Request(images="embed")),
        ("coco", Request(tasks=("captioning",))),  # type: ignore[arg-type]
        ("coco", Request(options={"split_by": "unc"})),
        ("refer", Request(options={"dataset": "mine"})),
        ("reasonseg", Request(tasks=("generation",))),  # type: ignore[arg-type]
        ("native", Request(images="none")),
    ],
)
def test_what_a_format_does_not_have_is_refused(mixed: Dataset, tmp_path: Path, name: str, request_: Request) -> None:
    with pytest.raises(MmudError, match="MM780"):
        run_export(mixed, name, tmp_path / "out", request_)
    assert list(tmp_path.iterdir()) == []


def test_names_that_nobody_has(mixed: Dataset, tmp_path: Path) -> None:
    with pytest.raises(MmudError, match="MM108"):
        run_export(mixed, "coco", tmp_path / "out", Request(splits=("nowhere",)))
    with pytest.raises(MmudError, match="MM004") as caught:
        run_export(mixed, "cocoa", tmp_path / "out")
    assert "coco" in caught.value.hint


def test_a_manifest_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data", {"train": [full_sample(1, "a")]})
    file = dataset.path / "mmud.json"
    data = json.loads(file.read_text())
    data["splits"] = {"../../evil": data["splits"].pop("train")}
    file.write_text(json.dumps(data))
    hostile = Dataset(dataset.path)
    (tmp_path / "room").mkdir()
    for name in FORMATS:
        if name in ("native", "parquet", "questions"):
            with pytest.raises(MmudError, match="MM103"):
                run_export(hostile, name, tmp_path / "room" / name)
        else:
            run_export(hostile, name, tmp_path / "room" / name)
    assert {path.name for path in tmp_path.iterdir()} == {"data", "room"}
    assert not [name for name in _tree(tmp_path / "room") if "evil" in name and ".." in name]


def test_an_invalid_mask_is_named(tmp_path: Path) -> None:
    sample = full_sample(1, "a")
    broken = sample.objects[0].model_copy(
        update={"segmentation": sample.objects[0].segmentation.model_copy(update={"counts": "~~"})}  # type: ignore[union-attr]
    )
    dataset = write_dataset(
        tmp_path / "data", {"t": [sample.model_copy(update={"objects": (*sample.objects, broken)})]}
    )
    with pytest.raises(MmudError, match="MM201") as caught:
        run_export(dataset, "coco", tmp_path / "out")
    assert (caught.value.where.sample, caught.value.where.object) == ("a", 6)
    assert not (tmp_path / "out").exists()


def test_empty_splits_and_limits(mixed: Dataset, tmp_path: Path) -> None:
    empty = write_dataset(tmp_path / "data", {"train": [], "valid": [full_sample(1, "a")]})
    for name in FORMATS:
        report = run_export(empty, name, tmp_path / name)
        assert report.splits == {"train": 0, "valid": 1}
        limited = run_export(mixed, name, tmp_path / f"{name}-2", Request(limit=2))
        assert limited.splits == {"train": 2, "valid": 0}
        assert limited.partial
    nothing = run_export(empty, "reasonseg", tmp_path / "nothing", Request(splits=("train",)))
    assert [finding.code.id for finding in nothing.findings] == ["MM784"]


class ListingExporter(Exporter):
    """A plug-in: sample ids, one a line."""

    name = "listing"
    title = "ids"
    cannot_hold: ClassVar[dict[str, str]] = {"captions": "a list of ids"}

    def write_split(self, split: str, items: Iterator[Item]) -> None:
        text = "".join(f"{item.sample.sample_id!r}\n" for item in items)
        (self.job.folder / f"{self.job.split_stem(split)}.txt").write_text(text)
        self.job.counts["lists"] += 1


class SilentExporter(ListingExporter):
    name = "silent"

    def losses(self, sample: Sample) -> Iterator[tuple[str, int]]:
        yield "something undeclared", 1


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        metadata.EntryPoint("listing", "test_export_runner:ListingExporter", "mmud.exporters"),
        metadata.EntryPoint("silent", "test_export_runner:SilentExporter", "mmud.exporters"),
        metadata.EntryPoint("broken", "no_such_module:Exporter", "mmud.exporters"),
    ]
    monkeypatch.setattr(metadata, "entry_points", lambda group: metadata.EntryPoints(points))
    EXPORTERS.__dict__.pop("entries", None)
    yield
    EXPORTERS.__dict__.pop("entries", None)


@pytest.mark.usefixtures("plugins")
def test_plugins_are_exporters_like_any_other(mixed: Dataset, tmp_path: Path) -> None:
    report = run_export(mixed, "listing", tmp_path / "out")
    assert len((tmp_path / "out" / "train.txt").read_text().splitlines()) == len(HOSTILE_IDS)
    assert [loss["what"] for loss in report.losses] == ["captions"]
    with pytest.raises(MmudError, match="MM005"):
        run_export(mixed, "broken", tmp_path / "broken")
    with pytest.raises(ValueError, match="without declaring"):
        run_export(mixed, "silent", tmp_path / "silent")


# -- the verb ----------------------------------------------------------------------------------------------------------------


def _json(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_the_verb_says_what_was_lost(mixed: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", str(mixed.path), "--to", "coco", "-o", str(tmp_path / "out"), "-q"]) == 0
    shown = capsys.readouterr().out
    assert "What coco does not keep" in shown
    assert "COCO has instances and captions" in shown
    code = run(["export", str(mixed.path), "--to", "coco", "-o", str(tmp_path / "out"), "--force", "--json", "-q"])
    assert code == 0
    report = _json(capsys)
    assert report["counts"]["annotations"] == 5 * len(HOSTILE_IDS) + 4
    assert {loss["what"] for loss in report["losses"]} >= {"questions", "phrases"}
    assert "annotations/instances_train.json" in report["files"]


def test_the_verb_takes_its_flags(mixed: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["export", str(mixed.path), "--json", "-q"]
    flags = ["--split", "valid", "--tasks", "captioning,generation", "--images", "none", "--limit", "3"]
    assert run([*base, "--to", "llava", "-o", str(tmp_path / "a"), *flags]) == 0
    assert _json(capsys)["splits"] == {"valid": 3}
    assert run([*base, "--to", "webdataset", "-o", str(tmp_path / "b"), "--shard-size", "10", "--dry-run"]) == 0
    assert _json(capsys)["dry_run"]
    assert not (tmp_path / "b").exists()
    assert (
        run([*base, "--to", "refer", "-o", str(tmp_path / "c"), "--set", "split_by=unc", "--set", "dataset=refcocog"])
        == 0
    )
    assert "refcocog/refs(unc).p" in _json(capsys)["files"]


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        (["--to", "nothing"], "MM004", 2),
        (["--to", "coco", "--set", "x"], "MM001", 2),
        (["--to", "coco", "--tasks", "singing"], "MM001", 2),
        (["--to", "coco", "--split", "no"], "MM108", 2),
        (["--to", "coco", "--shard-size", "9"], "MM780", 2),
    ],
)
def test_the_verb_refuses(
    mixed: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: str, exit_code: int
) -> None:
    assert run(["export", str(mixed.path), "-o", str(tmp_path / "out"), *arguments]) == exit_code
    assert code in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_left_out_samples_end_in_exit_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone = full_sample(1, "gone").model_copy(update={"image": ImageReference(path=str(tmp_path / "no.png"))})
    write_dataset(tmp_path / "data", {"train": [gone, full_sample(2, "b")]}, images="link")
    base = ["export", str(tmp_path / "data"), "--to", "jsonl", "-o", str(tmp_path / "out")]
    assert run(base) == 3
    assert run([*base, "--skip-missing-images"]) == 3
    assert "MM501" in capsys.readouterr().err


def test_the_formats_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", "--formats"]) == 0
    shown = capsys.readouterr().out
    for name in FORMATS:
        assert f"{name}: " in shown


def test_nothing_heavy_is_imported_for_help() -> None:
    code = (
        "import sys; from mmud.cli import run; run(['export', '--help']);"
        "bad = {'torch', 'pandas', 'pyarrow', 'numpy', 'pycocotools'} & set(sys.modules); sys.exit(str(bad) if bad else 0)"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[3]
    )
    assert outcome.returncode == 0, outcome.stderr
