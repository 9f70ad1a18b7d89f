"""`mmud link`: tags behind the mentions of objects, in a new version of the dataset."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmud import codes
from mmud.annotations.linking import LEAST_SCORE
from mmud.commands.common import (
    Console,
    DatasetArgument,
    DryRunFlag,
    ForceFlag,
    JsonFlag,
    LimitOption,
    QuietFlag,
    VerboseFlag,
    table,
)
from mmud.errors import MmudError

if TYPE_CHECKING:
    from mmud.annotations.linking.measuring import Tally
    from mmud.dataset.linked import Linked


class TaggedField(StrEnum):
    """Whose mentions get tags."""

    answer = "answer"
    caption = "caption"


def register(app: typer.Typer) -> None:
    app.command("link", help="Tag the mentions of objects in answers by rule; leave what is not certain untagged.")(
        link
    )


def link(
    path: DatasetArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PATH", help="The new version's folder.")
    ] = None,
    field: Annotated[TaggedField, typer.Option("--field", help="Whose mentions get tags.")] = TaggedField.answer,
    min_score: Annotated[
        float, typer.Option("--min-score", min=0.0, max=1.0, help="Leave mentions alone that are less sure.")
    ] = LEAST_SCORE,
    measure: Annotated[
        bool, typer.Option("--measure", help="Take the tags off that are there, link anew, and compare; write nothing.")
    ] = False,
    limit: LimitOption = None,
    dry_run: DryRunFlag = False,
    force: ForceFlag = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """Tags that are there stay as they are."""
    from mmud.dataset.linked import link_dataset, measure_dataset
    from mmud.dataset.store import Dataset

    console = Console(json, quiet, verbose)
    if measure and output is not None:
        raise MmudError(codes.USAGE, "--measure writes nothing: leave --output out")
    if not measure and output is None and not dry_run:
        raise MmudError(codes.USAGE, "the new version needs a folder: name it with -o, or give --dry-run or --measure")
    if limit is not None and not (measure or dry_run):
        raise MmudError(codes.USAGE, "a whole dataset is linked: --limit goes with --dry-run or --measure")
    dataset = Dataset(path)
    total = len(dataset) if limit is None else min(limit, len(dataset))
    with console.progress("samples linked", total) as bar:
        if measure:
            tally = measure_dataset(dataset, field.value, min_score, limit, bar.advance)
        else:
            linked = link_dataset(
                dataset,
                None if dry_run else output,
                field.value,
                min_score,
                limit=limit,
                force=force,
                advance=bar.advance,
            )
    if measure:
        value = {"field": field.value, "least_score": min_score, "partial": limit is not None, **_figures(tally)}
        console.result(value, _measured(tally))
    else:
        console.result({"partial": limit is not None, **linked.to_dict()}, _text(linked))


def _figures(tally: Tally) -> dict[str, float | int | None]:
    return {
        "texts": tally.texts,
        "tags": tally.wanted,
        "proposed": tally.proposed,
        "right": tally.right,
        "precision": tally.precision,
        "recall": tally.recall,
    }


def _measured(tally: Tally) -> str:
    return table(["texts", "tags", "proposed", "right", "precision", "recall"], [list(_figures(tally).values())])


def _text(linked: Linked) -> str:
    reasons = sorted({*linked.placed, *linked.unsure})
    lines = [
        table(
            ["what it rests on", "placed", "not sure enough"],
            [[reason, linked.placed[reason], linked.unsure[reason]] for reason in reasons],
        ),
        "",
        f"{linked.placed.total():,} tags in {linked.changed:,} of {linked.read:,} texts; "
        f"{linked.objects['tagged']:,} of {linked.objects['all']:,} objects are tagged, "
        f"{linked.objects['tagged before']:,} were before.",
    ]
    if linked.dataset is None:
        lines.append("Nothing was written (dry run).")
    else:
        lines.append(f"Wrote {linked.dataset.path}, fingerprint {linked.dataset.fingerprint[:16]}.")
    return "\n".join(lines)
