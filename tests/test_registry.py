"""Registries: lazy, with near misses, clashes and broken plug-ins named; plug-ins are real installed metadata."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mmud.errors import MmudError
from mmud.registry import Registry

BUILTINS = {"ordered": "collections:OrderedDict", "counter": "collections:Counter", "lost": "no_such_module_here:x"}


def install(folder: Path, package: str, points: dict[str, str], module: str = "") -> None:
    """What an installer leaves behind: a module, and metadata that announces its entry points."""
    (folder / f"{package}.py").write_text(module)
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = "".join(f"{name} = {target}\n" for name, target in points.items())
    (info / "entry_points.txt").write_text(f"[mmud.things]\n{lines}")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


def test_builtins_are_imported_when_asked_for() -> None:
    registry: Registry[type] = Registry("thing", "mmud.things", BUILTINS)
    assert registry.names() == ["counter", "lost", "ordered"]
    assert registry.get("counter").__name__ == "Counter"
    assert "ordered" in registry
    with pytest.raises(MmudError, match="MM007.*no_such_module_here"):
        registry.get("lost")


def test_a_near_miss_is_named() -> None:
    registry: Registry[type] = Registry("thing", "mmud.things", BUILTINS)
    with pytest.raises(MmudError, match="MM004") as caught:
        registry.get("conuter")
    assert caught.value.hint == "Did you mean counter?"
    with pytest.raises(MmudError) as caught:
        registry.get("zzz")
    assert caught.value.hint == "Known: counter, lost, ordered."


def test_plugins_are_found_and_clashes_and_breakage_named(site: Path) -> None:
    install(site, "pkg_good", {"fresh": "pkg_good:Thing", "counter": "pkg_good:Thing"}, "class Thing: pass\n")
    install(site, "pkg_bad", {"sick": "pkg_bad:Thing"}, "raise RuntimeError('cannot start')\n")
    registry: Registry[type] = Registry("thing", "mmud.things", BUILTINS)
    assert registry.get("fresh").__name__ == "Thing"
    with pytest.raises(MmudError, match="MM005.*pkg_bad.*RuntimeError: cannot start"):
        registry.get("sick")
    with pytest.raises(MmudError, match="MM006.*mmud:counter.*pkg_good:counter"):
        registry.get("counter")
    assert registry.get("pkg_good:counter").__name__ == "Thing"
    assert registry.get("mmud:counter").__name__ == "Counter"
    states = {(row["provider"], row["name"]): row["state"] for row in registry.status()}
    assert states["mmud", "ordered"] == "ok"
    assert states["pkg_good", "counter"] == "clash"
    assert "cannot start" in states["pkg_bad", "sick"]
