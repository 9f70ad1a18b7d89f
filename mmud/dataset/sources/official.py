"""The official MMUD release: ``{train,valid,test}.pkl`` or ``*_withlength.pkl``, and one folder of images.

Every record is kept; what is odd about it is a finding. See `mmud.dataset.sources.release.record` for what of a record goes
where.
"""

from __future__ import annotations

import marshal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring
from pathlib import Path
from typing import Any, ClassVar, Self

from mmud.dataset.image_groups import image_key
from mmud.dataset.sources import codes, safe_pickle
from mmud.dataset.sources.base import Converted, ConvertedRow, Item, Source
from mmud.dataset.sources.construct import construct
from mmud.dataset.sources.description import description
from mmud.dataset.sources.features import feature_file, read_feature
from mmud.dataset.sources.image_files import ImageFiles, file_name_of, header_size, located, stem_of
from mmud.dataset.sources.options import Options, image_options, path_options
from mmud.dataset.sources.pickles.arrays import to_plain
from mmud.dataset.sources.pickles.floats import PackedFloats
from mmud.dataset.sources.plain_json import encodable, shown
from mmud.dataset.sources.release.block import UsualRecord, read_usual
from mmud.dataset.sources.release.form import MAX_OBJECTS, check_shape
from mmud.dataset.sources.release.notes import RecordNotes
from mmud.dataset.sources.release.record import read_record
from mmud.dataset.sources.tally import Tally
from mmud.errors import Finding, MmudError, Place
from mmud.records import ImageReference, Sample

SPLITS = ("train", "valid", "test")
FORMS = ("{split}_withlength.pkl", "{split}.pkl")
"""File names of a split; the first form has the token counts, so it goes first where both are there."""


_NOWHERE = Place()


@dataclass(slots=True)
class Payload:
    """A record on its way to `OfficialSource.convert`.

    It goes to another process marshalled, which is compact, fast and holds nothing but plain data.
    """

    record: Any
    file: str
    index: int

    def __getstate__(self) -> tuple[bytes | None, str, int]:
        try:
            return marshal.dumps(_spelt(self.record)), self.file, self.index
        except (ValueError, MmudError):
            return None, self.file, self.index

    def __setstate__(self, state: tuple[bytes | None, str, int]) -> None:
        data, self.file, self.index = state
        self.record = None
        if data is not None:
            self.record, packed = marshal.loads(data)
            for number, spelt in packed.items():
                self.record[4][number] = PackedFloats(spelt)

    def plain_record(self, key: str) -> Any:
        """The record, all its lists as lists.

        Raises:
            MmudError: MM704 when it holds something that is no plain data, or is nested too deeply to be walked over.
        """
        try:
            if self.record is not None:
                return _plain(self.record)
        except (ValueError, MmudError):
            pass
        message = f"record {self.index} holds something that is no plain data, or is nested too deeply"
        raise MmudError(codes.PICKLE_CONTENT, message, Place(sample=key, file=self.file, row=self.index))


def _plain(record: Any) -> Any:
    """A record without packed floats.

    Raises:
        ValueError: it holds something that is no plain data, or is nested too deeply.
        MmudError: it is nested too deeply.
    """
    try:
        marshal.dumps(record)
    except ValueError:
        record = to_plain(record, _NOWHERE)
        marshal.dumps(record)
    return record


def _spelt(record: Any) -> tuple[Any, dict[int, bytes]]:
    """A record as plain data, and the polygons that stay packed, by their number; see `_plain`."""
    packed: dict[int, bytes] = {}
    if type(record) is tuple and len(record) > 4 and type(record[4]) is list:
        packed = {number: mask.spelt for number, mask in enumerate(record[4]) if type(mask) is PackedFloats}
        masks = [None if number in packed else mask for number, mask in enumerate(record[4])]
        record = (*record[:4], masks, *record[5:])
    return _plain(record), packed


