"""What an exporter is, what it is given, and what it reports."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from mmud.annotations.codes import MASK_SIZE
from mmud.annotations.masks import Mask
from mmud.dataset.exporters.images import EncodedImage, file_name_of
from mmud.dataset.exporters.names import FileNames
from mmud.dataset.exporters.streams import write_line
from mmud.dataset.store import Dataset
from mmud.errors import Finding, MmudError, Place
from mmud.records import ImageReference, Sample, Task
from mmud.registry import Registry

NAMES_FILE = "names.jsonl"


@dataclass(frozen=True, slots=True)
class Option:
    """A setting of one format (``--option NAME=VALUE``): what it does, its default, and its values where they are few."""

    help: str
    default: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """A sample to export.

    Attributes:
        sample: without image bytes.
        image: None where images are not exported.
        masks: one for each object: its mask, what is wrong with it, or None where it has only a box. Empty for exporters that
            do not ask for masks.
    """

    sample: Sample
    image: EncodedImage | None
    masks: tuple[Mask | MmudError | None, ...] = ()

    def mask(self, number: int) -> Mask | None:
        """The checked mask of object ``number``, which counts from 1; None where it has only a box.

        Raises:
            MmudError: MM201 or MM202, naming the object.
        """
        mask = self.masks[number - 1]
        size = (self.sample.height, self.sample.width)
        if isinstance(mask, Mask) and mask.size != size:
            mask = MmudError(MASK_SIZE, f"the mask is {mask.size}, the image {size} (height, width)")
        if isinstance(mask, MmudError):
            hint = "`mmud validate` lists every such mask of the dataset."
            raise MmudError(mask.code, mask.message, Place(sample=self.sample.sample_id, object=number), hint) from mask
        return mask

    def without_path(self) -> Item:
        """The same item, its image's original name forgotten."""
        return replace(self, sample=self.sample.model_copy(update={"image": ImageReference()}))


@dataclass
class Job:
    """One export under way.

    Attributes:
        dataset: what is exported.
        folder: where to write; it takes the output's name when all is done.
        output: the name that the folder will have.
        splits: the splits to export, in order.
        images: one of the exporter's ``image_modes``.
        tasks: the tasks to export, for formats that choose.
        shard_size: samples a shard, for formats that have shards.
        options: the format's own settings, complete with defaults.
    """

    dataset: Dataset
    folder: Path
    output: Path
    splits: tuple[str, ...]
    images: str
    tasks: tuple[Task, ...]
    shard_size: int
    options: Mapping[str, str]
    counts: Counter[str] = field(default_factory=Counter)
    losses: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    stack: ExitStack = field(default_factory=ExitStack)
    """Files that stay open from split to split; closed after the exporter's `finish`, discarded when the export fails."""
    _names: dict[str, FileNames] = field(default_factory=dict)

    def split_stem(self, split: str) -> str:
        """A split's name as part of a file name."""
        return self.claim_name("", split)

    def note(self, text: str) -> None:
        """Something about the whole export that a person should know; said once."""
        if text not in self.notes:
            self.notes.append(text)

    def image_name(self, item: Item, folder: str, original: bool = False, dots: bool = True) -> str:
        """A free file name for the item's image in ``folder``, from its original name or from the sample's id."""
        own = file_name_of(item.sample)
        stem, dot, extension = own.rpartition(".")
        if not dot:
            stem, extension = own, ""
        text = stem if original and stem else item.sample.sample_id
        if item.image is not None:
            extension = item.image.extension
        return self.claim_name(folder, text, extension if extension.isalnum() and extension.isascii() else "", dots)

    def claim_name(self, folder: str, text: str, extension: str = "", dots: bool = True) -> str:
        """A free name in ``folder`` that says ``text``, which may be anything."""
        return self._names.setdefault(folder, FileNames()).claim(text, extension, dots)

    def entry_name(self, text: str, extension: str = "", dots: bool = True) -> str:
        """A free name, unique in the whole export whatever folder it is used in."""
        return self.claim_name("*", text, extension, dots)

    def save_image(self, item: Item, path: str, split: str) -> None:
        """Write the item's image bytes, unchanged, to ``path`` in the folder, and note whose they are."""
        if item.image is not None:
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(item.image.data)
            self.counts["images"] += 1
        self.map_name(item, path, split)

    def map_name(self, item: Item, path: str, split: str) -> None:
        """Add a line to ``names.jsonl``, which says which file stands for which sample."""
        with open(self.folder / NAMES_FILE, "ab") as stream:
            write_line(stream, {"sample_id": item.sample.sample_id, "split": split, "file": path})


