"""Putting a submission on a leaderboard: open it within bounds, score it, keep its best and worst samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmud.dataset.store import Dataset
from mmud.errors import Finding
from mmud.evaluators.checking import RefusedPredictions
from mmud.evaluators.evaluation import Evaluation, evaluate
from mmud.evaluators.leaderboard.board import (
    BOARD_NAME,
    Board,
    Entry,
    Loaded,
    board_of,
    check_belongs,
    read_board,
    with_new_tasks,
    write_board,
    write_entry,
)
from mmud.evaluators.leaderboard.examples import examples_of
from mmud.evaluators.predictions import PredictionFolder
from mmud.evaluators.submissions.archive import opened_submission
from mmud.images import ImageLimits


def add_submission(
    folder: Path,
    submission: Path,
    dataset: Dataset,
    *,
    split: str = "test",
    name: str | None = None,
    title: str | None = None,
    protocol: str = "mmud",
    match: str = "hungarian",
    extras: Mapping[str, Mapping[str, Any]] | None = None,
    allow_partial: bool = False,
    force: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Loaded:
    """Score a folder or zip of predictions and enter it.

    Predictions that are refused are entered as failed, with the reason; they never rank. A submission that cannot be opened
    at all is not entered.

    Args:
        folder: of the leaderboard; begun by its first entry.
        submission: a folder or zip.
        dataset: with the labels.
        split, protocol, match, extras: as for `evaluate`; those of a leaderboard that exists are kept.
        name: of the system, where the submission names none.
        title: of a new leaderboard.
        allow_partial: score what is there; the entry is listed and does not rank.
        force: replace an entry of the same name.
        progress: told the number of samples done.

    Raises:
        MmudError: MM830 to MM836 when the archive is refused, MM841 for another dataset, MM842 when the name is taken.
    """
    board = read_board(folder) if (folder / BOARD_NAME).exists() else None
    notes: list[Finding] = []
    with opened_submission(submission, notes.append) as predictions:
        entry = _described(predictions, name or submission.stem)
        settings: dict[str, Any] = {"split": split, "protocol": protocol, "match": match}
        if board is not None:
            settings = {"split": board.split, "protocol": board.protocol, "match": board.match}
        try:
            evaluation = evaluate(
                predictions, dataset, allow_partial=allow_partial, extras=extras, progress=progress, **settings
            )
        except RefusedPredictions as error:
            failed = entry.model_copy(update={"status": "failed", "reason": str(error.finding)})
            return write_entry(folder, failed, None, [], force)
        board = _fitting(board, evaluation, title or dataset.name)
        if evaluation.rows.description["partial"]:
            entry = entry.model_copy(update={"status": "partial", "reason": _what_is_missing(evaluation)})
        turned = bool((extras or {}).get("generation", {}).get("exif"))
        examples = examples_of(evaluation, predictions, board, ImageLimits(exif_orientation=turned))
        loaded = write_entry(folder, entry, evaluation, examples.rows, force, examples.pictures)
    write_board(folder, board)
    return loaded


def _fitting(board: Board | None, evaluation: Evaluation, title: str) -> Board:
    if board is None:
        return board_of(evaluation, title)
    check_belongs(board, evaluation)
    return with_new_tasks(board, evaluation)


def _described(predictions: PredictionFolder, name: str) -> Entry:
    """The entry as the submission describes itself.

    Raises:
        MmudError: MM813 when submission.json cannot be read.
    """
    info = predictions.submission
    if info is None:
        return Entry(name=name, status="ranked")
    authors = (info.authors,) if isinstance(info.authors, str) else info.authors
    system = info.system.model_dump(mode="json", exclude_none=True)
    return Entry(name=info.name.strip() or name, authors=authors, system=system, status="ranked")


def _what_is_missing(evaluation: Evaluation) -> str:
    parts = []
    for task, about in evaluation.rows.description["tasks"].items():
        if about["missing"]:
            parts.append(f"{task}: {len(about['missing'])} of {about['required']} samples have no prediction")
    return "; ".join(parts) or "only a part of the split was scored"
