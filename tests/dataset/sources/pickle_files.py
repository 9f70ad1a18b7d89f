"""What the tests of the restricted pickle reader share."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from mmud.dataset.sources import safe_pickle
from mmud.dataset.sources.pickles.state import Limits
from mmud.errors import MmudError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
SMALL = Limits(file_bytes=1 << 20, held_bytes=1 << 16, held_objects=5_000)


def write(folder: Path, data: bytes) -> Path:
    path = folder / "made.pkl"
    path.write_bytes(data)
    return path


def refusal(data: bytes, tmp_path: Path) -> set[str]:
    """The codes with which both ways of reading refuse the data."""
    path = write(tmp_path, data)
    found = set()
    for read in (safe_pickle.load, lambda path: list(safe_pickle.stream(path))):
        with pytest.raises(MmudError) as raised:
            read(path)
        assert raised.value.where.file == str(path)
        found.add(raised.value.code.id)
    return found
