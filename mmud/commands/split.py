"""`mmud split`: new splits in which no image is in two."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from mmud.commands.common import (
    Console,
    DatasetArgument,
    DryRunFlag,
    ForceFlag,
    JsonFlag,
    OutputOption,
    QuietFlag,
    SeedOption,
    VerboseFlag,
    table,
)


class By(StrEnum):
    """What makes two samples one image."""

    SOURCE_IMAGE = "source-image"
    IMAGE = "image"


class Stratify(StrEnum):
    """What is dealt in the same shares."""

    SOURCE = "source"


def register(app: typer.Typer) -> None:
    app.command("split", help="Make new splits: seeded, in given ratios, no image in two of them.")(split)


def split(
    path: DatasetArgument,
    output: OutputOption,
    ratios: Annotated[
        str | None, typer.Option(metavar="train=0.8,…", help="Shares of the samples that are neither kept nor listed.")
    ] = None,
    by: Annotated[
        By,
        typer.Option(
            help="One image is: one number in its source (COCO's across the RefCOCO family) or the same bytes; or bytes alone."
        ),
    ] = By.SOURCE_IMAGE,
    stratify: Annotated[Stratify | None, typer.Option(help="Deal each source in the same shares.")] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SPLIT", help="Leave this split's samples in it; may be repeated. Others with its images join them."
        ),
    ] = None,
    ids: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help='Explicit splits: {"test": ["id", 573125]} as JSON, or lines of id,split.'),
    ] = None,
    seed: SeedOption = 0,
    dry_run: DryRunFlag = False,
    force: ForceFlag = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    from mmud.dataset.split.listing import read_listing
    from mmud.dataset.split.run import SplitRequest, parse_shares, plan_split, write_split
    from mmud.dataset.store import Dataset
    from mmud.files import refuse_existing

    console = Console(json, quiet, verbose)
    request = SplitRequest(
        shares=parse_shares(ratios) if ratios else {},
        by=by.value,
        stratify=stratify is not None,
        seed=seed,
        keep=tuple(keep or ()),
        listed=read_listing(ids) if ids is not None else {},
    )
    dataset = Dataset(path)
    if not dry_run:
        refuse_existing(output, force)
    with console.progress("images read", len(dataset)) as bar:
        plan = plan_split(dataset, request, bar.advance)
    value: dict[str, Any] = plan.to_dict()
    if dry_run:
        ending = "Nothing was written (dry run)."
    else:
        with console.progress("samples written", len(dataset) - plan.left_out) as bar:
            written = write_split(dataset, plan, request, output, force, bar.advance)
        value |= {"output": str(output), "fingerprint": written.fingerprint}
        ending = f"Wrote {output}, fingerprint {written.fingerprint[:16]}."
    console.result(value, "\n".join([*_lines(plan), ending]))


def _lines(plan: Any) -> list[str]:
    sources = sorted({source for _, source in plan.sources})
    header = ["split", "wanted", "samples", *(sources if len(sources) > 1 else [])]
    rows = [
        [name, plan.wanted[name], plan.sizes[name], *(plan.sources[name, source] for source in header[3:])]
        for name in plan.splits
    ]
    lines = [
        table(header, rows),
        "",
        f"{plan.images:,} different images; {plan.together:,} samples share theirs with another.",
    ]
    if plan.drawn_along:
        lines.append(
            f"{plan.drawn_along:,} samples went to a kept or listed split because they show one of its images."
        )
    if plan.left_out:
        lines.append(f"{plan.left_out:,} samples are in no split: they were not listed, and no ratios were given.")
    return lines
