"""Codes are unique, well-formed, and survive a trip between processes."""

from __future__ import annotations

import pickle
import re

import pytest

from mmud import codes
from mmud.errors import MmudError, Place, Severity, catalogue, declare


def test_every_code_tells_what_to_do() -> None:
    found = catalogue()
    assert len(found) >= 40
    for code in found.values():
        assert re.fullmatch(r"MM\d{3}", code.id)
        assert code.title
        assert code.title[0].islower() or code.title[0].isupper()
        assert code.remedy.endswith((".", "?"))
        assert len(code.explanation) > 30
        assert code.explanation.endswith(".")


def test_titles_are_unique() -> None:
    titles = [code.title for code in catalogue().values()]
    assert len(set(titles)) == len(titles)


def test_a_code_is_declared_once() -> None:
    assert declare(
        codes.USAGE.id, codes.USAGE.title, codes.USAGE.remedy, codes.USAGE.explanation, exit_code=codes.USAGE.exit_code
    )
    with pytest.raises(ValueError, match="declared twice"):
        declare("MM001", "another", "r.", "e.")
    with pytest.raises(ValueError, match="three digits"):
        declare("MM1", "a", "r.", "e.")


def test_errors_cross_processes() -> None:
    error = MmudError(codes.USAGE, "seen", Place(sample="s", object=1), "do")
    again = pickle.loads(pickle.dumps(error))
    assert again.to_dict() == error.to_dict()
    assert str(again) == "MM001 seen · sample s, object 1"


def test_severities_are_ordered() -> None:
    assert Severity.INFO < Severity.WARNING < Severity.ERROR
