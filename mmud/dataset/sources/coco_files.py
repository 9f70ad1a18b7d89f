"""COCO's instances and captions files, read so that memory does not grow with the masks: annotations stay in the file, and where
each of them stands is remembered.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mmud.annotations.masks import MAX_SIDE
from mmud.dataset.sources import codes
from mmud.dataset.sources.json_files import Element, JsonScanner, open_file, parse_json
from mmud.dataset.sources.plain_json import encodable, shown
from mmud.dataset.sources.tally import Tally
from mmud.errors import Code, Finding, MmudError, Place

INSTANCES_KEYS = frozenset({"info", "licenses", "images", "annotations", "categories", "type"})
CAPTIONS_KEYS = frozenset({"info", "licenses", "images", "annotations", "type"})
LARGEST_ID = 1 << 63


@dataclass(frozen=True, slots=True)
class CocoImage:
    """An image as a COCO file lists it; a size that is missing or unusable is None."""

    id: int
    file_name: str | None
    width: int | None
    height: int | None
    license: str


def whole(value: Any) -> int | None:
    """An id: the value if it is a whole number of 64 bits, or a float or text that stands for one."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST_ID:
        return value
    return None


def side(value: Any) -> int | None:
    """A height or width: the value if it is a whole number of pixels that an image can have."""
    number = whole(value)
    return number if number is not None and 0 < number <= MAX_SIDE else None


class CocoFile:
    """An instances file.

    Args:
        path: the file.
        tally: takes findings about the file.
        wanted: ids of the annotations to remember; all when left out.

    Attributes:
        images: id -> image, in the file's order.
        categories: id -> name.

    Raises:
        MmudError: MM002, MM71x; MM714 when the outermost value is no object with images and annotations.
    """

    def __init__(self, path: Path, tally: Tally, wanted: Container[int] | None = None) -> None:
        self.path = path
        self.images: dict[int, CocoImage] = {}
        self.categories: dict[int, str] = {}
        self._licenses: dict[int, str] = {}
        self._image_licenses: dict[int, int] = {}
        self._ids = array("q")
        self._image_ids = array("q")
        self._starts = array("q")
        self._lengths = array("q")
        self._lines = array("q")
        self._positions: dict[int, int] = {}
        self._tally = tally
        self._wanted = wanted
        self._read()

    def __getstate__(self) -> dict[str, Any]:
        # A copy for another process has no use for the file's findings.
        return {**self.__dict__, "_tally": Tally(), "_wanted": None}

    # -- reading the file ------------------------------------------------------------------------------------------------

    def _note(self, code: Code, message: str, line: int) -> None:
        self._tally.note(code, message, Place(file=str(self.path), line=line))

    def _read(self) -> None:
        scanner = JsonScanner(self.path, self._tally)
        for element in scanner.elements():
            if element.listed:
                self._take(element)
        _note_extra_keys(scanner, INSTANCES_KEYS, self._note)
        if not {"images", "annotations"} <= scanner.keys.keys():
            message = "an object with images and annotations is expected"
            raise MmudError(codes.JSON_SHAPE, message, Place(file=str(self.path)))
        for image_id, license_id in self._image_licenses.items():
            image = self.images[image_id]
            name = self._licenses.get(license_id, "")
            self.images[image_id] = CocoImage(image.id, image.file_name, image.width, image.height, name)
        self._image_licenses.clear()

    def _take(self, element: Element) -> None:
        value = element.value
        if element.key not in ("images", "annotations", "categories", "licenses"):
            return
        if not isinstance(value, dict):
            self._note(codes.JSON_ENTRY, f"{element.key}: {shown(value)} instead of an object", element.line)
        elif element.key == "images":
            self._take_image(value, element.line)
        elif element.key == "annotations":
            self._take_annotation(value, element)
        else:
            number, name = whole(value.get("id")), value.get("name")
            if number is None or not isinstance(name, str):
                self._note(codes.JSON_ENTRY, f"{element.key}: an entry without id or name", element.line)
                return
            table = self.categories if element.key == "categories" else self._licenses
            if table.setdefault(number, encodable(name)) != encodable(name):
                self._note(
                    codes.ID_REPEATED, f"{element.key}: id {number} has two names, the first is kept", element.line
                )

    def _take_image(self, value: Mapping[str, Any], line: int) -> None:
        number, name = whole(value.get("id")), value.get("file_name")
        if number is None:
            self._note(codes.JSON_ENTRY, f"images: id {shown(value.get('id'))}", line)
            return
        if number in self.images:
            self._note(codes.ID_REPEATED, f"image {number} is listed twice, the first is kept", line)
            return
        width, height = side(value.get("width")), side(value.get("height"))
        if width is None or height is None:
            message = f"image {number}: width {shown(value.get('width'))}, height {shown(value.get('height'))}"
            self._note(codes.JSON_ENTRY, message, line)
        if not isinstance(name, str) or not name:
            self._note(codes.JSON_ENTRY, f"image {number}: file name {shown(name)}", line)
            name = None
        self.images[number] = CocoImage(number, encodable(name) if name else None, width, height, "")
        license_id = whole(value.get("license"))
        if license_id is not None:
            self._image_licenses[number] = license_id

    def _take_annotation(self, value: Mapping[str, Any], element: Element) -> None:
        image_id = whole(value.get("image_id"))
        number = whole(value.get("id"))
        if image_id is None:
            self._note(
                codes.JSON_ENTRY,
                f"annotation {shown(value.get('id'))}: image id {shown(value.get('image_id'))}",
                element.line,
            )
            return
        if number is None:
            self._note(
                codes.JSON_ENTRY, f"an annotation of image {image_id}: id {shown(value.get('id'))}", element.line
            )
        elif self._wanted is not None and number not in self._wanted:
            return
        elif number in self._positions:
            self._note(codes.ID_REPEATED, f"annotation {number} is listed twice", element.line)
        else:
            self._positions[number] = len(self._ids)
        self._ids.append(-1 if number is None else number)
        self._image_ids.append(image_id)
        self._starts.append(element.start)
        self._lengths.append(element.length)
        self._lines.append(element.line)

    # -- asking it -------------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Annotations remembered."""
        return len(self._ids)

    def position(self, annotation_id: int) -> int | None:
        """Where the annotation with an id is (the first, if there are several), or None."""
        return self._positions.get(annotation_id)

    def image_of(self, position: int) -> int:
        """The id of an annotation's image."""
        return self._image_ids[position]

    def by_image(self) -> dict[int, tuple[int, ...]]:
        """Image id -> positions of its annotations, in the file's order."""
        if not self._ids:
            return {}
        owners = np.array(self._image_ids, dtype=np.int64)
        order = np.argsort(owners, kind="stable")
        numbers, starts = np.unique(owners[order], return_index=True)
        groups = np.split(order, starts[1:])
        return {int(number): tuple(group.tolist()) for number, group in zip(numbers, groups, strict=True)}

    def annotations(self, positions: Sequence[int], findings: list[Finding], sample: str) -> list[dict[str, Any]]:
        """Annotations, read from the file.

        Args:
            positions: as `position` and `by_image` give them.
            findings: takes what is odd about their JSON.
            sample: for its place.

        Raises:
            MmudError: MM714 when the file was changed since it was listed.
        """
        if not positions:
            return []
        with open_file(self.path) as stream:
            return [self._annotation(stream, position, findings, sample) for position in positions]

    def _annotation(self, stream: BinaryIO, position: int, findings: list[Finding], sample: str) -> dict[str, Any]:
        stream.seek(self._starts[position])
        data = stream.read(self._lengths[position])
        place = Place(sample=sample, file=str(self.path), line=self._lines[position])

        def note(code: Code, message: str, where: Place) -> None:
            findings.append(Finding(code, where, message))

        try:
            value = parse_json(data, place, note, self._lines[position])
        except MmudError as error:
            raise MmudError(codes.JSON_SHAPE, "the file was changed while it was read", place) from error
        if not isinstance(value, dict) or whole(value.get("image_id")) != self._image_ids[position]:
            raise MmudError(codes.JSON_SHAPE, "the file was changed while it was read", place)
        return value

    def place(self, position: int, sample: str, number: int) -> Place:
        """Of an annotation that is a sample's object with this number."""
        return Place(sample=sample, object=number, file=str(self.path), line=self._lines[position])


