"""Features of reference images, kept by content.

The key is made of what the features depend on and nothing else: the extractor's name, weights' hash and mode, and the
SHA-256 of every image file. Renaming or moving images changes nothing; editing one of them gives another key. Files are
``.npz`` without pickle, written under a temporary name, and checked against their own SHA-256 when read.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmud.errors import MmudError, Place
from mmud.evaluators.generation import codes
from mmud.evaluators.generation.extractors import ExtractorIdentity, Features
from mmud.files import atomic_write

_FORMAT = "mmud-features-1"


def cache_folder() -> Path:
    """``$MMUD_CACHE/features``, or ``~/.cache/mmud/features``."""
    root = os.environ.get("MMUD_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "mmud") / "features"


def cache_key(identity: ExtractorIdentity, image_hashes: Sequence[str]) -> str:
    """The SHA-256 that names the features of these images, in whatever order they come."""
    text = "\n".join([_FORMAT, identity.cache_key(), *sorted(image_hashes)])
    return hashlib.sha256(text.encode()).hexdigest()


def load_cached(key: str, image_hashes: Sequence[str], folder: Path | None = None) -> Features | None:
    """The features under a key, one row an image in the order of ``image_hashes``; None when there are none.

    Raises:
        MmudError: MM873 when the file is damaged or holds something else.
    """
    path = (folder or cache_folder()) / f"{key}.npz"
    place = Place(file=str(path))
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MmudError(codes.CACHE_CORRUPT, f"cannot read: {error}", place) from error
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            features, digest = archive["features"], str(archive["digest"])
    except Exception as error:  # one flipped bit can make a zip look encrypted, compressed otherwise, or endless
        raise MmudError(codes.CACHE_CORRUPT, f"not a cache file: {error}", place) from error
    ranks = _ranks(image_hashes)
    if (
        features.dtype != np.float32
        or features.ndim != 2
        or len(features) != len(ranks)
        or digest != _digest(key, features)
    ):
        raise MmudError(codes.CACHE_CORRUPT, "the contents do not match their checksum", place)
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
    with atomic_write(path) as stream:
        np.savez(stream, allow_pickle=False, features=ordered, digest=np.array(_digest(key, ordered)))
    return path


def _ranks(image_hashes: Sequence[str]) -> list[int]:
    """The row of each image in the file, which is sorted by hash; equal images have equal features, so ties do not matter."""
    order = sorted(range(len(image_hashes)), key=image_hashes.__getitem__)
    ranks = [0] * len(order)
    for rank, index in enumerate(order):
        ranks[index] = rank
    return ranks


def _digest(key: str, features: Features) -> str:
    head = f"{key}\n{features.dtype.str}\n{features.shape}\n".encode()
    return hashlib.sha256(head + np.ascontiguousarray(features).tobytes()).hexdigest()
