"""Every code of validation is reported by a dataset that is broken in one way, and by no other code."""

from __future__ import annotations

from pathlib import Path

import pytest
from validation_breaks import BREAKS
from validation_folders import FOLDERS
from validation_world import broken_rows, clean_rows, write_rows

from mmud.dataset.checks.base import CHECKS
from mmud.dataset.checks.engine import validate
from mmud.dataset.checks.selection import load_checks, reported_codes
from mmud.errors import Severity, catalogue

OWN = reported_codes(
    [check for name, check in zip(dict.fromkeys(e.name for e in CHECKS.entries), load_checks(), strict=True)]
)


def _make(code: str, path: Path) -> Path:
    return FOLDERS[code](path) if code in FOLDERS else write_rows(path, broken_rows(BREAKS[code]))


def test_nothing_is_found_in_a_clean_dataset(tmp_path: Path) -> None:
    with validate(write_rows(tmp_path / "d", clean_rows())) as report:
        assert [str(finding) for finding in report.findings()] == []
        assert (report.tally.samples, report.tally.objects, report.tally.shards) == (6, 12, 3)
        assert not report.fails(Severity.INFO)


@pytest.mark.parametrize("code", sorted({**BREAKS, **FOLDERS}))
def test_each_code_alone(tmp_path: Path, code: str) -> None:
    with validate(_make(code, tmp_path / "d")) as report:
        found = list(report.findings())
        assert {finding.code.id for finding in found} == {code}, [str(finding) for finding in found]
        assert report.counts[code] == len(found)
        assert all(finding.message for finding in found)
        # Everything but what concerns the whole folder says where it is, down to the row.
        assert found[0].place.file or code in ("MM102", "MM103", "MM603")


def test_every_code_has_its_dataset() -> None:
    assert set(OWN) == {*BREAKS, *FOLDERS}
    assert len(OWN) >= 40


def test_every_code_is_in_the_catalogue() -> None:
    assert set(OWN) <= set(catalogue())


def test_every_code_of_the_families_is_reported_or_raised() -> None:
    """A code that is declared for validation and that no check announces would be dead."""
    from mmud.dataset.checks import codes

    for module in (codes.structure, codes.masks, codes.tags, codes.text, codes.images, codes.identity):
        declared = {value.id for value in vars(module).values() if hasattr(value, "remedy")}
        assert declared <= set(OWN)
