"""The leaderboard as pages that open offline: the table, and a page for each system with its best and worst samples drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmud.dataset.store import Dataset
from mmud.errors import MmudError
from mmud.evaluators.leaderboard.board import Loaded, entries, read_board
from mmud.evaluators.leaderboard.ranking import higher_is_better
from mmud.evaluators.leaderboard.tables import (
    Cell,
    Row,
    Table,
    column_title,
    make_table,
    range_text,
    to_csv,
    to_latex,
    to_markdown,
)
from mmud.evaluators.predictions import parse_row
from mmud.evaluators.report import figure_text
from mmud.files import write_text
from mmud.records import Prediction, Task
from mmud.web.gallery import LABELS, Beside, Card, Layer, filled_template, script_json, write_page

PREDICTION = "prediction"
GENERATED = "Generated image"
SYSTEMS = "systems"


@dataclass(frozen=True, slots=True)
class Tile:
    """A figure in large above the table.

    Attributes:
        title: what it is.
        value, low, high: with its interval; None where there is none.
        note: a line below.
        aim: what it was to be; empty where nothing was aimed at.
        reached: whether it is; None without an aim or a value.
    """

    title: str
    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""
    aim: str = ""
    reached: bool | None = None


@dataclass(frozen=True)
class Presentation:
    """What a page says besides the table; all of it text.

    Attributes:
        tiles, tiles_title: figures above the table, and whose they are.
        about, badges: system -> a line below its name, and a word beside it.
        beneath: system -> task -> lines below its figure.
        marked: the system whose row stands out.
        links: title and address of further pages.
    """

    tiles: Sequence[Tile] = ()
    tiles_title: str = ""
    about: Mapping[str, str] = field(default_factory=dict)
    badges: Mapping[str, str] = field(default_factory=dict)
    beneath: Mapping[str, Mapping[Task, Sequence[str]]] = field(default_factory=dict)
    marked: str = ""
    links: Sequence[tuple[str, str]] = ()


PLAIN = Presentation()


def render_board(
    folder: Path,
    output: Path,
    dataset: Dataset | None = None,
    *,
    page: str = "index.html",
    seed: int = 0,
    advance: Callable[[int], None] = lambda count: None,
    presentation: Presentation = PLAIN,
) -> list[Path]:
    """Write the pages and tables.

    Args:
        folder: of the leaderboard.
        output: where to write.
        dataset: with the labels and images, so that samples can be drawn; without it systems have no page of their own.
        page: the main page's name.
        seed: of the tests.
        advance: told when a system's page is done.
        presentation: what the main page says besides.

    Returns:
        The files.

    Raises:
        MmudError: MM840 when there is no leaderboard.
    """
    board = read_board(folder)
    table = make_table(board, entries(folder), seed)
    pages = _system_pages(table, output, dataset, page, advance) if dataset is not None else {}
    files = {
        page: _main_page(table, pages, presentation),
        "leaderboard.csv": to_csv(table),
        "leaderboard.md": to_markdown(table),
        "leaderboard.tex": to_latex(table),
    }
    for name, text in files.items():
        write_text(output / name, text)
    return [*(output / name for name in files), *(output / name for name in pages.values())]


def _main_page(table: Table, pages: dict[str, str], presentation: Presentation) -> str:
    board = table.board
    summary = (
        f"{board.dataset}, split {board.split}, fingerprint {board.fingerprint[:16]}; protocol {board.protocol}, "
        f"masks matched by {board.match}. {len(table.ranked)} systems."
    )
    before, after = filled_template("leaderboard", board.name, summary)
    return before + script_json(_data(table, pages, presentation)) + after


def _data(table: Table, pages: dict[str, str], presentation: Presentation) -> dict[str, Any]:
    return {
        "tiles": [
            {
                "title": tile.title,
                "value": tile.value,
                "low": tile.low,
                "high": tile.high,
                "note": tile.note,
                "aim": tile.aim,
                "reached": tile.reached,
            }
            for tile in presentation.tiles
        ],
        "tilesTitle": presentation.tiles_title,
        "links": [list(link) for link in presentation.links],
        "tasks": [_task(table, task) for task in table.tasks],
        "ranked": [_row(table, row, place, pages, presentation) for place, row in enumerate(table.ranked)],
        "unranked": [
            {"name": row.loaded.entry.name, "status": row.loaded.entry.status, "reason": row.loaded.entry.reason}
            for row in table.unranked
        ],
    }


def _task(table: Table, task: Task) -> dict[str, Any]:
    cells = [row.cells[task] for row in table.ranked if task in row.cells]
    values = [cell.value for cell in cells if cell.value is not None]
    ends = [end for cell in cells for end in (cell.low, cell.high, cell.value) if end is not None]
    higher = higher_is_better(task, table.board.primary[task])
    return {
        "key": task.value,
        "title": column_title(table.board, task),
        "higher": higher,
        "best": (max(values) if higher else min(values)) if values else None,
        # Bars begin at zero where figures do, so that lengths can be compared.
        "scale": {"low": min([0.0, *ends]), "high": max(ends, default=1.0)},
    }


def _row(table: Table, row: Row, place: int, pages: dict[str, str], presentation: Presentation) -> dict[str, Any]:
    entry = row.loaded.entry
    cells = {}
    for task in table.tasks:
        cell = row.cells.get(task, Cell())
        cells[task.value] = {
            "value": cell.value,
            "low": cell.low,
            "high": cell.high,
            "range": range_text(cell.standing),
            "beneath": list(presentation.beneath.get(entry.name, {}).get(task, ())),
        }
    rates = {task.value: rate for task in table.tasks if (rate := row.throughput(task)) is not None}
    trained = {task.value: count for task in table.tasks if (count := row.trainable_for(task)) is not None}
    return {
        "name": entry.name,
        "authors": ", ".join(entry.authors),
        "place": place,
        "meanRank": row.mean_rank,
        "cells": cells,
        "parameters": row.parameters,
        "trainable": row.trainable,
        "trainableFor": trained,
        "throughput": rates,
        "page": pages.get(row.loaded.slug),
        "about": presentation.about.get(entry.name, ""),
        "badge": presentation.badges.get(entry.name, ""),
        "marked": entry.name == presentation.marked,
    }


def _system_pages(
    table: Table, output: Path, dataset: Dataset, page: str, advance: Callable[[int], None]
) -> dict[str, str]:
    """A page for each system that has examples; slug -> path from the main page."""
    found = {}
    for row in [*table.ranked, *table.unranked]:
        examples = row.loaded.examples()
        if examples:
            name = f"{SYSTEMS}/{row.loaded.slug}.html"
            entry = row.loaded.entry
            summary = " · ".join(
                [_sizes(row), *(_standing(table, row, task) for task in table.tasks if task in row.cells)]
            )
            write_page(
                output / name,
                entry.name,
                summary,
                _cards(row.loaded, examples, dataset),
                (PREDICTION, LABELS),
                back=f"../{page}",
            )
            found[row.loaded.slug] = name
        advance(1)
    return found


def _sizes(row: Row) -> str:
    trained = "unknown" if row.trainable is None else f"{row.trainable:,}"
    return f"trained parameters: {trained}"


def _standing(table: Table, row: Row, task: Task) -> str:
    cell = row.cells[task]
    rank = "" if cell.standing is None else f", rank {range_text(cell.standing)}"
    return f"{column_title(table.board, task)} {figure_text(cell.value)}{rank}"


def _cards(loaded: Loaded, examples: list[dict[str, Any]], dataset: Dataset) -> Iterator[Card]:
    for row in examples:
        prediction = _prediction(row)
        try:
            split, _ = dataset.position(prediction.sample_id)
        except MmudError:
            continue
        sample = dataset.find(prediction.sample_id, images=True)
        has_masks = prediction.task in (Task.REFERRING_SEGMENTATION, Task.REASONING_SEGMENTATION)
        masks = [mask.segmentation for mask in prediction.masks]
        yield Card(
            sample,
            split,
            layers=[Layer(PREDICTION, masks)] if has_masks else (),
            texts=_texts(prediction),
            figures=[_chosen_by(row)],
            beside=[_generated(loaded, row)] if prediction.task is Task.GENERATION else (),
        )


def _prediction(row: dict[str, Any]) -> Prediction:
    """As it was handed in; of generation only whose it is: the image is the entry's own copy."""
    task = Task(row["task"])
    if task is Task.GENERATION:
        return Prediction(sample_id=row["prediction"]["sample_id"], task=task)
    return parse_row(row["prediction"], task)


def _chosen_by(row: dict[str, Any]) -> tuple[str, str]:
    task = row["task"].replace("_", " ")
    if row["value"] is None:
        return f"{row['group']} of {task}, by id", "there is no figure of single samples"
    return f"{row['group']} of {task}", f"{row['metric']} {figure_text(row['value'])}"


def _generated(loaded: Loaded, row: dict[str, Any]) -> Beside:
    if "picture" not in row:
        return Beside(GENERATED, trouble=row["trouble"])
    try:
        return Beside(GENERATED, loaded.picture(row["picture"]))
    except MmudError as error:
        return Beside(GENERATED, trouble=f"{error.code.id} {error.message}")


def _texts(prediction: Prediction) -> list[tuple[str, str]]:
    if prediction.task is Task.REASONING_SEGMENTATION:
        return [("Predicted answer", prediction.answer)]
    if prediction.task is Task.CAPTIONING:
        return [("Predicted caption", prediction.caption)]
    return []
