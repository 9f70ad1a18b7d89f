"""Finding a source's image files by the names that its annotations give, and nothing outside the folders that were named."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from mmud import codes
from mmud.dataset.sources.plain_json import encodable, shown
from mmud.errors import Finding, Place


def file_name_of(path: str) -> str:
    """The last part of a path, written in the Windows or the POSIX way."""
    if "\\" in path:
        path = path.replace("\\", "/")
    return path[path.rfind("/") + 1 :]


def stem_of(name: str) -> str:
    """A file's name without its last suffix, as in "1603" for "1603.jpg"."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and stem and suffix.isalnum() and len(suffix) <= 5 else name


class ImageFiles:
    """Image files by name, in folders and, where a name is not directly there, in their subfolders.

    Args:
        folders: searched in this order.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = tuple(folders)
        self._names: dict[str, str] | None = None
        self._listed: list[tuple[str, frozenset[str]]] | None = None

    def __getstate__(self) -> tuple[Path, ...]:
        # Each process makes its own index, if it needs one.
        return self.folders

    def __setstate__(self, folders: tuple[Path, ...]) -> None:
        self.folders = folders
        self._names = self._listed = None

    def __bool__(self) -> bool:
        return bool(self.folders)

    def find(self, name: str) -> str | None:
        """The absolute path of a file, or None.

        Args:
            name: as the annotations give it, perhaps with a folder; never followed out of the folders.
        """
        for prefix, names in self._directly():
            if name in names:
                return prefix + name
        relative = name.replace("\\", "/")
        parts = PurePosixPath(relative).parts
        # A name from a stranger: no NUL, no half characters, no way up or out.
        if not parts or "\0" in name or not _storable(name):
            return None
        if ".." not in parts and not relative.startswith("/") and ":" not in parts[0]:
            for folder in self.folders:
                path = os.path.join(folder, relative)
                if os.path.isfile(path):
                    return path
        return self._index().get(parts[-1]) if self.folders else None

    def _directly(self) -> list[tuple[str, frozenset[str]]]:
        """The files that lie directly in the folders: one listing instead of a question to the system for each image."""
        if self._listed is None:
            self._listed = []
            for folder in self.folders:
                with os.scandir(folder) as entries:
                    names = frozenset(entry.name for entry in entries if entry.is_file())
                self._listed.append((os.path.join(folder, ""), names))
        return self._listed

    def _index(self) -> dict[str, str]:
        if self._names is None:
            self._names = {}
            for folder in self.folders:
                for root, subfolders, names in os.walk(folder):
                    subfolders.sort()
                    for name in sorted(names):
                        self._names.setdefault(name, os.path.join(root, name))
        return self._names


def _storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def located(images: ImageFiles, name: str | None, sample: str, findings: list[Finding]) -> str | None:
    """Where a sample's image is, or where it should be, which is a finding; None when no folder was named or no file is."""
    path = images.find(name) if name and images else None
    if path is None and images:
        message = f"no image file {shown(name or '', 120)} in the folders that were named"
        findings.append(Finding(codes.IMAGE_MISSING, Place(sample=sample), message))
        if name:
            # Where it should be: embedding and validation name it.
            path = os.path.join(images.folders[0], encodable(file_name_of(name)).replace("\0", "\ufffd"))
    return path


def header_size(path: str) -> tuple[int, int] | None:
    """(width, height) of an image from its header, nothing decoded; None when it is no image that can be opened."""
    from PIL import Image

    from mmud.images import FORMATS

    try:
        with Image.open(path, formats=FORMATS) as image:
            return image.size
    except Exception:  # decoders fail on hostile bytes in many ways; `mmud validate` says in which
        return None
