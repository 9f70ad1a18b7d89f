"""What a machine has for each part of the tool, and the traps that were met before."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from mmud.errors import MmudError
from mmud.files import cache_folder

REQUIRED = ("numpy", "pandas", "pillow", "pyarrow", "pycocotools", "pydantic", "scipy", "typer")
OPTIONAL = {
    "datasets": ("opening a dataset through Hugging Face", "hub"),
    "pycocoevalcap": ("the caption metrics' oracle, METEOR, SPICE", "captions"),
    "torch": ("image features by a network, the baseline", "images"),
    "transformers": ("CLIP and other vision models, the baseline", "images"),
    "torchmetrics": ("the image metrics' oracle", "images"),
    "cleanfid": ("clean-fid's own score", "cleanfid"),
    "webdataset": ("reading back a webdataset export", "webdataset"),
    "starlette": ("the pages of mmud review and mmud browse --serve", "review"),
    "uvicorn": ("the pages of mmud review and mmud browse --serve", "review"),
    "jinja2": ("the pages of mmud review and mmud browse --serve", "review"),
}


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report: ``state`` is "ok", "absent" (something optional) or "broken"."""

    name: str
    state: str
    seen: str
    remedy: str = ""

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _packages() -> Iterator[Check]:
    for package in REQUIRED:
        version = _version(package)
        yield Check(package, "ok" if version else "broken", version or "missing", "" if version else "pip install mmud")
    for module, (use, extra) in OPTIONAL.items():
        version = _version({"cleanfid": "clean-fid"}.get(module, module))
        remedy = "" if version else f"for {use}: pip install 'mmud[{extra}]' -c constraints.txt"
        yield Check(module, "ok" if version else "absent", version or "not installed", remedy)


def _torchvision() -> Iterator[Check]:
    """torchvision's wheel for another build of torch fails to import, and takes transformers' CLIP down with it."""
    if importlib.util.find_spec("torchvision") is None:
        return
    command = [sys.executable, "-c", "import torchvision; print(torchvision.__version__)"]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if outcome.returncode == 0:
        yield Check("torchvision", "ok", outcome.stdout.strip())
    else:
        last = (outcome.stderr.strip().splitlines() or ["no message"])[-1]
        yield Check(
            "torchvision", "broken", last[:80], "pip uninstall torchvision: its mere presence breaks transformers' CLIP"
        )


def _programs() -> Iterator[Check]:
    java = shutil.which("java")
    if java:
        outcome = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False)
        seen = (outcome.stderr or outcome.stdout).splitlines()[0] if outcome.returncode == 0 else "does not run"
        yield Check("java", "ok" if outcome.returncode == 0 else "broken", seen)
    else:
        yield Check("java", "absent", "not found", "for METEOR and SPICE: install a Java runtime, 8 or newer")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    yield Check(
        "chromium",
        "ok" if chromium else "absent",
        chromium or "not found",
        "" if chromium else "for browser tests only",
    )


def _machine() -> Iterator[Check]:
    yield Check("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield Check("cores", "ok", str(os.cpu_count()))
    folder = cache_folder("")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        enough = free > 2**30
        yield Check(
            "cache",
            "ok" if enough else "broken",
            f"{folder}, {free / 2**30:.1f} GiB free",
            "" if enough else "free some disk",
        )
    except OSError as error:
        yield Check("cache", "broken", str(error), "set MMUD_CACHE to a folder that can be written")
    if _version("torch"):
        import torch

        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        yield Check("gpu", "ok" if count else "absent", torch.cuda.get_device_name(0) if count else "no CUDA device")


def _weights() -> Iterator[Check]:
    """The small backbones that come with the package, or those that a variable names."""
    if not (_version("torch") and _version("transformers")):
        return
    from mmud.baselines.backbones.scenes_tiny import FOLDER_VARIABLE, lacking, weights_folder

    remedy = f"unset {FOLDER_VARIABLE}, or install mmud anew"
    try:
        folder = weights_folder()
    except MmudError as error:
        yield Check("scenes-tiny", "broken", str(error.finding.place.file), remedy)
        return
    missing = lacking(folder)
    if missing:
        yield Check("scenes-tiny", "broken", f"{folder} lacks {', '.join(missing)}", remedy)
        return
    size = sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
    yield Check("scenes-tiny", "ok", f"{size / 1e6:.1f} MB in {folder}")


def examine() -> list[Check]:
    """Every check, in the order of the report."""
    return [*_machine(), *_packages(), *_weights(), *_torchvision(), *_programs()]