class Exporter(ABC):
    """Writes one format. A plug-in subclasses this and announces the class in the entry-point group ``mmud.exporters``.

    An exporter is made for one job, begun, given each split once, in order, and finished.
    """

    name: ClassVar[str]
    """What ``--to`` calls it."""

    title: ClassVar[str]
    """One line for a person."""

    cannot_hold: ClassVar[Mapping[str, str]] = {}
    """What the format loses -> why. Names of `mmud.dataset.exporters.losses.FIELDS` are counted by themselves; others are
    counted by `losses` or, where it takes the whole export to know, added to ``job.losses``."""

    image_modes: ClassVar[tuple[str, ...]] = ("copy", "none")
    """Values of ``--images``; the first is the default."""

    reads_masks: ClassVar[bool] = False
    """Whether items are to carry checked masks."""

    tasks: ClassVar[tuple[Task, ...]] = ()
    """Values of ``--tasks``; empty for a format that has no such choice."""

    default_tasks: ClassVar[tuple[Task, ...]] = ()
    default_shard_size: ClassVar[int | None] = None
    """Samples a shard; None for a format that has no shards."""

    options: ClassVar[Mapping[str, Option]] = {}

    writes_report: ClassVar[bool] = True
    """Whether ``losses.json`` may lie in the output; a format whose readers take every file says no."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def reads_images(self) -> bool:
        """Whether items are to carry image bytes."""
        return self.job.images != "none"

    def losses(self, sample: Sample) -> Iterator[tuple[str, int]]:
        """What this format loses of a sample beyond the fields it cannot hold: names of ``cannot_hold`` and counts."""
        return iter(())

    def begin(self) -> None:
        """Open what all splits share. Not called in a dry run, which writes nothing."""
        return

    @abstractmethod
    def write_split(self, split: str, items: Iterator[Item]) -> None:
        """Write one split, reading its items once, in order."""

    def finish(self) -> None:
        """Write what can be written only when every split has been seen."""
        return


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export wrote and what it could not.

    Attributes:
        format: the exporter's name.
        dataset: the dataset's name and fingerprint.
        output: the folder.
        partial: whether ``--limit`` cut it short.
        splits: samples read from each split.
        files: every file but the images, relative to the output, with its size in bytes.
        counts: what was written.
        losses: ``{"what", "count", "why"}`` for everything that the format could not hold.
        notes: what else a person should know.
        findings: samples that were left out, and warnings.
        left_out: samples without an image, under ``--skip-missing-images``.
        dry_run: whether nothing was written.
    """

    format: str
    dataset: Mapping[str, str]
    output: str
    partial: bool
    splits: Mapping[str, int]
    files: Mapping[str, int]
    counts: Mapping[str, int]
    losses: list[dict[str, Any]]
    notes: list[str]
    findings: list[Finding]
    left_out: int = 0
    dry_run: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-compatible."""
        return {
            "format": self.format,
            "dataset": dict(self.dataset),
            "output": self.output,
            "dry_run": self.dry_run,
            "partial": self.partial,
            "left_out": self.left_out,
            "splits": dict(self.splits),
            "counts": dict(self.counts),
            "losses": self.losses,
            "notes": self.notes,
            "findings": [finding.to_dict() for finding in self.findings],
            "files": dict(self.files),
        }


EXPORTERS: Registry[type[Exporter]] = Registry(
    "format",
    "mmud.exporters",
    {
        "coco": "mmud.dataset.exporters.coco:CocoExporter",
        "refer": "mmud.dataset.exporters.refer:ReferExporter",
        "reasonseg": "mmud.dataset.exporters.reasonseg:ReasonSegExporter",
        "llava": "mmud.dataset.exporters.llava:LlavaExporter",
        "official": "mmud.dataset.exporters.official:OfficialExporter",
        "webdataset": "mmud.dataset.exporters.webdataset:WebDatasetExporter",
        "jsonl": "mmud.dataset.exporters.jsonl:JsonlExporter",
        "native": "mmud.dataset.exporters.native:NativeExporter",
        "parquet": "mmud.dataset.exporters.native:NativeExporter",
        "label-studio": "mmud.dataset.exporters.label_studio:LabelStudioExporter",
        "questions": "mmud.dataset.exporters.questions:QuestionsExporter",
    },
)
"""Exporters by name."""
