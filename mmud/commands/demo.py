"""`mmud demo`: the whole way in a minute."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmud.commands.common import Console, JsonFlag, QuietFlag, SeedOption


def register(app: typer.Typer) -> None:
    app.command("demo", help="The whole way on a synthetic world: build, validate, export, look, score, rank.")(demo)


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where to work.")] = Path("mmud-demo"),
    quick: Annotated[bool, typer.Option(help="A smaller world.")] = False,
    seed: SeedOption = 0,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    from mmud.demo import run_demo

    console = Console(json, quiet)
    result = run_demo(output, quick=quick, seed=seed, say=console.note)
    lines = [f"Open {result.page.absolute()}", f" and {result.leaderboard.absolute()}"]
    console.result(result.to_dict(), "\n".join(lines))
