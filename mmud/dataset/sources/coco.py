"""COCO's layout: an instances file, with or without captions, and its images. Question and answer stay empty, and so do phrases
where nothing else is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from mmud.annotations.drafting.naming import with_names
from mmud.dataset.image_groups import image_key
from mmud.dataset.sources import codes
from mmud.dataset.sources.base import Converted, Item, Source
from mmud.dataset.sources.coco_files import CAPTION_CHOICES, CocoFile, CocoImage, choose_caption, read_captions, whole
from mmud.dataset.sources.coco_objects import Labelled, masked_objects
from mmud.dataset.sources.description import description
from mmud.dataset.sources.image_files import ImageFiles, header_size, located
from mmud.dataset.sources.options import Options, image_options, path_options
from mmud.dataset.sources.tally import Tally
from mmud.errors import Finding, MmudError, Place
from mmud.records import ImageReference, Sample

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]{0,60}")
_OPTIONS = ("instances", "images", "captions", "split", "caption", "empty", "phrases", "name")
_SPLIT = re.compile(r"[A-Za-z]\w{0,60}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Payload:
    """An image, where its annotations are in the file, and its captions."""

    image: CocoImage
    annotations: tuple[int, ...]
    captions: tuple[str, ...]


class CocoSource(Source):
    """Images with annotated objects.

    Options:
        instances, captions: COCO's files.
        images: one or more folders, or "none".
        split: the split that all samples go to.
        caption: which of several is the sample's: "longest", "first" or "joined". All are kept in the provenance.
        empty: whether images without annotations are kept ("keep") or left out ("skip").
        phrases: "names" gives each object that its category, place or size tells apart from the others a phrase that says so, as
            in "left dog"; "none" gives no object any.
        name: for a set in COCO's layout that is not COCO.
    """

    name: ClassVar[str] = "coco"

    def __init__(
        self,
        instances: Path,
        images: tuple[Path, ...] = (),
        captions: Path | None = None,
        split: str | None = None,
        caption: str = "longest",
        empty: str = "keep",
        set_name: str = "coco",
        phrases: str = "none",
    ) -> None:
        self._instances = instances
        self._images = ImageFiles(images)
        self._captions = captions
        self._split = split
        self._caption = caption
        self._empty = empty
        self._set_name = set_name
        self._phrases = phrases
        self._file: CocoFile | None = None
        self._tally = Tally()

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> Self:
        """See `Source.from_options`."""
        read = Options(cls.name, options, _OPTIONS)
        split = read.text("split") if options.get("split") is not None else None
        if split is not None and not _SPLIT.fullmatch(split):
            raise read.refuse("split", "a name of letters, digits and _")
        name = read.text("name", cls.name)
        if not _NAME.fullmatch(name):
            raise read.refuse("name", "a name of letters, digits, + . _ and -")
        return cls(
            read.path("instances", "file"),
            read.images(),
            read.optional_path("captions", "file"),
            split,
            read.text("caption", "longest", CAPTION_CHOICES),
            read.text("empty", "keep", ("keep", "skip")),
            name,
            read.text("phrases", "none", ("none", "names")),
        )

    def options(self) -> dict[str, Any]:
        return {
            **path_options(instances=self._instances, captions=self._captions),
            **image_options(self._images.folders),
            **({"split": self._split} if self._split else {}),
            "caption": self._caption,
            "empty": self._empty,
            "phrases": self._phrases,
            "name": self._set_name,
        }

    def items(self) -> Iterator[Item]:
        self._tally = tally = Tally()
        self._file = file = CocoFile(self._instances, tally)
        captions = read_captions(self._captions, tally) if self._captions else {}
        by_image = file.by_image()
        place = Place(file=str(self._instances))
        for image_id in by_image.keys() - file.images.keys():
            message = f"{len(by_image[image_id])} annotations name image {image_id}, which is not listed"
            tally.note(codes.REFERENCE_BROKEN, message, place)
        for image_id in captions.keys() - file.images.keys():
            message = f"{len(captions[image_id])} captions name image {image_id}, which is not listed"
            tally.note(codes.REFERENCE_BROKEN, message, Place(file=str(self._captions)))
        for image in file.images.values():
            positions = by_image.get(image.id, ())
            if not positions:
                tally.note(codes.IMAGE_WITHOUT_ANNOTATIONS, f"image {image.id} has no annotations", place)
                if self._empty == "skip":
                    continue
            sized = self._with_size(image)
            if sized is None:
                tally.note(codes.SIZE_UNKNOWN, f"image {image.id} has no usable size and no image file", place)
                continue
            group = image_key(self._set_name, str(image.id)) or f"{self._set_name}:{image.id}"
            payload = Payload(sized, positions, tuple(captions.get(image.id, ())))
            yield Item(f"{self._set_name}-{image.id}", self._split, group, payload)

    def _with_size(self, image: CocoImage) -> CocoImage | None:
        if image.width is not None and image.height is not None:
            return image
        path = self._images.find(image.file_name) if image.file_name else None
        size = header_size(path) if path else None
        return CocoImage(image.id, image.file_name, *size, image.license) if size else None

    def findings(self) -> list[Finding]:
        return self._tally.findings()

    def convert(self, item: Item) -> Converted:
        payload: Payload = item.payload
        image = payload.image
        if self._file is None:
            self._file = CocoFile(self._instances, Tally())
        file = self._file
        if image.width is None or image.height is None:
            raise MmudError(codes.SIZE_UNKNOWN, where=Place(sample=item.key))
        findings: list[Finding] = []
        annotations = file.annotations(payload.annotations, findings, item.key)
        labelled = [
            Labelled(annotation, file.place(position, item.key, number), ann_id=whole(annotation.get("id")))
            for number, (position, annotation) in enumerate(zip(payload.annotations, annotations, strict=True), start=1)
        ]
        objects = masked_objects(labelled, image.height, image.width, file.categories, findings)
        sample = Sample(
            sample_id=item.key,
            image=ImageReference(path=located(self._images, image.file_name, item.key, findings)),
            width=image.width,
            height=image.height,
            source=self._set_name,
            source_image_id=str(image.id),
            caption=choose_caption(list(payload.captions), self._caption),
            objects=objects,
            license=image.license,
            provenance={
                "group": item.group,
                **({"file_name": image.file_name} if image.file_name else {}),
                **({"captions": list(payload.captions)} if payload.captions else {}),
            },
        )
        return Converted(with_names(sample) if self._phrases == "names" else sample, findings)

    def describe(self) -> dict[str, Any]:
        files = [self._instances, *([self._captions] if self._captions else [])]
        return description(self._set_name, "a set in COCO's layout", files)
