"""`mmud annotate`: a new version of a dataset with captions, questions and answers that an annotator drafted."""

from __future__ import annotations

import shlex
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
    OutputOption,
    QuietFlag,
    SeedOption,
    VerboseFlag,
    table,
)
from mmud.commands.evaluate import split_names
from mmud.commands.train import SetOption, settings
from mmud.errors import ExitCode, MmudError

if TYPE_CHECKING:
    from mmud.dataset.annotating.report import AnnotateReport

REMOTE = "openai"

AnnotatorOption = Annotated[
    str | None,
    typer.Option(
        "--annotator", "-a", metavar="NAME", help="Who drafts: scenes, template, openai (with --endpoint), a plug-in."
    ),
]
TasksOption = Annotated[
    list[str] | None,
    typer.Option("--tasks", metavar="caption,question", help="What to draft; a question comes with its answer."),
]
ReplaceOption = Annotated[
    bool,
    typer.Option("--replace/--only-missing", help="Draft anew where there is a label, or only where there is none."),
]
MostSamplesOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="Draft for at most so many samples; the others pass through.")
]
MarksOption = Annotated[
    bool | None, typer.Option("--marks/--no-marks", help="openai: draw a numbered box around each object.")
]
PriceIn = Annotated[float | None, typer.Option("--price-in", min=0, help="Of a million tokens that are sent.")]
PriceOut = Annotated[float | None, typer.Option("--price-out", min=0, help="Of a million tokens that are answered.")]
MaxCost = Annotated[
    float | None, typer.Option("--max-cost", min=0, help="Spend no more in all, earlier runs included.")
]
MaxRequests = Annotated[
    int | None, typer.Option("--max-requests", min=0, help="Send no more requests in all, earlier runs included.")
]
AnswersOption = Annotated[
    Path | None,
    typer.Option("--answers", metavar="FILE", help="Where answers are kept; OUT.answers.sqlite if left out."),
]


def register(app: typer.Typer) -> None:
    app.command("annotate", help="Draft captions, questions and tagged answers: a new version of the dataset.")(
        annotate
    )


def annotate(
    path: DatasetArgument,
    output: OutputOption,
    annotator: AnnotatorOption = None,
    tasks: TasksOption = None,
    replace: ReplaceOption = False,
    split: Annotated[str | None, typer.Option("--split", help="Draft in this split only; others pass through.")] = None,
    limit: MostSamplesOption = None,
    endpoint: Annotated[str | None, typer.Option("--endpoint", metavar="URL", help="openai: its base address.")] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="openai: the model's name there.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", min=1, help="openai: requests at a time; 8 if left out.")
    ] = None,
    image_side: Annotated[
        int | None, typer.Option("--image-side", help="openai: longest side of the image sent, in pixels.")
    ] = None,
    marks: MarksOption = None,
    price_in: PriceIn = None,
    price_out: PriceOut = None,
    max_cost: MaxCost = None,
    max_requests: MaxRequests = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="When the budget is spent, write the new version with what there is.")
    ] = False,
    answers: AnswersOption = None,
    option: SetOption = None,
    seed: SeedOption = 0,
    dry_run: DryRunFlag = False,
    force: ForceFlag = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """What was answered is kept: the same command goes on where it stopped."""
    from mmud.annotations.drafting.base import ANNOTATORS, DraftTask
    from mmud.annotations.drafting.budget import Prices
    from mmud.dataset.annotating.planning import AnnotateRequest
    from mmud.dataset.annotating.run import Limits, estimate, tasks_named
    from mmud.dataset.annotating.run import annotate as run
    from mmud.dataset.store import Dataset

    console = Console(json, quiet, verbose)
    flags = {
        "endpoint": endpoint,
        "model": model,
        "concurrency": concurrency,
        "image_side": image_side,
        "marks": marks,
    }
    named = {key: value for key, value in flags.items() if value is not None}
    name = _annotator_name(annotator, endpoint)
    drafter = ANNOTATORS.get(name)(settings(option or []) | named, seed)
    dataset = Dataset(path)
    chosen = tasks_named(split_names(tasks)) or tuple(task for task in DraftTask if task in drafter.tasks)
    request = AnnotateRequest(chosen, replace, split, limit)
    limits = Limits(Prices(price_in, price_out), max_cost, max_requests, partial)
    if dry_run:
        report = estimate(dataset, output, drafter, request, limits=limits, answers=answers)
        console.result(report.to_dict(), _estimated(report, drafter.keeps_answers))
        return
    again = _command(path, output, name, named, option or [], locals())
    try:
        with _Bars(console, len(dataset)) as bars:
            report = run(
                dataset,
                output,
                drafter,
                request,
                limits=limits,
                answers=answers,
                force=force,
                asking=bars.asking,
                writing=bars.writing,
                note=console.note,
            )
    except MmudError as error:
        if error.exit_code is not ExitCode.REMOTE:
            raise
        raise MmudError(error.code, error.message, error.where, f"{error.hint}\n  Go on with: {again}") from error
    console.findings(report.left_out)
    console.result(report.to_dict(), _text(report, path))


