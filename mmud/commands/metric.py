"""`mmud metric`: the evaluators on plain files, no dataset needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mmud import codes
from mmud.commands.common import (
    Console,
    DryRunFlag,
    ForceFlag,
    JsonFlag,
    OutputOption,
    QuietFlag,
    SeedOption,
    VerboseFlag,
    table,
)
from mmud.commands.evaluate import (
    AcceptHashOption,
    DeviceOption,
    ExifFlag,
    MetricsOption,
    ModeOption,
    NoCacheFlag,
    PartialFlag,
    ReplicatesOption,
    WeightsOption,
    split_names,
)
from mmud.errors import MmudError

ReferencesOption = Annotated[Path, typer.Option("--references", metavar="FILE", help="The true ones.")]
FirstArgument = Annotated[Path, typer.Argument(metavar="A", help="What was generated.")]
SecondArgument = Annotated[Path, typer.Argument(metavar="B", help="What it is compared with.")]
PairedFlag = Annotated[bool, typer.Option("--paired", help="Row (or name) by row, A belongs with B.")]
BackendOption = Annotated[
    str, typer.Option("--backend", metavar="mmud|pycocoevalcap", help="Who scores; the latter needs Java.")
]
ScorersOption = Annotated[
    list[str] | None,
    typer.Option("--scorers", metavar="NAME,…", help="Of pycocoevalcap: bleu, rouge_l, cider, meteor, spice."),
]
FrequenciesOption = Annotated[
    Path | None, typer.Option("--frequencies", metavar="FILE", help="Document frequencies frozen for a split.")
]
EmptyFlag = Annotated[
    bool,
    typer.Option("--missing-as-empty", help="Take an empty caption for images that have none; the signature says so."),
]
ImageCaptionsOption = Annotated[
    Path | None,
    typer.Option(
        "--captions",
        metavar="FILE",
        help="Of A's images, for CLIP scores: JSON lines of image and caption, or COCO captions.",
    ),
]
ExtractorOption = Annotated[str, typer.Option("--extractor", metavar="NAME", help="What makes the features.")]
ProtocolOption = Annotated[
    str, typer.Option("--protocol", metavar="NAME", help='One protocol, several by commas, or "all".')
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
    group.command("masks", help="gIoU, cIoU and the rest of two files of masks (JSON lines).")(masks)
    group.command("captions", help="CIDEr, BLEU, ROUGE-L and lengths of two COCO files.")(captions)
    group.command("document-frequencies", help="Freeze CIDEr's weights for a split, for --frequencies of captions.")(
        document_frequencies
    )
    group.command("images", help="Fréchet and kernel distance between two folders of images.")(images)
    group.command("features", help="The same between two matrices of features (.npy).")(features)
    app.add_typer(group, name="metric", help="One metric on plain files: masks, captions, images or features.")


def masks(
    references: ReferencesOption,
    predictions: Annotated[Path, typer.Option("--predictions", metavar="FILE", help="The predicted ones.")],
    protocol: ProtocolOption = "mmud",
    metrics: MetricsOption = None,
    allow_partial: PartialFlag = False,
    replicates: ReplicatesOption = 1000,
    seed: SeedOption = 0,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    from mmud.evaluators.checking import RefusedPredictions
    from mmud.evaluators.plain_masks import NAMES, score_mask_files
    from mmud.evaluators.protocols import names_of
    from mmud.evaluators.report import protocols_table
    from mmud.evaluators.statistics.bootstrap import Resampler

    console = Console(json, quiet, verbose)
    try:
        scores = score_mask_files(
            references,
            predictions,
            names_of(protocol),
            metrics=_wanted(metrics, NAMES),
            allow_partial=allow_partial,
            resampler=Resampler(replicates, seed),
        )
    except RefusedPredictions as error:
        console.findings(error.findings)
        raise
    found = scores.to_dict()
    if scores.missing:
        console.note(f"PARTIAL: {len(scores.missing)} references have no prediction.")
    extra = ""
    if "protocols" in found:
        header, rows = protocols_table(found["protocols"])
        extra = "\n\n" + table(header, rows)
    console.result(found, _figures_text(found["metrics"]) + extra)


def captions(
    references: ReferencesOption,
    candidates: Annotated[Path, typer.Option("--candidates", metavar="FILE", help="The captions to be scored.")],
    metrics: MetricsOption = None,
    backend: BackendOption = "mmud",
    scorers: ScorersOption = None,
    frequencies: FrequenciesOption = None,
    missing_as_empty: EmptyFlag = False,
    replicates: ReplicatesOption = 1000,
    seed: SeedOption = 0,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    from mmud.evaluators.captions.frequency_files import load_frequencies
    from mmud.evaluators.captions.metrics import METRICS
    from mmud.evaluators.evaluation import check_choice
    from mmud.evaluators.plain_captions import BACKENDS, score_caption_files, score_with_oracle
    from mmud.evaluators.statistics.bootstrap import Resampler

    console = Console(json, quiet, verbose)
    check_choice(backend, BACKENDS, "--backend")
    shared: dict[str, Any] = {
        "missing": "empty" if missing_as_empty else "refuse",
        "resampler": Resampler(replicates, seed),
    }
    if backend == "mmud":
        if scorers:
            raise MmudError(codes.USAGE, "--scorers chooses among pycocoevalcap's: add --backend pycocoevalcap")
        frozen = None if frequencies is None else load_frequencies(frequencies)
        figures, scores = score_caption_files(
            references, candidates, metrics=_wanted(metrics, tuple(METRICS)), frequencies=frozen, **shared
        )
        rest: dict[str, Any] = {
            "tokenizer": scores.tokenizer,
            "frequencies": scores.frequencies,
            "filled": list(scores.filled),
        }
        if "cider_d" not in scores.metrics:
            console.note("CIDEr is left out: one image has no document frequencies of its own; see --frequencies.")
        if scores.filled:
            console.note(f"{len(scores.filled)} images have no caption and count as empty.")
    else:
        if frequencies is not None or metrics:
            raise MmudError(codes.USAGE, "--frequencies and --metrics are not pycocoevalcap's; choose with --scorers")
        figures, oracle = score_with_oracle(references, candidates, scorers=split_names(scorers) or None, **shared)
        rest = {"backend": backend, "skipped": oracle.skipped}
        for name, reason in oracle.skipped.items():
            console.note(f"{name} was left out: {reason}")
    found = {"metrics": {name: figure.to_dict() for name, figure in figures.items()}, **rest}
    console.result(found, _figures_text(found["metrics"]))


def document_frequencies(
    output: OutputOption,
    references: Annotated[
        Path | None, typer.Option("--references", metavar="FILE", help="COCO captions of the whole split.")
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", metavar="DIR", help="A dataset, in place of a file.")] = None,
    split: Annotated[str, typer.Option("--split", help="Of the dataset.")] = "test",
    task: Annotated[
        str, typer.Option("--task", metavar="captioning|reasoning_segmentation", help="Whose texts, of the dataset.")
    ] = "captioning",
    force: ForceFlag = False,
    dry_run: DryRunFlag = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    from mmud.dataset.store import Dataset
    from mmud.evaluators.captions.frequency_files import save_frequencies
    from mmud.evaluators.evaluation import check_choice
    from mmud.evaluators.frozen_frequencies import TEXT_TASKS, frequencies_of_file, frequencies_of_split
    from mmud.files import refuse_existing
    from mmud.records import Task

    console = Console(json, quiet, verbose)
    if (references is None) == (data is None):
        raise MmudError(codes.USAGE, "one of --references FILE and --data DIR is needed")
    chosen = Task(check_choice(task, TEXT_TASKS, "--task"))
    refuse_existing(output, force)
    if references is not None:
        found = frequencies_of_file(references)
    else:
        assert data is not None
        found = frequencies_of_split(Dataset(data), split, chosen)
    if dry_run:
        console.note(f"would write {output}")
    else:
        save_frequencies(found, output)
        console.note(f"wrote {output}")
    ngrams = [len(table.first) for table in found.tables]
    described = {"name": found.name, "sha256": found.content_hash, "documents": found.documents, "ngrams": ngrams}
    counted = f"{sum(ngrams):,} n-grams of two documents or more"
    console.result(
        {**described, "tokenizer": found.tokenizer, "file": str(output)},
        f"df:{found.name}, {found.documents:,} documents, {counted}",
    )


def images(
    first: FirstArgument,
    second: SecondArgument,
    extractor: ExtractorOption = "inception",
    weights: WeightsOption = None,
    mode: ModeOption = None,
    accept_hash: AcceptHashOption = None,
    device: DeviceOption = "cpu",
    exif: ExifFlag = False,
    no_cache: NoCacheFlag = False,
    captions: ImageCaptionsOption = None,
    metrics: MetricsOption = None,
    paired: PairedFlag = False,
    replicates: ReplicatesOption = 1000,
    seed: SeedOption = 0,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    from mmud.evaluators.generation.extractors import ExtractorOptions
    from mmud.evaluators.generation.folders import CachePolicy, score_image_folders
    from mmud.evaluators.generation.image_captions import read_image_captions
    from mmud.evaluators.generation.scores import Bootstrap
    from mmud.images import ImageLimits

    console = Console(json, quiet, verbose)
    limits = ImageLimits(exif_orientation=exif)
    options = ExtractorOptions(weights=weights, mode=mode, accept_hash=accept_hash, device=device, limits=limits)
    with console.progress("images") as bar:
        scores = score_image_folders(
            first,
            second,
            extractor,
            options,
            metrics=split_names(metrics) or None,
            captions=None if captions is None else read_image_captions(captions),
            paired=paired,
            bootstrap=Bootstrap(replicates, seed),
            cache=CachePolicy(enabled=not no_cache),
            progress=lambda done, total: bar.advance(max(0, done - bar.done)),
        )
    console.findings(scores.warnings)
    found = scores.to_dict()
    console.result(found, _figures_text(found["metrics"]))


def features(
    first: FirstArgument,
    second: SecondArgument,
    metrics: MetricsOption = None,
    paired: PairedFlag = False,
    replicates: ReplicatesOption = 1000,
    seed: SeedOption = 0,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    from mmud.evaluators.generation.features import load_features
    from mmud.evaluators.generation.scores import Bootstrap, score_features

    console = Console(json, quiet, verbose)
    scores = score_features(
        load_features(first),
        load_features(second),
        metrics=split_names(metrics) or None,
        paired=paired,
        bootstrap=Bootstrap(replicates, seed),
    )
    console.findings(scores.warnings)
    found = scores.to_dict()
    console.result(found, _figures_text(found["metrics"]))


def _wanted(values: list[str] | None, known: tuple[str, ...]) -> list[str] | None:
    """The metric names that were asked for; None for the usual ones.

    Raises:
        MmudError: MM004 for a name that is none.
    """
    from mmud import codes

    names = split_names(values)
    if "all" in names:
        return list(known)
    for name in names:
        if name not in known:
            hint = f"Known: {', '.join(known)}."
            raise MmudError(codes.UNKNOWN_NAME, f"no metric is called {name!r}", hint=hint)
    return names or None


def _figures_text(metrics: dict[str, Any]) -> str:
    from mmud.evaluators.report import metrics_table, padded

    header, rows = metrics_table(metrics)
    return table(header, padded(rows, header))