class OfficialSource(Source):
    """The release.

    Options:
        path: the folder of the pickles.
        images: one or more folders, or "none"; ``images`` in that folder when left out.
        features: the folder of CLIP features, which are then checked.
        splits: take some of train, valid and test only.
    """

    name: ClassVar[str] = "official"

    def __init__(
        self,
        path: Path,
        images: tuple[Path, ...] = (),
        features: Path | None = None,
        splits: tuple[str, ...] = SPLITS,
    ) -> None:
        self._path = path
        self._images = ImageFiles(images)
        self._features = features
        self._splits = splits
        self._files = self._find_files()
        self._tally = Tally()

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> Self:
        """See `Source.from_options`; also MM760 when the folder holds none of the release's files."""
        read = Options(cls.name, options, ("path", "images", "features", "splits"))
        path = read.path("path", "folder")
        splits = read.texts("splits", SPLITS)
        if not set(splits) <= set(SPLITS):
            raise read.refuse("splits", f"some of {', '.join(SPLITS)}")
        return cls(path, read.images(path / "images"), read.optional_path("features", "folder"), splits)

    def options(self) -> dict[str, Any]:
        splits = {} if self._splits == SPLITS else {"splits": list(self._splits)}
        return {
            **path_options(path=self._path, features=self._features),
            **image_options(self._images.folders),
            **splits,
        }

    def _find_files(self) -> dict[str, Path]:
        found = {}
        for split in self._splits:
            for form in FORMS:
                file = self._path / form.format(split=split)
                if file.is_file():
                    found[split] = file
                    break
        if not found:
            wanted = ", ".join(form.format(split=split) for split in self._splits for form in FORMS[::-1])
            place = Place(file=str(self._path))
            raise MmudError(codes.LAYOUT_UNKNOWN, f"none of {wanted} is in the folder", place)
        return found

    # -- listing ---------------------------------------------------------------------------------------------------------

    def items(self) -> Iterator[Item]:
        self._tally = Tally()
        seen: dict[str, int] = {}
        for split, file in self._files.items():
            for index, record in enumerate(safe_pickle.stream(file, packed=True)):
                yield self._item(record, split, file, index, seen)

    def _item(self, record: Any, split: str, file: Path, index: int, seen: dict[str, int]) -> Item:
        try:
            check_shape(record, _NOWHERE)
        except MmudError as error:
            place = Place(split=split, file=str(file), row=index)
            raise MmudError(error.code, error.message, place) from error
        name = file_name_of(record[0])
        stem = encodable(stem_of(name))
        key = stem
        while key in seen:
            # The same image again: a number that no other image's name ends in makes its id unique.
            seen[stem] += 1
            key = f"{stem}-{seen[stem]}"
        seen[key] = 1
        if key != stem:
            place = Place(sample=key, split=split, file=str(file), row=index)
            self._tally.note(codes.IMAGE_REPEATED, f"image {name!r:.80} has the ids {stem} and {key}", place)
        group = image_key(self.name, _image_id(name)) or f"official:{stem}"
        return Item(key, split, group, Payload(record, str(file), index))

    def findings(self) -> list[Finding]:
        return self._tally.findings()

    # -- converting ------------------------------------------------------------------------------------------------------

    def convert(self, item: Item) -> Converted:
        """See `Source.convert`: MM704 for a record that cannot be walked over, MM720 for one whose image has no size."""
        payload: Payload = item.payload
        record = payload.plain_record(item.key)
        place = Place(sample=item.key, split=item.split, file=payload.file, row=payload.index)
        name = file_name_of(record[0])
        findings: list[Finding] = []
        path = located(self._images, name, item.key, findings)
        notes = RecordNotes(record, place, payload.index)
        values = read_record(record, notes, lambda: header_size(path) if path else None)
        findings += notes.findings
        if self._features is not None:
            findings += self._check_feature(name, item.key, notes.official)
        if path is None:
            # No image to take the name from when the record is written again.
            notes.official.setdefault("path", encodable(record[0]))
        sample = construct(
            Sample,
            {
                "sample_id": item.key,
                "image": construct(ImageReference, {"bytes": None, "path": path}),
                "source": self.name,
                "source_image_id": _image_id(name),
                "license": "",
                "provenance": {"group": item.group, "official": notes.official},
                **values,
            },
        )
        return Converted(sample, findings)

    def convert_many(self, items: Sequence[Item]) -> Iterator[Converted | ConvertedRow | MmudError]:
        """Records of the usual form together, in a third of the time; the others one by one, in their places."""
        if self._features is not None:
            yield from super().convert_many(items)
            return
        usual_ones = read_usual([item.payload.record or () for item in items])
        for item, usual in zip(items, usual_ones, strict=True):
            if usual is not None:
                yield self._usual_row(item, usual)
                continue
            yield from super().convert_many([item])

    def _usual_row(self, item: Item, usual: UsualRecord) -> ConvertedRow:
        """What `convert` makes of a record of the usual form."""
        payload: Payload = item.payload
        whole, caption, _, _, masks, _, height, width, _, _, caption_length, text_length = payload.record
        name = file_name_of(whole)
        findings: list[Finding] = []
        path = located(self._images, name, item.key, findings)
        odd = []
        if "\\" in whole:
            odd.append((codes.WINDOWS_FOLDER, f"image path {shown(whole)}"))
        if len(masks) > MAX_OBJECTS:
            odd.append((codes.TOO_MANY_OBJECTS, f"{len(masks)} objects"))
        if type(masks[0]) is list and type(masks[0][0]) is not float:
            odd.append((codes.NOT_A_POLYGON, "the first mask is no flat polygon"))
        if odd:
            place = Place(sample=item.key, split=item.split, file=payload.file, row=payload.index)
            findings += [Finding(code, place, message) for code, message in odd]
        row = {
            "sample_id": item.key,
            "image": {"bytes": None, "path": path},
            "width": width,
            "height": height,
            "source": self.name,
            "source_image_id": _image_id(name),
            "caption": caption,
            "question": usual.question,
            "answer": usual.answer,
            "objects": usual.objects,
            "license": "",
            "provenance": _provenance(
                item.group, payload.index, caption_length, text_length, whole if name != whole or path is None else None
            ),
        }
        return ConvertedRow(row, findings)

    def _check_feature(self, name: str, key: str, official: dict[str, Any]) -> list[Finding]:
        """Note the feature's file in the provenance, where it holds a feature."""
        folder = self._features
        file = feature_file(folder, name) if folder is not None and "\0" not in name else None
        if file is None:
            message = f"no {name!r:.80}.pkl in the features folder"
            return [Finding(codes.FEATURE_MISSING, Place(sample=key, file=str(folder)), message)]
        try:
            read_feature(file)
        except MmudError as error:
            return [
                Finding(codes.FEATURE_INVALID, Place(sample=key, file=str(file)), f"{error.code.id} {error.message}")
            ]
        official["feature"] = file.name
        return []

    def describe(self) -> dict[str, Any]:
        made_by = "captions, questions and answers drafted by a GPT-4-class model, filtered and tagged by hand"
        return description(self.name, "", self._files.values(), annotators=made_by)


def _provenance(group: str, index: int, caption_length: int, text_length: int, path: str | None) -> str:
    """As `mmud.records.Sample.to_row` writes it, with sorted keys."""
    more = "" if path is None else f', "path": {encode_basestring(encodable(path))}'
    return (
        f'{{"group": {encode_basestring(group)}, "official": {{"caption_len": {caption_length}, '
        f'"enriched_text_len": {text_length}, "index": {index}{more}}}}}'
    )


def _image_id(name: str) -> str:
    """The image's name without its suffix: a number of the release's own, or a name of COCO's, which tells the two apart."""
    return encodable(stem_of(name))
