"""JSON from strangers: what ``json.loads`` reads is read, whole or element by element; the rest is a code with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmud.dataset.sources import json_files
from mmud.dataset.sources.json_files import JsonScanner, load_json, parse_json
from mmud.dataset.sources.tally import FIRST, Tally
from mmud.errors import MmudError, Place

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def written(folder: Path, data: bytes) -> Path:
    path = folder / "made.json"
    path.write_bytes(data)
    return path


def scanned(path: Path, tally: Tally) -> Any:
    """The value put together from the elements of the scanner."""
    table: dict[str, Any] = {}
    listed: list[Any] = []
    data = path.read_bytes()
    scanner = JsonScanner(path, tally)
    for element in scanner.elements():
        # Where an element stands is what reading it again relies on.
        parse_json(data[element.start : element.start + element.length], Place(), lambda *found: None)
        if element.listed and element.key == "":
            listed.append(element.value)
        elif element.listed:
            table.setdefault(element.key, []).append(element.value)
        else:
            table[element.key] = element.value
    assert table.keys() - {""} <= scanner.keys.keys()
    return table, listed


@given(st.lists(VALUES, max_size=6), st.sampled_from([None, 1]), st.booleans(), st.sampled_from([1, 3, 50, 1 << 20]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_elements_of_a_list(
    tmp_path: Path, values: list[Any], indent: int | None, ascii_only: bool, chunk: int
) -> None:
    path = written(
        tmp_path, json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_files, "CHUNK", chunk)
        assert scanned(path, Tally())[1] == values


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=6), st.lists(VALUES, min_size=1, max_size=4) | st.integers(), max_size=4
    ),
    st.sampled_from([1, 7, 1 << 20]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_elements_of_an_object(tmp_path: Path, value: dict[str, Any], chunk: int) -> None:
    path = written(tmp_path, json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_files, "CHUNK", chunk)
        assert scanned(path, Tally())[0] == value


@given(VALUES, st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whole_files(tmp_path: Path, value: Any, ascii_only: bool) -> None:
    tally = Tally()
    path = written(tmp_path, json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"))
    if load_json(path, tally) != value:
        # Halves of surrogate pairs are not UTF-8.
        assert [finding.code.id for finding in tally.findings()] == ["MM711"]


BROKEN = [
    (b"", "MM710", 1),
    (b"{", "MM710", 1),
    (b"[1,\n2,\n", "MM710", 3),
    (b"[1,\n2,\nx]", "MM710", 3),
    (b"[1,\n2,]", "MM710", 2),
    (b'{"a": 1,}', "MM710", 1),
    (b'{"a" 1}', "MM710", 1),
    (b"{1: 2}", "MM710", 1),
    (b"[1] [2]", "MM710", 1),
    (b'{"a": "line\nbreak"}', "MM710", 1),
    (b'{"a": [1, 2\n, {"b": tru}]}', "MM710", 2),
    (b"[" + b"9" * 5000 + b"]", "MM710", 1),
    (b"[" * 100_000, "MM715", None),
    (b'[{"a":' * 50_000, "MM715", None),
    (b"\xff\xfe[\x001\x00]\x00", "MM711", None),
    (b"\xfe\xff\x00[\x00]", "MM711", None),
    (b"PK\x03\x04", "MM710", 1),
    (b"\x80\x04].", "MM710", 1),
]


@pytest.mark.parametrize(("data", "code", "line"), BROKEN)
def test_broken_files_have_a_code_and_a_line(tmp_path: Path, data: bytes, code: str, line: int | None) -> None:
    path = written(tmp_path, data)
    for read in (load_json, scanned):
        with pytest.raises(MmudError) as raised:
            read(path, Tally())
        assert raised.value.code.id == code
        assert raised.value.where.file == str(path)
        if line is not None:
            assert raised.value.where.line == line


@pytest.mark.parametrize("read", [load_json, scanned])
def test_strayings_are_read_and_reported(tmp_path: Path, read: Any) -> None:
    def codes(data: bytes) -> tuple[list[str], Any]:
        tally = Tally()
        value = read(written(tmp_path, data), tally)
        return sorted(finding.code.id for finding in tally.findings()), value

    assert codes(b"\xef\xbb\xbf[1]")[0] == ["MM711"]
    assert codes(b'["caf\xe9"]')[0] == ["MM711"]
    assert codes(b'{"a": 1, "a": 2}')[0] == ["MM712"]
    assert codes(b'[NaN, -Infinity, {"x": Infinity}]')[0] == ["MM713"] * 3


def test_latin_1_is_read_as_meant_and_utf_8_stays(tmp_path: Path) -> None:
    assert load_json(written(tmp_path, b'["caf\xe9"]'), Tally()) == ["café"]
    # In a file that is read by element, each element has its own encoding.
    values = scanned(written(tmp_path, b'["caf\xe9", "caf\xc3\xa9"]'), Tally())[1]
    assert values == ["café", "café"]


def test_numbers_that_are_none_are_none(tmp_path: Path) -> None:
    assert load_json(written(tmp_path, b"[NaN, 1e5]"), Tally()) == [None, 1e5]
    assert scanned(written(tmp_path, b"[NaN, 1e5]"), Tally())[1] == [None, 1e5]


def test_the_line_of_each_element(tmp_path: Path) -> None:
    path = written(tmp_path, b'{"info": 1,\n"images": [\n{"a": 1},\n\n{"b": [\n1]}, 3]}')
    lines = [(element.key, element.line) for element in JsonScanner(path, Tally()).elements()]
    assert lines == [("info", 1), ("images", 3), ("images", 5), ("images", 6)]


def test_elements_that_are_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_files, "ELEMENT_BYTES", 1000)
    monkeypatch.setattr(json_files, "CHUNK", 100)
    with pytest.raises(MmudError, match="MM7"):
        scanned(written(tmp_path, b'["' + b"x" * 5000 + b'"]'), Tally())
    monkeypatch.setattr(json_files, "WHOLE_BYTES", 1000)
    with pytest.raises(MmudError, match="MM715"):
        load_json(written(tmp_path, b'["' + b"x" * 5000 + b'"]'), Tally())


@given(st.binary(max_size=60) | st.text('{}[]",:0123456789.eE+-truefalsnN \n\\u', max_size=60).map(str.encode))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
def test_random_bytes_are_json_or_an_error(tmp_path: Path, data: bytes) -> None:
    path = written(tmp_path, data)
    for read in (load_json, scanned):
        try:
            read(path, Tally())
        except MmudError as error:
            assert error.code.id in ("MM710", "MM711", "MM715")


def test_real_files_equal_json_load(shared_data: Path) -> None:
    for name in ("captions/captions_val2017.json", "mini_refcoco/instances.json", "refs/merged_refs_all_sources.json"):
        path = shared_data / name
        expected = json.loads(path.read_text("utf-8"))
        tally = Tally()
        assert load_json(path, tally) == expected
        table, listed = scanned(path, tally)
        assert (table or listed) == expected
        assert not tally.findings()


def test_a_tally_counts_what_it_does_not_keep() -> None:
    tally = Tally()
    for number in range(FIRST + 30):
        tally.note(json_files.codes.JSON_ENTRY, f"entry {number}", Place(file="f"))
    findings = tally.findings()
    assert len(findings) == FIRST + 1
    assert findings[-1].message.startswith("and 30 more of this code, the last: entry 49")
