"""Mending: what it changes, what it never touches, and that it leaves nothing for a second time."""

from __future__ import annotations

import copy
import json
import os
import shutil
import tempfile
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco
from validation_breaks import BREAKS
from validation_folders import FOLDERS
from validation_world import broken_rows, clean_rows, row, write_rows

from mmud import cli
from mmud.dataset.checks import fix as fix_module
from mmud.dataset.checks.engine import validate
from mmud.dataset.checks.fix import fix
from mmud.dataset.checks.mends import MENDED_CODES
from mmud.dataset.schema import schema
from mmud.dataset.store import Dataset
from mmud.errors import MmudError, catalogue

MENDED = sorted(code.id for code in MENDED_CODES)


def _codes(folder: Path) -> set[str]:
    with validate(folder) as report:
        return set(report.counts)


def _rows(folder: Path) -> list[dict[str, Any]]:
    return [found for _, found in Dataset(folder).rows(images=True)]


def _files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_the_catalogue_says_what_is_mended() -> None:
    assert [id for id, code in catalogue().items() if code.fixable] == MENDED


@pytest.mark.parametrize("code", MENDED)
def test_each_mend_leaves_a_clean_dataset(tmp_path: Path, code: str) -> None:
    folder = write_rows(tmp_path / "d", broken_rows(BREAKS[code]))
    before = _files(folder)
    mending = fix(folder, tmp_path / "fixed")
    assert set(mending.counts) == {code}
    assert mending.rows == 1
    assert _codes(tmp_path / "fixed") == set()
    assert _files(folder) == before
    # Everything but the one sample is as it was, and that sample keeps its other fields.
    old, new = _rows(folder), _rows(tmp_path / "fixed")
    changed = {change["place"]["field"] for change in mending.changes()}
    assert [a for a, b in zip(old, new, strict=True) if a != b] == [old[0]]
    for name in old[0]:
        inside = name == "objects" and changed & set(old[0]["objects"][0])
        assert old[0][name] == new[0][name] or name in changed or inside


@pytest.mark.parametrize("code", MENDED)
def test_a_second_fix_changes_nothing(tmp_path: Path, code: str) -> None:
    folder = write_rows(tmp_path / "d", broken_rows(BREAKS[code]))
    fix(folder, tmp_path / "once")
    again = fix(tmp_path / "once", tmp_path / "twice")
    assert again.counts == {}
    assert _files(tmp_path / "once") == _files(tmp_path / "twice")


def test_what_cannot_be_mended_stays(tmp_path: Path) -> None:
    others = sorted(set(BREAKS) - set(MENDED))
    for code in others:
        folder = write_rows(tmp_path / code, broken_rows(BREAKS[code]))
        assert fix(folder, dry_run=True).counts == {}, code


def test_the_values_are_the_right_ones(tmp_path: Path) -> None:
    rows = clean_rows()
    first = rows["train"][0]
    objects = first["objects"]
    right = copy.deepcopy(objects[0])
    objects[0] |= {"bbox": None, "area": None}
    BREAKS["MM207"](first)
    first["caption"] = " A cafe\u0301\r\nby\u2028the\x85sea\x00side, on a day. \x0b"
    first["question"] = "\x01What\x7f is nearer, in this picture? "
    first["answer"] = "The red kite <OBJ-1>, not <OBJ-x> or <OBJ-12>.\t"
    objects[0]["phrases"] = ["a kite\r", "", None, "a kite", "\u2003", "b", "b "]
    fix(write_rows(tmp_path / "d", rows), tmp_path / "fixed")
    mended = _rows(tmp_path / "fixed")[0]
    assert mended["caption"] == "A caf\u00e9\nby the sea side, on a day."
    assert mended["question"] == "What  is nearer, in this picture?"
    assert mended["answer"] == "The red kite <LCL-1>, not <OBJ-x> or <LCL-12>."
    assert mended["objects"][0]["phrases"] == ["a kite", None, "b"]
    # Box, area and pixels are COCO's own for the object that was spoilt.
    rle = {"size": right["segmentation"]["size"], "counts": right["segmentation"]["counts"].encode()}
    assert mended["objects"][0]["segmentation"] == right["segmentation"]
    assert mended["objects"][0]["bbox"] == coco.toBbox([rle])[0].tolist()
    assert mended["objects"][0]["area"] == coco.area([rle])[0]
    assert mended["objects"][1] == row(0)["objects"][1]


