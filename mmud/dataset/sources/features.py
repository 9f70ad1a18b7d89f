"""The release's image features: one pickle an image, which holds the 512 numbers that CLIP's ViT-B/32 makes of it.

The official code loads them with ``pickle.load`` and squeezes them, so that numpy arrays, torch tensors and lists of any of
the shapes (512,), (1, 512) … are all in use. All are read without pickle and without torch.

A feature is no column of a dataset. `read_feature` reads one; `export_features` writes those of a whole dataset as one array a
split, in the order of its samples, which is what training the ``<GLB>`` decoder needs; so does ``mmud export --to official --set
features=DIR`` for what it exports.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmud.dataset.sources import codes
from mmud.dataset.sources.pickles.tensors import load_array
from mmud.dataset.store import Dataset
from mmud.errors import MmudError, Place
from mmud.files import atomic_write, refuse_existing

FEATURE_SIZE = 512
FEATURE_BYTES = 1 << 20
"""Longest file that is read: the numbers themselves take 2 or 4 kB."""


def feature_file(folder: Path, image_name: str) -> Path | None:
    """The file of an image's feature, as the official code names it (``1603.jpg.pkl``) or without the image's suffix."""
    for name in (f"{image_name}.pkl", f"{Path(image_name).stem}.pkl"):
        path = folder / name
        if path.is_file():
            return path
    return None


def read_feature(path: Path) -> NDArray[np.float32]:
    """One image's feature, shape (512,).

    Raises:
        MmudError: MM739 when the file is no such feature; MM701 when it asks for more than numbers.
    """
    place = Place(file=str(path))
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= FEATURE_BYTES else b""
    except OSError as error:
        raise MmudError(codes.FEATURE_INVALID, f"cannot read: {error}", place) from error
    if size > FEATURE_BYTES:
        raise MmudError(codes.FEATURE_INVALID, f"{size:,} bytes, a feature has at most {FEATURE_BYTES:,}", place)
    value: Any = load_array(io.BytesIO(data), len(data), place)
    try:
        feature = np.asarray(value, dtype=np.float32).squeeze()
    except (TypeError, ValueError) as error:
        raise MmudError(codes.FEATURE_INVALID, f"no array of numbers: {str(error)[:80]}", place) from error
    if feature.shape != (FEATURE_SIZE,):
        raise MmudError(codes.FEATURE_INVALID, f"shape {feature.shape}, not ({FEATURE_SIZE},)", place)
    if not np.isfinite(feature).all():
        raise MmudError(codes.FEATURE_INVALID, "a number that is not finite", place)
    return feature


def export_features(dataset: Dataset, folder: Path, output: Path, force: bool = False) -> dict[str, int]:
    """Write the features of a dataset's images as ``SPLIT.npz`` with ``sample_ids`` (n,) and ``features`` (n, 512) float32.

    Args:
        dataset: built from the official release.
        folder: of the feature pickles.
        output: a folder to write to.
        force: replace it if it is there.

    Returns:
        Split -> samples.

    Raises:
        MmudError: MM738 when an image has no feature, MM739 when one is unusable, MM003 when the output exists.
    """
    refuse_existing(output, force)
    counts = {}
    for split in dataset.splits:
        images = (
            (row["sample_id"], Path((row["image"] or {}).get("path") or row["sample_id"]).name)
            for batch in dataset.batches(split, ("sample_id", "image.path"))
            for row in batch.table.to_pylist()
        )
        counts[split] = write_features(images, folder, output / f"{split}.npz", split)
    return counts


def write_features(images: Iterable[tuple[str, str]], folder: Path, target: Path, split: str) -> int:
    """Write the features of some images as one ``.npz``; `export_features` says how.

    Args:
        images: sample id and image file name of each.
        folder: of the feature pickles.
        target: the file to write.
        split: named in errors.

    Raises:
        MmudError: MM738 when an image has no feature, MM739 when one is unusable.
    """
    ids, features = [], []
    for sample_id, name in images:
        path = feature_file(folder, name)
        if path is None:
            place = Place(sample=sample_id, split=split)
            raise MmudError(codes.FEATURE_MISSING, f"no {name}.pkl in {folder}", place)
        ids.append(sample_id)
        features.append(read_feature(path))
    with atomic_write(target) as stream:
        stacked = np.stack(features) if features else np.zeros((0, FEATURE_SIZE), np.float32)
        np.savez(stream, sample_ids=np.array(ids, dtype=np.str_), features=stacked)
    return len(ids)
