"""Which filters look, with which thresholds: the table ``[filters]`` of a recipe or of a file of its own.

::

    [filters]
    drop = "labels"            # or "samples"

    [filters.short]
    caption_words = 20

    [filters.absent]
    action = "refuse"          # or "report", "off"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mmud.annotations.filters import codes
from mmud.annotations.filters.base import FILTERS, Action, FilterSettings
from mmud.errors import MmudError, Place
from mmud.files import require

TABLE = "filters"


class Drop(StrEnum):
    """What goes when a label is refused: the label, which is emptied, or its whole sample."""

    LABELS = "labels"
    SAMPLES = "samples"


@dataclass(frozen=True)
class Plan:
    """What is looked for, and what becomes of what is found.

    Attributes:
        settings: filter -> its thresholds, of every filter, in the order in which they look.
        drop: what goes.
    """

    settings: Mapping[str, FilterSettings] = field(default_factory=dict)
    drop: Drop = Drop.LABELS

    def to_dict(self) -> dict[str, Any]:
        """As the table ``[filters]`` holds it, defaults included."""
        tables = {name: settings.model_dump(mode="json") for name, settings in self.settings.items()}
        return {"drop": self.drop.value, **tables}


def make_plan(table: Mapping[str, Any], file: str | None = None) -> Plan:
    """Read the table ``[filters]``; what it leaves out has its default.

    Raises:
        MmudError: MM490 for a filter, setting or value that cannot be; MM004 to MM006 for plug-ins.
    """
    place = Place(file=file, field=TABLE)
    if not isinstance(table, Mapping):
        raise MmudError(codes.FILTERS_INVALID, "filters is a table", place)
    names = list(dict.fromkeys(entry.name for entry in FILTERS.entries))
    unknown = sorted(set(table) - {*names, "drop"})
    if unknown:
        hint = f"The filters are {', '.join(names)}."
        raise MmudError(codes.FILTERS_INVALID, f"no filter is called {unknown[0]!r}", place, hint)
    drop = table.get("drop", Drop.LABELS)
    if drop not in list(Drop):
        raise MmudError(codes.FILTERS_INVALID, f"drop is labels or samples, not {drop!r}", place)
    settings = {}
    for name in names:
        kind = FILTERS.get(name).settings_type
        try:
            settings[name] = kind.model_validate(table.get(name, {}))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            key = ".".join(map(str, (name, *first["loc"])))
            known = ", ".join(kind.model_fields)
            raise MmudError(
                codes.FILTERS_INVALID, f"{key}: {first['msg']}", place, f"Settings of {name}: {known}."
            ) from error
    return Plan(settings, Drop(drop))


def read_plan(path: Path) -> Plan:
    """Read the table ``[filters]`` of a TOML file, which may be a recipe with other tables.

    Raises:
        MmudError: MM002 when the file is missing; MM490 when it is no TOML or has no such table; what `make_plan` raises.
    """
    place = Place(file=str(path))
    try:
        data = tomllib.loads(require(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MmudError(codes.FILTERS_INVALID, f"cannot read the settings: {error}", place) from error
    if TABLE not in data:
        raise MmudError(codes.FILTERS_INVALID, f"the file has no table [{TABLE}]", place)
    return make_plan(data[TABLE], str(path))


def switched(plan: Plan, selected: frozenset[str]) -> dict[str, FilterSettings]:
    """The filters that look: not off, and with a code among these ids."""
    return {
        name: settings
        for name, settings in plan.settings.items()
        if settings.action is not Action.OFF and any(code.id in selected for code in FILTERS.get(name).codes)
    }
