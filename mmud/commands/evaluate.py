"""`mmud evaluate`: predictions in, figures out."""

from __future__ import annotations

from collections.abc import Mapping
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
from mmud.errors import MmudError

if TYPE_CHECKING:
    from mmud.evaluators.collecting import Shard
    from mmud.evaluators.evaluation import Evaluation

Predictions = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="PREDICTIONS", help="A folder or zip of predictions; with --merge, the outputs of all shards."
    ),
]
DataOption = Annotated[Path | None, typer.Option("--data", metavar="DIR", help="The dataset to score against.")]
SplitOption = Annotated[str, typer.Option("--split", help="The split that was predicted.")]
NamesOption = list[str] | None
TasksOption = Annotated[NamesOption, typer.Option("--tasks", metavar="TASK,…", help="Score these tasks only.")]
MetricsOption = Annotated[
    NamesOption,
    typer.Option("--metrics", metavar="NAME,…", help='Report these metrics only; "all" adds the costly ones.'),
]
ProtocolOption = Annotated[
    str | None,
    typer.Option("--protocol", metavar="NAME", help='Segmentation protocol: one, several by commas, or "all".'),
]
MatchOption = Annotated[
    str, typer.Option("--match", metavar="hungarian|tag", help="How masks of an answer find their objects.")
]
ByOption = Annotated[
    NamesOption,
    typer.Option("--by", metavar="SLICE,…", help="Slice by source, category, size, objects or length."),
]
EvaluatorsOption = Annotated[
    NamesOption,
    typer.Option("--evaluators", metavar="NAME,…", help="Installed evaluators to run besides the built-in ones."),
]
ShardOption = Annotated[
    str | None, typer.Option("--shard", metavar="I/N", help="Score part I of N, counted from 1; --merge joins them.")
]
MergeFlag = Annotated[bool, typer.Option("--merge", help="Join the outputs of all shards.")]
RowsOption = Annotated[
    Path | None,
    typer.Option("--rows", metavar="PATH", help="Score a rows.parquet again, without predictions or labels."),
]
PartialFlag = Annotated[bool, typer.Option("--allow-partial", help="Score what is there when predictions are missing.")]
ExtractorOption = Annotated[
    str | None, typer.Option("--extractor", metavar="NAME", help="What makes features of images; see `mmud plugins`.")
]
WeightsOption = Annotated[str | None, typer.Option("--weights", metavar="PATH", help="The extractor's network.")]
ModeOption = Annotated[str | None, typer.Option("--mode", metavar="NAME", help="The extractor's mode.")]
AcceptHashOption = Annotated[
    str | None, typer.Option("--accept-hash", metavar="SHA256", help="Use weights other than the published ones.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="Where the network runs, as torch names it.")]
ExifFlag = Annotated[bool, typer.Option("--exif", help="Turn images as their EXIF tag says; signatures say so.")]
NoCacheFlag = Annotated[
    bool, typer.Option("--no-cache", help="Extract the real images' features anew, and keep none of them.")
]
ReferenceOption = Annotated[
    Path | None,
    typer.Option("--reference-features", metavar="FILE", help="The real images' features: .npz or JSON lines."),
]
BlindFlag = Annotated[
    bool,
    typer.Option(
        "--blind", help="For an organiser: figures alone leave; no rows or findings of single samples, no slices."
    ),
]
ReplicatesOption = Annotated[int, typer.Option("--replicates", min=0, help="Of the bootstrap; 0 for no intervals.")]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="DIR", help="Write scores.json and rows.parquet here.")
]


def register(app: typer.Typer) -> None:
    app.command("evaluate", help="Score predictions on all four tasks, each figure with interval and signature.")(
        evaluate
    )


