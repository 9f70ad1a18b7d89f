"""A typed, lazy registry: built-ins by import path, plug-ins by entry point.

Nothing is imported until it is asked for. A plug-in that fails to import is reported as broken when it is asked for or
listed, and never takes the rest down. Two claims to one name are an error when that name is asked for, naming both sides;
``PACKAGE:NAME`` picks one.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from typing import Any, Generic, TypeVar, cast

from mmud import codes
from mmud.errors import MmudError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """One claim to a name: who provides it and where it is imported from (``module:attribute``)."""

    name: str
    target: str
    provider: str

    def load(self) -> Any:
        module, _, attribute = self.target.partition(":")
        found: Any = importlib.import_module(module)
        for part in filter(None, attribute.split(".")):
            found = getattr(found, part)
        return found


class Registry(Generic[T]):
    """Things of one kind by name.

    Args:
        kind: What a person calls them, as in "exporter".
        group: The entry-point group, as in "mmud.exporters".
        builtins: name -> ``module:attribute``.
        fault: says why what a plug-in gave is not of this kind, None where it is; a plug-in with a fault is a broken one.
    """

    def __init__(
        self, kind: str, group: str, builtins: Mapping[str, str], fault: Callable[[Any], str | None] | None = None
    ) -> None:
        self.kind = kind
        self.group = group
        self._fault = fault
        self._builtins = [Entry(name, target, "mmud") for name, target in builtins.items()]

    @cached_property
    def entries(self) -> list[Entry]:
        """Every claim, built-ins first, then installed packages in name order."""
        plugins = []
        for point in metadata.entry_points(group=self.group):
            provider = point.dist.name if point.dist is not None else "unknown package"
            plugins.append(Entry(point.name, point.value, provider))
        return self._builtins + sorted(plugins, key=lambda entry: (entry.provider, entry.name))

    def names(self) -> list[str]:
        return sorted({entry.name for entry in self.entries})

    def __contains__(self, name: str) -> bool:
        return bool(self._claims(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def _claims(self, name: str) -> list[Entry]:
        provider, _, short = name.rpartition(":")
        return [entry for entry in self.entries if entry.name == short and provider in ("", entry.provider)]

    def get(self, name: str) -> T:
        """The thing called ``name`` (or ``PACKAGE:NAME``).

        Raises:
            MmudError: MM004 unknown name (with the nearest ones), MM005 broken plug-in, MM006 two claims.
        """
        claims = self._claims(name)
        if not claims:
            near = difflib.get_close_matches(name, self.names(), n=3, cutoff=0.5)
            guess = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(self.names())}."
            raise MmudError(codes.UNKNOWN_NAME, f"no {self.kind} is called {name!r}", hint=guess)
        if len(claims) > 1:
            sides = " and ".join(f"{claim.provider}:{claim.name} ({claim.target})" for claim in claims)
            raise MmudError(codes.PLUGIN_CLASH, f"{self.kind} {name!r} is claimed by {sides}")
        return self._load(claims[0])

    def _load(self, entry: Entry) -> T:
        found = self._import(entry)
        reason = self._fault(found) if self._fault is not None and entry.provider != "mmud" else None
        if reason is not None:
            message = f"{self.kind} {entry.name!r} of package {entry.provider} ({entry.target}) {reason}"
            raise MmudError(codes.PLUGIN_BROKEN, message)
        return cast(T, found)

    def _import(self, entry: Entry) -> Any:
        try:
            return entry.load()
        except MmudError:
            raise
        except Exception as error:  # a stranger's import may fail in any way; it must be named, not crash the rest
            if entry.provider == "mmud":
                if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("mmud"):
                    raise MmudError(
                        codes.DEPENDENCY_MISSING, f"{self.kind} {entry.name!r} needs the package {error.name!r}"
                    ) from error
                raise
            raise MmudError(
                codes.PLUGIN_BROKEN,
                f"{self.kind} {entry.name!r} of package {entry.provider} ({entry.target}) fails to load: "
                f"{type(error).__name__}: {error}",
            ) from error

    def status(self) -> list[dict[str, str]]:
        """One row a claim: name, provider, target and ``ok``, ``clash`` or the error. Loads every one."""
        rows = []
        for entry in self.entries:
            state = "ok"
            try:
                self._load(entry)
            except MmudError as error:
                state = error.message
            if len([other for other in self.entries if other.name == entry.name]) > 1:
                state = "clash" if state == "ok" else state
            rows.append(
                {
                    "kind": self.kind,
                    "name": entry.name,
                    "provider": entry.provider,
                    "target": entry.target,
                    "state": state,
                }
            )
        return rows
