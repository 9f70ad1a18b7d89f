"""Every metric that an evaluator or a backend reports has a section in docs/metrics, with where it comes from and its traps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mmud.evaluators.base import BUILT_IN, EVALUATORS

PAGES = Path(__file__).parents[2] / "docs" / "metrics"
NAMES = sorted({metric.name for name in BUILT_IN for metric in EVALUATORS.get(name).metrics} | {"meteor", "spice"})


def sections() -> dict[str, str]:
    """Heading -> what stands below it, of all pages."""
    found = {}
    for page in sorted(PAGES.glob("*.md")):
        for part in re.split(r"^## ", page.read_text("utf-8"), flags=re.MULTILINE)[1:]:
            heading, _, body = part.partition("\n")
            found[f"{page.name}: {heading}"] = body
    return found


def names_of(heading: str) -> set[str]:
    """The metrics of a heading; "`a_1` to `a_4`" are all between."""
    named = set(re.findall(r"`([^`]+)`", heading))
    for first, last in re.findall(r"`([^`]+)` to `([^`]+)`", heading):
        named |= {name for name in NAMES if name[:-1] == first[:-1] and first <= name <= last}
    return named


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_has_a_section(name: str) -> None:
    bodies = [body for heading, body in sections().items() if name in names_of(heading)]
    assert bodies, f"{name} has no section"
    for body in bodies:
        assert re.search(r"\bsource\b", body, re.IGNORECASE), f"{name}: source"
        assert re.search(r"\btraps?\b", body, re.IGNORECASE), f"{name}: traps"
