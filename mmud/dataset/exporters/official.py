"""The official release's form: pickled lists of 12-tuples, readable by the loaders of the paper's repository.

A sample that came from the release is restored to its record (`mmud.dataset.sources.release.restore`), so that release -> MMUD ->
release loses nothing. Any other sample, and one that was edited since, gets a record of its own, and what the form cannot hold of
it is counted.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from mmud.annotations.masks import Mask
from mmud.dataset.exporters.base import Exporter, Item, Option
from mmud.dataset.exporters.images import file_name_of
from mmud.dataset.exporters.instances import polygons_of
from mmud.dataset.exporters.losses import FIELDS
from mmud.dataset.exporters.names import safe_stem
from mmud.dataset.exporters.streams import pickled_list
from mmud.dataset.sources.enriched_text import USUAL_FRAME
from mmud.dataset.sources.features import write_features
from mmud.dataset.sources.release.form import FIELDS as RECORD_FIELDS
from mmud.dataset.sources.release.form import FIELDS_WITHOUT_LENGTHS, check_shape
from mmud.dataset.sources.release.notes import RecordNotes
from mmud.dataset.sources.release.record import read_record
from mmud.dataset.sources.release.restore import restore_record
from mmud.errors import MmudError, Place
from mmud.files import require
from mmud.records import MaskedObject, Sample

OFFICIAL = "official"
SEPARATOR = "<SEP>"
NO_CATEGORY_ID = -1

_LOST_OF_OTHERS = (
    "areas",
    "crowd flags",
    "ref ids",
    "annotation ids",
    "sources",
    "source image ids",
    "licences",
    "provenance",
)
_ELSEWHERE = "{}, of samples from elsewhere"
_NO_PLACE = "the 12-tuple has no place for it, and these samples are not from the release"
_EDITED = "records as they were released"
_LENGTHS = "token counts"
_NO_OBJECTS = "samples without an object"
_NO_MASK = "objects without a mask"
_NO_PHRASE = "objects without a phrase"
_NO_CATEGORY = "objects without a category id"
_SEVERAL_POLYGONS = "polygons as polygons"
_SEPARATORS = "texts that hold <SEP>"
_RENAMED = "image paths as they were"
_PASSED_OVER = "records whose first mask is no polygon, which the training code passes over"
_WORD_PIECE = re.compile(r"\w+|[^\w\s]")
_LETTERS_A_TOKEN = 6


class OfficialExporter(Exporter):
    """``SPLIT.pkl``, ``SPLIT_withlength.pkl`` and ``images/``; on request ``features/SPLIT.npz``."""

    name: ClassVar[str] = OFFICIAL
    title: ClassVar[str] = "the official release's pickled 12-tuples"
    reads_masks: ClassVar[bool] = True
    cannot_hold: ClassVar[Mapping[str, str]] = {
        **{_ELSEWHERE.format(name): _NO_PLACE for name in _LOST_OF_OTHERS},
        _EDITED: "their question, answer or objects were changed since, so they are written as new records",
        _NO_OBJECTS: "the official loader looks at a first mask; they are left out",
        _NO_MASK: "they are written with an empty one",
        _NO_PHRASE: "the official loader picks one of each object's phrases; the category's name stands in",
        _NO_CATEGORY: f"they are written with {NO_CATEGORY_ID}",
        _SEVERAL_POLYGONS: "a mask is one polygon or run lengths; those of several parts, or that differ from their mask, "
        "are written as run lengths",
        _SEPARATORS: "the official loader cuts the text there",
        _LENGTHS: "LLaMA's tokenizer is not part of this tool; these are estimates from words and signs",
        _RENAMED: "the image's file needed a safe name that is its own; the record names that",
    }

    options: ClassVar[Mapping[str, Option]] = {
        "features": Option(
            "a folder of the release's CLIP features: features/SPLIT.npz holds those of the records", ""
        ),
    }

    def begin(self) -> None:
        self._digests: dict[str, bytes] = {}
        given = self.job.options["features"]
        self._features = require(Path(given), "folder of features") if given else None
        if self._features is None:
            self.job.note(
                "The official training code also reads a folder of CLIP features, one pickle an image; a dataset does not "
                "hold them. --set features=DIR writes them as arrays."
            )

    def write_split(self, split: str, items: Iterator[Item]) -> None:
        stem = self.job.split_stem(split)
        folder = self.job.folder
        images: list[tuple[str, str]] = []
        with (
            pickled_list(folder / f"{stem}.pkl", protocol=3) as plain,
            pickled_list(folder / f"{stem}_withlength.pkl", protocol=3) as with_lengths,
        ):
            for item in items:
                self._count_others(item.sample)
                record = self._record(item)
                if record is None:
                    continue
                # By the name that the image came with: saving it may give it another one.
                images.append((item.sample.sample_id, _image_name(record)))
                self._save_image(item, record, split)
                # A record of the release that came without token counts goes back without them.
                plain.add(tuple(record[name] for name in RECORD_FIELDS if name in record))
                full = self._complete(record)
                with_lengths.add(tuple(full[name] for name in RECORD_FIELDS))
                self.job.counts["records"] += 1
                self.job.counts[_PASSED_OVER] += not _starts_with_polygon(record["sample_masks"])
        if self._features is not None:
            target = folder / "features" / f"{stem}.npz"
            self.job.counts["features"] += write_features(images, self._features, target, split)

    def _count_others(self, sample: Sample) -> None:
        if OFFICIAL not in sample.provenance:
            for name in _LOST_OF_OTHERS:
                self.job.losses[_ELSEWHERE.format(name)] += FIELDS[name](sample)

    def _record(self, item: Item) -> dict[str, Any] | None:
        sample = item.sample
        if OFFICIAL in sample.provenance:
            record = _restored(sample)
            if record is not None:
                return record
            self.job.losses[_EDITED] += 1
        if not sample.objects:
            self.job.losses[_NO_OBJECTS] += 1
            return None
        return self._complete(self._new_record(item))

    def _new_record(self, item: Item) -> dict[str, Any]:
        """A record for a sample that is no record of the release, such as its loaders can read."""
        sample = item.sample
        head, middle, tail = USUAL_FRAME
        self.job.losses[_SEPARATORS] += (SEPARATOR in sample.question) + (SEPARATOR in sample.answer)
        objects = sample.objects
        self.job.losses[_NO_CATEGORY] += sum(masked.category_id is None for masked in objects)
        return {
            "image_path": file_name_of(sample) or sample.sample_id,
            "caption": sample.caption,
            "enriched_text": head + sample.question + middle + sample.answer + tail,
            "sample_texts": [self._phrases(masked) for masked in objects],
            "sample_masks": [self._mask(item, number) for number in range(1, len(objects) + 1)],
            "sample_boxs": [list(masked.bbox) for masked in objects],
            "sample_height": sample.height,
            "sample_width": sample.width,
            "sample_category": [NO_CATEGORY_ID if o.category_id is None else o.category_id for o in objects],
            "sample_category_text": [masked.category for masked in objects],
        }

    def _phrases(self, masked: MaskedObject) -> list[str]:
        self.job.losses[_NO_PHRASE] += not masked.phrases
        return list(masked.phrases) or [masked.category or "object"]

    def _mask(self, item: Item, number: int) -> list[Any]:
        """One flat polygon where that is the mask; a list of one RLE otherwise."""
        own = item.sample.objects[number - 1].polygons or ()
        polygons = polygons_of(item, number)
        if polygons is not None and len(polygons) == 1:
            return polygons[0]
        self.job.losses[_SEVERAL_POLYGONS] += len(own)
        mask = item.mask(number)
        if mask is None:
            self.job.losses[_NO_MASK] += 1
            mask = Mask.empty(item.sample.height, item.sample.width)
        return [mask.to_coco()]

    def _complete(self, record: dict[str, Any]) -> dict[str, Any]:
        """The record with token counts, estimated where it has none."""
        lacking = [name for name in RECORD_FIELDS[FIELDS_WITHOUT_LENGTHS:] if name not in record]
        self.job.losses[_LENGTHS] += len(lacking)
        estimates = {name: estimated_tokens(record[name.removesuffix("_len")]) for name in lacking}
        return record | estimates

    def _save_image(self, item: Item, record: dict[str, Any], split: str) -> None:
        """Write the image under the name that the record gives it: what the loaders take after the last backslash.

        The release has one folder for all splits, in which records may share an image.
        """
        if item.image is None:
            return
        name = _image_name(record)
        digest = hashlib.sha256(item.image.data).digest()
        if self._digests.get(name) == digest:
            self.job.map_name(item, f"images/{name}", split)
            return
        safe = self.job.claim_name("images", name) if safe_stem(name) == name else self.job.image_name(item, "images")
        if safe != name:
            self.job.losses[_RENAMED] += 1
            record["image_path"] = safe
        self._digests[safe] = digest
        self.job.save_image(item, f"images/{safe}", split)


def _image_name(record: Mapping[str, Any]) -> str:
    """What the official loaders take for the image's file name."""
    path = record["image_path"]
    return path.rpartition("\\")[2] if isinstance(path, str) else ""


