"""What is noted while a record of the official release is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmud.dataset.sources import codes
from mmud.dataset.sources.plain_json import encodable, to_json
from mmud.dataset.sources.release.form import FIELDS
from mmud.errors import Code, Finding, Place


class RecordNotes:
    """Findings of one record, and what the provenance keeps of it.

    Args:
        record: as `mmud.dataset.sources.release.form.check_shape` gives it.
        place: of the record, for findings.
        index: its position in its file.

    Attributes:
        findings: in the order they were met.
        official: what goes to ``provenance["official"]``.
        raw: field -> its value as it was, where it has another form than the release's.
    """

    def __init__(self, record: Sequence[Any], place: Place, index: int) -> None:
        self._record = record
        self.place = place
        self.findings: list[Finding] = []
        self.official: dict[str, Any] = {"index": index}
        self.raw: dict[str, Any] = {}

    def note(self, code: Code, message: str, number: int | None = None) -> None:
        """Add a finding, about the object of a number or about the record."""
        place = self.place
        if number is not None:
            place = Place(sample=place.sample, object=number, split=place.split, file=place.file, row=place.row)
        self.findings.append(Finding(code, place, message))

    def keep(self, field: int, message: str) -> None:
        """Note a field with another form than the release's, the first time: its value as it was goes to the provenance."""
        name = FIELDS[field]
        if name not in self.raw:
            self.raw[name] = to_json(self._record[field])
            self.note(codes.RECORD_FIELD, f"{name}: {message}")

    def storable(self, text: str, what: str) -> str:
        """A text with halves of surrogate pairs replaced, which is noted."""
        fixed = encodable(text)
        if fixed != text:
            self.note(codes.TEXT_UNENCODABLE, f"{what} holds half of a surrogate pair")
        return fixed
