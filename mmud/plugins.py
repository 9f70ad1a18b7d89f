"""Every registry of the package, found by itself: a room that adds a registry is listed without an edit here."""

from __future__ import annotations

import importlib
import pkgutil

import mmud
from mmud.registry import Registry


def registries() -> list[Registry[object]]:
    """The registries that modules named ``base`` or ``extractors`` hold at module level, by kind."""
    found: dict[str, Registry[object]] = {}
    for module in pkgutil.walk_packages(mmud.__path__, "mmud.", onerror=lambda name: None):
        if module.name.rpartition(".")[2] in ("base", "extractors"):
            for value in vars(importlib.import_module(module.name)).values():
                if isinstance(value, Registry):
                    found[value.group] = value
    return sorted(found.values(), key=lambda registry: registry.kind)


def status() -> list[dict[str, str]]:
    """One row a claim of every registry; see `Registry.status`."""
    return [row for registry in registries() for row in registry.status()]
