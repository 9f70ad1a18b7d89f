"""What the scorer would refuse, found before anything is uploaded."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmud.errors import Finding, MmudError, Place
from mmud.evaluators import codes as prediction_codes
from mmud.evaluators.checking import FindingLog
from mmud.evaluators.predictions import PredictionFolder, task_file
from mmud.evaluators.submissions import codes
from mmud.evaluators.submissions.archive import DEFAULT_LIMITS, ArchiveLimits, kind_of, opened_submission
from mmud.evaluators.submissions.expectations import Expectations
from mmud.images import ImageLimits, load_image
from mmud.records import Prediction, Task

KEPT = 1000
"""Findings of one code that are listed; all are counted."""


@dataclass
class CheckReport:
    """What a check found.

    Attributes:
        tasks: task -> how many predictions are required, and how many are usable.
        log: the findings.
        name: of the system.
    """

    tasks: dict[str, dict[str, int]] = field(default_factory=dict)
    log: FindingLog = field(default_factory=lambda: FindingLog(KEPT))
    name: str = ""

    @property
    def accepted(self) -> bool:
        """Whether the scorer would take it: no error, and at least one whole task."""
        return not self.log.errors and bool(self.tasks)

    def to_dict(self) -> dict[str, Any]:
        return {
            "accepted": self.accepted,
            "name": self.name,
            "tasks": self.tasks,
            "counts": dict(sorted(self.log.counts.items())),
            "findings": [finding.to_dict() for finding in self.log.kept],
        }


def check_submission(
    path: Path,
    expected: Expectations,
    *,
    images: bool = True,
    limits: ArchiveLimits = DEFAULT_LIMITS,
    advance: Callable[[int], None] = lambda count: None,
) -> CheckReport:
    """Check a folder or zip of predictions; a refusal of the whole is a finding like any other.

    Args:
        path: of the submission.
        expected: what it has to hold.
        images: decode every generated image, within bounds.
        limits: of a zip.
        advance: told how many predictions were read.
    """
    report = CheckReport()
    try:
        with opened_submission(path, report.log, limits) as folder:
            _check_manifest(folder, expected, report)
            _check_files(folder.path, report.log)
            for task in folder.tasks:
                _check_task(folder, task, expected, report, images, limits, advance)
    except MmudError as error:
        report.log(error.finding)
    return report


def _check_manifest(folder: PredictionFolder, expected: Expectations, report: CheckReport) -> None:
    info = folder.submission
    if info is None or not info.name.strip():
        report.log(Finding(codes.SUBMISSION_UNNAMED, Place(file="submission.json"), "no name"))
    if info is None:
        return
    report.name = info.name
    said_and_true = (
        ("dataset_fingerprint", info.dataset_fingerprint, expected.fingerprint),
        ("split", info.split, expected.split),
    )
    for field_name, said, true in said_and_true:
        if said is not None and said != true:
            place = Place(file="submission.json", field=field_name)
            report.log(Finding(prediction_codes.OTHER_DATASET, place, f"made for {said}, checked against {true}"))


def _check_files(folder: Path, log: FindingLog) -> None:
    """Files that do not belong into a submission; links are reported and never followed."""
    for name in files_of(folder):
        kind = kind_of(name)
        if (folder / name).is_symlink():
            log(Finding(codes.ARCHIVE_LINK, Place(file=name), "a link"))
        elif kind == "unsafe":
            log(Finding(codes.FILE_UNSAFE, Place(file=name), "of a kind that runs code when it is opened"))
        elif kind == "foreign":
            log(Finding(codes.FILE_FOREIGN, Place(file=name), "will be left out"))


def files_of(folder: Path) -> Iterable[str]:
    """Every file below a folder by its path with slashes, in order; links are listed and not followed."""
    found = [
        Path(parent, name).relative_to(folder).as_posix()
        for parent, folders, names in os.walk(folder)
        for name in [*names, *(sub for sub in folders if Path(parent, sub).is_symlink())]
    ]
    return sorted(found)


def _check_task(
    folder: PredictionFolder,
    task: Task,
    expected: Expectations,
    report: CheckReport,
    images: bool,
    limits: ArchiveLimits,
    advance: Callable[[int], None],
) -> None:
    wanted = expected.tasks.get(task, {})
    if not wanted:
        place = Place(file=task_file(task))
        report.log(Finding(prediction_codes.NOTHING_TO_SCORE, place, f"{expected.split} asks for no {task.value}"))
        return
    usable = 0
    for prediction in folder.read(task, report.log, wanted):
        usable += 1
        if images and task is Task.GENERATION:
            _check_image(folder, prediction, report.log, limits)
        advance(1)
    report.tasks[task.value] = {"required": len(wanted), "usable": usable}


def _check_image(folder: PredictionFolder, prediction: Prediction, log: FindingLog, limits: ArchiveLimits) -> None:
    path = folder.image_path(prediction)
    if path is None:
        return
    try:
        load_image(path, ImageLimits(max_bytes=limits.image_bytes))
    except MmudError as error:
        place = Place(sample=prediction.sample_id, file=prediction.image)
        log(Finding(codes.IMAGE_REFUSED, place, f"{error.code.title}: {error.message}"))