def _note_extra_keys(scanner: JsonScanner, known: frozenset[str], note: Callable[[Code, str, int], None]) -> None:
    for key, line in scanner.keys.items():
        if key not in known:
            note(codes.JSON_EXTRA_KEY, f"key {shown(key)} is not read", line)


def read_captions(path: Path, tally: Tally) -> dict[int, list[str]]:
    """The captions of a COCO captions file: image id -> its captions in the file's order, as they stand there.

    Raises:
        MmudError: MM002, MM71x; MM714 when the file holds no annotations.
    """
    found: dict[int, list[str]] = {}
    ids: set[int] = set()
    scanner = JsonScanner(path, tally)
    for element in scanner.elements():
        place = Place(file=str(path), line=element.line)
        if element.key != "annotations" or not element.listed:
            continue
        value = element.value if isinstance(element.value, dict) else {}
        image_id, caption, number = whole(value.get("image_id")), value.get("caption"), whole(value.get("id"))
        if image_id is None or not isinstance(caption, str):
            tally.note(codes.JSON_ENTRY, f"caption {shown(value.get('id'))} without image id or text", place)
            continue
        if number is not None and number in ids:
            tally.note(codes.ID_REPEATED, f"caption {number} is listed twice, both are kept", place)
        if number is not None:
            ids.add(number)
        found.setdefault(image_id, []).append(encodable(caption))
    _note_extra_keys(
        scanner, CAPTIONS_KEYS, lambda code, text, line: tally.note(code, text, Place(file=str(path), line=line))
    )
    if "annotations" not in scanner.keys:
        raise MmudError(codes.JSON_SHAPE, "an object with annotations is expected", Place(file=str(path)))
    return found


CAPTION_CHOICES = ("longest", "first", "joined")


def choose_caption(captions: list[str], choice: str) -> str:
    """One caption of several: the longest (of equals the first), the first, or all of them joined by a space."""
    texts = [text.strip() for text in captions if text.strip()]
    if not texts:
        return ""
    if choice == "joined":
        return " ".join(texts)
    return texts[0] if choice == "first" else max(texts, key=len)
