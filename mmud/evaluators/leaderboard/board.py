"""The leaderboard's folder: what is compared, and one entry for each system.

::

    BOARD/board.json                 dataset, fingerprint, split, protocol, each task's primary metric
    BOARD/entries/NAME/entry.json    name, authors, sizes, status, reason
                       scores.json, rows.parquet    of an entry that could be scored
                       examples.jsonl               predictions of its best and worst samples
                       examples/                    the images among them, encoded again
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mmud.errors import MmudError, Place
from mmud.evaluators.evaluation import SCORES_NAME, Evaluation
from mmud.evaluators.rows import ROWS_NAME, RowTable
from mmud.evaluators.submissions import codes
from mmud.files import write_json
from mmud.images import read_image_bytes
from mmud.records import Task

BOARD_NAME = "board.json"
ENTRY_NAME = "entry.json"
EXAMPLES_NAME = "examples.jsonl"
PICTURES_FOLDER = "examples"

PRIMARY: Mapping[Task, tuple[str, ...]] = {
    Task.REFERRING_SEGMENTATION: ("gIoU",),
    Task.REASONING_SEGMENTATION: ("gIoU",),
    Task.CAPTIONING: ("cider_d",),
    Task.GENERATION: ("fid", "frechet_distance", "kid", "feature_cosine"),
}
"""What each task is ranked by: the first of these that an entry has."""


class Board(BaseModel):
    """``board.json``.

    Attributes:
        name: the page's title.
        dataset, fingerprint, split: what is predicted.
        protocol: of segmentation.
        match: how masks of an answer find their objects.
        primary: task -> the metric that it is ranked by.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal["mmud-leaderboard"] = "mmud-leaderboard"
    format_version: int = 1
    name: str
    dataset: str
    fingerprint: str
    split: str
    protocol: str
    match: str
    primary: dict[Task, str]


class Entry(BaseModel):
    """``entry.json``.

    Attributes:
        name, authors, system: as the submission says.
        status: "ranked", "partial" (some samples are missing) or "failed" (refused).
        reason: why it does not rank; empty for one that does.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    authors: tuple[str, ...] = ()
    system: dict[str, Any] = Field(default_factory=dict)
    status: Literal["ranked", "partial", "failed"]
    reason: str = ""


@dataclass(frozen=True)
class Loaded:
    """An entry and where it lies."""

    entry: Entry
    folder: Path

    @property
    def slug(self) -> str:
        return self.folder.name

    def rows(self) -> RowTable:
        return RowTable.read(self.folder / ROWS_NAME)

    def scores(self) -> dict[str, Any]:
        """``scores.json``; empty for an entry that could not be scored."""
        file = self.folder / SCORES_NAME
        if not file.exists():
            return {}
        found: dict[str, Any] = json.loads(file.read_bytes())
        return found

    def examples(self) -> list[dict[str, Any]]:
        file = self.folder / EXAMPLES_NAME
        return [json.loads(line) for line in file.read_text("utf-8").splitlines()] if file.exists() else []

    def picture(self, name: str) -> bytes:
        """The file of an example's image, within bounds; ``name`` is as its line says.

        Raises:
            MmudError: MM002, MM502 or MM503 when it is not there, no file or too large.
        """
        return read_image_bytes(self.folder / PICTURES_FOLDER / Path(name).name)


def slug_of(name: str) -> str:
    """A folder's name for a system's: letters, digits and dashes, never empty."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60]
    return plain or f"system-{sum(name.encode()) % 10_000}"


def read_board(folder: Path) -> Board:
    """Read ``board.json``.

    Raises:
        MmudError: MM840 when it is not there or cannot be read.
    """
    file = folder / BOARD_NAME
    place = Place(file=str(file))
    try:
        return Board.model_validate_json(file.read_bytes())
    except FileNotFoundError as error:
        raise MmudError(codes.NOT_A_BOARD, f"{folder} has no {BOARD_NAME}", place) from error
    except (OSError, ValidationError) as error:
        raise MmudError(codes.NOT_A_BOARD, f"{BOARD_NAME} cannot be read: {error}", place) from error


