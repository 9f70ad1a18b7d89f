"""`mmud doctor`: what this machine has, what it lacks, and what to do about it."""

from __future__ import annotations

import typer

from mmud.commands.common import Console, JsonFlag, table


def register(app: typer.Typer) -> None:
    app.command("doctor", help="Check this machine: packages, Java, Chromium, GPU, disk; and known traps.")(doctor)


def doctor(json: JsonFlag = False) -> None:
    from mmud.doctor import examine

    checks = examine()
    rows = [[check.state, check.name, check.seen, check.remedy] for check in checks]
    Console(json).result(
        {"checks": [check.to_dict() for check in checks]}, table(["state", "what", "seen", "remedy"], rows)
    )
    if any(check.state == "broken" for check in checks):
        raise typer.Exit(4)
