"""Signatures: one form, parseable, and the same on every machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmud import __version__
from mmud.evaluators.signatures import parse, signature


def test_the_form() -> None:
    fields = {"unit": "object", "empty": "1", "missing": "0", "res": "original", "reduction": "mean"}
    expected = (
        f"metric:gIoU|unit:object|empty:1|missing:0|res:original|reduction:mean|n:1403|version:mmud-{__version__}"
    )
    assert signature("gIoU", fields, 1403) == expected


def test_values_are_written_in_one_way() -> None:
    found = parse(signature("m", {"a": True, "b": 1e-5, "c": None, "d": 2.0}, 1))
    assert found == {"metric": "m", "a": "yes", "b": "1e-05", "d": "2", "n": "1", "version": f"mmud-{__version__}"}


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=4))
def test_what_is_written_is_read(fields: dict[str, str]) -> None:
    reserved = {"metric", "n", "version"}
    fields = {key: value for key, value in fields.items() if key not in reserved}
    found = parse(signature("x|y:z", fields, 7))
    assert found["metric"] == "x|y:z"
    assert {key: value for key, value in found.items() if key not in reserved} == fields


@pytest.mark.parametrize("text", ["", "a", "a:1|a:2", "a:1||b:2"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a signature"):
        parse(text)