def test_a_wrong_box_or_area_is_left(tmp_path: Path) -> None:
    for code in ("MM210", "MM211", "MM225", "MM112"):
        folder = write_rows(tmp_path / code, broken_rows(BREAKS[code]))
        fix(folder, tmp_path / f"{code}-fixed")
        assert _rows(tmp_path / f"{code}-fixed") == _rows(folder)


texts = st.text(st.sampled_from("aé \u0301\r\n\t\v\x00\x85\u2028<>OBJLC-12\u00a0"), max_size=10)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(texts, texts, st.lists(texts, max_size=4)), min_size=1, max_size=4))
def test_any_text_is_mended_once_and_keeps_its_letters(parts: list[tuple[str, str, list[str]]]) -> None:
    rows = []
    for number, (caption, answer, phrases) in enumerate(parts):
        made = {**row(number), "caption": caption, "answer": answer}
        made["objects"][0]["phrases"] = phrases
        rows.append(made)
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_rows(Path(scratch) / "d", {"train": rows})
        fix(folder, Path(scratch) / "fixed")
        assert not _codes(Path(scratch) / "fixed") & set(MENDED) - {"MM413", "MM414"}
        assert fix(Path(scratch) / "fixed", dry_run=True).counts == {}
        for old, new in zip(_rows(folder), _rows(Path(scratch) / "fixed"), strict=True):
            assert _letters(old["caption"]) == _letters(new["caption"])


def _letters(text: str) -> str:
    composed = unicodedata.normalize(
        "NFC", "".join(" " if unicodedata.category(c) in ("Cc", "Zl") else c for c in text)
    )
    return "".join(composed.split())


def test_a_choice_of_codes(tmp_path: Path) -> None:
    rows = clean_rows()
    for code in ("MM413", "MM306", "MM417"):
        BREAKS[code](rows["train"][0])
    folder = write_rows(tmp_path / "d", rows)
    assert set(fix(folder, dry_run=True, select=["MM4"]).counts) == {"MM413", "MM417"}
    assert set(fix(folder, dry_run=True, ignore=["MM413"]).counts) == {"MM306", "MM417"}
    with pytest.raises(MmudError, match="MM001"):
        fix(folder, dry_run=True, select=["MM204"])


# -- writing -----------------------------------------------------------------------------------------------------------------


def _spoilt(path: Path) -> Path:
    """A dataset with one sample to mend, in the second of three shards, and further files."""
    folder = write_rows(path, broken_rows(BREAKS["MM306"], number=2), shard_rows=2)
    (folder / "README.md").write_text("by hand")
    (folder / "extra").mkdir()
    (folder / "extra" / "notes.txt").write_text("keep me")
    return folder


def test_everything_else_is_carried_over(tmp_path: Path) -> None:
    folder = _spoilt(tmp_path / "d")
    fix(folder, tmp_path / "fixed")
    before, after = _files(folder), _files(tmp_path / "fixed")
    assert {name for name in after if before.get(name) != after[name]} == {
        "mmud.json", "mends.jsonl", "data/train-00002.parquet",
    }  # fmt: skip
    old, new = Dataset(folder).manifest, Dataset(tmp_path / "fixed").manifest
    assert (new.name, new.counts, list(new.splits)) == (old.name, old.counts, list(old.splits))
    assert new.fingerprint != old.fingerprint


