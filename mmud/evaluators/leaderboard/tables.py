"""The leaderboard as one table, and that table as CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from mmud.evaluators.leaderboard.board import Board, Loaded
from mmud.evaluators.leaderboard.ranking import Standing, higher_is_better, standings
from mmud.evaluators.report import figure_text
from mmud.records import Task

SHORT = {
    Task.REFERRING_SEGMENTATION: "referring",
    Task.REASONING_SEGMENTATION: "reasoning",
    Task.CAPTIONING: "captioning",
    Task.GENERATION: "generation",
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One system's primary figure in one task; ``standing`` is None where it does not rank."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    standing: Standing | None = None


@dataclass(frozen=True)
class Row:
    """One system.

    Attributes:
        loaded: its entry.
        cells: task -> figure.
        mean_rank: over all of the board's tasks; None when it did not enter every one, or does not rank.
    """

    loaded: Loaded
    cells: Mapping[Task, Cell]
    mean_rank: float | None = None

    @property
    def parameters(self) -> int | None:
        return _count(self.loaded.entry.system.get("parameters"))

    @property
    def trainable(self) -> int | None:
        """Trained parameters; the sum where they are given by task or part."""
        value = self.loaded.entry.system.get("trainable_parameters")
        if isinstance(value, Mapping):
            counts = [_count(part) for part in value.values()]
            return sum(count for count in counts if count is not None)
        return _count(value)

    def trainable_for(self, task: Task) -> int | None:
        """Trained parameters of one task, where the submission gives them by task."""
        value = self.loaded.entry.system.get("trainable_parameters")
        return _count(value.get(task.value)) if isinstance(value, Mapping) else None

    def throughput(self, task: Task) -> float | None:
        """Samples a second in one task, as the submission says (``system.throughput``)."""
        said = self.loaded.entry.system.get("throughput")
        value = said.get(task.value) if isinstance(said, Mapping) else said
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


@dataclass(frozen=True)
class Table:
    """The leaderboard: ranked systems in order, then those that do not rank.

    Attributes:
        board: what is compared.
        tasks: in the order of columns.
        ranked: systems that rank, by mean rank, those without one last.
        unranked: partial and failed ones.
    """

    board: Board
    tasks: tuple[Task, ...]
    ranked: list[Row] = field(default_factory=list)
    unranked: list[Row] = field(default_factory=list)


def make_table(board: Board, loaded: Sequence[Loaded], seed: int = 0) -> Table:
    """Rank the entries. Only whole submissions take part in the tests, so that a partial one moves nobody's rank."""
    tasks = tuple(task for task in Task if task in board.primary)
    whole = [one for one in loaded if one.entry.status == "ranked"]
    rows = {one.entry.name: one.rows() for one in whole}
    by_task = {
        task: standings(
            {name: table for name, table in rows.items() if task in table.tasks}, task, board.primary[task], seed=seed
        )
        for task in tasks
    }
    ranked = []
    for one in whole:
        places = [by_task[task].get(one.entry.name) for task in tasks]
        entered = [place.rank for place in places if place is not None]
        mean = fmean(entered) if len(entered) == len(tasks) else None
        ranked.append(Row(one, _cells(board, one, tasks, by_task), mean))
    ranked.sort(key=lambda row: (row.mean_rank is None, row.mean_rank or 0.0, row.loaded.entry.name.casefold()))
    others = [Row(one, _cells(board, one, tasks, {})) for one in loaded if one.entry.status != "ranked"]
    return Table(board, tasks, ranked, others)


def _cells(
    board: Board, one: Loaded, tasks: Sequence[Task], by_task: Mapping[Task, Mapping[str, Standing]]
) -> dict[Task, Cell]:
    scores = one.scores().get("tasks", {})
    cells = {}
    for task in tasks:
        figure = scores.get(task.value, {}).get("metrics", {}).get(board.primary[task])
        if figure is not None:
            standing = by_task.get(task, {}).get(one.entry.name)
            cells[task] = Cell(figure["value"], figure["low"], figure["high"], standing)
    return cells


def range_text(standing: Standing | None) -> str:
    """A rank range as people read it: "2" or "2-4"; "-" where there is none."""
    if standing is None:
        return "-"
    return str(standing.best) if standing.best == standing.worst else f"{standing.best}-{standing.worst}"


def column_title(board: Board, task: Task) -> str:
    """As in "referring gIoU" or "generation frechet_distance (lower is better)"."""
    metric = board.primary[task]
    return f"{SHORT[task]} {metric}" + ("" if higher_is_better(task, metric) else " (lower is better)")


