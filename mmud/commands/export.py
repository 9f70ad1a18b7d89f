"""`mmud export`: a dataset in another tool's format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmud import codes
from mmud.commands.common import (
    Console,
    DatasetArgument,
    DryRunFlag,
    ForceFlag,
    JsonFlag,
    LimitOption,
    OutputOption,
    QuietFlag,
    VerboseFlag,
    table,
)
from mmud.errors import ExitCode, MmudError

if TYPE_CHECKING:
    from mmud.dataset.exporters.base import ExportReport
    from mmud.records import Task


def register(app: typer.Typer) -> None:
    app.command("export", help="Write a dataset in another tool's format, and list what that format cannot hold.")(
        export
    )


def _list_formats(wanted: bool) -> None:
    if not wanted:
        return
    from mmud.dataset.exporters.base import EXPORTERS

    for name in EXPORTERS:
        try:
            exporter = EXPORTERS.get(name)
        except MmudError as error:
            print(f"{name}: {error.message}\n")
            continue
        print(f"{name}: {exporter.title}")
        print(f"  --images {' or '.join(exporter.image_modes)}")
        if exporter.tasks:
            print(f"  --tasks {','.join(exporter.tasks)}")
        if exporter.default_shard_size is not None:
            print("  --shard-size N")
        for key, option in exporter.options.items():
            values = f" ({', '.join(option.choices)})" if option.choices else ""
            print(f"  --set {key}={option.default}: {option.help}{values}")
        for loss, reason in exporter.cannot_hold.items():
            print(f"  loses {loss}: {reason}")
        print()
    raise typer.Exit()


def export(
    dataset: DatasetArgument,
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="The format; --formats lists them.")],
    output: OutputOption,
    split: Annotated[
        list[str] | None, typer.Option("--split", help="One split; may be repeated. All when left out.")
    ] = None,
    tasks: Annotated[
        list[str] | None,
        typer.Option("--tasks", metavar="TASK,…", help="The tasks to export, for formats that choose."),
    ] = None,
    images: Annotated[
        str | None, typer.Option("--images", metavar="copy|none|embed|link", help="What to do with the images.")
    ] = None,
    shard_size: Annotated[int | None, typer.Option("--shard-size", min=1, help="Samples a shard.")] = None,
    option: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of the format; may be repeated.")
    ] = None,
    skip_missing_images: Annotated[
        bool,
        typer.Option("--skip-missing-images", help="Leave out and list samples without an image; exit 3 then."),
    ] = False,
    formats: Annotated[
        bool,
        typer.Option(
            "--formats", callback=_list_formats, is_eager=True, help="List the formats, and what each cannot hold."
        ),
    ] = False,
    limit: LimitOption = None,
    dry_run: DryRunFlag = False,
    force: ForceFlag = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    from mmud.dataset.exporters.runner import Request, run_export
    from mmud.dataset.store import Dataset

    console = Console(json, quiet, verbose)
    request = Request(
        splits=tuple(split or ()),
        limit=limit,
        images=images,
        tasks=_tasks(tasks or []),
        shard_size=shard_size,
        options=_settings(option or []),
        skip_missing_images=skip_missing_images,
        force=force,
        dry_run=dry_run,
    )
    opened = Dataset(dataset)
    wanted = [name for name in opened.splits if name in request.splits] or opened.splits
    total = sum(opened.length(name) for name in wanted)
    with console.progress("samples", total if limit is None else min(limit, total)) as bar:
        report = run_export(opened, to, output, request, bar.advance)
    console.findings(report.findings)
    for note in report.notes:
        console.note(f"note: {note}")
    console.result(report.to_dict(), _summary(report, verbose))
    if report.left_out:
        raise typer.Exit(ExitCode.FINDINGS)


def _tasks(values: list[str]) -> tuple[Task, ...]:
    from mmud.records import Task

    names = [name.strip() for value in values for name in value.split(",") if name.strip()]
    unknown = sorted(set(names) - set(Task))
    if unknown:
        raise MmudError(codes.USAGE, f"no such task: {', '.join(unknown)}", hint=f"The tasks are {', '.join(Task)}.")
    return tuple(Task(name) for name in names)


def _settings(values: list[str]) -> dict[str, str]:
    settings: dict[str, str] = {}
    for value in values:
        key, equals, setting = value.partition("=")
        if not equals or not key:
            raise MmudError(codes.USAGE, f"--set takes KEY=VALUE, not {value!r}")
        settings[key] = setting
    return settings


def _summary(report: ExportReport, verbose: bool) -> str:
    rows: list[list[Any]] = [[f"{name} (samples)", number] for name, number in report.splits.items()]
    rows += [[name, number] for name, number in report.counts.items()]
    lines = [table(["written" if not report.dry_run else "read", "count"], rows)]
    if report.losses:
        lost = [[loss["what"], loss["count"], loss["why"]] for loss in report.losses]
        lines += ["", f"What {report.format} does not keep:", table(["what", "count", "why"], lost)]
    if verbose and report.files:
        lines += ["", table(["file", "bytes"], [[name, size] for name, size in report.files.items()])]
    if report.partial:
        lines += ["", "Partial: --limit cut it short."]
    target = Path(report.output)
    lines += ["", "Nothing was written (dry run)." if report.dry_run else f"Wrote {target}."]
    return "\n".join(lines)
