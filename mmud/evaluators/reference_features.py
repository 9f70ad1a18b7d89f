"""The real images' features as a file gives them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmud.errors import Finding, MmudError, Place
from mmud.evaluators import codes
from mmud.evaluators.predictions import read_lines
from mmud.files import require


def read_reference_features(path: Path) -> Mapping[str, Any]:
    """The real images' features by sample.

    Args:
        path: ``.npz`` with ``sample_ids`` (n,) and ``features`` (n, d), as features of the official release are exported; or JSON
            lines of ``{"sample_id", "feature"}``, as ``generation.jsonl`` has them.

    Raises:
        MmudError: MM002 when there is no such file, MM825 when it is of neither form.
    """
    return _read_arrays(require(path)) if path.suffix == ".npz" else _read_feature_lines(require(path))


def _read_arrays(path: Path) -> dict[str, Any]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names, features = arrays["sample_ids"].tolist(), arrays["features"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        message = f"no arrays sample_ids and features: {error}"
        raise MmudError(codes.INPUT_UNREADABLE, message, Place(file=str(path))) from error
    if features.ndim != 2 or len(names) != len(features):
        message = f"{len(names)} sample_ids and features of shape {features.shape}"
        raise MmudError(codes.INPUT_UNREADABLE, message, Place(file=str(path)))
    return dict(zip(map(str, names), features, strict=True))


def _read_feature_lines(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    problems: list[Finding] = []
    for line, row in read_lines(path, str(path), problems.append):
        name, feature = row.get("sample_id"), row.get("feature")
        if not isinstance(name, str) or not isinstance(feature, list):
            message = "a row has sample_id and feature, a list of numbers"
            raise MmudError(codes.INPUT_UNREADABLE, message, Place(file=str(path), line=line))
        found[name] = feature
    if problems:
        raise MmudError(codes.INPUT_UNREADABLE, problems[0].message, problems[0].place)
    return found
