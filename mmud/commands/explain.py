"""`mmud explain`: what a code means, why it matters, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mmud import codes
from mmud.commands.common import Console, JsonFlag
from mmud.errors import MmudError


def register(app: typer.Typer) -> None:
    app.command("explain", help="Explain a code such as MM204; without one, list all codes by family.")(explain)


def explain(
    code: Annotated[str | None, typer.Argument(metavar="[CODE]", help="A code, or a family such as MM2.")] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the reference of all codes, as docs/codes.md holds it.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="With --markdown: write the page here, in the place of the old one."
        ),
    ] = None,
    json: JsonFlag = False,
) -> None:
    from mmud.dataset.checks.explanation import explained, known_codes, listing, reference
    from mmud.files import write_text

    if output is not None and not markdown:
        raise MmudError(codes.USAGE, "-o goes with --markdown")
    if markdown:
        page = reference()
        if output is None:
            print(page, end="")
        else:
            # Written whole or not at all: a redirection would leave an empty page where the catalogue cannot be read.
            write_text(output, page)
        return
    chosen = known_codes(code)
    value: Any = [explained(item) for item in chosen.values()]
    if code is not None and code.strip().upper() in chosen:
        Console(json).result(value[0], "\n".join(_page(value[0])))
    else:
        Console(json).result({"codes": value}, listing(chosen))


def _page(item: dict[str, Any]) -> list[str]:
    mended = "mmud validate --fix mends it" if item["fixable"] else "no: it needs a decision"
    return [
        f"{item['code']} {item['title']}",
        "",
        f"severity   {item['severity']}",
        f"family     {item['family']}",
        f"fixable    {mended}",
        f"exit code  {item['exit_code']}, where a command stops with it",
        "",
        f"Why: {item['explanation']}",
        "",
        f"What to do: {item['remedy']}",
    ]