def entries(folder: Path) -> list[Loaded]:
    """Every entry, by name.

    Raises:
        MmudError: MM840 when an entry cannot be read.
    """
    found = []
    for path in sorted((folder / "entries").glob(f"*/{ENTRY_NAME}")):
        try:
            found.append(Loaded(Entry.model_validate_json(path.read_bytes()), path.parent))
        except (OSError, ValidationError) as error:
            raise MmudError(codes.NOT_A_BOARD, f"an entry cannot be read: {error}", Place(file=str(path))) from error
    return sorted(found, key=lambda loaded: loaded.entry.name.casefold())


def board_of(evaluation: Evaluation, name: str) -> Board:
    """The board that a first entry begins: its dataset, split and protocol are everybody's."""
    description = evaluation.rows.description
    return Board(
        name=name,
        dataset=description["dataset"]["name"],
        fingerprint=description["dataset"]["fingerprint"],
        split=description["dataset"]["split"],
        protocol=description["options"]["protocols"][0],
        match=description["options"]["match"],
        primary=_primary(evaluation),
    )


def _primary(evaluation: Evaluation) -> dict[Task, str]:
    found = {}
    for task, names in PRIMARY.items():
        metrics = evaluation.scores["tasks"].get(task.value, {}).get("metrics", {})
        chosen = next((name for name in names if metrics.get(name, {}).get("value") is not None), None)
        if chosen is not None:
            found[task] = chosen
    return found


def with_new_tasks(board: Board, evaluation: Evaluation) -> Board:
    """The board, with the primary metric of tasks that nobody had entered before."""
    return board.model_copy(update={"primary": {**_primary(evaluation), **board.primary}})


def check_belongs(board: Board, evaluation: Evaluation) -> None:
    """Whether figures can stand on this board.

    Raises:
        MmudError: MM841 when dataset, split, protocol or matching differ.
    """
    other = board_of(evaluation, board.name)
    for field in ("fingerprint", "split", "protocol", "match"):
        mine, theirs = getattr(board, field), getattr(other, field)
        if mine != theirs:
            raise MmudError(codes.BOARD_MISMATCH, f"the leaderboard's {field} is {mine}, the scores' is {theirs}")


def write_entry(
    folder: Path,
    entry: Entry,
    evaluation: Evaluation | None,
    examples: list[dict[str, Any]],
    force: bool,
    pictures: Mapping[str, bytes] | None = None,
) -> Loaded:
    """Write an entry whole: into a folder beside its own, which then takes its name.

    Args:
        folder: of the leaderboard.
        entry: the system.
        evaluation: its figures, where it could be scored.
        examples: lines of ``examples.jsonl``.
        force: replace an entry of the same name.
        pictures: file name -> image file of an example.

    Raises:
        MmudError: MM842 when there is one of this name and ``force`` is off.
    """
    slug = slug_of(entry.name)
    target = folder / "entries" / slug
    if target.exists() and not force:
        raise MmudError(codes.ENTRY_EXISTS, f"{entry.name!r} is there already", Place(file=str(target)))
    partial = target.with_name(f".{slug}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    if evaluation is not None:
        evaluation.save(partial)
        (partial / EXAMPLES_NAME).write_text(
            "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in examples), "utf-8"
        )
    for name, data in (pictures or {}).items():
        (partial / PICTURES_FOLDER).mkdir(exist_ok=True)
        (partial / PICTURES_FOLDER / name).write_bytes(data)
    write_json(partial / ENTRY_NAME, entry.model_dump(mode="json"))
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    return Loaded(entry, target)


def write_board(folder: Path, board: Board) -> None:
    write_json(folder / BOARD_NAME, board.model_dump(mode="json"))
