"""Whatever a stranger's dataset holds, validation ends with a report: never an exception, never a crash."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from validation_breaks import BREAKS
from validation_world import broken_rows, clean_rows, encoded, picture, row, write_rows

from mmud.annotations.masks import Mask
from mmud.dataset.checks.batch import plain_rows
from mmud.dataset.checks.engine import validate
from mmud.dataset.checks.fix import fix
from mmud.dataset.checks.render import RENDERERS
from mmud.errors import MmudError

texts = st.one_of(
    st.none(),
    st.text(max_size=12),
    st.sampled_from(
        ["", " ", "<LCL-1>", "<OBJ-0> <LCL-99>", "<LCL-", "\x00", "\u2028", "a\r\nb", "{x}", "e\u0301", "Ã©"]
    ),
)
numbers = st.one_of(st.none(), st.floats(), st.sampled_from([0.0, -1.0, 1e5, 1e300, 5.0, 40.0]))
small = st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1), st.integers(0, 70))
sides = st.one_of(small, st.sampled_from([48, 64, 65_500, 2**31 - 1]))
counts = st.one_of(
    texts,
    st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=12),
    st.sampled_from([Mask.full(48, 64), Mask.empty(48, 64), Mask.from_polygons([[4, 4, 30, 4, 30, 30]], 48, 64)]).map(
        lambda mask: mask.counts.decode()
    ),
)
sizes = st.one_of(st.none(), st.lists(sides, max_size=3), st.just([48, 64]))
objects = st.fixed_dictionaries(
    {
        "phrases": st.one_of(st.none(), st.lists(texts, max_size=3)),
        "segmentation": st.one_of(st.none(), st.fixed_dictionaries({"size": sizes, "counts": counts})),
        "polygons": st.one_of(st.none(), st.lists(st.one_of(st.none(), st.lists(numbers, max_size=10)), max_size=3)),
        "bbox": st.one_of(st.none(), st.lists(numbers, max_size=5)),
        "area": numbers,
        "category": texts,
        "category_id": small,
        "iscrowd": st.one_of(st.none(), st.booleans()),
        "ref_id": small,
        "ann_id": small,
    }
)
_PICTURE = encoded(picture(1))
images = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {
            "bytes": st.one_of(st.none(), st.binary(max_size=40), st.just(_PICTURE), st.just(_PICTURE[:300])),
            "path": st.one_of(texts, st.just("/dev/null"), st.just("x" * 5000)),
        }
    ),
)
rows_of_anything = st.fixed_dictionaries(
    {
        "sample_id": texts,
        "image": images,
        "width": sides,
        "height": sides,
        **dict.fromkeys(("source", "source_image_id", "caption", "question", "answer", "license"), texts),
        "objects": st.one_of(st.none(), st.lists(st.one_of(st.none(), objects), max_size=4)),
        "provenance": st.one_of(texts, st.sampled_from(["[", "{}", "[" * 100_000])),
    }
)


def _all_formats(folder: Path) -> None:
    with validate(folder) as report:
        for renderer in RENDERERS.values():
            list(renderer(report, 3, "error", True))
        assert report.total == sum(1 for _ in report.findings())


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(rows_of_anything, max_size=4), st.lists(rows_of_anything, max_size=2))
def test_any_rows(train: list[dict[str, Any]], valid: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_rows(Path(scratch) / "d", {"train": train, "valid": valid}, shard_rows=3)
        _all_formats(folder)
        fix(folder, Path(scratch) / "fixed")
        with validate(Path(scratch) / "fixed", select=["MM116", "MM105"]) as report:
            assert report.total == 0


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 2**70), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["splits", "counts", "sources", "images", "name", "fingerprint", "format_version"]), values)
def test_any_manifest(field: str, value: Any) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_rows(Path(scratch) / "d", {"train": [row(0)]})
        file = folder / "mmud.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), field: value}))
        _all_formats(folder)


@pytest.mark.parametrize("name", ["data", "data/\x00.parquet", "data/\ud800.parquet", "data/" + "x" * 400, ".", ""])
def test_any_shard_name(tmp_path: Path, name: str) -> None:
    folder = write_rows(tmp_path / "d", {"train": [row(0)]})
    data = json.loads((folder / "mmud.json").read_text())
    data["splits"]["train"]["shards"][0]["file"] = name
    (folder / "mmud.json").write_text(json.dumps(data))
    with validate(folder) as report:
        assert {finding.code.id for finding in report.findings()} & {"MM103", "MM104", "MM106"}


def test_undecodable_text_everywhere(tmp_path: Path) -> None:
    """`plain_rows` equals pyarrow's own conversion, and goes on where that gives up."""
    import pyarrow as pa

    from mmud.dataset.schema import schema

    batch = pa.RecordBatch.from_pylist(clean_rows()["train"], schema=schema())
    assert plain_rows(batch) == (batch.to_pylist(), True)
    column = batch.schema.get_field_index("question")
    raw = pa.array([b"caf\xe9?", b"two", None], pa.binary()).view(pa.string())
    broken = batch.set_column(column, schema().field("question"), raw)
    with pytest.raises(UnicodeDecodeError):
        broken.to_pylist()
    rows, utf8 = plain_rows(broken)
    assert not utf8
    assert [found["question"] for found in rows] == ["caf\udce9?", "two", None]
    expected = [{**found, "question": None} for found in batch.to_pylist()]
    assert [{**found, "question": None} for found in rows] == expected


def test_terminals_are_not_written_to(tmp_path: Path) -> None:
    """Control characters of a stranger's ids and names reach neither terminal nor log."""
    evil = "\x1b]0;owned\x07\x1b[2J"
    rows = broken_rows(BREAKS["MM204"])
    rows["train"][0] |= {"sample_id": evil, "caption": evil, "image": {"bytes": b"x", "path": evil}}
    with validate(write_rows(tmp_path / "d", rows)) as report:
        lines = [line for renderer in RENDERERS.values() for line in renderer(report, 9, "error", True)]
    assert "\x1b" not in "".join(lines)
    assert "\x07" not in "".join(lines)


def test_a_plain_file_is_no_dataset(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    with validate(file) as report:
        assert set(report.counts) == {"MM102"}
    with pytest.raises(MmudError, match="MM002"):
        validate(tmp_path / "nothing")
