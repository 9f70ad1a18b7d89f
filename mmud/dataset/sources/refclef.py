"""RefCLEF in the ReferIt layout: boxes, queries, image lists and sizes of SAIAPR TC-12 as JSON, masks as MATLAB files if at hand.

``referit_bbox.json`` holds ``IMAGE_REGION -> [left, top, right, bottom]``, whole pixels, all four inside the region;
``referit_query_SPLIT.json`` the expressions of each region, ``referit_imsize.json`` ``IMAGE.jpg -> [width, height]``, and
``referit_SPLIT_imlist.txt`` the images of each split.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from mmud.annotations.masks import Mask
from mmud.dataset.image_groups import image_key
from mmud.dataset.sources import codes
from mmud.dataset.sources.base import Converted, Item, Source
from mmud.dataset.sources.coco_files import side
from mmud.dataset.sources.description import description
from mmud.dataset.sources.image_files import ImageFiles, header_size, located
from mmud.dataset.sources.json_files import load_json
from mmud.dataset.sources.object_masks import Box, boxes_disagree, usable_box
from mmud.dataset.sources.options import Options, image_options, path_options
from mmud.dataset.sources.plain_json import encodable, shown
from mmud.dataset.sources.tally import Tally
from mmud.errors import Code, Finding, MmudError, Place
from mmud.records import ImageReference, MaskedObject, Sample

SPLITS = {"train": "train", "val": "valid", "test": "test"}
"""A published split -> the dataset's split."""

MASK_BYTES = 1 << 18
"""Longest MATLAB file that is read; those of SAIAPR have a few kilobytes."""

_REGION = re.compile(r"(\d{1,12})_(\d{1,6})")


@dataclass(frozen=True, slots=True)
class Region:
    """One region of an image: its number, its box as the file has it, and its expressions."""

    number: int
    box: Any
    phrases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Payload:
    image: int
    width: int
    height: int
    split: str
    regions: tuple[Region, ...]