def test_other_columns_and_metadata_stay(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(broken_rows(BREAKS["MM413"])["train"], schema=schema())
    table = table.append_column("mine", pa.array([1, None, 3]))
    folder = write_rows(tmp_path / "d", {**clean_rows(), "train": [table]})
    fix(folder, tmp_path / "fixed")
    mended = pq.read_table(tmp_path / "fixed" / "data" / "train-00000.parquet")
    assert mended.column("mine").to_pylist() == [1, None, 3]
    before = pq.read_table(folder / "data" / "train-00000.parquet")
    assert mended.schema.equals(before.schema, check_metadata=True)
    assert "\x00" not in mended.column("caption")[0].as_py()


def test_the_log_says_what_was_done(tmp_path: Path) -> None:
    folder = _spoilt(tmp_path / "d")
    fix(folder, tmp_path / "fixed", log=tmp_path / "log.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == [
        {
            "code": "MM306",
            "place": {
                "sample": "sample-2",
                "split": "train",
                "file": "data/train-00002.parquet",
                "row": 0,
                "field": "answer",
            },
            "before": row(2)["answer"].replace("LCL-1", "OBJ-1"),
            "after": row(2)["answer"],
        }
    ]
    assert (tmp_path / "fixed" / "mends.jsonl").read_bytes() == (tmp_path / "log.jsonl").read_bytes()


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = _spoilt(tmp_path / "d")
    before = _files(tmp_path)
    assert cli.run(["validate", str(folder), "--fix", "--dry-run", "-o", str(tmp_path / "new")]) == 0
    assert _files(tmp_path) == before
    out = capsys.readouterr().out
    assert "MM306 tag written <OBJ-i>: 1" in out
    assert "<OBJ-1>" in out
    assert cli.run(["validate", str(folder), "--fix", "--dry-run", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["dry_run"] is True
    assert value["codes"] == [{"code": "MM306", "title": "tag written <OBJ-i>", "count": 1}]
    assert len(value["changes"]) == 1


def test_the_command_mends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = _spoilt(tmp_path / "d")
    assert cli.run(["validate", str(folder), "--fix"]) == 2
    assert cli.run(["validate", str(folder), "--fix", "-o", str(tmp_path / "new"), "--limit", "3"]) == 2
    assert cli.run(["validate", str(folder), "--fix", "-o", str(tmp_path / "new")]) == 0
    assert cli.run(["validate", str(folder), "--fix", "-o", str(tmp_path / "new")]) == 2
    assert cli.run(["validate", str(folder), "--fix", "-o", str(tmp_path / "new"), "--force"]) == 0
    assert cli.run(["validate", str(tmp_path / "new"), "--fail-on", "info"]) == 0
    assert "nothing found" in capsys.readouterr().out


def test_in_place_replaces_the_whole(tmp_path: Path) -> None:
    folder = _spoilt(tmp_path / "d")
    expected = fix(folder, tmp_path / "fixed")
    mending = fix(folder, in_place=True)
    assert mending.fingerprint == expected.fingerprint
    assert _files(folder) == _files(tmp_path / "fixed")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "fixed"]
    again = fix(folder, in_place=True)
    assert again.output is None
    assert _files(folder) == _files(tmp_path / "fixed")


@pytest.mark.parametrize("step", range(1, 12))
def test_a_failure_at_any_step_keeps_the_dataset(tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fills up at some call of the operating system: the old dataset is whole, under its name or beside it."""
    folder = _spoilt(tmp_path / "d")
    before = _rows(folder)
    calls = 0

    def failing(real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == step:
                raise OSError(28, "No space left on device")
            return real(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(fix_module.os, "link", failing(os.link))
        patch.setattr(fix_module.os, "replace", failing(os.replace))
        patch.setattr(fix_module.shutil, "copy2", failing(shutil.copy2))
        try:
            fix(folder, in_place=True)
        except (OSError, MmudError):
            assert calls == step
    assert fix(folder, in_place=True).output in (folder, None)
    assert _codes(folder) == set()
    assert [found["sample_id"] for found in _rows(folder)] == [found["sample_id"] for found in before]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d"]


def test_a_shard_that_differs_from_its_checksum_is_not_made_good(tmp_path: Path) -> None:
    folder = _spoilt(tmp_path / "d")
    shard = folder / "data" / "train-00002.parquet"
    pq.write_table(pq.read_table(shard), shard, compression="gzip")
    with pytest.raises(MmudError, match="MM105"):
        fix(folder, tmp_path / "fixed")
    assert not (tmp_path / "fixed").exists()
    assert not (tmp_path / "fixed.partial").exists()


def test_text_that_is_not_utf8_stops_the_mending_of_its_column(tmp_path: Path) -> None:
    rows = clean_rows()
    BREAKS["MM413"](rows["train"][0])
    table = pa.Table.from_pylist(rows["train"], schema=schema())
    texts = [text.encode() for text in table.column("caption").to_pylist()]
    column = pa.array([texts[0], b"caf\xe9 on a day by the sea", texts[2]], pa.binary()).view(pa.string())
    broken = table.set_column(table.schema.get_field_index("caption"), schema().field("caption"), column)
    folder = write_rows(tmp_path / "d", {**rows, "train": [broken]})
    with pytest.raises(MmudError, match="MM114"):
        fix(folder, tmp_path / "fixed")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d"]


@pytest.mark.parametrize("code", ["MM102", "MM103", "MM104", "MM106", "MM107"])
def test_what_cannot_be_read_is_not_mended(tmp_path: Path, code: str) -> None:
    folder = FOLDERS[code](tmp_path / "d")
    with pytest.raises(MmudError, match=code):
        fix(folder, tmp_path / "fixed")
    assert not (tmp_path / "fixed").exists()
