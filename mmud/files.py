"""Writing and hashing files: nothing half-written is ever left under its final name."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from mmud import codes
from mmud.errors import MmudError, Place

# What mkstemp below makes: a dot, the file's name, eight characters of its own.
_LEFTOVER = re.compile(r"\..+\.[a-z0-9_]{8}\.partial")


@contextlib.contextmanager
def atomic_write(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file beside ``path`` that takes its name when the block ends well, and vanishes when it does not.

    Raises:
        MmudError: MM008 when the operating system refuses (full disk, no permission).
    """
    path = Path(path)
    encoding = None if "b" in mode else "utf-8"
    newline = None if "b" in mode else "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".partial")
    except OSError as error:
        raise MmudError(codes.NOT_WRITABLE, f"cannot write: {error}", Place(file=str(path))) from error
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, mode, encoding=encoding, newline=newline) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes private files; a dataset is to be readable as any other file of this user is.
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise MmudError(codes.NOT_WRITABLE, f"cannot write: {error}", Place(file=str(path))) from error
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that killed writers of `atomic_write` left in a folder. No writer may be at work there."""
    if folder.is_dir():
        for path in folder.glob(".*.partial"):
            if _LEFTOVER.fullmatch(path.name):
                path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically, with line feeds on every system."""
    with atomic_write(path, "w") as stream:
        stream.write(text)


def write_json(path: Path, value: Any, indent: int | None = 2) -> None:
    """Write JSON atomically: keys in the order given, no NaN, a closing line feed."""
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False) + "\n")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file as hexadecimal, read in pieces."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def refuse_existing(path: Path, force: bool) -> None:
    """Nothing is overwritten without --force.

    Raises:
        MmudError: MM003 when ``path`` exists (and, for a folder, holds anything).
    """
    if force or not path.exists():
        return
    if path.is_dir() and not any(path.iterdir()):
        return
    raise MmudError(codes.OUTPUT_EXISTS, f"{path} exists already", Place(file=str(path)))


def require(path: Path, what: str = "file") -> Path:
    """``path``, which must exist.

    Raises:
        MmudError: MM002 when it does not.
    """
    if not path.exists():
        raise MmudError(codes.FILE_MISSING, f"no such {what}: {path}", Place(file=str(path)))
    return path


def cache_folder(room: str) -> Path:
    """Where a room keeps what can be computed again: ``$MMUD_CACHE/room``, else ``~/.cache/mmud/room``."""
    base = os.environ.get("MMUD_CACHE")
    return (Path(base) if base else Path.home() / ".cache" / "mmud") / room
