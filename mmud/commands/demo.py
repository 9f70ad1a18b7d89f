"""`mmud demo`: the whole way, from a dataset to a trained and scored system."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmud import codes
from mmud.commands.common import Console, JsonFlag, QuietFlag, SeedOption
from mmud.errors import MmudError


def register(app: typer.Typer) -> None:
    app.command("demo", help="The whole way on synthetic scenes: build, validate, train, predict, score, rank, show.")(
        demo
    )


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where to work.")] = Path("mmud-demo"),
    quick: Annotated[bool, typer.Option("--quick", help="About a minute: a small world, few steps.")] = False,
    full: Annotated[
        bool, typer.Option("--full", help="About an hour: more scenes and steps, LoRA and heads alone beside it.")
    ] = False,
    seed: SeedOption = 0,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Some seven minutes on two cores, five of them training. An interrupted demo goes on when it is run again."""
    from mmud.demo import DEFAULT, FULL, QUICK, run_demo

    if quick and full:
        raise MmudError(codes.USAGE, "--quick or --full, not both")
    console = Console(json, quiet)
    plan = QUICK if quick else FULL if full else DEFAULT
    result = run_demo(output, plan, seed=seed, say=console.note, progress=console.progress)
    lines = [f"Open {result.leaderboard.absolute()}", f" and {result.page.absolute()}"]
    if result.left_out:
        lines.append(f"Training was left out: {result.left_out}")
    console.result(result.to_dict(), "\n".join(lines))
