"""Which samples show one image: by the image's number in its source, by its bytes, or both.

RefCOCO, RefCOCO+, RefCOCOg and COCO number their images alike, so that ``refcoco`` 573125 and ``coco`` 573125 are one image.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mmud.dataset.source_facts import facts_of

# COCO_train2014_000000573125.jpg, with the annotation's number that the refer files add, or the bare number.
_COCO_NAME = re.compile(r"(?:^|[_/\\])0*(\d{1,12})(?:_\d+)?(?:\.\w{1,5})?$")
# What a file of COCO's keeps of its name where it stands among others: twelve digits, alone or behind COCO's prefix.
_KEPT_NAME = re.compile(r"(?:COCO_[a-z]+\d{4}_)?\d{12}(?:_\d+)?(?:\.\w{1,5})?", re.IGNORECASE)
_RENUMBERED = "mmud"
_WIDE_NUMBER = re.compile(r"(?:^|[_/\\])(\d{12})(?:_\d+)?(?:\.\w{1,5})?$")


def image_family(source: str) -> str:
    """The family whose numbers a source's images have; an unknown source is a family of its own."""
    facts = facts_of(source)
    return source.strip().lower() if facts is None else facts.image_family


def image_number(family: str, source_image_id: str) -> str:
    """An image's number in the one way in which samples of a family can be compared.

    COCO's file names become the number in them: "COCO_train2014_000000573125.jpg", "000000573125" and "573125" are one. Other
    families' ids are compared as they stand, but for white space and zeros in front of a whole number.
    """
    text = source_image_id.strip()
    if family == "coco":
        match = _WIDE_NUMBER.search(text) or _COCO_NAME.search(text)
        return str(int(match[1])) if match else text
    return str(int(text)) if text.isascii() and text.isdigit() else text


def image_key(source: str, source_image_id: str) -> str | None:
    """What an image is whichever source it comes from, as in "coco:573125"; None where its number names no image.

    The official release numbers its images anew; an image of it that kept the file name of COCO's is COCO's.
    """
    family = image_family(source)
    if family == _RENUMBERED and _KEPT_NAME.fullmatch(source_image_id.strip()):
        family = "coco"
    number = image_number(family, source_image_id)
    return f"{family}:{number}" if family and number else None


def content_digest(data: bytes) -> bytes:
    """The first half of the SHA-256 of a file's bytes: 128 bits, too many to meet by chance."""
    return hashlib.sha256(data).digest()[:16]


class ImageGroups:
    """Joins positions that share a key (union by smallest position, with path halving).

    Groups are numbered by their first position, so that nothing depends on the order in which keys were met.
    """

    def __init__(self) -> None:
        self._parents: list[int] = []
        self._first: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self._parents)

    def add(self, keys: Iterable[Hashable]) -> int:
        """Add the next position, which belongs with every earlier one that shares one of its keys."""
        position = len(self._parents)
        self._parents.append(position)
        for key in keys:
            self._join(self._first.setdefault(key, position), position)
        return position

    def _join(self, first: int, second: int) -> None:
        a, b = self.root(first), self.root(second)
        if a != b:
            self._parents[max(a, b)] = min(a, b)

    def root(self, position: int) -> int:
        """The first position of the group."""
        parents = self._parents
        while parents[position] != position:
            parents[position] = parents[parents[position]]
            position = parents[position]
        return position

    def groups(self) -> dict[int, list[int]]:
        """First position -> every position of the group, in order."""
        found: dict[int, list[int]] = {}
        for position in range(len(self._parents)):
            found.setdefault(self.root(position), []).append(position)
        return found


def image_bytes_of(image: Mapping[str, Any] | None) -> bytes | None:
    """The encoded image of a row, from the row or from its file; None where there is neither."""
    if not image:
        return None
    if image.get("bytes"):
        return bytes(image["bytes"])
    if not image.get("path"):
        return None
    try:
        return Path(image["path"]).read_bytes()
    except OSError:
        # A linked image that is gone: `mmud validate` reports it (MM501); here it can only be compared by its path.
        return None


def keys_of_row(row: Mapping[str, Any], by_number: bool = True) -> Iterator[Hashable]:
    """What makes two rows one image: the image's number where it has one, and its bytes, or its path where it is linked.

    Args:
        row: with the columns source, source_image_id and image.
        by_number: whether the image's number counts.
    """
    number = image_key(row["source"] or "", row["source_image_id"] or "") if by_number else None
    if number is not None:
        yield number
    data = image_bytes_of(row["image"])
    if data is not None:
        yield content_digest(data)
    elif row["image"] and row["image"].get("path"):
        yield f"path:{row['image']['path']}"
