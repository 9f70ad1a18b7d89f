"""`mmud card`: the dataset card and Croissant metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmud.commands.common import Console, DatasetArgument, JsonFlag, QuietFlag, VerboseFlag


def register(app: typer.Typer) -> None:
    app.command("card", help="Print or write the dataset card and Croissant metadata.")(card)


def card(
    path: DatasetArgument,
    write: Annotated[
        bool, typer.Option("--write/--stdout", help="Write README.md and croissant.json into DIR, or print.")
    ] = False,
    croissant: Annotated[bool, typer.Option("--croissant", help="Print the Croissant metadata, not the card.")] = False,
    url: Annotated[str, typer.Option(help="Croissant: the dataset's page.")] = "",
    creator: Annotated[str, typer.Option(help="Croissant: who publishes the dataset.")] = "",
    date: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="Croissant: when it was published.")] = "",
    data_version: Annotated[str, typer.Option(metavar="X.Y.Z", help="Croissant: the version of the data.")] = "1.0.0",
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    import json as jsonlib

    from mmud.dataset.card import CARD_NAME, render_card
    from mmud.dataset.croissant import CROISSANT_NAME, Publication
    from mmud.dataset.croissant import croissant as describe
    from mmud.dataset.store import Dataset
    from mmud.files import write_json, write_text

    console = Console(json, quiet, verbose)
    publication = Publication(url, creator, _checked_date(date), data_version)
    dataset = Dataset(path)
    document = describe(dataset, publication) if write or croissant or json else {}
    if document and publication.missing:
        options = ", ".join(f"--{name}" for name in publication.missing)
        console.note(f"Croissant also asks for what only the publisher knows: {options}.")
    text = render_card(dataset)
    if not write:
        shown = jsonlib.dumps(document, indent=2, ensure_ascii=False) if croissant else text.rstrip("\n")
        console.result({"card": text, "croissant": document}, shown)
        return
    write_text(path / CARD_NAME, text)
    write_json(path / CROISSANT_NAME, document)
    written = [str(path / CARD_NAME), str(path / CROISSANT_NAME)]
    console.result({"written": written}, "\n".join(f"Wrote {Path(file)}" for file in written))


def _checked_date(text: str) -> str:
    import datetime as dt

    from mmud import codes
    from mmud.errors import MmudError

    if text:
        try:
            return dt.date.fromisoformat(text).isoformat()
        except ValueError as error:
            raise MmudError(codes.USAGE, f"--date takes YYYY-MM-DD, not {text!r}") from error
    return text
