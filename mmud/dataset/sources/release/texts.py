"""The texts of an official record: image path, caption, question, answer, token counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmud.annotations import codes as annotation_codes
from mmud.annotations import tags
from mmud.dataset.sources import codes
from mmud.dataset.sources.enriched_text import USUAL_FRAME, split_enriched_text
from mmud.dataset.sources.image_files import file_name_of
from mmud.dataset.sources.plain_json import encodable, shown
from mmud.dataset.sources.release.form import FIELDS, MAX_TOKENS
from mmud.dataset.sources.release.notes import RecordNotes


def read_path(record: Sequence[Any], notes: RecordNotes) -> None:
    """Note an image path that is more than a file's name."""
    path = record[0]
    name = file_name_of(path)
    if name != path:
        notes.official["path"] = encodable(path)
        if "\\" in path:
            notes.note(codes.WINDOWS_FOLDER, f"image path {shown(path)}")


def read_text(record: Sequence[Any], field: int, notes: RecordNotes) -> str:
    """A field that is a text; empty where it is none."""
    value = record[field]
    if not isinstance(value, str):
        notes.keep(field, f"{shown(value)} instead of text")
        return ""
    return notes.storable(value, FIELDS[field])


def read_question_and_answer(record: Sequence[Any], notes: RecordNotes) -> tuple[str, str]:
    """The two halves of the enriched text, without what stands around them."""
    text = read_text(record, 2, notes)
    pieces = split_enriched_text(text)
    question, answer = pieces.question, pieces.answer
    if not pieces.usual and isinstance(record[2], str):
        notes.note(codes.ENRICHED_TEXT_FORM, f"enriched text {shown(text)}")
    if "<OBJ-" in text:
        question, answer = tags.normalise(question), tags.normalise(answer)
    if (question, answer) != (pieces.question, pieces.answer):
        notes.note(codes.OBJ_TAGS, "tags are written <OBJ-i>")
        notes.official["enriched_text"] = text
    elif pieces.frame != USUAL_FRAME:
        notes.official["frame"] = list(pieces.frame)
    return question, answer


def check_tags(answer: str, count: int, notes: RecordNotes) -> None:
    """Note tags that point nowhere or come twice, and objects without one."""
    numbers = [tag.index for tag in tags.parse(answer)] if "<" in answer else []
    mentioned = set(numbers)
    if len(mentioned) < len(numbers):
        twice = sorted(number for number in mentioned if numbers.count(number) > 1)
        notes.note(codes.TAG_REPEATED, f"the answer has tag {', '.join(map(str, twice[:10]))} more than once")
    whole = mentioned == set(range(1, count + 1))
    if not whole and (untagged := [number for number in range(1, count + 1) if number not in mentioned]):
        shown_numbers = ", ".join(map(str, untagged[:10])) + (" …" if len(untagged) > 10 else "")
        notes.note(codes.OBJECT_UNTAGGED, f"{len(untagged)} of {count} objects are not mentioned: {shown_numbers}")
    if not whole or answer.count("<") > len(numbers) or "[" in answer:
        for problem in tags.problems(answer, count):
            dangling = problem.kind == "dangling"
            code = annotation_codes.TAG_DANGLING if dangling else annotation_codes.TAG_MALFORMED
            notes.note(code, f"{problem.text} in an answer about {count} objects")


def read_lengths(record: Sequence[Any], notes: RecordNotes) -> None:
    """Keep the token counts, where the record has them."""
    if len(record) < len(FIELDS):
        notes.note(codes.RECORD_WITHOUT_LENGTHS, f"the record has {len(record)} fields")
        return
    for field in (10, 11):
        value = record[field]
        if type(value) is not int or not 0 <= value < 1 << 31:
            notes.keep(field, f"{shown(value)} instead of a count")
            continue
        notes.official[FIELDS[field]] = value
        if value > MAX_TOKENS:
            notes.note(codes.TEXT_TOO_LONG, f"{FIELDS[field]} is {value}")
