"""File names made from untrusted text: safe on every system, unique, and the same on every run."""

from __future__ import annotations

import hashlib
import re

MAX_STEM = 70
"""Characters; with two digests and an extension under the 100 that a plain tar header takes, and file systems' 255."""

_FOREIGN = re.compile(r"[^A-Za-z0-9._-]+")
_FOREIGN_OR_DOT = re.compile(r"[^A-Za-z0-9_-]+")
# Windows opens a device under these names, whatever the extension.
_RESERVED = frozenset(
    ["con", "prn", "aux", "nul", *(f"{device}{number}" for device in ("com", "lpt") for number in range(10))]
)


def _digest(text: str, length: int = 10) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:length]


def safe_stem(text: str, dots: bool = True) -> str:
    """A file name's stem that says as much of ``text`` as is safe.

    Text that is safe as it stands is returned unchanged. Otherwise foreign characters become ``_`` and a digest of the whole
    text is added, so that two texts never share a stem by being cleaned alike.

    Args:
        text: anything, such as a sample's id.
        dots: whether dots may stay; WebDataset ends a sample's key at the first one.
    """
    stem = (_FOREIGN if dots else _FOREIGN_OR_DOT).sub("_", text).strip("._-")[:MAX_STEM].rstrip("._-")
    if stem.partition(".")[0].lower() in _RESERVED:
        stem = f"_{stem}"
    if stem and stem == text:
        return stem
    return f"{stem or 'sample'}-{_digest(text)}"


class FileNames:
    """Names of one folder's files: each given out once, also where letter case does not count."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def claim(self, text: str, extension: str = "", dots: bool = True) -> str:
        """A free name for ``text``.

        Args:
            text: what the name is to say; may be anything.
            extension: without a dot; added to the stem.
            dots: whether the stem may hold dots.

        Returns:
            The stem alone when ``extension`` is empty.
        """
        stem = safe_stem(text, dots)
        suffix = f".{extension}" if extension else ""
        number = 0
        name = stem + suffix
        while name.lower() in self._taken:
            number += 1
            name = f"{stem}-{_digest(f'{number}:{text}')}{suffix}"
        self._taken.add(name.lower())
        return name
