"""Codes, places, findings, and the one exception root of the package.

Everything that can be wrong with data, predictions or the environment has a *code* (``MM204``). A code is declared once,
in the ``codes.py`` of the room that raises it, with what a person needs to mend it; ``mmud explain MM204`` prints that.

======  =====================================================
family  what it is about
======  =====================================================
MM0xx   use of the tool: arguments, files, missing dependencies
MM1xx   structure: types, manifest, checksums
MM2xx   masks, boxes and areas
MM3xx   tags (``<LCL-i>``)
MM4xx   text: captions, questions, answers, phrases
MM5xx   images
MM6xx   ids, splits, leakage
MM7xx   reading sources: official release, refer, COCO, recipes
MM8xx   predictions, submissions, metrics
MM9xx   baselines, annotators, remote services
======  =====================================================
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """What a process ends with; scripts rely on it."""

    DONE = 0
    INTERNAL = 1
    USAGE = 2
    FINDINGS = 3
    MISSING_DEPENDENCY = 4
    PREDICTIONS = 5
    REMOTE = 6
    INTERRUPTED = 130


class Severity(IntEnum):
    """How bad a finding is; ordered, so that a threshold is a comparison."""

    INFO = 0
    WARNING = 1
    ERROR = 2

    @property
    def label(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Code:
    """One thing that can be wrong.

    Attributes:
        id: ``MM`` and three digits; the first digit is the family.
        title: A few words, as in "empty mask".
        severity: How bad a finding of this code is.
        remedy: One sentence that says what to do.
        explanation: Why it matters and what usually causes it; plain text, several sentences.
        exit_code: What a process ends with when an error of this code stops it.
        fixable: Whether ``mmud validate --fix`` can mend it without losing anything.
    """

    id: str
    title: str
    severity: Severity
    remedy: str
    explanation: str
    exit_code: ExitCode = ExitCode.FINDINGS
    fixable: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is wrong. Every part is optional; objects count from 1."""

    sample: str | None = None
    object: int | None = None
    split: str | None = None
    file: str | None = None
    line: int | None = None
    row: int | None = None
    field: str | None = None

    def __str__(self) -> str:
        subject = ", ".join(
            f"{name} {value}"
            for name, value in (
                ("sample", self.sample),
                ("object", self.object),
                ("field", self.field),
            )
            if value is not None
        )
        position = self.file or (self.split or "")
        if self.line is not None:
            position += f":{self.line}"
        if self.row is not None:
            position += f" row {self.row}"
        return " · ".join(part for part in (subject, position) if part)

    def to_dict(self) -> dict[str, Any]:
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}


def first_line(error: BaseException) -> str:
    """What an error of a library says, as a message of ours quotes it: one line of at most 300 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


_NOWHERE = Place()


@dataclass(frozen=True, slots=True)
class Finding:
    """A code met at a place. Not an exception: readers and checks collect findings and go on."""

    code: Code
    place: Place
    message: str

    @property
    def severity(self) -> Severity:
        return self.code.severity

    def __str__(self) -> str:
        place = str(self.place)
        return f"{self.code.id} {self.message}" + (f" · {place}" if place else "")

    def to_dict(self) -> dict[str, Any]:
        return {
            "code": self.code.id,
            "severity": self.code.severity.label,
            "title": self.code.title,
            "message": self.message,
            "place": self.place.to_dict(),
            "remedy": self.code.remedy,
        }


class MmudError(Exception):
    """The root of every error that a person can mend.

    Args:
        code: What is wrong.
        message: What was seen, with the value; the code's title when left out.
        where: The file, line, sample and object.
        hint: How to mend it; the code's remedy when left out.
    """

    def __init__(
        self, code: Code, message: str | None = None, where: Place = _NOWHERE, hint: str | None = None
    ) -> None:
        self.code = code
        self.message = message or code.title
        self.where = where
        self.hint = hint or code.remedy
        super().__init__(str(self.finding))

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process boundaries (worker pools); the default would call __init__ with the rendered string.
        return (type(self), (self.code, self.message, self.where, self.hint))

    @property
    def finding(self) -> Finding:
        return Finding(self.code, self.where, self.message)

    @property
    def exit_code(self) -> ExitCode:
        return self.code.exit_code

    def to_dict(self) -> dict[str, Any]:
        return {**self.finding.to_dict(), "remedy": self.hint}


_CATALOGUE: dict[str, Code] = {}


def declare(
    id: str,
    title: str,
    remedy: str,
    explanation: str,
    severity: Severity = Severity.ERROR,
    exit_code: ExitCode = ExitCode.FINDINGS,
    fixable: bool = False,
) -> Code:
    """Declare a code, once, in a module named ``codes``.

    Raises:
        ValueError: if the id is malformed or taken by another code.
    """
    if len(id) != 5 or not id.startswith("MM") or not id[2:].isdigit():
        raise ValueError(f"a code is MM and three digits, not {id!r}")
    code = Code(id, title, severity, remedy, explanation, exit_code, fixable)
    if _CATALOGUE.setdefault(id, code) != code:
        raise ValueError(f"code {id} is declared twice: {_CATALOGUE[id].title!r} and {title!r}")
    return code


def _code_modules() -> Iterator[str]:
    import mmud

    for module in pkgutil.walk_packages(mmud.__path__, "mmud.", onerror=lambda name: None):
        if module.name.rpartition(".")[2] == "codes":
            yield module.name


def catalogue() -> dict[str, Code]:
    """Every declared code by id: imports each module named ``codes`` in the package, which are light by rule."""
    for name in _code_modules():
        importlib.import_module(name)
    return dict(sorted(_CATALOGUE.items()))
