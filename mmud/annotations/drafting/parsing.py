"""From what a model wrote to labels: JSON where it kept to the form, and a patient reading where it nearly did."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection
from typing import Any

from mmud.annotations import tags
from mmud.annotations.drafting.base import DraftTask

_THOUGHTS = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")
_HEADING = re.compile(r"^[\s*#>\-]*(caption|question|answer)[\s*]*:[\s*]*", re.IGNORECASE | re.MULTILINE)
_NEARLY_A_TAG = re.compile(r"[<\[(]\s*(?:LCL|OBJ)\s*[-_ ]?\s*(\d{1,9})\s*[>\])]", re.IGNORECASE)
_SPACE_BEFORE_TAG = re.compile(r"(?<=\S)(?=<LCL-\d{1,9}>)")
_MOST_STARTS = 50


class Violation(Exception):
    """What is wrong with an answer, in words that its writer understands."""


def read_labels(text: str, task: DraftTask, numbers: Collection[int]) -> dict[str, str]:
    """The labels of an answer, clean and checked.

    Args:
        text: what the model wrote.
        task: what was asked for.
        numbers: of the objects that the model was told about.

    Raises:
        Violation: no JSON object of the form asked for, an empty text, a tag of no such object, an answer without tags.
    """
    found = _read_object(text)
    labels: dict[str, str] = {}
    for field in task.fields:
        value = found.get(field)
        if not isinstance(value, str):
            raise Violation(f'the JSON object has no text under "{field}"')
        labels[field] = clean(value) if field == "answer" else tags.remove(clean(value))
        if not any(map(str.isalnum, tags.remove(labels[field]))):
            raise Violation(f'the text under "{field}" is empty')
    if "answer" in labels:
        _check_tags(labels["answer"], numbers)
    return labels


def clean(text: str) -> str:
    """On one line, composed, with single spaces and no control characters; tags well-formed, a space before each."""
    plain = "".join(" " if unicodedata.category(character) in ("Cc", "Zl", "Zp") else character for character in text)
    plain = _NEARLY_A_TAG.sub(lambda match: f"<LCL-{int(match[1])}>", unicodedata.normalize("NFC", plain))
    return " ".join(_SPACE_BEFORE_TAG.sub(" ", plain).split())


def _check_tags(answer: str, numbers: Collection[int]) -> None:
    problems = tags.problems(answer, max(numbers, default=0))
    unknown = [problem.text for problem in problems]
    unknown += [f"<LCL-{index}>" for index in tags.indices(answer) if index not in numbers]
    if unknown:
        raise Violation(f"the answer uses {', '.join(dict.fromkeys(unknown))}, which is the tag of no listed object")
    if not tags.parse(answer):
        raise Violation("the answer has no tag: each listed object that it names must be followed by its tag")


def _read_object(text: str) -> dict[str, Any]:
    """The JSON object in a text, with its keys in lower case.

    A fence or words around it, line feeds inside its strings, commas before a closing bracket, a list of one, and headings
    ("Question: …") in its place are forgiven.
    """
    text = _THOUGHTS.sub("", text).strip()
    for candidate in (text, _TRAILING_COMMA.sub(r"\1", text)):
        found = _first_object(candidate)
        if found is not None:
            return {str(key).strip().lower(): value for key, value in found.items()}
    headings = list(_HEADING.finditer(text))
    if headings:
        ends = [heading.start() for heading in headings[1:]] + [len(text)]
        return {
            heading[1].lower(): text[heading.end() : end].strip() for heading, end in zip(headings, ends, strict=True)
        }
    raise Violation("it is not one JSON object")


def _first_object(text: str) -> dict[str, Any] | None:
    decoder = json.JSONDecoder(strict=False)
    starts = [match.start() for match in re.finditer(r"\{", text)][:_MOST_STARTS]
    for start in starts:
        try:
            found, _ = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict) and found:
            return found
    return None