def to_csv(table: Table) -> str:
    """Every figure in full, one line a system, ranked ones first."""
    header = ["system", "status", "mean_rank"]
    for task in table.tasks:
        name = f"{SHORT[task]}_{table.board.primary[task]}"
        header += [name, f"{name}_low", f"{name}_high", f"{SHORT[task]}_rank_best", f"{SHORT[task]}_rank_worst"]
        header += [f"{SHORT[task]}_trainable_parameters", f"{SHORT[task]}_samples_per_second"]
    header += ["parameters", "trainable_parameters", "authors", "reason"]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    for row in [*table.ranked, *table.unranked]:
        entry = row.loaded.entry
        line: list[Any] = [_safe_for_sheets(entry.name), entry.status, row.mean_rank]
        for task in table.tasks:
            cell = row.cells.get(task, Cell())
            standing = cell.standing
            line += [cell.value, cell.low, cell.high]
            line += [standing.best, standing.worst] if standing is not None else [None, None]
            line += [row.trainable_for(task), row.throughput(task)]
        line += [
            row.parameters,
            row.trainable,
            _safe_for_sheets("; ".join(entry.authors)),
            _safe_for_sheets(entry.reason),
        ]
        writer.writerow(["" if value is None else value for value in line])
    return out.getvalue()


def _safe_for_sheets(text: str) -> str:
    """A stranger's text that a spreadsheet cannot take for a formula."""
    return f"'{text}" if text[:1] in tuple("=+-@\t\r") else text


def _figure_cells(table: Table, row: Row) -> list[str]:
    cells = []
    for task in table.tasks:
        cell = row.cells.get(task, Cell())
        interval = (
            "" if cell.low is None or cell.high is None else f" [{figure_text(cell.low)}, {figure_text(cell.high)}]"
        )
        cells += [f"{figure_text(cell.value)}{interval}", range_text(cell.standing)]
    return cells


def _header(table: Table) -> list[str]:
    header = ["system"]
    for task in table.tasks:
        header += [column_title(table.board, task), "rank"]
    return [*header, "mean rank", "trained"]


def _lines(table: Table) -> list[list[str]]:
    lines = []
    for row in table.ranked:
        mean = "-" if row.mean_rank is None else f"{row.mean_rank:.2f}"
        trained = "-" if row.trainable is None else f"{row.trainable:,}"
        lines.append([row.loaded.entry.name, *_figure_cells(table, row), mean, trained])
    return lines


def to_markdown(table: Table) -> str:
    """A table of the ranked systems, and a list of the others with their reasons."""
    header = _header(table)
    body = [header, ["---"] * len(header), *_lines(table)]
    text = "\n".join("| " + " | ".join(_markdown(cell) for cell in line) + " |" for line in body)
    if table.unranked:
        listed = (
            f"- {_markdown(row.loaded.entry.name)}: {_markdown(row.loaded.entry.reason)}" for row in table.unranked
        )
        text += "\n\nNot ranked:\n\n" + "\n".join(listed)
    return text + "\n"


def _markdown(text: str) -> str:
    for character in "\\|`*_<>[]":
        if text != "---":
            text = text.replace(character, f"\\{character}")
    return " ".join(text.split())


_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}


def latex_text(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return " ".join("".join(_LATEX.get(character, character) for character in text).split())


def to_latex(table: Table) -> str:
    """A ``tabular`` of the ranked systems; the best value of each task is bold."""
    best = {task: _best(table, task) for task in table.tasks}
    lines = [r"\begin{tabular}{l" + "rr" * len(table.tasks) + "r}", r"\hline"]
    titles = ["system"]
    for task in table.tasks:
        titles += [latex_text(column_title(table.board, task)), "rank"]
    lines += [" & ".join([*titles, "mean rank"]) + r" \\", r"\hline"]
    for row in table.ranked:
        cells = [latex_text(row.loaded.entry.name)]
        for task in table.tasks:
            cell = row.cells.get(task, Cell())
            value = figure_text(cell.value)
            cells += [rf"\textbf{{{value}}}" if cell.value is not None and cell.value == best[task] else value]
            cells += [range_text(cell.standing).replace("-", "--") if cell.standing else "-"]
        cells.append("-" if row.mean_rank is None else f"{row.mean_rank:.2f}")
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\hline", r"\end{tabular}", ""])


def _best(table: Table, task: Task) -> float | None:
    values = [
        cell.value for row in table.ranked if (cell := row.cells.get(task)) is not None and cell.value is not None
    ]
    if not values:
        return None
    return max(values) if higher_is_better(task, table.board.primary[task]) else min(values)
