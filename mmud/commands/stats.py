"""`mmud stats`: what a dataset holds."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mmud.commands.common import (
    Console,
    DatasetArgument,
    ForceFlag,
    JsonFlag,
    LimitOption,
    QuietFlag,
    VerboseFlag,
    table,
)


class By(StrEnum):
    """What to group by."""

    SPLIT = "split"
    SOURCE = "source"
    CATEGORY = "category"


def register(app: typer.Typer) -> None:
    app.command("stats", help="Count samples, objects, sizes, text lengths, tags, licences; tables and plots.")(stats)


def stats(
    path: DatasetArgument,
    by: Annotated[By, typer.Option(help="What to group by.")] = By.SPLIT,
    split: Annotated[str | None, typer.Option(help="One split only.")] = None,
    plots: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write histograms and bar charts there, as SVG.")
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="At most so many rows of groups, the largest first.")] = 25,
    limit: LimitOption = None,
    force: ForceFlag = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    from mmud.dataset.statistics.collect import collect
    from mmud.dataset.statistics.plots import write_plots
    from mmud.dataset.statistics.report import render
    from mmud.dataset.store import Dataset
    from mmud.files import refuse_existing

    console = Console(json, quiet, verbose)
    dataset = Dataset(path)
    if plots is not None:
        refuse_existing(plots, force)
    total = len(dataset) if split is None else dataset.length(split)
    with console.progress("samples", min(total, limit or total)) as bar:
        found = collect(dataset, by.value, split, limit, bar.advance)
    value = {"name": dataset.name, "fingerprint": dataset.fingerprint, **found.to_dict()}
    title = dataset.name if split is None else f"{dataset.name}, split {split}"
    text = f"{title}, fingerprint {dataset.fingerprint[:16]}\n\n{render(found, table, most)}"
    if found.partial:
        text += f"\n\nPartial: the first {found.overall.counts['samples']:,} samples only."
    if plots is not None:
        written = write_plots(found, plots)
        value["plots"] = [str(file) for file in written]
        text += f"\n\nWrote {len(written)} charts to {plots}."
    console.result(value, text)