def _annotator_name(name: str | None, endpoint: str | None) -> str:
    """Who drafts: as named; the remote one where an endpoint is given and nobody is named."""
    if name is not None:
        return name
    if endpoint is not None:
        return REMOTE
    hint = "Name one: --annotator template, scenes or openai; `mmud plugins` lists all."
    raise MmudError(codes.USAGE, "who is to draft?", hint=hint)


class _Bars:
    """Progress of asking, then of writing, one after the other."""

    def __init__(self, console: Console, samples: int) -> None:
        self._console = console
        self._samples = samples
        self._open: Any = None
        self._bar: Any = None
        self._label = ""

    def __enter__(self) -> _Bars:
        return self

    def __exit__(self, *problem: Any) -> None:
        self._close()

    def _close(self) -> None:
        if self._open is not None:
            self._open.__exit__(None, None, None)
            self._open = None

    def _begin(self, label: str, total: int) -> None:
        self._close()
        self._label = label
        self._open = self._console.progress(label, total)
        self._bar = self._open.__enter__()

    def asking(self, total: int) -> Any:
        self._begin("drafts", total)

        def advance(done: int, spared: int, remark: str) -> None:
            self._bar.spare(spared)
            self._bar.remark = remark
            self._bar.advance(done)

        return advance

    def writing(self, count: int) -> None:
        if self._label != "samples written":
            self._begin("samples written", self._samples)
        self._bar.advance(count)


def _command(
    path: Path, output: Path, name: str, named: dict[str, Any], options: list[str], given: dict[str, Any]
) -> str:
    """The command that goes on. It holds no key: that comes from the environment alone."""
    parts = ["mmud", "annotate", str(path), "-o", str(output), "--annotator", name]
    for key, value in named.items():
        flag = f"--{key.replace('_', '-')}"
        parts += [flag if value else "--no-marks"] if isinstance(value, bool) else [flag, str(value)]
    for key in ("split", "limit", "price_in", "price_out", "max_cost", "max_requests", "answers"):
        if given[key] is not None:
            parts += [f"--{key.replace('_', '-')}", str(given[key])]
    parts += ["--tasks", ",".join(split_names(given["tasks"]))] if given["tasks"] else []
    parts += ["--seed", str(given["seed"])] if given["seed"] else []
    parts += [f"--{key}" for key in ("replace", "partial", "force") if given[key]]
    return shlex.join([*parts, *(part for option in options for part in ("--set", option))])


def _estimated(report: AnnotateReport, asks: bool) -> str:
    from mmud.dataset.annotating.report import money

    rows = [[task.value, count, report.found[task]] for task, count in report.wanted.items()]
    lines = [table(["drafts", "wanted", "there already"], rows), ""]
    if asks and report.expected is not None:
        tokens = report.expected
        lines.append(
            f"{tokens.requests:,} requests, about {tokens.prompt_tokens:,} tokens sent and {tokens.completion_tokens:,} answered."
        )
        lines.append("No price was given." if report.cost is None else f"Expected cost: {money(report.cost)}.")
    return "\n".join([*lines, "Nothing was asked or written (dry run)."])


def _text(report: AnnotateReport, path: Path) -> str:
    from mmud.dataset.annotating.report import money

    rows = [
        [task.value, count, report.drafted[task], report.kept[task], report.found[task]]
        for task, count in report.wanted.items()
    ]
    lines = [table(["drafts", "wanted", "made", "asked now", "there already"], rows), ""]
    lines += [f"Left out: {count:,} x {code}; `mmud explain {code}`." for code, count in report.left_out_codes.items()]
    if report.half:
        lines.append(f"{report.half:,} pairs lack one half and were left as they are; --replace drafts them anew.")
    if report.usage.requests:
        used = report.usage
        lines.append(
            f"{used.requests:,} requests in all, {used.prompt_tokens:,} tokens sent, {used.completion_tokens:,} answered"
            + (f", cost {money(report.cost)}." if report.cost is not None else ".")
        )
    assert report.dataset is not None
    lines.append(f"Wrote {report.dataset.path}, fingerprint {report.dataset.fingerprint[:16]}.")
    lines.append(f"Next: mmud validate {shlex.quote(str(report.dataset.path))}")
    return "\n".join(lines)
