"""Features of a split's real images, kept between evaluations.

One file for each dataset (its fingerprint), split, extractor and setting. A fingerprint is of labels, and linked images may be
edited in place: so every feature is kept with the SHA-256 of its image file, and used for an image of those bytes only. A
shard or a limited run adds what it made; what the file has already is not made again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mmud.errors import Finding, MmudError, Place
from mmud.evaluators.generation import codes
from mmud.evaluators.generation.cache import cache_folder, cache_key, read_arrays, write_arrays
from mmud.evaluators.generation.extractors import Extractor, Features, ImageSource, setting_of
from mmud.images import DEFAULT_LIMITS

_HASH_BYTES = 32


class ReferenceCache:
    """Extracts features of reference images, those that it knows excepted.

    Args:
        extractor: what makes features. They must not depend on the neighbours of an image, which every extractor promises.
        fingerprint: of the dataset.
        split: of the dataset.
        folder: where files lie; the cache folder when left out.
    """

    def __init__(self, extractor: Extractor, fingerprint: str, split: str, folder: Path | None = None) -> None:
        self._extractor = extractor
        self._key = cache_key(extractor.identity, [f"dataset {fingerprint}", f"split {split}"], setting_of(extractor))
        self._path = (folder or cache_folder()) / f"{self._key}.npz"
        self._limits = getattr(extractor, "limits", DEFAULT_LIMITS)
        self._known: dict[bytes, Features] | None = None
        self._made: dict[bytes, Features] = {}
        self._findings: list[Finding] = []

    def extract(self, sources: Sequence[ImageSource]) -> Features:
        """Features, one row a source; errors as the extractor and ``ImageSource.read``."""
        if self._known is None:
            self._known = self._load()
        hashes = [hashlib.sha256(source.read(self._limits)).digest() for source in sources]
        rows = [self._known.get(name, self._made.get(name)) for name in hashes]
        absent = [index for index, row in enumerate(rows) if row is None]
        if absent:
            for index, row in zip(absent, self._extractor.extract([sources[index] for index in absent]), strict=True):
                rows[index] = self._made[hashes[index]] = row
        return np.stack([row for row in rows if row is not None])

    def save(self) -> list[Finding]:
        """Keep what was made, beside what another process kept meanwhile.

        Returns:
            Warnings: a damaged file (MM873), or one that cannot be written (MM008). They cost the next run time, and this
            one no figure.
        """
        if self._made:
            both = {**self._load(), **self._made}
            hashes = np.frombuffer(b"".join(both), np.uint8).reshape(-1, _HASH_BYTES)
            features = np.stack(list(both.values())).astype(np.float32)
            try:
                write_arrays(self._path, self._key, {"hashes": hashes, "features": features})
            except MmudError as error:
                self._findings.append(error.finding)
        found, self._findings = list(dict.fromkeys(self._findings)), []
        return found

    def _load(self) -> dict[bytes, Features]:
        try:
            arrays = read_arrays(self._path, self._key, ("hashes", "features"))
            if arrays is None:
                return {}
            hashes, features = arrays["hashes"], arrays["features"]
            if (
                hashes.dtype != np.uint8
                or features.dtype != np.float32
                or hashes.shape != (len(features), _HASH_BYTES)
                or features.ndim != 2
            ):
                message = f"hashes of shape {hashes.shape} and features of shape {features.shape}"
                raise MmudError(codes.CACHE_CORRUPT, message, Place(file=str(self._path)))
        except MmudError as error:
            self._findings.append(error.finding)
            return {}
        return {name.tobytes(): row for name, row in zip(hashes, features, strict=True)}
