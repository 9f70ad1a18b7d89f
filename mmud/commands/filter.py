"""`mmud filter`: a new version of a dataset without labels that are not worth keeping."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
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
    QuietFlag,
    VerboseFlag,
    table,
)
from mmud.errors import MmudError

if TYPE_CHECKING:
    from mmud.annotations.filters.chat_asker import ChatAsker
    from mmud.annotations.filters.settings import Plan

SettingsOption = Annotated[
    Path | None,
    typer.Option(
        "--filters", metavar="FILE", help="TOML with a table [filters]; that of the dataset's own recipe if left out."
    ),
]
SelectOption = Annotated[
    list[str] | None, typer.Option("--select", metavar="CODES", help="Look for these only, as in MM470 or MM47.")
]
IgnoreOption = Annotated[list[str] | None, typer.Option("--ignore", metavar="CODES", help="Leave these out.")]
DropOption = Annotated[
    str | None,
    typer.Option(
        "--drop", metavar="labels|samples", help="Empty refused labels (the default), or leave out their samples."
    ),
]
ReportOption = Annotated[
    Path | None, typer.Option("--report", metavar="FILE", help="Write the report here too, as JSON.")
]
EndpointOption = Annotated[
    str | None,
    typer.Option("--endpoint", metavar="URL", help="A text-only model that is asked without the image; see --model."),
]
ModelOption = Annotated[str | None, typer.Option("--model", metavar="NAME", help="--endpoint: the model's name there.")]
AnswersOption = Annotated[
    Path | None,
    typer.Option("--answers", metavar="FILE", help="--endpoint: where answers are kept; OUT.blind.jsonl if left out."),
]


def register(app: typer.Typer) -> None:
    app.command("filter", help="Refuse labels that are short, empty of sense, blind, repeated, or contradicted.")(
        filter_labels
    )


def filter_labels(
    path: DatasetArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PATH", help="The new version's folder.")
    ] = None,
    filters: SettingsOption = None,
    select: SelectOption = None,
    ignore: IgnoreOption = None,
    drop: DropOption = None,
    report: ReportOption = None,
    endpoint: EndpointOption = None,
    model: ModelOption = None,
    answers: AnswersOption = None,
    limit: LimitOption = None,
    dry_run: DryRunFlag = False,
    force: ForceFlag = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """Every refused label is kept in the new folder's filtered.jsonl, with the reasons; filters.json has the counts."""
    from mmud.annotations.filters.base import Tools
    from mmud.annotations.filters.settings import read_plan
    from mmud.dataset.filtered import filter_dataset, plan_of
    from mmud.dataset.store import Dataset
    from mmud.files import refuse_existing, write_json

    console = Console(json, quiet, verbose)
    _check_usage(output, dry_run, limit, endpoint, model, answers)
    dataset = Dataset(path)
    plan = _with_drop(read_plan(filters) if filters is not None else plan_of(dataset), drop)
    for target in (report, None if dry_run else output):
        if target is not None:
            refuse_existing(target, force)
    total = len(dataset) if limit is None else min(limit, len(dataset))
    with _asker(endpoint, model, answers, output) as asker, console.progress("samples filtered", total) as bar:
        filtered = filter_dataset(
            dataset,
            None if dry_run else output,
            plan,
            select=select or [],
            ignore=ignore or [],
            tools=Tools(asker),
            limit=limit,
            force=force,
            advance=bar.advance,
        )
    value = {"partial": limit is not None, **filtered.to_dict()}
    if asker is not None:
        console.note(f"{asker.asked:,} questions were put to {model}; the others were answered before.")
    if report is not None:
        write_json(report, value)
    lines = [_text(value)]
    if dry_run:
        lines += ["", "Settings in force:", "", _settings(plan), "", "Nothing was written (dry run)."]
    else:
        lines.append(f"Wrote {value['output']}, fingerprint {value['fingerprint'][:16]}.")
    console.result(value, "\n".join(lines))


def _check_usage(
    output: Path | None,
    dry_run: bool,
    limit: int | None,
    endpoint: str | None,
    model: str | None,
    answers: Path | None,
) -> None:
    if output is None and not dry_run:
        raise MmudError(codes.USAGE, "the new version needs a folder: name it with -o, or give --dry-run")
    if limit is not None and not dry_run:
        raise MmudError(codes.USAGE, "a whole dataset is filtered: --limit goes with --dry-run")
    if (endpoint is None) != (model is None):
        raise MmudError(codes.USAGE, "--endpoint and --model belong together")
    if answers is not None and endpoint is None:
        raise MmudError(codes.USAGE, "--answers goes with --endpoint")
    if endpoint is not None and answers is None and output is None:
        raise MmudError(codes.USAGE, "say where answers are kept: --answers FILE, or -o PATH")


def _with_drop(plan: Plan, drop: str | None) -> Plan:
    from dataclasses import replace

    from mmud.annotations.filters.settings import Drop

    if drop is None:
        return plan
    if drop not in list(Drop):
        raise MmudError(codes.USAGE, f"--drop is labels or samples, not {drop!r}")
    return replace(plan, drop=Drop(drop))


def _asker(
    endpoint: str | None, model: str | None, answers: Path | None, output: Path | None
) -> AbstractContextManager[ChatAsker | None]:
    if endpoint is None or model is None:
        return nullcontext(None)
    from mmud.annotations.filters.chat_asker import ChatAsker

    file = answers
    if file is None and output is not None:
        file = output.with_name(f"{output.name}.blind.jsonl")
    if file is None:
        raise MmudError(codes.USAGE, "say where answers are kept: --answers FILE, or -o PATH")
    return ChatAsker(endpoint, model, file)


def _text(value: dict[str, Any]) -> str:
    rows = [
        [entry["code"], entry["filter"], _action(entry["actions"]), entry["captions"], entry["pairs"], entry["alone"]]
        for entry in value["filters"]
    ]
    lines = [table(["code", "filter", "action", "captions", "pairs", "alone"], rows), ""]
    balances = [
        [name, entry["read"], entry["kept"], entry["dropped"]]
        for kind in ("labels", "samples")
        for name, entry in value[kind].items()
    ]
    lines += [table(["", "read", "kept", "dropped"], balances)]
    for entry in value["filters"]:
        for example in entry["examples"][:1]:
            lines += ["", f"{entry['code']} {entry['title']} · sample {example['sample_id']}", f"  {example['reason']}"]
    return "\n".join(lines)


def _action(actions: dict[str, str]) -> str:
    """One word where captions and pairs are treated alike."""
    return actions["caption"] if len(set(actions.values())) == 1 else f"{actions['caption']}/{actions['pair']}"


def _settings(plan: Plan) -> str:
    from mmud.dataset.recipe import filter_tables

    return "\n".join(filter_tables(plan.to_dict()))
