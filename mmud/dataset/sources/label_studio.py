"""Label Studio's full JSON as a source: an exported dataset comes back with what people edited, and nothing else changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from mmud.dataset.sources import codes
from mmud.dataset.sources.base import Converted, Item, Source
from mmud.dataset.sources.json_files import JsonScanner, parse_json
from mmud.dataset.sources.label_studio_tasks import lay_over, task_data
from mmud.dataset.sources.native import NativeSource
from mmud.dataset.sources.options import Options, path_options
from mmud.dataset.sources.plain_json import shown
from mmud.dataset.sources.tally import Tally
from mmud.dataset.store import Dataset
from mmud.errors import Finding, MmudError, Place
from mmud.files import sha256_of

UNLISTED = ("keep", "drop")
_CATEGORY_COLUMNS = ("objects.list.element.category", "objects.list.element.category_id")


@dataclass(frozen=True, slots=True)
class TaskPlace:
    """Where a task stands: the number of its file, its bytes and its first line there."""

    file: int
    start: int
    length: int
    line: int


class LabelStudioSource(Source):
    """Tasks that `mmud export --to label-studio` made, annotated.

    Options:
        path: a file of Label Studio's JSON export, or several.
        data: the dataset that was exported; it gives the images, and every label that nobody edited.
        unlisted: samples without a task are kept as they are ("keep", the default) or left out ("drop").
    """

    name: ClassVar[str] = "label-studio"

    def __init__(self, paths: Sequence[Path], data: Path, unlisted: str = "keep") -> None:
        self._paths = tuple(paths)
        self._data = data
        self._unlisted = unlisted
        self._native = NativeSource([data])
        self._tasks: dict[str, TaskPlace] | None = None
        self._ids: dict[str, int] | None = None
        self._tally = Tally()
        self._strangers_told = False

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> Self:
        """See `Source.from_options`; also MM102, MM103 when ``data`` is no dataset."""
        read = Options(cls.name, options, ("path", "data", "unlisted"))
        paths = read.paths("path", "file")
        if not paths:
            raise read.refuse("path", "the path of a file")
        return cls(paths, read.path("data", "folder"), read.text("unlisted", "keep", UNLISTED))

    def options(self) -> dict[str, Any]:
        return {**path_options(path=self._paths, data=self._data), "unlisted": self._unlisted}

    def _listed(self) -> dict[str, TaskPlace]:
        """Where the task of each sample stands."""
        if self._tasks is not None:
            return self._tasks
        found: dict[str, TaskPlace] = {}
        for number, path in enumerate(self._paths):
            for element in JsonScanner(path, self._tally).elements():
                place = Place(file=str(path), line=element.line)
                try:
                    if element.key:
                        raise MmudError(
                            codes.TASK_UNREADABLE, f"the file is no list of tasks: key {shown(element.key)}"
                        )
                    sample_id = task_data(element.value)["sample_id"]
                except MmudError as error:
                    raise MmudError(error.code, error.message, place) from error
                if sample_id in found:
                    self._tally.note(codes.TASK_REPEATED, f"sample {sample_id!r:.60}", place)
                    continue
                found[sample_id] = TaskPlace(number, element.start, element.length, element.line)
        self._tasks = found
        return found

    def items(self) -> Iterator[Item]:
        tasks = self._listed()
        seen: set[str] = set()
        for item in self._native.items():
            place = tasks.get(item.key)
            if place is not None:
                seen.add(item.key)
            elif self._unlisted == "drop":
                continue
            yield Item(item.key, item.split, item.group, (item, place))
        if not self._strangers_told:
            self._strangers_told = True
            for sample_id, place in tasks.items():
                if sample_id not in seen:
                    where = Place(sample=sample_id, file=str(self._paths[place.file]), line=place.line)
                    self._tally.note(codes.TASK_OF_NO_SAMPLE, f"sample {sample_id!r:.60}", where)

    def convert(self, item: Item) -> Converted:
        native, place = item.payload
        converted = self._native.convert(native)
        if place is None:
            return converted
        path = self._paths[place.file]
        with open(path, "rb") as stream:
            stream.seek(place.start)
            data = stream.read(place.length)
        # What is odd about the JSON itself was noted when the file was listed.
        task = parse_json(data, Place(file=str(path)), Tally().note, place.line)
        laid = lay_over(converted.sample, task, self._category_ids)
        return Converted(laid.sample, [*converted.findings, *laid.findings])

    def _category_ids(self) -> Mapping[str, int]:
        """category -> id, of the whole dataset; the first id of a name that has several."""
        if self._ids is None:
            found: dict[str, int] = {}
            for batch in Dataset(self._data).batches(None, _CATEGORY_COLUMNS, rows=4096):
                objects = batch.table.column("objects").flatten()
                names, ids = objects.field("category").to_pylist(), objects.field("category_id").to_pylist()
                for name, own in zip(names, ids, strict=True):
                    if name and own is not None:
                        found.setdefault(name, own)
            self._ids = found
        return self._ids

    def describe(self) -> dict[str, Any]:
        data = Dataset(self._data)
        return {
            "name": data.name,
            "title": f"{data.name}, annotated in Label Studio",
            "license": "",
            "homepage": "",
            "citation": "",
            "files": {path.name: sha256_of(path) for path in self._paths},
            "fingerprints": [data.fingerprint],
            "sources": data.manifest.sources,
        }

    def findings(self) -> list[Finding]:
        return self._tally.findings()
