"""Submissions: hostile zips are refused with a code and leave nothing; good ones pass whole and pack to the same bytes."""

from __future__ import annotations

import io
import json
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmud.baselines.floors.labels import Oracle
from mmud.baselines.predicting import write_predictions
from mmud.cli import run
from mmud.dataset.build import build
from mmud.dataset.recipe import Recipe
from mmud.dataset.store import Dataset
from mmud.errors import Finding, MmudError
from mmud.evaluators.submissions.archive import ArchiveLimits, opened_submission, unpack
from mmud.evaluators.submissions.check import check_submission
from mmud.evaluators.submissions.expectations import expectations

SCENES = {"type": "scenes", "samples": 60, "seed": 3, "width": 64, "height": 64, "max_objects": 4}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("submissions")
    report = build(Recipe(sources=(SCENES,), split={"train": 0.8, "test": 0.2}), folder / "scenes")
    assert report.dataset is not None
    return report.dataset


@pytest.fixture
def folder(dataset: Dataset, tmp_path: Path) -> Path:
    return write_predictions(tmp_path / "predictions", dataset, Oracle(), name="oracle")


def zipped(path: Path, entries: list[tuple[Any, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def info(name: str, mode: int = 0o100644) -> zipfile.ZipInfo:
    found = zipfile.ZipInfo(name)
    found.external_attr = mode << 16
    found.compress_type = zipfile.ZIP_DEFLATED
    return found


LINE = b'{"sample_id": "a", "caption": "b"}\n'
GOOD: list[tuple[Any, bytes]] = [("captioning.jsonl", LINE)]
HOSTILE: dict[str, tuple[list[tuple[Any, bytes]], str]] = {
    "absolute": ([("/etc/cron.d/x", b"x")], "MM831"),
    "climbing": ([("images/../../x.png", b"x")], "MM831"),
    "backslash": ([("..\\..\\x.png", b"x")], "MM831"),
    "drive": ([("C:x.png", b"x")], "MM831"),
    "control": ([("images/a\nb.png", b"x")], "MM831"),
    "deep": ([("/".join("abcdefgh") + "/x.png", b"x")], "MM831"),
    "long": ([("images/" + "x" * 300 + ".png", b"x")], "MM831"),
    "link": ([(info("images/x.png", stat.S_IFLNK | 0o777), b"/etc/passwd")], "MM832"),
    "device": ([(info("images/x.png", stat.S_IFCHR | 0o666), b"")], "MM832"),
    "pickle": ([("model.pkl", b"\x80\x04N.")], "MM836"),
    "weights": ([("images/x.PT", b"")], "MM836"),
    "case": ([("images/x.png", b"1"), ("images/X.png", b"2")], "MM835"),
    "bomb": ([("images/x.png", b"\0" * (65 << 20))], "MM833"),
    "ratio": ([("generation.jsonl", b" " * (17 << 20))], "MM833"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives_are_refused_and_leave_nothing(name: str, tmp_path: Path) -> None:
    entries, code = HOSTILE[name]
    path = zipped(tmp_path / "bad.zip", GOOD + entries)
    target = tmp_path / "deep" / "inside"
    target.mkdir(parents=True)
    with pytest.raises(MmudError, match=code):
        unpack(path, target, lambda finding: None)
    assert list(target.iterdir()) == []
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["bad.zip", "deep"]


def test_two_entries_of_one_name(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = zipped(tmp_path / "twice.zip", GOOD + GOOD)
    with pytest.raises(MmudError, match="MM835"):
        unpack(path, tmp_path / "x", lambda finding: None)


def test_bounds_on_entries_and_total(tmp_path: Path) -> None:
    path = zipped(tmp_path / "many.zip", GOOD + [(f"images/{i}.png", b"xy") for i in range(9)])
    (tmp_path / "a").mkdir()
    for limits in (ArchiveLimits(entries=9), ArchiveLimits(total_bytes=40), ArchiveLimits(image_bytes=1)):
        with pytest.raises(MmudError, match="MM833"):
            unpack(path, tmp_path / "a", lambda finding: None, limits)
    unpack(path, tmp_path / "a", lambda finding: None, ArchiveLimits(entries=10))
    assert len(list((tmp_path / "a" / "images").iterdir())) == 9


def test_an_archive_that_lies_about_its_sizes(tmp_path: Path) -> None:
    path = zipped(tmp_path / "lie.zip", [("captioning.jsonl", LINE * 1000)])
    data = bytearray(path.read_bytes())
    # The uncompressed size stands in the local header (offset 22) and in the directory (offset 24 of its entry).
    directory = data.index(b"PK\x01\x02")
    for position in (22, directory + 24):
        data[position : position + 4] = struct.pack("<I", 10)
    path.write_bytes(bytes(data))
    (tmp_path / "x").mkdir()
    with pytest.raises(MmudError, match=r"MM83[03]"):
        unpack(path, tmp_path / "x", lambda finding: None)


def test_encrypted_entries_are_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "locked.zip", GOOD)
    data = bytearray(path.read_bytes())
    directory = data.index(b"PK\x01\x02")
    data[6] |= 1
    data[directory + 8] |= 1
    path.write_bytes(bytes(data))
    with pytest.raises(MmudError, match="MM834"):
        unpack(path, tmp_path / "x", lambda finding: None)


@given(st.binary(max_size=400))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_refused_with_a_code(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "any.zip"
    path.write_bytes(data)
    with pytest.raises(MmudError, match="MM8"), opened_submission(path, lambda finding: None):
        pass


@given(st.integers(0, 5000), st.integers(0, 255))
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_archive_is_refused_or_still_whole(tmp_path: Path, position: int, value: int) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("captioning.jsonl", LINE * 30)
        archive.writestr("submission.json", b'{"name": "x"}')
    data = bytearray(buffer.getvalue())
    data[position % len(data)] = value
    path = tmp_path / "damaged.zip"
    path.write_bytes(bytes(data))
    try:
        with opened_submission(path, lambda finding: None) as opened:
            content = (opened.path / "captioning.jsonl").read_bytes()
    except MmudError as error:
        assert error.code.id.startswith("MM8")
    else:
        assert content == LINE * 30


def test_people_zip_the_folder_or_its_content(folder: Path, tmp_path: Path, dataset: Dataset) -> None:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for prefix in ("", "my system/"):
        extra: list[tuple[Any, bytes]] = [("__MACOSX/._x", b"x"), (f"{prefix}notes.txt", b"x")]
        entries: list[tuple[Any, bytes]] = [
            (prefix + path.relative_to(folder).as_posix(), path.read_bytes()) for path in files
        ]
        path = zipped(tmp_path / f"p{len(prefix)}.zip", entries + extra)
        report = check_submission(path, expectations(dataset.path, "test"))
        assert report.accepted
        assert dict(report.log.counts) == {"MM837": 1}
        assert all(task["required"] == task["usable"] == 12 for task in report.tasks.values())
        assert len(report.tasks) == 4


def edit_lines(path: Path, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    change(rows)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def drop_last(rows: list[dict[str, Any]]) -> None:
    rows.pop()


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda f: edit_lines(f / "captioning.jsonl", drop_last), "MM801"),
    "extra": (
        lambda f: edit_lines(f / "captioning.jsonl", lambda rows: rows.append({"sample_id": "no", "caption": "x"})),
        "MM802",
    ),
    "repeated": (lambda f: edit_lines(f / "captioning.jsonl", lambda rows: rows.append(rows[0])), "MM803"),
    "size": (
        lambda f: edit_lines(
            f / "referring_segmentation.jsonl",
            lambda rows: rows[0]["masks"].__setitem__(0, {"size": [9, 9], "counts": "a2"}),
        ),
        "MM806",
    ),
    "rle": (
        lambda f: edit_lines(f / "referring_segmentation.jsonl", lambda rows: rows[0]["masks"][0].update(counts="~~")),
        "MM807",
    ),
    "nan": (lambda f: edit_lines(f / "generation.jsonl", lambda rows: rows[0].update(feature=[float("nan")])), "MM808"),
    "image": (lambda f: next((f / "images").iterdir()).write_bytes(b"GIF89a"), "MM838"),
    "gone": (lambda f: next((f / "images").iterdir()).unlink(), "MM814"),
    "outside": (lambda f: edit_lines(f / "generation.jsonl", lambda rows: rows[0].update(image="../x.png")), "MM814"),
    "manifest": (lambda f: (f / "submission.json").write_text("[]"), "MM813"),
    "unnamed": (lambda f: (f / "submission.json").unlink(), "MM839"),
    "other": (lambda f: (f / "submission.json").write_text('{"name": "x", "dataset_fingerprint": "0"}'), "MM812"),
    "pickle": (lambda f: (f / "model.pkl").write_bytes(b""), "MM836"),
    "link": (lambda f: (f / "images" / "l.png").symlink_to("/etc/passwd"), "MM832"),
    "foreign": (lambda f: (f / "notes.txt").write_text("x"), "MM837"),
}
WARNINGS = {"unnamed", "other", "foreign"}


@pytest.mark.parametrize("name", DAMAGE)
def test_each_damage_has_its_code(name: str, folder: Path, dataset: Dataset) -> None:
    damage, code = DAMAGE[name]
    damage(folder)
    report = check_submission(folder, expectations(dataset.path, "test"))
    assert code in report.log.counts
    assert report.accepted == (name in WARNINGS)


def test_what_participants_have_is_enough(folder: Path, dataset: Dataset, tmp_path: Path) -> None:
    """Expectations from the questions, without labels, equal those from the labelled dataset."""
    assert run(["export", str(dataset.path), "--to", "questions", "-o", str(tmp_path / "questions"), "-q"]) == 0
    known, asked = expectations(dataset.path, "test"), expectations(tmp_path / "questions", "test")
    assert asked == known
    assert check_submission(folder, asked).accepted
    with pytest.raises(MmudError, match="MM815"):
        expectations(tmp_path / "questions" / "dataset", "train" if "train" in dataset.splits else "test")


def test_the_command_line(folder: Path, dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", str(dataset.path), "-q"]
    assert run(["submit", "check", str(folder), *data, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accepted"] is True
    names = ["--name", "better", "--author", "A", "--author", "B", "--trainable-parameters", "7"]
    for archive in ("a.zip", "b.zip"):
        assert run(["submit", "pack", str(folder), *data, *names, "-o", str(tmp_path / archive)]) == 0
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    capsys.readouterr()
    assert run(["submit", "check", str(tmp_path / "a.zip"), *data]) == 0
    assert "The scorer would take it." in capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        manifest = json.loads(archive.read("submission.json"))
    assert manifest["name"] == "better"
    assert manifest["authors"] == ["A", "B"]
    assert manifest["dataset_fingerprint"] == dataset.fingerprint
    assert manifest["system"]["trainable_parameters"] == 7
    edit_lines(folder / "captioning.jsonl", drop_last)
    assert run(["submit", "check", str(folder), *data]) == 5
    assert run(["submit", "pack", str(folder), *data, "-o", str(tmp_path / "c.zip")]) == 5
    assert not (tmp_path / "c.zip").exists()
    assert run(["submit", "pack", str(tmp_path / "a.zip"), *data, "-o", str(tmp_path / "c.zip")]) == 2


def test_findings_name_file_and_line(folder: Path, dataset: Dataset) -> None:
    edit_lines(folder / "captioning.jsonl", lambda rows: rows.insert(2, {"sample_id": "nobody", "caption": "x"}))
    found: list[Finding] = check_submission(folder, expectations(dataset.path, "test")).log.kept
    assert [str(finding.place) for finding in found] == ["sample nobody · captioning.jsonl:3"]
