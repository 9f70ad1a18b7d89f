"""File names from untrusted text, and files written piece by piece."""

from __future__ import annotations

import json
import pickle
import pickletools
import re
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pytest
from exporter_samples import HOSTILE_IDS, picture
from hypothesis import given, settings
from hypothesis import strategies as st

from mmud.dataset.exporters.ids import Categories, Ids, whole_number
from mmud.dataset.exporters.images import load_image, sniff
from mmud.dataset.exporters.names import FileNames, safe_stem
from mmud.dataset.exporters.streams import json_list, json_table, pickled_list, to_json
from mmud.errors import MmudError
from mmud.records import ImageReference, Sample

texts = st.one_of(st.text(max_size=300), st.sampled_from(HOSTILE_IDS))


@settings(max_examples=500)
@given(texts)
def test_a_stem_is_safe_everywhere(text: str) -> None:
    stem = safe_stem(text)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", stem)
    assert not stem.endswith((".", "-"))
    assert len(stem) <= 82
    # Python's own list of names that Windows reserves.
    assert not PureWindowsPath(stem).is_reserved()
    assert not PureWindowsPath(f"{stem}.jpg").is_reserved()
    assert Path("folder", stem).parent == Path("folder")
    assert safe_stem(text) == stem
    assert "." not in safe_stem(text, dots=False)


@given(st.lists(texts, max_size=30))
def test_names_are_unique_without_regard_to_case(names: list[str]) -> None:
    book = FileNames()
    claimed = [book.claim(name, "jpg").lower() for name in names]
    assert len(set(claimed)) == len(names)


def test_safe_text_stays_as_it_is() -> None:
    book = FileNames()
    assert book.claim("COCO_train2014_000000581857", "jpg") == "COCO_train2014_000000581857.jpg"
    assert book.claim("a.b", "png", dots=False) != "a.b.png"
    # What one text is cleaned to is no other text's name.
    first = book.claim("a/b", "jpg")
    assert book.claim(first.removesuffix(".jpg"), "jpg") != first


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_json_is_one_line_for_every_reader(value: Any) -> None:
    data = to_json(value)
    assert json.loads(data) == value
    assert len(data.decode("utf-8").splitlines()) == 1


def test_half_a_surrogate_pair_is_still_json() -> None:
    assert json.loads(to_json("a\ud800b")) == "a\ud800b"
    to_json("a\ud800b").decode("utf-8")


@settings(max_examples=60, deadline=None)
@given(values=st.lists(json_values, max_size=8))
def test_lists_are_written_piece_by_piece(tmp_path_factory: pytest.TempPathFactory, values: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("streams")
    with json_list(folder / "list.json") as array, pickled_list(folder / "list.p") as pickled:
        for value in values:
            array.add(value)
            pickled.add(value)
    assert json.loads((folder / "list.json").read_bytes()) == values
    data = (folder / "list.p").read_bytes()
    assert pickle.loads(data) == values
    with open(folder / "listing", "w", encoding="utf-8", errors="replace") as listing:
        pickletools.dis(data, out=listing)


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2500])
def test_pickles_of_any_length(tmp_path: Path, count: int) -> None:
    values = [(number, f"text {number}", [1.5, number], {"a": None}) for number in range(count)]
    with pickled_list(tmp_path / "list.p") as pickled:
        for value in values:
            pickled.add(value)
    assert pickle.loads((tmp_path / "list.p").read_bytes()) == values


def test_a_pickle_depends_on_values_and_not_on_objects(tmp_path: Path) -> None:
    text = "shared text, not interned"
    copies = ["".join(["shared text,", " not interned"]) for _ in range(2)]
    for name, value in (("a", [text, text]), ("b", copies)):
        with pickled_list(tmp_path / name) as pickled:
            pickled.add(value)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_tables_hold_arrays_that_grow_side_by_side(tmp_path: Path) -> None:
    with json_table(tmp_path / "table.json", {"info": {"a": 1}}, ("images", "annotations", "more")) as table:
        for number in range(3):
            table.add("images", number)
            table.add("annotations", [number])
            table.add("annotations", "x")
        table.tail = {"categories": [1]}
    wanted = {"info": {"a": 1}, "images": [0, 1, 2], "annotations": [[0], "x", [1], "x", [2], "x"], "more": []}
    assert json.loads((tmp_path / "table.json").read_bytes()) == wanted | {"categories": [1]}
    assert [path.name for path in tmp_path.iterdir()] == ["table.json"]


def test_a_table_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> None:
        with json_table(tmp_path / "table.json", {}, ("a", "b")) as table:
            table.add("a", 1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    assert list(tmp_path.iterdir()) == []


def test_own_ids_are_kept_once_and_new_ones_stay_clear() -> None:
    ids = Ids(np.array([7, 3, 3, 0, -2, 2**60]))
    taken = [ids.take(own) for own in (3, 3, None, 7, 0, -2, 2**60, 99)]
    assert taken == [(3, True), (8, False), (9, False), (7, True), (10, False), (11, False), (12, False), (13, False)]
    assert Ids(np.array([0]), least=0).take(0) == (0, True)
    assert [whole_number(text) for text in ("12", "012", "", "-1", "1e3", "١٢", "0", "9" * 17)] == [12] + [None] * 7


def test_categories_are_one_name_an_id() -> None:
    pairs = [(18, "dog"), (None, "cat"), (18, "wolf"), (17, "cat"), (None, ""), (None, "fox"), (-4, "fox"), (0, "zero")]
    table = Categories(pairs)
    ids = {pair: table.id_of(*pair) for pair in pairs}
    assert ids[18, "dog"] == (18, True)
    assert ids[17, "cat"] == (17, True)
    assert ids[None, "cat"] == (17, True)
    assert ids[0, "zero"] == (0, True)
    assert [ids[18, "wolf"][1], ids[-4, "fox"][1], ids[None, "fox"][1]] == [False, False, True]
    numbers = [row["id"] for row in table.rows()]
    assert len(set(numbers)) == len(numbers)
    names = {row["id"]: row["name"] for row in table.rows()}
    assert all(names[ids[pair][0]] == (pair[1] or "object") for pair in pairs)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "JPEG2000", "AVIF"])
def test_formats_are_told_from_their_first_bytes(kind: str) -> None:
    assert sniff(picture(1, 8, 8, kind)) == kind.lower()


def _sample(**image: Any) -> Sample:
    return Sample(sample_id="s", width=4, height=4, source="made", image=ImageReference(**image))


def test_what_is_no_image_is_not_copied(tmp_path: Path) -> None:
    secret = tmp_path / "passwd.jpg"
    secret.write_text("root:x:0:0\n")
    for image, code in (
        ({"path": str(secret)}, "MM781"),
        ({"bytes": b""}, "MM781"),
        ({"path": str(tmp_path / "missing.jpg")}, "MM501"),
        ({"path": str(tmp_path)}, "MM501"),
        ({"path": "/dev/zero"}, "MM501"),
        ({"path": "a\0b"}, "MM501"),
        ({}, "MM501"),
    ):
        with pytest.raises(MmudError, match=code):
            load_image(_sample(**image))


def test_an_extension_that_fits_is_kept() -> None:
    data = picture(1, 4, 4, "JPEG")
    assert load_image(_sample(bytes=data, path="x.JPEG")).extension == "JPEG"
    assert load_image(_sample(bytes=data, path="x.png")).extension == "jpg"
    assert load_image(_sample(bytes=data)).extension == "jpg"
