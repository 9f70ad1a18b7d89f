"""`mmud train`: a baseline fitted to a dataset, into a run folder."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

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
from mmud.errors import MmudError

BaselineArgument = Annotated[str, typer.Argument(metavar="BASELINE", help="Its name; `mmud plugins` lists them.")]
DataOption = Annotated[Path, typer.Option("--data", metavar="DIR", help="The dataset to learn from.")]
RunOption = Annotated[Path, typer.Option("--output", "-o", metavar="RUN", help="The run folder to write.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="An option of the baseline; may be repeated.")
]


def register(app: typer.Typer) -> None:
    app.command("train", help="Fit a baseline; the run folder says everything needed to repeat it.")(train)


def train(
    baseline: BaselineArgument,
    data: DataOption,
    output: RunOption,
    split: Annotated[str, typer.Option("--split", help="The split to learn from.")] = "train",
    option: SetOption = None,
    preset: Annotated[
        str | None, typer.Option("--preset", metavar="NAME", help="The same as --set preset=NAME.")
    ] = None,
    seed: SeedOption = 0,
    limit: LimitOption = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Take a finished run of the same request as it is, without an error.")
    ] = False,
    dry_run: DryRunFlag = False,
    force: ForceFlag = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """An unfinished run of the same request is gone on with."""
    from mmud.baselines.run_folder import FitRequest, fit_into, make_baseline
    from mmud.dataset.store import Dataset

    console = Console(json, quiet, verbose)
    dataset = Dataset(data)
    option = [*(option or []), *([] if preset is None else [f"preset={preset}"])]
    request = FitRequest(baseline, settings(option), seed, split, limit)
    if dry_run:
        parameters = make_baseline(baseline, request.options, seed).parameters()
        samples = dataset.length(split)
        lines = [] if parameters is None else [table(["parameters", "number"], _rows(parameters)), ""]
        lines.append(
            f"Would fit {baseline} to {samples:,} samples of {split} into {output}. Nothing was written (dry run)."
        )
        about = {"baseline": baseline, "run": None, "samples": samples}
        console.result(about if parameters is None else {**about, "parameters": parameters}, "\n".join(lines))
        return
    info = fit_into(
        output,
        dataset,
        request,
        force=force,
        resume=resume,
        command=_command(baseline, data, output, split, option, seed, limit),
        progress=console.progress,
        note=console.note,
    )
    rows = [[key, value] for key, value in info.description.items() if isinstance(value, int | float | str)]
    lines = [table(["", "fitted"], [["seconds", info.seconds], *rows]), "", f"Wrote {output}."]
    lines.append(f"Next: mmud predict {shlex.quote(str(output))} --data {shlex.quote(str(data))} -o PREDICTIONS")
    console.result({"run": str(output), **info.model_dump(mode="json")}, "\n".join(lines))


def _rows(numbers: Mapping[str, Any], prefix: str = "") -> list[list[Any]]:
    """A row for each number, named by its path."""
    rows: list[list[Any]] = []
    for name, value in numbers.items():
        if isinstance(value, Mapping):
            rows += _rows(value, f"{prefix}{name}: ")
        else:
            rows.append([f"{prefix}{name}".replace("_", " "), value])
    return rows


def settings(values: list[str]) -> dict[str, Any]:
    """``NAME=VALUE`` options by name.

    Raises:
        MmudError: MM001 when one is not of that form, or named twice.
    """
    found: dict[str, Any] = {}
    for value in values:
        name, equals, setting = value.partition("=")
        if not equals or not name:
            raise MmudError(codes.USAGE, f"--set takes NAME=VALUE, not {value!r}")
        if name in found:
            raise MmudError(codes.USAGE, f"--set {name} is given twice")
        found[name] = setting
    return found


def _command(
    baseline: str, data: Path, output: Path, split: str, options: list[str], seed: int, limit: int | None
) -> str:
    """The command that repeats the run."""
    parts = ["mmud", "train", baseline, "--data", str(data), "-o", str(output), "--split", split, "--seed", str(seed)]
    parts += [part for option in options for part in ("--set", option)]
    parts += [] if limit is None else ["--limit", str(limit)]
    return shlex.join(parts)
