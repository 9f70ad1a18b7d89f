"""Reading predictions: a folder with one file of JSON lines for each task. Every problem is a finding with file and line.

Lines are read one batch at a time, and the masks of a batch are checked together, so that a file is never held whole and
nothing unchecked reaches compiled code. What comes out can be trusted: valid run lengths at the image's size, known ids,
each once.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mmud.annotations import codes as mask_codes
from mmud.annotations import tags
from mmud.annotations.masks import Mask
from mmud.errors import Code, Finding, MmudError, Place, Severity
from mmud.evaluators import codes
from mmud.files import require
from mmud.records import PredictedMask, Prediction, Segmentation, Task

SUBMISSION_NAME = "submission.json"
MAX_LINE_BYTES = 64 << 20
MAX_SUBMISSION_BYTES = 1 << 20
BATCH_LINES = 512


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


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of a sample before its prediction is read: the image's size, and how many masks referring asks for."""

    height: int
    width: int
    objects: int = 0


@dataclass
class FindingLog:
    """Findings as they come: all are counted, the first of each code are kept.

    Attributes:
        most: how many findings of one code are kept.
    """

    most: int = 200
    kept: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    errors: int = 0

    def __call__(self, finding: Finding) -> None:
        self.counts[finding.code.id] += 1
        self.errors += finding.severity >= Severity.ERROR
        if self.counts[finding.code.id] <= self.most:
            self.kept.append(finding)


Report = Callable[[Finding], None]


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
        self, task: Task, report: Report, expected: Mapping[str, Expected] | None = None
    ) -> Iterator[Prediction]:
        """The usable predictions of a task, in the order of the file.

        Args:
            task: one of ``tasks``.
            report: called with each finding (MM80x); a prediction with an error is left out.
            expected: the samples to be predicted; ids, sizes and mask counts are held against it.
        """
        name = task_file(task)
        lines = read_lines(self.path / name, name, report)
        parsed = _parsed(lines, task, name, report)
        if task is Task.GENERATION:
            parsed = self._with_images(parsed, name, report)
        yield from checked(parsed, task, report, expected, name)

    def _with_images(
        self, parsed: Iterable[tuple[int, Prediction]], name: str, report: Report
    ) -> Iterator[tuple[int, Prediction]]:
        for line, prediction in parsed:
            problem = image_problem(self.path, prediction.image)
            if problem is None:
                yield line, prediction
            else:
                report(Finding(codes.IMAGE_PATH, _place(name, line, prediction.sample_id, "image"), problem))

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


def _place(file: str | None, line: int | None, sample: str | None = None, name: str | None = None) -> Place:
    return Place(sample=sample, file=file, line=line, field=name)


def read_lines(path: Path, name: str, report: Report) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each line's number, from 1, and its JSON object; lines that are none are reported as MM804 or MM808."""
    with open(path, "rb") as stream:
        for number in itertools.count(1):
            raw = stream.readline(MAX_LINE_BYTES + 1)
            if not raw:
                return
            if len(raw) > MAX_LINE_BYTES:
                report(Finding(codes.LINE_UNREADABLE, _place(name, number), f"longer than {MAX_LINE_BYTES:,} bytes"))
                return
            if raw.isspace():
                continue
            try:
                value = json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"), parse_constant=_refuse_constant)
                if not isinstance(value, dict):
                    raise ValueError(f"{type(value).__name__}, not an object")
            except _NotFinite as error:
                report(Finding(codes.NOT_FINITE, _place(name, number), str(error)))
            except (ValueError, RecursionError) as error:
                report(Finding(codes.LINE_UNREADABLE, _place(name, number), f"no JSON object: {error}"))
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
            report(Finding(error.code, _place(name, number, error.where.sample), error.message))


def checked(
    predictions: Iterable[tuple[int | None, Prediction]],
    task: Task,
    report: Report,
    expected: Mapping[str, Expected] | None = None,
    file: str | None = None,
) -> Iterator[Prediction]:
    """The usable ones of a task's predictions: masks valid and at the image's size, ids known and each once.

    Args:
        predictions: each with its line, or None where they come from no file.
        task: theirs.
        report: called with each finding (MM802, MM803, MM806 to MM811).
        expected: as for `PredictionFolder.read`; samples of it that have no prediction are reported as MM801.
        file: named in findings.
    """
    seen: set[str] = set()
    iterator = iter(predictions)
    while batch := list(itertools.islice(iterator, BATCH_LINES)):
        known = [item for item in batch if _id_is_good(item, seen, expected, report, file)]
        yield from _good_masks(known, task, report, expected, file)
    if expected is not None:
        for sample in sorted(expected.keys() - seen):
            report(Finding(codes.MISSING_IDS, _place(file, None, sample), "no prediction"))


