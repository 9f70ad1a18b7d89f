"""Reading predictions: a folder with one file of JSON lines for each task. Every problem is a finding with file and line.

Lines are read one batch at a time, and the masks of a batch are checked together, so that a file is never held whole and
nothing unchecked reaches compiled code. What comes out can be trusted: valid run lengths at the image's size, known ids,
each once.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Set
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mmud.annotations.masks import Mask
from mmud.errors import Finding, MmudError, Place
from mmud.evaluators import codes
from mmud.evaluators.checking import Expected, Report, checked, place_of
from mmud.files import require
from mmud.records import Prediction, Task

SUBMISSION_NAME = "submission.json"
MAX_LINE_BYTES = 64 << 20
MAX_SUBMISSION_BYTES = 1 << 20


def task_file(task: Task) -> str:
    """The name of a task's file, as in ``captioning.jsonl``."""
    return f"{task.value}.jsonl"


class SystemInfo(BaseModel):
    """What a submission says of the system; anything else it says is kept as well."""

    model_config = ConfigDict(frozen=True, extra="allow")

    parameters: int | None = Field(default=None, ge=0)
    trainable_parameters: int | dict[str, int] | None = None


class SubmissionInfo(BaseModel):
    """``submission.json``.

    Attributes:
        format: version of the format of predictions.
        name: of the system, as a leaderboard shows it.
        authors: who made it.
        split, dataset_fingerprint: what was predicted; compared with what it is scored against.
        system: sizes and whatever else the authors want to say.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    format: int | str = 1
    name: str = ""
    authors: tuple[str, ...] | str = ()
    split: str | None = None
    dataset_fingerprint: str | None = None
    system: SystemInfo = SystemInfo()


class PredictionFolder:
    """A folder of predictions.

    Args:
        path: the folder.

    Raises:
        MmudError: MM002 when it is not there, MM800 when it holds no task's file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = require(Path(path), "folder of predictions")
        self.tasks = [task for task in Task if (self.path / task_file(task)).is_file()]
        if not self.tasks:
            raise MmudError(
                codes.NOT_PREDICTIONS, f"{self.path} holds no file of predictions", Place(file=str(self.path))
            )

    @cached_property
    def submission(self) -> SubmissionInfo | None:
        """``submission.json``, or None where there is none.

        Raises:
            MmudError: MM813 when it cannot be read.
        """
        file = self.path / SUBMISSION_NAME
        if not file.is_file():
            return None
        return read_submission_info(file)

    def read(
        self,
        task: Task,
        report: Report,
        expected: Mapping[str, Expected] | None = None,
        required: Set[str] | None = None,
    ) -> Iterator[Prediction]:
        """The usable predictions of a task, in the order of the file.

        Args:
            task: one of ``tasks``.
            report: called with each finding (MM80x); a prediction with an error is left out.
            expected: the samples that may be predicted; ids, sizes and mask counts are held against it.
            required: the samples of ``expected`` that must be predicted; all of them when left out.
        """
        name = task_file(task)
        lines = read_lines(self.path / name, name, report)
        parsed = _parsed(lines, task, name, report)
        if task is Task.GENERATION:
            parsed = self._with_images(parsed, name, report)
        yield from checked(parsed, task, report, expected, required, name)

    def _with_images(
        self, parsed: Iterable[tuple[int, Prediction]], name: str, report: Report
    ) -> Iterator[tuple[int, Prediction]]:
        for line, prediction in parsed:
            problem = image_problem(self.path, prediction.image)
            if problem is None:
                yield line, prediction
            else:
                report(Finding(codes.IMAGE_PATH, place_of(name, line, prediction.sample_id, "image"), problem))

    def image_path(self, prediction: Prediction) -> Path | None:
        """Where the prediction's image is; None where it has none."""
        return None if prediction.image is None else self.path / prediction.image


def read_submission_info(file: Path) -> SubmissionInfo:
    """Read a ``submission.json``.

    Raises:
        MmudError: MM813 when it is too large, no JSON, or has a field of the wrong type.
    """
    place = Place(file=file.name)
    try:
        if file.stat().st_size > MAX_SUBMISSION_BYTES:
            raise MmudError(codes.SUBMISSION_FILE, f"larger than {MAX_SUBMISSION_BYTES:,} bytes", place)
        return SubmissionInfo.model_validate(json.loads(file.read_bytes(), parse_constant=_refuse_constant))
    except ValidationError as error:
        raise MmudError(codes.SUBMISSION_FILE, _first_problem(error), place) from error
    except (OSError, ValueError, RecursionError) as error:
        raise MmudError(codes.SUBMISSION_FILE, f"cannot be read: {error}", place) from error


def image_problem(root: Path, image: str | None) -> str | None:
    """Why a path from a stranger cannot be opened below ``root``; None when it can (or there is none)."""
    if image is None:
        return None
    parts = Path(image).parts
    if not parts or Path(image).is_absolute() or "\\" in image or "\0" in image or ".." in parts:
        return f"{image!r} is not a path inside the folder"
    path = root
    for part in parts:
        path = path / part
        if path.is_symlink():
            return f"{image!r} passes through a link"
    return None if path.is_file() else f"{image!r} is not there"


