"""Packing predictions into one zip: only what a submission has, in a fixed order, with the same bytes in every run."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmud.evaluators.predictions import SUBMISSION_NAME, PredictionFolder, task_file
from mmud.evaluators.submissions.expectations import Expectations
from mmud.files import atomic_write
from mmud.records import Task

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip can hold: when something was packed must not change its bytes."""


@dataclass(frozen=True, slots=True)
class Packed:
    """The archive, and what went into it."""

    path: Path
    files: int
    images: int
    bytes: int


def pack_submission(
    folder: PredictionFolder,
    output: Path,
    expected: Expectations,
    *,
    name: str | None = None,
    authors: list[str] | None = None,
    system: dict[str, Any] | None = None,
) -> Packed:
    """Write the zip.

    Args:
        folder: predictions that were checked.
        output: the zip to write.
        expected: names the dataset's fingerprint and the split.
        name, authors, system: for ``submission.json``; what the folder's own says is kept where they are left out.

    Raises:
        MmudError: MM008 when it cannot be written, MM813 when the folder's submission.json cannot be read.
    """
    info = folder.submission
    manifest: dict[str, Any] = info.model_dump(mode="json", exclude_none=True) if info is not None else {"format": 1}
    manifest |= {"split": expected.split, "dataset_fingerprint": expected.fingerprint}
    manifest |= {key: value for key, value in (("name", name), ("authors", authors)) if value}
    manifest["system"] = {**manifest.get("system", {}), **(system or {})}
    images = _images_of(folder)
    with atomic_write(output) as stream, zipfile.ZipFile(stream, "w") as archive:
        text = json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        archive.writestr(_entry(SUBMISSION_NAME, zipfile.ZIP_DEFLATED), text)
        for task in folder.tasks:
            _add(archive, folder.path / task_file(task), task_file(task), zipfile.ZIP_DEFLATED)
        for image in images:
            # PNG and JPEG are packed already.
            _add(archive, folder.path / image, image, zipfile.ZIP_STORED)
    return Packed(output, 1 + len(folder.tasks) + len(images), len(images), output.stat().st_size)


def _images_of(folder: PredictionFolder) -> list[str]:
    """The images that the generation task names, each once, in order."""
    if Task.GENERATION not in folder.tasks:
        return []
    named = (prediction.image for prediction in folder.read(Task.GENERATION, lambda finding: None))
    return sorted({image for image in named if image is not None})


def _entry(name: str, compression: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = compression
    info.external_attr = 0o100644 << 16
    return info


def _add(archive: zipfile.ZipFile, path: Path, name: str, compression: int) -> None:
    with open(path, "rb") as source, archive.open(_entry(name, compression), "w", force_zip64=True) as out:
        shutil.copyfileobj(source, out, 1 << 20)
