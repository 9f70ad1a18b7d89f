"""`mmud build`: a dataset from sources or a recipe."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mmud import codes
from mmud.commands.common import (
    Console,
    DryRunFlag,
    ForceFlag,
    JsonFlag,
    LimitOption,
    OutputOption,
    QuietFlag,
    SeedOption,
    VerboseFlag,
    WorkersOption,
    table,
)
from mmud.errors import ExitCode, MmudError

if TYPE_CHECKING:
    from mmud.dataset.recipe import Recipe

KEEPING: tuple[Literal["embed", "link"], ...] = ("embed", "link")


SourceArgument = Annotated[
    str, typer.Argument(metavar="SOURCE", help="official, refer, coco, scenes, mmud …, or a RECIPE.toml.")
]
FolderArgument = Annotated[
    list[Path] | None, typer.Argument(metavar="[DIR]", help="The source's folder, where it has one.")
]
ImagesOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="DIR|none|embed|link", help="Where the images are, if anywhere; and, given again, how they are kept."
    ),
]
InstancesOption = Annotated[Path | None, typer.Option(help="COCO instances.json.")]
CaptionsOption = Annotated[Path | None, typer.Option(help="COCO captions.json.")]
FeaturesOption = Annotated[Path | None, typer.Option(help="official: the folder of CLIP feature pickles.")]
DataOption = Annotated[Path | None, typer.Option(help="label-studio: the dataset that was exported.")]
DatasetOption = Annotated[list[str] | None, typer.Option(help="refer: refcoco, refcoco+, refcocog; may be repeated.")]
SplitByOption = Annotated[str | None, typer.Option(help="refer: unc, google or umd.")]
SamplesOption = Annotated[int | None, typer.Option(min=1, help="scenes: how many to make.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any other option of the source.")
]
AlsoOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="'SOURCE OPTIONS'", help="Merge another source, as in --also 'coco --instances F --images D'."
    ),
]
SplitOption = Annotated[
    str | None,
    typer.Option(
        "--split", metavar="train=0.8,…", help="Make new splits by image; the sources' own are kept otherwise."
    ),
]
ShardSizeOption = Annotated[int | None, typer.Option(min=1, help="Samples a shard.")]
SkipBrokenFlag = Annotated[bool, typer.Option(help="Leave out and list samples that cannot be kept; exit 3 then.")]


def register(app: typer.Typer) -> None:
    app.command("build", help="Build a dataset from official, refer, coco, scenes, other datasets, or a recipe.")(build)


def build(
    source: SourceArgument,
    path: FolderArgument = None,
    output: OutputOption = Path("mmud-dataset"),
    images: ImagesOption = None,
    instances: InstancesOption = None,
    captions: CaptionsOption = None,
    features: FeaturesOption = None,
    data: DataOption = None,
    dataset: DatasetOption = None,
    split_by: SplitByOption = None,
    samples: SamplesOption = None,
    option: SetOption = None,
    also: AlsoOption = None,
    ratios: SplitOption = None,
    shard_size: ShardSizeOption = None,
    skip_broken: SkipBrokenFlag = False,
    seed: SeedOption = 0,
    limit: LimitOption = None,
    workers: WorkersOption = 1,
    dry_run: DryRunFlag = False,
    force: ForceFlag = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    from mmud.dataset.build import build as run_build

    console = Console(json, quiet, verbose)
    if source.endswith(".toml"):
        from mmud.dataset.recipe import Recipe

        recipe = Recipe.read(Path(source))
    else:
        given = {
            "path": [str(folder) for folder in path or []],
            "instances": instances,
            "captions": captions,
            "features": features,
            "data": data,
            "dataset": dataset,
            "split_by": split_by,
            "samples": samples,
            "seed": seed if source == "scenes" else None,
        }
        kept = {"shard_rows": shard_size, "seed": seed, "limit": limit}
        recipe = _recipe(source, given, images or [], option or [], also or [], ratios, kept)
    with console.progress("samples") as bar:
        report = run_build(
            recipe, output, workers=workers, force=force, dry_run=dry_run, skip_broken=skip_broken, advance=bar.advance
        )
    _say(console, report, output, dry_run, verbose)
    if report.lost:
        raise typer.Exit(ExitCode.FINDINGS)


def _recipe(
    source: str,
    given: dict[str, Any],
    images: list[str],
    settings: list[str],
    also: list[str],
    ratios: str | None,
    kept: dict[str, Any],
) -> Recipe:
    """The recipe that the command line spells.

    Args:
        source: the first source's name.
        given: its options by name.
        images: every ``--images``.
        settings: every ``--set``.
        also: every ``--also``.
        ratios: the value of ``--split``.
        kept: further fields of the recipe, which are taken as they are.
    """
    from mmud.dataset.recipe import Recipe

    shares = None
    if ratios:
        from mmud.dataset.split.run import parse_shares

        shares = parse_shares(ratios)
    folders, keeping = _split_images(images)
    tables = [_table(source, {**given, "images": folders}, settings), *(_parse_also(text) for text in also)]
    return Recipe(
        sources=tuple(tables),
        images=keeping or "embed",
        split=shares,
        **kept,
    )


def _say(console: Console, report: Any, output: Path, dry_run: bool, verbose: bool) -> None:
    rows = [[name, count] for name, count in report.splits.items()]
    lines = [table(["split", "samples"], rows)]
    if report.findings:
        found = [
            [code, count, report.first_findings[code]["severity"], report.first_findings[code]["message"][:90]]
            for code, count in sorted(report.findings.items())
        ]
        lines += ["", table(["code", "count", "severity", "first"], found)]
        lines += [
            "" if dry_run else f"All findings: {output / 'findings.jsonl'}; `mmud explain CODE` says what each means."
        ]
    if report.lost:
        lines.append(f"{report.lost} samples could not be kept and were left out.")
    lines.append(
        "Nothing was written (dry run)."
        if dry_run
        else f"Wrote {output}, fingerprint {report.dataset.fingerprint[:16]}."
    )
    console.result(report.to_dict(), "\n".join(line for line in lines if line is not None))


def _split_images(values: list[str]) -> tuple[list[str], Literal["embed", "link"] | None]:
    """--images names folders and, by its two reserved words, how images are kept."""
    keeping = [word for value in values for word in KEEPING if value == word]
    if len(set(keeping)) > 1:
        raise MmudError(codes.USAGE, "--images embed and --images link exclude each other")
    return [value for value in values if value not in KEEPING], keeping[0] if keeping else None


def _table(source: str, given: dict[str, Any], settings: list[str]) -> dict[str, Any]:
    """One [[source]] table: the options that were given, single values unwrapped, paths made absolute."""
    table_: dict[str, Any] = {"type": source}
    for key, value in given.items():
        if value is None or value == []:
            continue
        if key in ("path", "images", "instances", "captions", "features", "data"):
            # "none" is a word of --images, not a folder.
            values = [
                "none" if key == "images" and item == "none" else str(Path(item).absolute())
                for item in (value if isinstance(value, list) else [value])
            ]
            value = values[0] if len(values) == 1 else values
        elif isinstance(value, list) and len(value) == 1:
            value = value[0]
        table_[key] = value
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            raise MmudError(codes.USAGE, f"--set takes KEY=VALUE, not {setting!r}")
        table_[key.strip()] = _setting(text.strip())
    return table_


def _setting(text: str) -> Any:
    """A TOML value where the text is one, the text itself otherwise."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _parse_also(text: str) -> dict[str, Any]:
    """--also 'SOURCE [DIR] --option value …' as a [[source]] table."""
    words = shlex.split(text)
    if not words:
        raise MmudError(codes.USAGE, "--also needs a source and its options")
    given: dict[str, Any] = {"path": []}
    position = 1
    while position < len(words):
        word = words[position]
        if not word.startswith("--"):
            given["path"].append(word)
            position += 1
            continue
        name, equals, value = word[2:].partition("=")
        if not equals:
            position += 1
            if position >= len(words):
                raise MmudError(codes.USAGE, f"--also: {word} needs a value")
            value = words[position]
        key = name.replace("-", "_")
        before = given.get(key)
        parsed = (
            value
            if key in ("images", "instances", "captions", "features", "data", "dataset", "split_by")
            else _setting(value)
        )
        given[key] = parsed if before is None else [*(before if isinstance(before, list) else [before]), parsed]
        position += 1
    return _table(words[0], given, [])
