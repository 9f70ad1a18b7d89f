"""`mmud validate`: everything that is wrong with a dataset, and what of it can be mended."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmud import codes
from mmud.commands.common import (
    Console,
    DatasetArgument,
    DryRunFlag,
    FailOn,
    ForceFlag,
    JsonFlag,
    LimitOption,
    QuietFlag,
    VerboseFlag,
    WorkersOption,
)
from mmud.errors import ExitCode, MmudError

if TYPE_CHECKING:
    from mmud.dataset.checks.report import Report


class Format(StrEnum):
    """How the report is written."""

    text = "text"
    json = "json"
    sarif = "sarif"
    github = "github"


def register(app: typer.Typer) -> None:
    app.command("validate", help="Check a dataset: structure, masks, tags, text, images, splits; mend what is safe.")(
        validate
    )


def validate(
    directory: DatasetArgument,
    select: Annotated[
        list[str] | None, typer.Option("--select", metavar="CODES", help="Look for these only, as in MM2 or MM204,MM3.")
    ] = None,
    ignore: Annotated[list[str] | None, typer.Option("--ignore", metavar="CODES", help="Leave these out.")] = None,
    fail_on: Annotated[
        FailOn, typer.Option("--fail-on", help="End in exit code 3 from this severity on.")
    ] = FailOn.ERROR,
    no_images: Annotated[bool, typer.Option("--no-images", help="Do not read or decode images.")] = False,
    split: Annotated[str | None, typer.Option("--split", help="Look at one split.")] = None,
    limit: LimitOption = None,
    max_findings: Annotated[
        int, typer.Option("--max-findings", min=0, help="Findings to print of each code; all are counted.")
    ] = 5,
    format: Annotated[Format, typer.Option("--format", help="How to write the report.")] = Format.text,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="PATH", help="Write the report here; with --fix, the mended dataset."),
    ] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Mend what can be mended without losing anything; write a new dataset.")
    ] = False,
    in_place: Annotated[bool, typer.Option("--in-place", help="With --fix: replace the dataset as a whole.")] = False,
    log: Annotated[
        Path | None, typer.Option("--log", metavar="FILE", help="With --fix: write each change here too, one a line.")
    ] = None,
    dry_run: DryRunFlag = False,
    force: ForceFlag = False,
    workers: WorkersOption = 1,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    console = Console(json, quiet, verbose)
    codes_wanted, codes_left = select or [], ignore or []
    if fix:
        if split is not None or limit is not None:
            raise MmudError(codes.USAGE, "--fix mends a whole dataset: leave --split and --limit out")
        _fix(console, directory, output, in_place, dry_run, force, codes_wanted, codes_left, log, max_findings)
        return
    if in_place or log is not None or dry_run:
        raise MmudError(codes.USAGE, "--in-place, --log and --dry-run go with --fix")
    from mmud.dataset.checks.engine import validate as look
    from mmud.files import refuse_existing

    if output is not None:
        refuse_existing(output, force)
    with console.progress("validated", None) as bar:
        report = look(
            directory,
            select=codes_wanted,
            ignore=codes_left,
            images=not no_images,
            split=split,
            limit=limit,
            workers=workers,
            advance=bar.advance,
        )
    with report:
        failed = report.fails(fail_on.threshold)
        _write(console, report, Format.json if json else format, output, max_findings, fail_on, failed)
    if failed:
        raise typer.Exit(ExitCode.FINDINGS)


def writable(line: str) -> str:
    """A line that UTF-8 can hold: a manifest's JSON may name lone surrogates, which become the escapes that JSON has for them."""
    return line.encode("utf-8", "backslashreplace").decode("utf-8")


def _write(
    console: Console,
    report: Report,
    format: Format,
    output: Path | None,
    shown: int,
    fail_on: FailOn,
    failed: bool,
) -> None:
    from mmud.dataset.checks.render import RENDERERS, summary_line
    from mmud.files import atomic_write

    lines: Iterator[str] = RENDERERS[format](report, shown, fail_on, failed)
    if output is None:
        for line in lines:
            print(writable(line))
    else:
        with atomic_write(output, "w") as stream:
            stream.writelines(writable(line) + "\n" for line in lines)
        console.note(f"{summary_line(report)}\nThe report is in {output}.")
    if failed:
        console.note(f"failed: findings at or above --fail-on {fail_on}. `mmud explain CODE` tells more.")


def _fix(
    console: Console,
    directory: Path,
    output: Path | None,
    in_place: bool,
    dry_run: bool,
    force: bool,
    select: list[str],
    ignore: list[str],
    log: Path | None,
    shown: int,
) -> None:
    from mmud.dataset.checks.fix import fix

    with console.progress("looked at", None) as bar:
        mending = fix(
            directory,
            output,
            in_place=in_place,
            dry_run=dry_run,
            force=force,
            select=select,
            ignore=ignore,
            log=log,
            advance=bar.advance,
        )
    for line in mending.json_lines(dry_run) if console.json else mending.text_lines(shown):
        print(writable(line))
    if mending.output is not None:
        console.note(f"The mended dataset is in {mending.output}; each change is in its mends.jsonl.")
    elif not dry_run:
        console.note("Nothing to mend: nothing was written.")