def _restored(sample: Sample) -> dict[str, Any] | None:
    """The record that the sample was read from; None where the sample says something else by now."""
    try:
        row = restore_record(sample)
        if len(row) not in (FIELDS_WITHOUT_LENGTHS, len(RECORD_FIELDS)) or not _same(sample, row):
            return None
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, MmudError):
        # Provenance is free-form JSON: one that is not the importer's is no record.
        return None
    return dict(zip(RECORD_FIELDS, row, strict=False))


def _same(sample: Sample, row: tuple[Any, ...]) -> bool:
    """Whether reading the record gives the sample's labels as they are now."""
    check_shape(row, Place())
    read = read_record(row, RecordNotes(row, Place(), 0), lambda: (sample.width, sample.height))
    return all(getattr(sample, name) == value for name, value in read.items())


def _starts_with_polygon(masks: Any) -> bool:
    """What the official training code asks of a record's first mask."""
    first = masks[0] if isinstance(masks, list) and masks else None
    return isinstance(first, list) and bool(first) and type(first[0]) is float


def estimated_tokens(text: Any) -> int:
    """About how many tokens LLaMA's tokenizer makes of an English text, and its mark for the beginning.

    One for each other sign, and one for each six letters of a word that were begun.
    """
    pieces = _WORD_PIECE.findall(text) if isinstance(text, str) else []
    return 1 + sum(math.ceil(len(piece) / _LETTERS_A_TOKEN) for piece in pieces)