class RefclefSource(Source):
    """Regions of photographs and the expressions for them.

    Options:
        path: the folder of the ``referit_*`` files.
        images: one or more folders, or "none"; ``images`` in that folder when left out.
        masks: a folder of ``IMAGE_REGION.mat``; objects have boxes only when left out.
        splits: take some of train, val and test only.
    """

    name: ClassVar[str] = "refclef"

    def __init__(
        self,
        path: Path,
        images: tuple[Path, ...] = (),
        masks: Path | None = None,
        splits: tuple[str, ...] = tuple(SPLITS),
    ) -> None:
        self._path = path
        self._images = ImageFiles(images)
        self._masks = masks
        self._splits = splits
        self._tally = Tally()
        if not self._boxes_file.is_file():
            raise MmudError(codes.LAYOUT_UNKNOWN, "no referit_bbox.json in the folder", Place(file=str(path)))

    @property
    def _boxes_file(self) -> Path:
        return self._path / "referit_bbox.json"

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> Self:
        """See `Source.from_options`; also MM760 when the folder has no ``referit_bbox.json``."""
        read = Options(cls.name, options, ("path", "images", "masks", "splits"))
        path = read.path("path", "folder")
        splits = read.texts("splits", tuple(SPLITS))
        if not set(splits) <= set(SPLITS):
            raise read.refuse("splits", f"some of {', '.join(SPLITS)}")
        return cls(path, read.images(path / "images"), read.optional_path("masks", "folder"), splits)

    def options(self) -> dict[str, Any]:
        splits = {} if self._splits == tuple(SPLITS) else {"splits": list(self._splits)}
        paths = path_options(path=self._path, masks=self._masks)
        return {**paths, **image_options(self._images.folders), **splits}

    # -- listing ---------------------------------------------------------------------------------------------------------

    def _table(self, path: Path) -> dict[str, Any]:
        table = load_json(path, self._tally)
        if not isinstance(table, dict):
            raise MmudError(codes.JSON_SHAPE, f"an object is expected, not {shown(table)}", Place(file=str(path)))
        return table

    def items(self) -> Iterator[Item]:
        self._tally = Tally()
        boxes = self._table(self._boxes_file)
        sizes_file = self._path / "referit_imsize.json"
        sizes = self._table(sizes_file) if sizes_file.is_file() else {}
        with_words: set[str] = set()
        for published in self._splits:
            path = self._path / f"referit_query_{published}.json"
            if not path.is_file():
                self._tally.note(
                    codes.REFERENCE_BROKEN, f"no {path.name}: {published} is left out", Place(file=str(self._path))
                )
                continue
            queries = self._table(path)
            with_words |= queries.keys()
            for image, regions in self._by_image(queries, boxes, published, path).items():
                size = self._size(image, sizes)
                if size is None:
                    self._tally.note(codes.SIZE_UNKNOWN, f"image {image}", Place(file=str(sizes_file)))
                    continue
                payload = Payload(image, *size, published, tuple(regions))
                key = image_key(self.name, str(image)) or f"{self.name}:{image}"
                yield Item(f"{self.name}-{image}", SPLITS[published], key, payload)
        if self._masks is None:
            message = "no folder of masks was named: all objects have a box only"
            self._tally.note(codes.MASK_MISSING, message, Place(file=str(self._path)))
        wordless = boxes.keys() - with_words
        if wordless and len(self._splits) == len(SPLITS):
            message = f"{len(wordless)} regions have a box and no expression; they are left out"
            self._tally.note(codes.PHRASE_MISSING, message, Place(file=str(self._boxes_file)))

    def _by_image(
        self, queries: dict[str, Any], boxes: dict[str, Any], published: str, path: Path
    ) -> dict[int, list[Region]]:
        """Regions by image; images in the order of the split's list, then as they come, regions by number."""
        place = Place(file=str(path))
        found: dict[int, list[Region]] = {image: [] for image in self._listed(published)}
        for key, texts in queries.items():
            match = _REGION.fullmatch(key)
            phrases = [text.strip() for text in texts if isinstance(text, str)] if isinstance(texts, list) else []
            phrases = [encodable(text) for text in dict.fromkeys(phrases) if text]
            if match is None or not phrases:
                self._tally.note(codes.PHRASE_MISSING, f"region {shown(key)}: expressions {shown(texts)}", place)
                continue
            image = int(match[1])
            if image not in found:
                self._tally.note(codes.REFERENCE_BROKEN, f"image {image} is not in the list of {published}", place)
            found.setdefault(image, []).append(Region(int(match[2]), boxes.get(key), tuple(phrases)))
        for image in [image for image, regions in found.items() if not regions]:
            self._tally.note(codes.IMAGE_WITHOUT_ANNOTATIONS, f"image {image} of {published} has no expression", place)
            del found[image]
        for regions in found.values():
            regions.sort(key=lambda region: region.number)
        return found

    def _listed(self, published: str) -> list[int]:
        path = self._path / f"referit_{published}_imlist.txt"
        if not path.is_file():
            return []
        words = path.read_text("ascii", "replace").split()
        for word in words:
            if not word.isdigit() or len(word) > 12:
                self._tally.note(codes.JSON_ENTRY, f"{shown(word)} is no image's number", Place(file=str(path)))
        return [int(word) for word in words if word.isdigit() and len(word) <= 12]

    def _size(self, image: int, sizes: dict[str, Any]) -> tuple[int, int] | None:
        """(width, height)"""
        value = sizes.get(f"{image}.jpg")
        if isinstance(value, list) and len(value) == 2:
            width, height = side(value[0]), side(value[1])
            if width is not None and height is not None:
                return width, height
        path = self._images.find(f"{image}.jpg") if self._images else None
        return header_size(path) if path else None

    def findings(self) -> list[Finding]:
        return self._tally.findings()

    # -- converting ------------------------------------------------------------------------------------------------------

    def convert(self, item: Item) -> Converted:
        payload: Payload = item.payload
        findings: list[Finding] = []
        name = f"{payload.image}.jpg"
        objects = tuple(
            self._object(payload, region, Place(sample=item.key, object=number, file=str(self._boxes_file)), findings)
            for number, region in enumerate(payload.regions, start=1)
        )
        sample = Sample(
            sample_id=item.key,
            image=ImageReference(path=located(self._images, name, item.key, findings)),
            width=payload.width,
            height=payload.height,
            source=self.name,
            source_image_id=str(payload.image),
            objects=objects,
            provenance={
                "group": item.group,
                "file_name": name,
                "split": payload.split,
                "regions": [region.number for region in payload.regions],
            },
        )
        return Converted(sample, findings)

    def _object(self, payload: Payload, region: Region, place: Place, findings: list[Finding]) -> MaskedObject:
        def note(code: Code, message: str) -> None:
            findings.append(Finding(code, place, message))

        box = self._box(region.box)
        if box is None:
            note(codes.BOX_UNUSABLE, f"box {shown(region.box)}")
        mask = self._mask(payload, region, note)
        if mask is not None and box is not None and mask.area and boxes_disagree(box, mask.bbox):
            note(codes.BOX_DISAGREES, f"box {list(box)}, mask within {list(mask.bbox)}")
        own = mask.bbox if mask is not None else (0.0, 0.0, 0.0, 0.0)
        box = box or own
        return MaskedObject(
            phrases=region.phrases,
            segmentation=mask.to_record() if mask is not None else None,
            bbox=box,
            area=float(mask.area) if mask is not None else box[2] * box[3],
        )

    def _box(self, value: Any) -> Box | None:
        """From corners that both lie inside to x, y, width, height."""
        corners = usable_box(value)
        if corners is None or corners[2] < corners[0] or corners[3] < corners[1]:
            return None
        left, top, right, bottom = corners
        return left, top, right - left + 1, bottom - top + 1

    def _mask(self, payload: Payload, region: Region, note: Any) -> Mask | None:
        if self._masks is None:
            return None
        path = self._masks / f"{payload.image}_{region.number}.mat"
        try:
            mask = Mask.from_array(read_region(path))
        except MmudError as error:
            note(error.code, error.message)
            return None
        if mask.size != (payload.height, payload.width):
            note(
                codes.MASK_UNUSABLE,
                f"the mask is {mask.size}, the image {(payload.height, payload.width)} (height, width)",
            )
            return None
        return mask

    def describe(self) -> dict[str, Any]:
        files = sorted(file for file in self._path.glob("referit_*") if file.suffix in (".json", ".txt"))
        return description(self.name, "", files)


def read_region(path: Path) -> Any:
    """The mask of a SAIAPR region, shape (height, width), from its MATLAB file: zero in ``segimg_t`` is the region.

    Raises:
        MmudError: MM744 when there is no such file, MM740 when it cannot be read.
    """
    from scipy.io import loadmat

    place = Place(file=str(path))
    if not path.is_file():
        raise MmudError(codes.MASK_MISSING, f"no {path.name}", place)
    if path.stat().st_size > MASK_BYTES:
        raise MmudError(codes.MASK_UNUSABLE, f"{path.name} has more than {MASK_BYTES:,} bytes", place)
    try:
        array = loadmat(str(path), variable_names=["segimg_t"])["segimg_t"]
        return np.asarray(array == 0)
    except Exception as error:  # a broken MATLAB file fails in many ways
        raise MmudError(codes.MASK_UNUSABLE, f"{path.name}: {type(error).__name__} {str(error)[:80]}", place) from error
