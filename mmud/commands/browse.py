"""`mmud browse`: look at a dataset in a browser, on a page that needs no server, or on a server that shows all of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmud import codes
from mmud.commands.common import Console, DatasetArgument, ForceFlag, JsonFlag, QuietFlag
from mmud.commands.review import (
    PORT,
    FindingsOption,
    HostOption,
    OpenFlag,
    PortOption,
    PredictionsOption,
    RowsOption,
    serve_session,
)
from mmud.errors import MmudError

if TYPE_CHECKING:
    from mmud.web.server.session import Session


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
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve all samples to a browser, with search and filters; write nothing.")
    ] = False,
    predictions: PredictionsOption = None,
    rows: RowsOption = None,
    findings: FindingsOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = PORT,
    open_page: OpenFlag = False,
    force: ForceFlag = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    from mmud.dataset.store import Dataset
    from mmud.files import refuse_existing
    from mmud.web.browse import Selection, write_gallery

    console = Console(json, quiet)
    if serve:
        if split or ids or code or sheets:
            raise MmudError(
                codes.USAGE, "--split, --id, --code and --sheets choose for a page; the server's page has filters"
            )
        session = _session(dataset, predictions or [], rows or [], findings or [])
        serve_session(console, session, host, port, open_page)
        console.note("Stopped.")
        return
    if predictions or rows or findings or open_page:
        raise MmudError(codes.USAGE, "--predictions, --rows, --findings and --open go with --serve")
    refuse_existing(output, force)
    opened = Dataset(dataset)
    selection = Selection(split=split, limit=limit or None, ids=tuple(ids or ()), code=code)
    with console.progress("samples") as bar:
        shown, pages = write_gallery(opened, output, selection, sheets, advance=bar.advance)
    lines = [f"Wrote {output} with {shown} of {len(opened)} samples."]
    lines += [f"Wrote {len(pages)} contact sheets to {sheets}."] if sheets else []
    console.result({"page": str(output), "samples": shown, "sheets": [str(page) for page in pages]}, "\n".join(lines))


def _session(dataset: Path, predictions: list[Path], rows: list[Path], findings: list[Path]) -> Session:
    from mmud.web.server.run import require_packages

    require_packages()
    from mmud.dataset.store import Dataset
    from mmud.web.server.session import Session

    return Session(Dataset(dataset), None, "", predictions, rows, findings)
