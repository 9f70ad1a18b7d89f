"""A recipe: everything that a build depends on, as TOML that a person can read, change and run again."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, cast

from mmud.dataset import codes
from mmud.errors import MmudError, Place


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to build, and how.

    Attributes:
        sources: each a table of options with its ``type``.
        images: keep image bytes in the shards ("embed") or their paths ("link").
        shard_rows: samples a shard; None for the default of how images are kept.
        split: split -> share, to make new splits by image; None to keep the sources' own.
        seed: of the new splits.
        limit: take so many samples of each source; None for all.
        filters: the table ``[filters]`` of `mmud filter`, which looks for it in the built dataset; building keeps it as it is.
    """

    sources: tuple[Mapping[str, Any], ...]
    images: Literal["embed", "link"] = "embed"
    shard_rows: int | None = None
    split: Mapping[str, float] | None = None
    seed: int = 0
    limit: int | None = None
    filters: Mapping[str, Any] | None = None
    file: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not self.sources:
            raise self._refuse("a recipe needs at least one [[source]]")
        if self.images not in ("embed", "link"):
            raise self._refuse(f"images is embed or link, not {self.images!r}")
        for name, value in (("shard_rows", self.shard_rows), ("limit", self.limit)):
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise self._refuse(f"{name} is a whole number from 1, not {value!r}")
        if not isinstance(self.seed, int) or self.seed < 0:
            raise self._refuse(f"seed is a whole number from 0, not {self.seed!r}")
        if self.split is not None:
            self._check_split(self.split)
        if self.filters is not None and not isinstance(self.filters, Mapping):
            raise self._refuse("filters is a table")
        for source in self.sources:
            if not isinstance(source, Mapping) or not isinstance(source.get("type"), str):
                raise self._refuse("each [[source]] needs a type, as in type = 'refer'")

    def _check_split(self, split: Mapping[str, float]) -> None:
        shares = list(split.values())
        if not shares or not all(isinstance(share, int | float) and share >= 0 for share in shares):
            raise self._refuse("split is a table of shares, as in train = 0.9")
        if abs(sum(shares) - 1) > 1e-6:
            raise self._refuse(f"the shares of split add up to {sum(shares):g}, not 1")
        if not all(name.isidentifier() for name in split):
            raise self._refuse("a split's name is made of letters, digits and _")

    def _refuse(self, message: str) -> MmudError:
        return MmudError(codes.RECIPE_INVALID, message, Place(file=self.file))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a TOML recipe.

        Raises:
            MmudError: MM754 when it cannot be read or holds a key that is unknown; MM002 when it is missing.
        """
        place = Place(file=str(path))
        try:
            data = tomllib.loads(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise MmudError(codes.RECIPE_INVALID, f"cannot read the recipe: {error}", place) from error
        return cls.from_dict(data, str(path))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], file: str | None = None) -> Self:
        """From the parsed TOML; see `read`."""
        place = Place(file=file)
        unknown = set(data) - {"build", "source", "filters"}
        build = data.get("build", {})
        sources = data.get("source", [])
        if not isinstance(build, Mapping) or not isinstance(sources, list):
            raise MmudError(codes.RECIPE_INVALID, "a recipe has one [build] and [[source]] tables", place)
        unknown |= set(build) - {"images", "shard_rows", "split", "seed", "limit"}
        if unknown:
            raise MmudError(codes.RECIPE_INVALID, f"unknown key {', '.join(sorted(unknown))}", place)
        return cls(sources=tuple(sources), filters=data.get("filters"), file=file, **cast(dict[str, Any], build))

    def to_dict(self) -> dict[str, Any]:
        """As the parsed TOML holds it."""
        optional = {"shard_rows": self.shard_rows, "limit": self.limit}
        build: dict[str, Any] = {"images": self.images, "seed": self.seed}
        build |= {name: value for name, value in optional.items() if value is not None}
        if self.split is not None:
            build["split"] = dict(self.split)
        tables: dict[str, Any] = {"build": build, "source": [dict(source) for source in self.sources]}
        return tables if self.filters is None else {**tables, "filters": dict(self.filters)}

    def to_toml(self) -> str:
        """As TOML, in a fixed order."""
        data = self.to_dict()
        lines = ["# mmud build THIS_FILE -o OUT builds the same bytes again.", ""]
        lines += _table("[build]", data["build"])
        for source in data["source"]:
            lines += ["", *_table("[[source]]", source)]
        if self.filters is not None:
            lines += ["", *filter_tables(self.filters)]
        return "\n".join(lines) + "\n"


def _table(header: str, values: Mapping[str, Any]) -> list[str]:
    return [header, *(f"{_key(key)} = {_value(value)}" for key, value in values.items())]


def filter_tables(filters: Mapping[str, Any]) -> list[str]:
    """The table ``[filters]`` and those within it, as lines of TOML."""
    lines = _table("[filters]", {key: value for key, value in filters.items() if not isinstance(value, Mapping)})
    for name, settings in filters.items():
        if isinstance(settings, Mapping):
            lines += ["", *_table(f"[filters.{_key(name)}]", settings)]
    return lines


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else json.dumps(key)


def _value(value: Any) -> str:
    """A TOML value; JSON's strings, numbers, booleans and arrays are TOML's as well."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, str):
        # TOML wants DEL escaped as well, which JSON leaves alone.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value)
