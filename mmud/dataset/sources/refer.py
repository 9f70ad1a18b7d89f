"""The REFER layout of RefCOCO, RefCOCO+, RefCOCOg and RefCLEF: expressions, instances and images; one sample an image.

Question and answer stay empty until annotation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from mmud.dataset.image_groups import image_key
from mmud.dataset.sources import codes
from mmud.dataset.sources.base import Converted, Item, Source
from mmud.dataset.sources.coco_files import CAPTION_CHOICES, CocoFile, CocoImage, choose_caption, read_captions
from mmud.dataset.sources.coco_objects import Labelled, masked_objects
from mmud.dataset.sources.description import description
from mmud.dataset.sources.image_files import ImageFiles, header_size, located
from mmud.dataset.sources.image_names import train2014_name, without_annotation
from mmud.dataset.sources.image_sizes import ASSUMPTIONS, ImageSizes, assumed_size
from mmud.dataset.sources.options import Options, image_options, path_options
from mmud.dataset.sources.refer_layout import find_refs, instances_beside
from mmud.dataset.sources.refs import Ref, read_refs, split_of
from mmud.dataset.sources.tally import Tally
from mmud.errors import Finding, MmudError, Place
from mmud.records import ImageReference, Sample

COCO_SETS = ("refcoco", "refcoco+", "refcocog")
STRICTNESS = ("train", "valid", "test")
_SPLIT = re.compile(r"[A-Za-z]\w{0,60}", re.ASCII)
OTHER_SPLIT = "other"


@dataclass(frozen=True, slots=True)
class ReferredObject:
    """One object of an image with all that refers to it; ``annotation`` is its position in the instances file."""

    annotation: int | None
    refs: tuple[Ref, ...]


@dataclass(frozen=True, slots=True)
class Payload:
    """An image, its referred objects in order, its captions, and how its size was assumed (empty: it is known)."""

    image: CocoImage
    objects: tuple[ReferredObject, ...]
    captions: tuple[str, ...]
    assumed_size: str


class ReferSource(Source):
    """Expressions about images.

    Options:
        path: the folder that holds ``DATASET/refs(SPLIT_BY).p`` or ``.json``, or ``refs(…)`` itself; or one such file.
        dataset: one or more sets, whose expressions about one image become one sample.
        split_by: one splitting for all sets, or one for each.
        instances, captions: COCO's files; instances beside the expressions are found.
        images: one or more folders, or "none".
        splits: take these published splits only.
        sizes: a JSON file of image sizes; or "boxes", for the smallest size that holds an image's boxes; or "assumed", for that
            and 640 x 640 where there is no box.
        caption: which of several is the sample's: "longest", "first" or "joined". All are kept in the provenance.
    """

    name: ClassVar[str] = "refer"

    def __init__(
        self,
        path: Path,
        datasets: tuple[str, ...],
        split_by: tuple[str, ...] = (),
        instances: tuple[Path, ...] = (),
        captions: Path | None = None,
        images: tuple[Path, ...] = (),
        splits: tuple[str, ...] = (),
        sizes: Path | str | None = None,
        caption: str = "longest",
    ) -> None:
        self._path = path
        self._datasets = datasets
        self._split_by = split_by
        self._files = find_refs(path, datasets, split_by)
        self._given_instances = instances
        self._instances = instances or instances_beside(self._files)
        self._captions = captions
        self._images = ImageFiles(images)
        self._splits = splits
        self._sizes = sizes
        self._caption = caption
        self._coco: list[CocoFile] = []
        self._tally = Tally()

    OPTIONS: ClassVar[tuple[str, ...]] = (
        "path",
        "dataset",
        "split_by",
        "instances",
        "captions",
        "images",
        "splits",
        "sizes",
        "caption",
    )

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> Self:
        """See `Source.from_options`; also MM760 when the folder holds no expressions of a set."""
        read = Options(cls.name, options, cls.OPTIONS)
        (text, *others) = read.texts("path")
        path = Path(text).absolute()
        if others:
            raise read.refuse("path", "one folder or file")
        path = read.path("path", "file" if path.is_file() else "folder")
        datasets = read.texts("dataset") if options.get("dataset") is not None else ()
        split_by = read.texts("split_by") if options.get("split_by") is not None else ()
        if len(split_by) > 1 and len(split_by) != len(datasets):
            raise read.refuse("split_by", "one name, or one for each dataset")
        given = options.get("sizes")
        sizes: Path | str | None = given if given in ASSUMPTIONS else read.optional_path("sizes", "file")
        return cls(
            path,
            datasets,
            split_by,
            read.paths("instances", "file"),
            read.optional_path("captions", "file"),
            read.images(),
            read.texts("splits") if options.get("splits") is not None else (),
            sizes,
            read.text("caption", "longest", CAPTION_CHOICES),
        )

    def options(self) -> dict[str, Any]:
        found = {
            **path_options(path=self._path, instances=self._given_instances, captions=self._captions),
            **image_options(self._images.folders),
            "caption": self._caption,
        }
        for name, values in (("dataset", self._datasets), ("split_by", self._split_by), ("splits", self._splits)):
            if values:
                found[name] = values[0] if len(values) == 1 else list(values)
        if self._sizes is not None:
            found["sizes"] = str(self._sizes)
        return found

    # -- listing ---------------------------------------------------------------------------------------------------------

    def items(self) -> Iterator[Item]:
        self._tally = Tally()
        refs = self._read_refs()
        names = self._datasets or tuple(dict.fromkeys(ref.dataset for ref in refs))
        self._coco = self._read_instances(refs)
        captions = read_captions(self._captions, self._tally) if self._captions else {}
        sizes = ImageSizes(self._sizes if isinstance(self._sizes, Path) else None, self._tally)
        by_image: dict[tuple[str, int], list[Ref]] = {}
        for ref in refs:
            by_image.setdefault((_family(ref.dataset), ref.image_id), []).append(ref)
        listed, families = 0, {family for family, _ in by_image}
        for (family, image_id), group in by_image.items():
            group.sort(key=lambda ref: (names.index(ref.dataset), -1 if ref.ref_id is None else ref.ref_id))
            image, assumed = self._image(image_id, group, sizes)
            if image is None:
                continue
            listed += 1
            name = group[0].dataset
            # A merged sample has the name of no single set, so that it never clashes with a set that is read by itself.
            # Sets on different images may number them alike.
            merged = self.name if len(families) == 1 else f"{self.name}-{family}"
            prefix = name if len(names) == 1 else merged
            key = image_key(name, str(image_id)) or f"{family}:{image_id}"
            payload = Payload(image, self._objects(group), tuple(captions.get(image_id, ())), assumed)
            yield Item(f"{prefix}-{image_id}", self._split(image_id, group), key, payload)
        if by_image and not listed:
            message = f"the size of none of the {len(by_image):,} images is known"
            raise MmudError(codes.SIZE_UNKNOWN, message, Place(file=str(self._files[0].path)))

    def _read_refs(self) -> list[Ref]:
        found: list[Ref] = []
        for file in self._files:
            for ref in read_refs(file.path, file.dataset, file.split_by, self._tally):
                wanted = not self._datasets or ref.dataset in self._datasets
                if wanted and (not self._splits or ref.split in self._splits):
                    found.append(ref)
        return found

    def _read_instances(self, refs: list[Ref]) -> list[CocoFile]:
        wanted = {ref.ann_id for ref in refs if ref.ann_id is not None}
        return [CocoFile(path, self._tally, wanted) for path in self._instances]

    def _objects(self, refs: list[Ref]) -> tuple[ReferredObject, ...]:
        """The referred objects in the order of their first expression; those about one annotation are one object."""
        grouped: dict[Any, list[Ref]] = {}
        for number, ref in enumerate(refs):
            key = ("annotation", ref.ann_id) if ref.ann_id is not None else ("expression", number)
            grouped.setdefault(key, []).append(ref)
        return tuple(ReferredObject(self._annotation(same[0]), tuple(same)) for same in grouped.values())

    def _annotation(self, ref: Ref) -> int | None:
        """Its position, over all instances files as if they were one."""
        if ref.ann_id is None:
            return None
        base = 0
        for coco in self._coco:
            position = coco.position(ref.ann_id)
            if position is not None:
                if coco.image_of(position) == ref.image_id:
                    return base + position
                message = f"{ref.dataset} ref {ref.ref_id} names annotation {ref.ann_id} of another image"
                self._tally.note(codes.REFERENCE_BROKEN, message, Place(file=str(coco.path)))
            base += len(coco)
        if self._coco:
            message = f"{ref.dataset} ref {ref.ref_id}: annotation {ref.ann_id} is not in the instances"
            self._tally.note(codes.REFERENCE_BROKEN, message, Place(file=str(self._coco[0].path)))
        return None

    def _image(self, image_id: int, refs: list[Ref], sizes: ImageSizes) -> tuple[CocoImage | None, str]:
        """The image, and how its size was assumed; None when its size is not known."""
        listed = next((coco.images[image_id] for coco in self._coco if image_id in coco.images), None)
        if self._coco and listed is None:
            message = f"image {image_id} of {refs[0].dataset} is not in the instances"
            self._tally.note(codes.REFERENCE_BROKEN, message, Place(file=str(self._coco[0].path)))
        name = listed.file_name if listed else None
        if name is None:
            given = next((ref.file_name for ref in refs if ref.file_name), None)
            name = without_annotation(given) if given else None
        if name is None and _family(refs[0].dataset) == "coco":
            name = train2014_name(image_id)
            message = f"image {image_id} is taken for {name}"
            self._tally.note(codes.NAME_DERIVED, message, Place(file=str(self._files[0].path)))
        license_name = listed.license if listed else ""
        known = (listed.width, listed.height) if listed and listed.width and listed.height else None
        known = known or next(((ref.width, ref.height) for ref in refs if ref.width and ref.height), None)
        known = known or sizes.of(image_id, name)
        if known is None and self._images and name and (path := self._images.find(name)):
            known = header_size(path)
        assumed = ""
        if known is None and isinstance(self._sizes, str):
            known, assumed = assumed_size([ref.box for ref in refs], self._sizes)
        if known is None:
            place = Place(file=str(self._files[0].path))
            self._tally.note(codes.SIZE_UNKNOWN, f"image {image_id}: {len(refs)} expressions are left out", place)
            return None, ""
        return CocoImage(image_id, name, known[0], known[1], license_name), assumed

    def _split(self, image_id: int, refs: list[Ref]) -> str | None:
        place = Place(file=str(self._files[0].path))
        published = list(dict.fromkeys(ref.split for ref in refs if ref.split))
        splits = []
        for name in published:
            split = split_of(name)
            if split is None:
                split = name if _SPLIT.fullmatch(name) else OTHER_SPLIT
                self._tally.note(codes.SPLIT_UNKNOWN, f"split {name!r:.60} of image {image_id}", place)
            splits.append(split)
        if len(set(splits)) > 1:
            message = f"image {image_id} has expressions in {', '.join(published)}"
            self._tally.note(codes.SPLIT_MIXED, message, place)
        return max(splits, key=lambda split: STRICTNESS.index(split) if split in STRICTNESS else -1) if splits else None

    def findings(self) -> list[Finding]:
        return self._tally.findings()

    # -- converting ------------------------------------------------------------------------------------------------------

    def convert(self, item: Item) -> Converted:
        payload: Payload = item.payload
        image = payload.image
        if image.width is None or image.height is None:
            raise MmudError(codes.SIZE_UNKNOWN, where=Place(sample=item.key))
        findings: list[Finding] = []
        if self._instances and not self._coco:
            # A copy that has not listed its items: the same files give the same positions.
            self._coco = self._read_instances(self._read_refs())
        annotations = self._annotations(payload.objects, item.key, findings)
        labelled = [
            self._labelled(referred, annotations.get(referred.annotation), number, item.key, findings)
            for number, referred in enumerate(payload.objects, start=1)
        ]
        categories: dict[int, str] = {}
        for coco in self._coco:
            categories = coco.categories | categories
        objects = masked_objects(labelled, image.height, image.width, categories, findings)
        if payload.assumed_size:
            message = f"size {image.width} x {image.height} (width x height) is assumed: {payload.assumed_size}"
            findings.append(Finding(codes.SIZE_FROM_BOXES, Place(sample=item.key), message))
        refs = [
            ref.provenance(number, _phrases(referred.refs))
            for number, referred in enumerate(payload.objects, start=1)
            for ref in referred.refs
        ]
        provenance = {
            "group": item.group,
            "file_name": image.file_name,
            "refs": refs,
            "captions": list(payload.captions),
            "size": payload.assumed_size,
        }
        sample = Sample(
            sample_id=item.key,
            image=ImageReference(path=located(self._images, image.file_name, item.key, findings)),
            width=image.width,
            height=image.height,
            source=payload.objects[0].refs[0].dataset,
            source_image_id=str(image.id),
            caption=choose_caption(list(payload.captions), self._caption),
            objects=objects,
            license=image.license,
            provenance={key: value for key, value in provenance.items() if value},
        )
        return Converted(sample, findings)

    def _annotations(
        self, objects: tuple[ReferredObject, ...], sample: str, findings: list[Finding]
    ) -> dict[int | None, tuple[dict[str, Any], CocoFile, int]]:
        """Position over all instances files -> annotation, its file, and its position there."""
        found: dict[int | None, tuple[dict[str, Any], CocoFile, int]] = {}
        base = 0
        for coco in self._coco:
            wanted = [it.annotation - base for it in objects if it.annotation is not None]
            here = [position for position in wanted if 0 <= position < len(coco)]
            for position, annotation in zip(here, coco.annotations(here, findings, sample), strict=True):
                found[base + position] = annotation, coco, position
            base += len(coco)
        return found

    def _labelled(
        self,
        referred: ReferredObject,
        found: tuple[dict[str, Any], CocoFile, int] | None,
        number: int,
        sample: str,
        findings: list[Finding],
    ) -> Labelled:
        refs = referred.refs
        annotation = found[0] if found else None
        place = Place(sample=sample, object=number, file=str(self._files[0].path))
        if found:
            place = found[1].place(found[2], sample, number)
        if refs[0].ann_id is None:
            message = f"{refs[0].dataset} ref {refs[0].ref_id} names no annotation"
            findings.append(Finding(codes.REF_WITHOUT_ANNOTATION, place, message))
        return Labelled(
            annotation=annotation,
            place=place,
            phrases=_phrases(refs),
            ref_id=refs[0].ref_id,
            ann_id=refs[0].ann_id,
            box=next((ref.box for ref in refs if ref.box is not None), None),
            category_id=next((ref.category_id for ref in refs if ref.category_id is not None), None),
        )

    def describe(self) -> dict[str, Any]:
        files = [*(file.path for file in self._files), *self._instances, *([self._captions] if self._captions else [])]
        base = self._path if self._path.is_dir() else self._path.parent
        if len(self._datasets) == 1:
            return description(self._datasets[0], "a set of referring expressions", files, base)
        sets = {"datasets": list(self._datasets)} if self._datasets else {}
        return description(self.name, "sets of referring expressions, joined by image", files, base, **sets)


def _phrases(refs: tuple[Ref, ...]) -> tuple[str, ...]:
    """The expressions about one object, each once."""
    return tuple(dict.fromkeys(text for ref in refs for text in ref.sentences))


def _family(dataset: str) -> str:
    """Sets that number their images alike."""
    return "coco" if dataset in COCO_SETS else dataset
