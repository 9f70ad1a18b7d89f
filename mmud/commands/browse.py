"""`mmud browse`: look at a dataset in a browser, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmud.commands.common import Console, DatasetArgument, ForceFlag, JsonFlag, QuietFlag


def register(app: typer.Typer) -> None:
    app.command(
        "browse", help="Make a page that shows samples with their masks, offline in any browser; contact sheets."
    )(browse)


def browse(
    dataset: DatasetArgument,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="PAGE.html", help="The page.")] = Path(
        "gallery.html"
    ),
    split: Annotated[str | None, typer.Option(help="One split; all otherwise.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="Show so many samples, spread over the dataset; 0 for all.")] = 200,
    ids: Annotated[list[str] | None, typer.Option("--id", help="Show this sample; may be repeated.")] = None,
    code: Annotated[
        str | None, typer.Option(help="Only samples with a finding of this code, or family such as MM2.")
    ] = None,
    sheets: Annotated[Path | None, typer.Option(metavar="DIR", help="Write PNG contact sheets there as well.")] = None,
    force: ForceFlag = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    from mmud.dataset.store import Dataset
    from mmud.files import refuse_existing
    from mmud.web.browse import Selection, write_gallery

    console = Console(json, quiet)
    refuse_existing(output, force)
    opened = Dataset(dataset)
    selection = Selection(split=split, limit=limit or None, ids=tuple(ids or ()), code=code)
    with console.progress("samples") as bar:
        shown, pages = write_gallery(opened, output, selection, sheets, advance=bar.advance)
    lines = [f"Wrote {output} with {shown} of {len(opened)} samples."]
    lines += [f"Wrote {len(pages)} contact sheets to {sheets}."] if sheets else []
    console.result({"page": str(output), "samples": shown, "sheets": [str(page) for page in pages]}, "\n".join(lines))
