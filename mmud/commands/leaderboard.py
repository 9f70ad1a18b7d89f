"""`mmud leaderboard add|render`: scored submissions as pages and tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmud.commands.common import Console, ForceFlag, JsonFlag, QuietFlag, SeedOption
from mmud.commands.evaluate import (
    AcceptHashOption,
    DeviceOption,
    ExifFlag,
    ExtractorOption,
    ModeOption,
    NoCacheFlag,
    ReferenceOption,
    WeightsOption,
    generation_extras,
)
from mmud.errors import ExitCode

BoardArgument = Annotated[Path, typer.Argument(metavar="BOARD", help="The leaderboard's folder.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Enter submissions on a leaderboard, and render it.", no_args_is_help=True)
    group.command("add", help="Score a submission and enter it; the first entry begins the leaderboard.")(add)
    group.command("render", help="Write the offline pages, CSV, Markdown and LaTeX.")(render)
    app.add_typer(group, name="leaderboard")


def add(
    board: BoardArgument,
    submission: Annotated[Path, typer.Argument(metavar="SUBMISSION", help="A folder of predictions, or a zip.")],
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="The dataset with its labels.")],
    split: Annotated[str, typer.Option(help="Of a new leaderboard.")] = "test",
    protocol: Annotated[str, typer.Option(help="Segmentation protocol of a new leaderboard.")] = "mmud",
    match: Annotated[str, typer.Option(metavar="hungarian|tag", help="Of a new leaderboard.")] = "hungarian",
    title: Annotated[str | None, typer.Option(help="Title of a new leaderboard; the dataset's name otherwise.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the system, where the submission names none.")] = None,
    extractor: ExtractorOption = None,
    weights: WeightsOption = None,
    mode: ModeOption = None,
    accept_hash: AcceptHashOption = None,
    device: DeviceOption = "cpu",
    exif: ExifFlag = False,
    no_cache: NoCacheFlag = False,
    reference_features: ReferenceOption = None,
    allow_partial: Annotated[bool, typer.Option(help="Score what is there; the entry does not rank.")] = False,
    force: ForceFlag = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    from mmud.dataset.store import Dataset
    from mmud.evaluators.leaderboard.adding import add_submission

    console = Console(json, quiet)
    dataset = Dataset(data)
    with console.progress("samples") as bar:
        loaded = add_submission(
            board,
            submission,
            dataset,
            split=split,
            name=name,
            title=title,
            protocol=protocol,
            match=match,
            extras=generation_extras(extractor, weights, mode, accept_hash, device, exif, no_cache, reference_features),
            allow_partial=allow_partial,
            force=force,
            progress=bar.advance,
        )
    entry = loaded.entry
    text = f"{entry.name}: {entry.status}" + (f" ({entry.reason})" if entry.reason else "")
    console.result({"entry": str(loaded.folder), **entry.model_dump(mode="json")}, text)
    if entry.status == "failed":
        raise typer.Exit(ExitCode.PREDICTIONS)


def render(
    board: BoardArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Where to write; BOARD/site otherwise.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="The dataset, so that best and worst samples are drawn."),
    ] = None,
    seed: SeedOption = 0,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    from mmud.dataset.store import Dataset
    from mmud.web.leaderboard import render_board

    console = Console(json, quiet)
    target = output or board / "site"
    with console.progress("systems") as bar:
        files = render_board(board, target, Dataset(data) if data is not None else None, seed=seed, advance=bar.advance)
    text = f"Wrote {files[0]} and {len(files) - 1} more files."
    console.result({"page": str(files[0]), "files": [str(file) for file in files]}, text)