def evaluate(
    predictions: Predictions = None,
    data: DataOption = None,
    split: SplitOption = "test",
    tasks: TasksOption = None,
    metrics: MetricsOption = None,
    protocol: ProtocolOption = None,
    match: MatchOption = "hungarian",
    by: ByOption = None,
    evaluators: EvaluatorsOption = None,
    shard: ShardOption = None,
    merge: MergeFlag = False,
    rows: RowsOption = None,
    allow_partial: PartialFlag = False,
    limit: LimitOption = None,
    extractor: ExtractorOption = None,
    weights: WeightsOption = None,
    mode: ModeOption = None,
    accept_hash: AcceptHashOption = None,
    device: DeviceOption = "cpu",
    exif: ExifFlag = False,
    no_cache: NoCacheFlag = False,
    reference_features: ReferenceOption = None,
    blind: BlindFlag = False,
    replicates: ReplicatesOption = 1000,
    seed: SeedOption = 0,
    output: OutputOption = None,
    force: ForceFlag = False,
    dry_run: DryRunFlag = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    from mmud.evaluators.evaluation import merge_evaluations, rescore
    from mmud.evaluators.rows import RowTable

    console = Console(json, quiet, verbose)
    given = predictions or []
    _check_sources(given, data, merge, rows)
    if output is not None:
        from mmud.files import refuse_existing

        refuse_existing(output, force)
    shared: dict[str, Any] = {"by": split_names(by), "replicates": replicates, "seed": seed}
    if merge:
        found = merge_evaluations(given, **shared)
    elif rows is not None:
        found = rescore(RowTable.read(rows), protocol=protocol, metrics=split_names(metrics), **shared)
    else:
        found = _evaluate(
            console,
            given[0],
            data,
            evaluators=split_names(evaluators),
            extras=generation_extras(extractor, weights, mode, accept_hash, device, exif, no_cache, reference_features),
            split=split,
            tasks=split_names(tasks) or None,
            metrics=split_names(metrics),
            protocol=protocol or "mmud",
            match=match,
            shard=parse_shard(shard),
            allow_partial=allow_partial,
            limit=limit,
            **shared,
        )
    if blind:
        _finish_blind(console, found, output, dry_run)
    else:
        _finish(console, found, output, dry_run)


def generation_extras(
    extractor: str | None,
    weights: str | None,
    mode: str | None,
    accept_hash: str | None,
    device: str,
    exif: bool,
    no_cache: bool,
    reference_features: Path | None,
) -> dict[str, dict[str, Any]]:
    """What the evaluator of images is set up with; what was not given is left out."""
    given = {
        "extractor": extractor,
        "weights": weights,
        "mode": mode,
        "accept_hash": accept_hash,
        "device": device,
        "exif": exif,
        "cache": not no_cache,
        "reference_features": reference_features,
    }
    return {"generation": {key: value for key, value in given.items() if value is not None}}


def _evaluate(
    console: Console,
    predictions: Path,
    data: Path | None,
    evaluators: list[str],
    **options: Any,
) -> Evaluation:
    """Evaluate with progress; findings that refuse the predictions are listed before the error ends the command."""
    from mmud.dataset.store import Dataset
    from mmud.evaluators.base import BUILT_IN
    from mmud.evaluators.checking import RefusedPredictions
    from mmud.evaluators.evaluation import evaluate

    assert data is not None
    dataset = Dataset(data)
    options["evaluators"] = (*BUILT_IN, *evaluators)
    try:
        with console.progress("samples", dataset.length(options["split"])) as bar:
            return evaluate(predictions, dataset, progress=bar.advance, **options)
    except RefusedPredictions as error:
        console.findings(error.findings)
        raise


def _finish(console: Console, found: Evaluation, output: Path | None, dry_run: bool) -> None:
    console.findings(found.findings)
    if output is not None:
        from mmud.evaluators.evaluation import SCORES_NAME
        from mmud.evaluators.rows import ROWS_NAME

        files = f"{output / SCORES_NAME} and {output / ROWS_NAME}"
        if dry_run:
            console.note(f"would write {files}")
        else:
            found.save(output)
            console.note(f"wrote {files}")
    console.result(found.scores, _tables(found.scores))


def _finish_blind(console: Console, found: Evaluation, output: Path | None, dry_run: bool) -> None:
    from mmud.evaluators.evaluation import SCORES_NAME
    from mmud.files import write_json

    scores = found.blind_scores()
    if output is not None and not dry_run:
        write_json(output / SCORES_NAME, scores)
        console.note(f"wrote {output / SCORES_NAME}; rows of single samples stay with the organiser")
    console.result(scores, _tables(scores))


def _tables(scores: Mapping[str, Any]) -> str:
    from mmud.evaluators.report import padded, scores_tables, summary_lines

    parts = [f"{title}\n{table(header, padded(rows, header))}" for title, (header, rows) in scores_tables(scores)]
    return "\n\n".join([*parts, "\n".join(summary_lines(scores))])


def _check_sources(predictions: list[Path], data: Path | None, merge: bool, rows: Path | None) -> None:
    """Exactly one way in: predictions with --data, shards with --merge, or --rows.

    Raises:
        MmudError: MM001 when it is not so.
    """
    if merge:
        if not predictions or data is not None or rows is not None:
            raise MmudError(codes.USAGE, "--merge takes the outputs of shards, and neither --data nor --rows")
    elif rows is not None:
        if predictions or data is not None:
            raise MmudError(codes.USAGE, "--rows stands by itself: rows need neither predictions nor --data")
    elif len(predictions) != 1 or data is None:
        raise MmudError(codes.USAGE, "one folder of predictions and --data DIR are needed")


def split_names(values: list[str] | None) -> list[str]:
    """Names from an option that may be repeated and may hold several by commas."""
    return [name.strip() for value in values or [] for name in value.split(",") if name.strip()]


def parse_shard(text: str | None) -> Shard | None:
    """``I/N`` as a shard.

    Raises:
        MmudError: MM001 when it is not of that form, or I is not between 1 and N.
    """
    if text is None:
        return None
    from mmud.evaluators.collecting import Shard

    index, slash, of = text.partition("/")
    if not (slash and index.isdigit() and of.isdigit() and 1 <= int(index) <= int(of)):
        raise MmudError(codes.USAGE, f"--shard is I/N with I from 1 to N, not {text!r}")
    return Shard(int(index), int(of))
