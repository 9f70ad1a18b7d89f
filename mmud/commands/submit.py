"""`mmud submit check|pack`: a submission before it is uploaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmud import codes
from mmud.commands.common import Console, DryRunFlag, ForceFlag, JsonFlag, QuietFlag, table
from mmud.errors import ExitCode, MmudError

if TYPE_CHECKING:
    from mmud.evaluators.submissions.check import CheckReport
    from mmud.evaluators.submissions.expectations import Expectations

SubmissionArgument = Annotated[Path, typer.Argument(metavar="SUBMISSION", help="A folder of predictions, or a zip.")]
DataOption = Annotated[
    Path, typer.Option("--data", metavar="DIR", help="The dataset, or the questions that its organiser published.")
]
SplitOption = Annotated[str, typer.Option("--split", help="The split that was predicted.")]
ImagesFlag = Annotated[bool, typer.Option("--images/--no-images", help="Decode every generated image.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Check and pack a submission before it is uploaded.", no_args_is_help=True)
    group.command("check", help="List what the scorer would refuse.")(check)
    group.command("pack", help="Check, then write one zip with submission.json.")(pack)
    app.add_typer(group, name="submit")


def check(
    submission: SubmissionArgument,
    data: DataOption,
    split: SplitOption = "test",
    images: ImagesFlag = True,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    console = Console(json, quiet)
    _, report = _check(console, submission, data, split, images)
    console.result(report.to_dict(), _text(report))
    if not report.accepted:
        raise typer.Exit(ExitCode.PREDICTIONS)


def pack(
    submission: SubmissionArgument,
    data: DataOption,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.zip", help="The zip to write.")],
    split: SplitOption = "test",
    name: Annotated[str | None, typer.Option(help="Of the system, as a leaderboard shows it.")] = None,
    author: Annotated[list[str] | None, typer.Option(help="Who made it; may be repeated.")] = None,
    parameters: Annotated[int | None, typer.Option(min=0, help="Parameters of the system.")] = None,
    trainable_parameters: Annotated[int | None, typer.Option(min=0, help="Of which trained.")] = None,
    images: ImagesFlag = True,
    dry_run: DryRunFlag = False,
    force: ForceFlag = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    from mmud.evaluators.predictions import PredictionFolder
    from mmud.evaluators.submissions.pack import pack_submission
    from mmud.files import refuse_existing

    console = Console(json, quiet)
    refuse_existing(output, force)
    if not submission.is_dir():
        raise MmudError(codes.USAGE, f"{submission} is no folder: a zip is packed already")
    expected, report = _check(console, submission, data, split, images)
    if not report.accepted:
        console.result(report.to_dict(), _text(report))
        raise typer.Exit(ExitCode.PREDICTIONS)
    if dry_run:
        console.result({**report.to_dict(), "packed": None}, f"{_text(report)}\nNothing was written (dry run).")
        return
    sizes = {"parameters": parameters, "trainable_parameters": trainable_parameters}
    packed = pack_submission(
        PredictionFolder(submission),
        output,
        expected,
        name=name,
        authors=author,
        system={key: value for key, value in sizes.items() if value is not None},
    )
    about = {"path": str(packed.path), "files": packed.files, "images": packed.images, "bytes": packed.bytes}
    text = f"Wrote {output}: {packed.files} files, {packed.bytes:,} bytes."
    console.result({**report.to_dict(), "packed": about}, f"{_text(report)}\n{text}")


def _check(
    console: Console, submission: Path, data: Path, split: str, images: bool
) -> tuple[Expectations, CheckReport]:
    from mmud.evaluators.submissions.check import check_submission
    from mmud.evaluators.submissions.expectations import expectations

    expected = expectations(data, split)
    with console.progress("predictions", sum(map(len, expected.tasks.values()))) as bar:
        report = check_submission(submission, expected, images=images, advance=bar.advance)
    console.findings(report.log.kept)
    return expected, report


def _text(report: CheckReport) -> str:
    rows = [[task, about["required"], about["usable"]] for task, about in report.tasks.items()]
    lines = [table(["task", "required", "usable"], rows)] if rows else []
    if report.log.counts:
        lines += ["", table(["code", "count"], [[code, count] for code, count in sorted(report.log.counts.items())])]
    verdict = "The scorer would take it." if report.accepted else "The scorer would refuse it."
    return "\n".join([*lines, "", verdict] if lines else [verdict])
