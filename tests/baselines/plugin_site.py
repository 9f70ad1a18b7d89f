"""What an installer leaves behind: a module, and metadata that announces a baseline."""

from __future__ import annotations

from pathlib import Path


def install(folder: Path, package: str, points: dict[str, str], module: str) -> None:
    (folder / f"{package}.py").write_text(module, "utf-8")
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n", "utf-8")
    lines = "".join(f"{name} = {target}\n" for name, target in points.items())
    (info / "entry_points.txt").write_text(f"[mmud.baselines]\n{lines}", "utf-8")
