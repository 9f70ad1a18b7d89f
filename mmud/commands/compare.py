"""`mmud compare`: is one system better than another, and where."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmud import codes
from mmud.commands.common import Console, DryRunFlag, ForceFlag, JsonFlag, QuietFlag, SeedOption, VerboseFlag
from mmud.commands.evaluate import (
    DataOption,
    MatchOption,
    MetricsOption,
    ProtocolOption,
    ReplicatesOption,
    SplitOption,
    TasksOption,
    split_names,
)
from mmud.errors import MmudError

if TYPE_CHECKING:
    from mmud.evaluators.rows import RowTable

SystemsArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="A B …", help="Folders or zips of predictions (with --data), or outputs of `mmud evaluate`."
    ),
]
PermutationsOption = Annotated[int, typer.Option("--permutations", min=1, help="Random swaps of the test.")]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write the report: .json, or Markdown.")
]


def register(app: typer.Typer) -> None:
    app.command("compare", help="Compare systems on the same samples: differences, tests, wins and losses.")(compare)


def compare(
    systems: SystemsArgument,
    data: DataOption = None,
    split: SplitOption = "test",
    protocol: ProtocolOption = None,
    match: MatchOption = "hungarian",
    tasks: TasksOption = None,
    metrics: MetricsOption = None,
    permutations: PermutationsOption = 10_000,
    replicates: ReplicatesOption = 1000,
    seed: SeedOption = 0,
    output: OutputOption = None,
    force: ForceFlag = False,
    dry_run: DryRunFlag = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    from mmud.evaluators.comparison import compare_rows
    from mmud.evaluators.comparison_report import markdown
    from mmud.evaluators.evaluation import check_choice
    from mmud.evaluators.statistics.bootstrap import Resampler
    from mmud.files import refuse_existing
    from mmud.records import Task

    console = Console(json, quiet, verbose)
    if len(systems) < 2:
        raise MmudError(codes.USAGE, "at least two systems are needed")
    if output is not None:
        refuse_existing(output, force)
    chosen = [Task(check_choice(name, list(Task), "a task")) for name in split_names(tasks)] or None
    options = {"split": split, "protocol": protocol or "mmud", "match": match, "tasks": chosen}
    rows = [_rows_of(system, data, options) for system in systems]
    names = _names(systems)
    resampler = Resampler(replicates, seed)
    comparisons = [
        compare_rows(
            rows[0],
            other,
            names=(names[0], name),
            protocol=protocol,
            tasks=chosen,
            metrics=split_names(metrics) or None,
            resampler=resampler,
            permutations=permutations,
        )
        for other, name in zip(rows[1:], names[1:], strict=True)
    ]
    found = {
        "comparisons": [comparison.to_dict() for comparison in comparisons],
        "permutations": permutations,
        "replicates": replicates,
        "seed": seed,
    }
    text = "\n\n".join(markdown(comparison) for comparison in comparisons)
    if output is not None:
        _write(console, output, found, text, dry_run)
    console.result(found, text)


def _rows_of(system: Path, data: Path | None, options: dict[str, Any]) -> RowTable:
    """The rows of a system: read, or made from its predictions."""
    from zipfile import is_zipfile

    from mmud.evaluators.evaluation import evaluate
    from mmud.evaluators.rows import ROWS_NAME, RowTable

    if (system.is_file() and not is_zipfile(system)) or (system / ROWS_NAME).is_file():
        return RowTable.read(system)
    if data is None:
        message = f"{system} holds no {ROWS_NAME}; predictions need --data DIR"
        raise MmudError(codes.USAGE, message)
    return evaluate(system, data, replicates=0, **options).rows


def _names(systems: list[Path]) -> list[str]:
    """Short names: the folders' own, or the whole paths where two are alike."""
    short = [system.stem if system.is_file() else system.resolve().name for system in systems]
    return short if len(set(short)) == len(short) else [str(system) for system in systems]


def _write(console: Console, output: Path, found: dict[str, Any], text: str, dry_run: bool) -> None:
    from mmud.files import write_json, write_text

    if dry_run:
        console.note(f"would write {output}")
        return
    if output.suffix == ".json":
        write_json(output, found)
    else:
        write_text(output, text + "\n")
    console.note(f"wrote {output}")
