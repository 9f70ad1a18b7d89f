"""Features of reference images, kept by content.

The key is made of what the features depend on and nothing else: the extractor's name, weights' hash, mode and setting, and
the SHA-256 of every image file. Renaming or moving images changes nothing; editing one of them gives another key. Files are
``.npz`` without pickle, written under a temporary name, and checked against their own SHA-256 when read.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmud.errors import MmudError, Place
from mmud.evaluators.generation import codes
from mmud.evaluators.generation.extractors import ExtractorIdentity, Features
from mmud.files import atomic_write
from mmud.files import cache_folder as folder_of_room

_FORMAT = "mmud-features-2"
Arrays = Mapping[str, NDArray[Any]]


def cache_folder() -> Path:
    """``$MMUD_CACHE/features``, or ``~/.cache/mmud/features``."""
    return folder_of_room("features")


def cache_key(identity: ExtractorIdentity, parts: Sequence[str], setting: str = "") -> str:
    """The SHA-256 that names features.

    Args:
        identity: What makes them.
        parts: What they are of: the images' SHA-256, in whatever order they come.
        setting: What their last digits depend on; see `setting_of`.
    """
    text = "\n".join([_FORMAT, identity.cache_key(), setting, *sorted(parts)])
    return hashlib.sha256(text.encode()).hexdigest()


def read_arrays(path: Path, key: str, names: Sequence[str]) -> Arrays | None:
    """The arrays that `write_arrays` wrote under a key; None when there is no such file.

    Raises:
        MmudError: MM873 when the file is damaged or holds something else.
    """
    place = Place(file=str(path))
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MmudError(codes.CACHE_CORRUPT, f"cannot read: {error}", place) from error
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays, digest = {name: archive[name] for name in names}, str(archive["digest"])
    except Exception as error:  # one flipped bit can make a zip look encrypted, compressed otherwise, or endless
        raise MmudError(codes.CACHE_CORRUPT, f"not a cache file: {error}", place) from error
    if digest != _digest(key, arrays):
        raise MmudError(codes.CACHE_CORRUPT, "the contents do not match their checksum", place)
    return arrays


def write_arrays(path: Path, key: str, arrays: Arrays) -> None:
    """Keep arrays in a file with their checksum, whole or not at all.

    Raises:
        MmudError: MM008 when the operating system refuses.
    """
    named: dict[str, Any] = {**arrays, "digest": np.array(_digest(key, arrays))}
    with atomic_write(path) as stream:
        np.savez(stream, allow_pickle=False, **named)


def load_cached(key: str, image_hashes: Sequence[str], folder: Path | None = None) -> Features | None:
    """The features under a key, one row an image in the order of ``image_hashes``; None when there are none.

    Raises:
        MmudError: MM873 when the file is damaged or holds something else.
    """
    path = (folder or cache_folder()) / f"{key}.npz"
    arrays = read_arrays(path, key, ("features",))
    if arrays is None:
        return None
    features, ranks = arrays["features"], _ranks(image_hashes)
    if features.dtype != np.float32 or features.ndim != 2 or len(features) != len(ranks):
        raise MmudError(codes.CACHE_CORRUPT, "the file holds features of other images", Place(file=str(path)))
    restored: Features = features[ranks]
    return restored


def store_cached(key: str, image_hashes: Sequence[str], features: Features, folder: Path | None = None) -> Path:
    """Keep features under a key.

    Raises:
        MmudError: MM008 when the operating system refuses.
    """
    ordered = np.empty_like(features)
    ordered[_ranks(image_hashes)] = features
    path = (folder or cache_folder()) / f"{key}.npz"
    write_arrays(path, key, {"features": ordered})
    return path


def _ranks(image_hashes: Sequence[str]) -> list[int]:
    """The row of each image in the file, which is sorted by hash; equal images have equal features, so ties do not matter."""
    order = sorted(range(len(image_hashes)), key=image_hashes.__getitem__)
    ranks = [0] * len(order)
    for rank, index in enumerate(order):
        ranks[index] = rank
    return ranks


def _digest(key: str, arrays: Arrays) -> str:
    digest = hashlib.sha256(key.encode())
    for name, array in arrays.items():
        digest.update(f"\n{name}\n{array.dtype.str}\n{array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
