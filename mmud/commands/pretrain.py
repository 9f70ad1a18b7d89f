"""`mmud pretrain`: the small backbones that come with the package, made again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmud import codes
from mmud.commands.common import Console, JsonFlag, QuietFlag, SeedOption, VerboseFlag, table
from mmud.errors import MmudError


def register(app: typer.Typer) -> None:
    app.command("pretrain", help="Make the small backbones of neural tuning anew; hours on two cores.")(pretrain)


def pretrain(
    backbone: Annotated[str, typer.Argument(metavar="BACKBONE", help="scenes-tiny.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="The folder to write.")],
    stage: Annotated[
        list[str] | None,
        typer.Option("--stage", metavar="NAME", help="A stage; may be repeated. All of them when left out."),
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Of each stage, instead of the recipe's.")] = None,
    seed: SeedOption = 0,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """An unfinished run in the same folder is gone on with."""
    if backbone != "scenes-tiny":
        raise MmudError(codes.USAGE, f"there is no recipe for {backbone!r}: scenes-tiny is the one that is made here")
    from mmud.baselines.backbones.pretraining import STAGES
    from mmud.baselines.backbones.pretraining import pretrain as run

    console = Console(json, quiet, verbose)
    unknown = sorted(set(stage or ()) - set(STAGES))
    if unknown:
        raise MmudError(codes.USAGE, f"no stage is called {unknown[0]!r}", hint=f"Stages: {', '.join(STAGES)}.")
    chosen = [name for name in STAGES if not stage or name in stage]
    report = run(
        output,
        chosen,
        seed=seed,
        steps=None if steps is None else dict.fromkeys(STAGES, steps),
        progress=console.progress,
        note=console.note,
    )
    rows = [
        [name, found["steps"], found["wall_seconds"], key, value]
        for name, found in report.items()
        for key, value in found["scores"].items()
        if isinstance(value, int | float)
    ]
    text = table(["stage", "steps", "seconds", "score", "value"], rows)
    console.result(report, f"{text}\n\nWrote {output}. Use it with MMUD_SCENES_TINY={output}.")