class _NotFinite(ValueError):
    """A constant that JSON does not have."""


def _refuse_constant(name: str) -> Any:
    raise _NotFinite(f"{name} is no number")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def read_lines(path: Path, name: str, report: Report) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each line's number, from 1, and its JSON object; lines that are none are reported as MM804 or MM808."""
    with open(path, "rb") as stream:
        for number in itertools.count(1):
            raw = stream.readline(MAX_LINE_BYTES + 1)
            if not raw:
                return
            if len(raw) > MAX_LINE_BYTES:
                report(Finding(codes.LINE_UNREADABLE, place_of(name, number), f"longer than {MAX_LINE_BYTES:,} bytes"))
                return
            if raw.isspace():
                continue
            try:
                value = _DECODER.decode(raw.decode("utf-8-sig" if number == 1 else "utf-8"))
                if not isinstance(value, dict):
                    raise ValueError(f"{type(value).__name__}, not an object")
            except _NotFinite as error:
                report(Finding(codes.NOT_FINITE, place_of(name, number), str(error)))
            except (ValueError, RecursionError) as error:
                report(Finding(codes.LINE_UNREADABLE, place_of(name, number), f"no JSON object: {error}"))
            else:
                yield number, value


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    return f"{name or 'line'}: {first['msg']}"


def parse_row(row: Mapping[str, Any], task: Task) -> Prediction:
    """A line of a task's file as a prediction.

    Raises:
        MmudError: MM805 for a field that is missing or of the wrong type, MM807 for uncompressed counts that are no
            valid encoding, MM808 for a number that is not finite.
    """
    sample = row.get("sample_id")
    fields: dict[str, Any] = {"sample_id": sample, "task": task}
    place = Place(sample=sample if isinstance(sample, str) else None)
    for name in _REQUIRED[task]:
        if name not in row:
            raise MmudError(codes.FIELD_WRONG, f"{name}: missing", place)
        fields[name] = row[name]
    if "masks" in fields:
        fields["masks"] = _mask_fields(fields["masks"], task, place)
    if task is Task.GENERATION:
        fields |= {name: row.get(name) for name in ("image", "feature")}
        if fields["image"] is None and fields["feature"] is None:
            raise MmudError(codes.FIELD_WRONG, "neither image nor feature", place)
    try:
        return Prediction.model_validate(fields)
    except ValidationError as error:
        code = codes.NOT_FINITE if error.errors()[0]["type"] == "finite_number" else codes.FIELD_WRONG
        raise MmudError(code, _first_problem(error), place) from error


_REQUIRED: dict[Task, tuple[str, ...]] = {
    Task.REFERRING_SEGMENTATION: ("masks",),
    Task.REASONING_SEGMENTATION: ("answer", "masks"),
    Task.CAPTIONING: ("caption",),
    Task.GENERATION: (),
}


def _mask_fields(masks: Any, task: Task, place: Place) -> Any:
    """The list of masks of a line as `PredictedMask` takes it; anything else is left for it to refuse."""
    if not isinstance(masks, list):
        return masks
    if task is Task.REASONING_SEGMENTATION:
        for position, mask in enumerate(masks):
            if isinstance(mask, dict) and mask.get("tag") is None:
                raise MmudError(codes.FIELD_WRONG, f"masks.{position}.tag: missing", place)
        return [
            {**mask, "segmentation": _compressed(mask.get("segmentation"), place)} if isinstance(mask, dict) else mask
            for mask in masks
        ]
    return [_referring_mask(mask, place) for mask in masks]


def _referring_mask(mask: Any, place: Place) -> Any:
    if mask is None:
        return {}
    if not isinstance(mask, dict) or "no_target" not in mask:
        return {"segmentation": _compressed(mask, place)}
    rest = {name: value for name, value in mask.items() if name != "no_target"}
    return {"segmentation": _compressed(rest, place), "no_target": mask["no_target"]}


def _compressed(segmentation: Any, place: Place) -> Any:
    """An RLE with a list of counts in its compressed form; everything else as it is."""
    if not isinstance(segmentation, dict) or not isinstance(segmentation.get("counts"), list):
        return segmentation
    size = segmentation.get("size")
    if not isinstance(size, list) or len(size) != 2:
        return segmentation
    try:
        return Mask.from_counts(segmentation["counts"], *size).to_json()
    except MmudError as error:
        raise MmudError(codes.MASK_INVALID, error.message, place) from error


def _parsed(
    lines: Iterable[tuple[int, dict[str, Any]]], task: Task, name: str, report: Report
) -> Iterator[tuple[int, Prediction]]:
    for number, row in lines:
        try:
            yield number, parse_row(row, task)
        except MmudError as error:
            report(Finding(error.code, place_of(name, number, error.where.sample), error.message))
