"""`mmud predict`: a baseline's predictions, in the folder that any outsider would hand in."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmud import codes
from mmud.commands.common import (
    Console,
    DryRunFlag,
    ForceFlag,
    JsonFlag,
    LimitOption,
    QuietFlag,
    SeedOption,
    VerboseFlag,
    table,
)
from mmud.commands.evaluate import parse_shard, split_names
from mmud.commands.train import SetOption, settings
from mmud.errors import MmudError

if TYPE_CHECKING:
    from mmud.baselines.base import Baseline
    from mmud.baselines.predicting import PredictReport
    from mmud.records import Task

SystemsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN|BASELINE", help="A run folder, or a baseline that needs no fitting; with --merge, parts."
    ),
]
DataOption = Annotated[
    Path, typer.Option("--data", metavar="DIR", help="The dataset, or the questions that its organiser published.")
]
OutputOption = Annotated[Path, typer.Option("--output", "-o", metavar="PREDICTIONS", help="The folder to write.")]
TasksOption = Annotated[
    list[str] | None,
    typer.Option("--tasks", metavar="TASK,…", help="These tasks only; all that it does when left out."),
]
ShardOption = Annotated[
    str | None, typer.Option("--shard", metavar="I/N", help="Predict part I of N, counted from 1; --merge joins them.")
]


def register(app: typer.Typer) -> None:
    app.command("predict", help="Write a baseline's predictions, as any outsider would hand them in.")(predict)


def predict(
    systems: SystemsArgument,
    data: DataOption,
    output: OutputOption,
    split: Annotated[str, typer.Option("--split", help="The split to predict.")] = "test",
    tasks: TasksOption = None,
    shard: ShardOption = None,
    merge: Annotated[bool, typer.Option("--merge", help="Join the outputs of all shards.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Take finished predictions of the same request as they are.")
    ] = False,
    name: Annotated[str, typer.Option("--name", help="Of the system, as a leaderboard shows it.")] = "",
    author: Annotated[list[str] | None, typer.Option("--author", help="Who made it; may be repeated.")] = None,
    option: SetOption = None,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", metavar="URL", help="For `openai`: the same as --set endpoint=URL.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="For `openai`: the same as --set model=NAME.")
    ] = None,
    seed: SeedOption = 0,
    limit: LimitOption = None,
    dry_run: DryRunFlag = False,
    force: ForceFlag = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """Unfinished predictions of the same request are gone on with."""
    console = Console(json, quiet, verbose)
    if merge:
        if shard or option or tasks or dry_run:
            message = "--merge takes the parts as they are: no --shard, --set, --tasks or --dry-run with it"
            raise MmudError(codes.USAGE, message)
        report = _merge(systems, data, output, split, force)
    elif len(systems) != 1:
        raise MmudError(codes.USAGE, "one run folder or baseline is needed; several only with --merge")
    else:
        given = settings(option or [])
        for key, value in (("endpoint", endpoint), ("model", model)):
            if value is not None:
                given[key] = value
        from mmud.baselines.inputs import open_inputs
        from mmud.baselines.predicting import Request, count_asked, predict_into

        baseline, run = _baseline(systems[0], given, seed)
        from mmud.evaluators.collecting import Shard

        request = Request(
            tasks=_tasks(tasks),
            shard=parse_shard(shard) or Shard(),
            limit=limit,
            name=name,
            authors=tuple(author or ()),
            run=run,
        )
        inputs = open_inputs(data, split)
        if dry_run:
            asked = count_asked(baseline, inputs, request)
            text = table(["task", "asked for"], [[task, count] for task, count in asked.items()])
            console.result({"tasks": asked, "folder": None}, f"{text}\n\nNothing was written (dry run).")
            return
        report = predict_into(
            output,
            baseline,
            inputs,
            request,
            force=force,
            resume=resume,
            progress=console.progress,
            note=console.note,
        )
    console.result(report.to_dict(), _text(report, data))


def _baseline(system: str, options: dict[str, Any], seed: int) -> tuple[Baseline, dict[str, Any] | None]:
    """The baseline, ready, and what its run says of the fitting."""
    from mmud.baselines import codes as baseline_codes
    from mmud.baselines.base import BASELINES
    from mmud.baselines.run_folder import is_run, load_run, make_baseline

    folder = Path(system)
    if is_run(folder) or (folder.is_dir() and system not in BASELINES):
        baseline, info = load_run(folder, options, seed)
        keys = ("baseline", "options", "seed", "dataset", "split", "limit", "versions", "seconds")
        said = info.model_dump(mode="json")
        return baseline, {key: said[key] for key in keys}
    baseline = make_baseline(system, options, seed)
    if baseline.needs_fitting:
        hint = f"First: mmud train {shlex.quote(system)} --data DIR -o RUN; then: mmud predict RUN …"
        raise MmudError(baseline_codes.FITTING, f"{system} must be fitted first", hint=hint)
    return baseline, None


def _tasks(values: list[str] | None) -> tuple[Task, ...] | None:
    from mmud.evaluators.evaluation import check_choice
    from mmud.records import Task

    names = split_names(values)
    return tuple(Task(check_choice(name, list(Task), "a task")) for name in names) or None


def _merge(parts: list[str], data: Path, output: Path, split: str, force: bool) -> PredictReport:
    from mmud.baselines.inputs import open_inputs
    from mmud.baselines.merging import merge_parts
    from mmud.files import require

    return merge_parts([require(Path(part)) for part in parts], open_inputs(data, split), output, force=force)


def _text(report: PredictReport, data: Path) -> str:
    rows = [[task, count, report.throughput.get(task)] for task, count in report.tasks.items()]
    lines = [table(["task", "predictions", "samples/s"], rows)]
    lines += [f"No {task}: {why}." for task, why in report.skipped.items()]
    lines += ["", f"Wrote {report.folder}."]
    lines.append(f"Next: mmud evaluate {shlex.quote(str(report.folder))} --data {shlex.quote(str(data))}")
    return "\n".join(lines)