def _id_is_good(
    item: tuple[int | None, Prediction],
    seen: set[str],
    expected: Mapping[str, Expected] | None,
    report: Report,
    file: str | None,
) -> bool:
    line, prediction = item
    place = _place(file, line, prediction.sample_id)
    if expected is not None and prediction.sample_id not in expected:
        report(Finding(codes.UNKNOWN_ID, place, f"the split asks for no prediction of {prediction.sample_id!r}"))
        return False
    if prediction.sample_id in seen:
        report(Finding(codes.REPEATED_ID, place, f"{prediction.sample_id!r} has a line already"))
        return False
    seen.add(prediction.sample_id)
    return True


def _good_masks(
    batch: Sequence[tuple[int | None, Prediction]],
    task: Task,
    report: Report,
    expected: Mapping[str, Expected] | None,
    file: str | None,
) -> Iterator[Prediction]:
    """The predictions of a batch whose masks are all good, their counts in the one form that `Mask` computes with."""
    owners = [
        (row, position)
        for row, (_, prediction) in enumerate(batch)
        for position, mask in enumerate(prediction.masks)
        if mask.segmentation is not None
    ]
    segmentations = [batch[row][1].masks[position].segmentation for row, position in owners]
    replaced: dict[int, list[PredictedMask]] = {}
    bad: set[int] = set()
    for (row, position), segmentation, mask in zip(
        owners, segmentations, check_segmentations(segmentations), strict=True
    ):
        line, prediction = batch[row]
        assert segmentation is not None
        problem = _mask_problem(segmentation, mask, expected.get(prediction.sample_id) if expected else None)
        if problem is not None:
            place = Place(sample=prediction.sample_id, object=position + 1, file=file, line=line)
            report(Finding(problem[0], place, problem[1]))
            bad.add(row)
        elif isinstance(mask, Mask) and mask.counts != segmentation.counts.encode("ascii"):
            masks = replaced.setdefault(row, list(prediction.masks))
            masks[position] = masks[position].model_copy(update={"segmentation": mask.to_record()})
    for row, (line, prediction) in enumerate(batch):
        if row in replaced:
            prediction = prediction.model_copy(update={"masks": tuple(replaced[row])})  # noqa: PLW2901
        place = _place(file, line, prediction.sample_id)
        if not _masks_fit(prediction, task, report, expected, place):
            bad.add(row)
        if row not in bad:
            yield prediction


def check_segmentations(segmentations: Sequence[Segmentation | None]) -> list[Mask | MmudError | None]:
    """Each segmentation as a mask, or the error (MM201, MM202) that says what is wrong with it; None stays None."""
    present = [index for index, value in enumerate(segmentations) if value is not None]
    texts, sizes = [], []
    for index in present:
        segmentation = segmentations[index]
        assert segmentation is not None
        # The bytes of a character beyond ASCII are outside the alphabet of counts, so it is refused with the rest.
        texts.append(segmentation.counts.encode("utf-8", "surrogatepass"))
        sizes.append(segmentation.size)
    found: list[Mask | MmudError | None] = [None] * len(segmentations)
    for index, mask in zip(present, Mask.from_many_counts(texts, sizes), strict=True):
        found[index] = mask
    return found


def _mask_problem(
    segmentation: Segmentation, mask: Mask | MmudError | None, expected: Expected | None
) -> tuple[Code, str] | None:
    if isinstance(mask, MmudError):
        code = codes.MASK_OTHER_SIZE if mask.code == mask_codes.MASK_SIZE else codes.MASK_INVALID
        return code, mask.message
    if expected is not None and segmentation.size != (expected.height, expected.width):
        height, width = segmentation.size
        message = f"the mask is {height} x {width}, the image {expected.height} x {expected.width} (height x width)"
        return codes.MASK_OTHER_SIZE, message
    return None


def _masks_fit(
    prediction: Prediction, task: Task, report: Report, expected: Mapping[str, Expected] | None, place: Place
) -> bool:
    """Whether the masks go with the objects, or with the answer's tags; oddities that can be scored are reported only."""
    if task is Task.REFERRING_SEGMENTATION and expected is not None:
        wanted = expected[prediction.sample_id].objects
        if wanted != len(prediction.masks):
            report(Finding(codes.MASK_COUNT, place, f"{len(prediction.masks)} masks, {wanted} objects"))
    if task is Task.REASONING_SEGMENTATION:
        numbers = [mask.tag for mask in prediction.masks]
        repeated = [number for number, count in Counter(numbers).items() if count > 1]
        if repeated:
            report(Finding(codes.TAG_REPEATED, place, f"tag {repeated[0]} has {numbers.count(repeated[0])} masks"))
            return False
        if numbers:
            mentioned = set(tags.indices(prediction.answer))
            for number in numbers:
                if number not in mentioned:
                    report(Finding(codes.TAG_NOT_MENTIONED, place, f"tag {number} has a mask and no mention"))
    return True


def trusted(segmentation: Segmentation) -> Mask:
    """The mask of a segmentation that a reader here has checked."""
    return Mask(*segmentation.size, segmentation.counts.encode("ascii"))
