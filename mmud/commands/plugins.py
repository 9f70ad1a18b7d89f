"""`mmud plugins`: what is built in and what other packages add."""

from __future__ import annotations

import typer

from mmud.commands.common import Console, JsonFlag, table
from mmud.errors import ExitCode


def register(app: typer.Typer) -> None:
    app.command("plugins", help="List sources, exporters, evaluators and other parts, built in and installed.")(plugins)


def plugins(json: JsonFlag = False) -> None:
    from mmud.plugins import status

    rows = status()
    text = table(
        ["kind", "name", "from", "state"], [[row["kind"], row["name"], row["provider"], row["state"]] for row in rows]
    )
    Console(json).result({"plugins": rows}, text)
    if any(row["provider"] != "mmud" and row["state"] != "ok" for row in rows):
        raise typer.Exit(ExitCode.MISSING_DEPENDENCY)
