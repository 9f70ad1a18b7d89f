"""`mmud leakage`: images and texts that training shares with evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmud.commands.common import (
    Console,
    DatasetArgument,
    DryRunFlag,
    FailOn,
    ForceFlag,
    JsonFlag,
    QuietFlag,
    VerboseFlag,
    WorkersOption,
    table,
)
from mmud.errors import ExitCode, Finding, MmudError, Severity

if TYPE_CHECKING:
    from mmud.dataset.leakage.audit import Audit, AuditRequest


def register(app: typer.Typer) -> None:
    app.command("leakage", help="Find images and texts that training shares with evaluation; leave them out.")(leakage)


def leakage(
    path: DatasetArgument,
    others: Annotated[
        list[Path] | None, typer.Argument(metavar="[OTHER]…", help="Further datasets to compare with.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[FAMILY=]FILE",
            help="Images of other evaluations: a list of ids, a refs file, or a folder of them; "
            "FAMILY is coco or refcoco-family (the default), saiapr or refclef.",
        ),
    ] = None,
    pixels: Annotated[bool, typer.Option("--pixels", help="Decode images and compare their pixels.")] = False,
    perceptual: Annotated[
        bool, typer.Option("--perceptual", help="Find images encoded again, resized, brightened or cropped a little.")
    ] = False,
    text: Annotated[bool, typer.Option("--text", help="Compare captions, questions and sets of phrases.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="--pixels --perceptual --text.")] = False,
    similarity: Annotated[
        float, typer.Option(min=0.5, max=1.0, help="--perceptual: agreement from which two images are one.")
    ] = 0.85,
    text_similarity: Annotated[
        float, typer.Option(min=0.5, max=1.0, help="--text: share of word runs from which two texts are one.")
    ] = 0.7,
    clean: Annotated[
        bool, typer.Option("--clean", help="Write the dataset without the training samples that leak, to --output.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PATH", help="--clean: where to write.")
    ] = None,
    fail_on: Annotated[
        FailOn, typer.Option(help="End in exit code 3, and with --clean leave out, from this severity on.")
    ] = FailOn.WARNING,
    most: Annotated[int, typer.Option(min=0, help="Findings to print; --json has them all.")] = 20,
    workers: WorkersOption = 1,
    dry_run: DryRunFlag = False,
    force: ForceFlag = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    from mmud import codes
    from mmud.dataset.leakage.audit import AuditRequest, audit, refuse_twice
    from mmud.dataset.leakage.evaluation_lists import read_evaluation_list
    from mmud.dataset.store import Dataset
    from mmud.files import refuse_existing

    console = Console(json, quiet, verbose)
    if clean != (output is not None):
        raise MmudError(codes.USAGE, "--clean and --output belong together")
    if output is not None and not dry_run:
        refuse_existing(output, force)
    datasets = [Dataset(folder) for folder in (path, *(others or []))]
    refuse_twice(datasets)
    request = AuditRequest(
        pixels=pixels or everything,
        perceptual=perceptual or everything,
        text=text or everything,
        against=[read_evaluation_list(argument) for argument in against or []],
        similarity=similarity,
        text_similarity=text_similarity,
        workers=workers,
    )
    with _Stages(console) as stages:
        found = audit(datasets, request, stages)
    findings = found.findings()
    value: dict[str, Any] = found.to_dict(findings)
    lines = [*_lines(found), *_listed_lines(found, request, value)]
    threshold = fail_on.threshold
    removed: list[int] = []
    if output is not None:
        removed = _clean(console, found, threshold, output, force, dry_run, value, lines)
    lines += [*_finding_lines(findings, most), *_unreadable_lines(found)]
    console.result(value, "\n".join(lines))
    worst = found.worst(removed)
    if threshold is not None and worst is not None and worst >= threshold:
        raise typer.Exit(ExitCode.FINDINGS)


def _clean(
    console: Console,
    found: Audit,
    threshold: Severity | None,
    output: Path,
    force: bool,
    dry_run: bool,
    value: dict[str, Any],
    lines: list[str],
) -> list[int]:
    from mmud.dataset.leakage.clean import log, write_clean

    leaked = found.removable(Severity.INFO if threshold is None else threshold)
    value["removed"] = log(found, leaked)
    lines += ["", f"{len(leaked):,} training samples leak and are left out; evaluation splits stay whole."]
    if dry_run:
        lines.append("Nothing was written (dry run).")
        return list(leaked)
    with console.progress("samples written", len(found.corpus.datasets[0]) - len(leaked)) as bar:
        written = write_clean(found, leaked, output, force, bar.advance)
    value |= {"output": str(output), "fingerprint": written.fingerprint}
    lines.append(f"Wrote {output}, fingerprint {written.fingerprint[:16]}; removed.jsonl there says which and why.")
    return list(leaked)


def _lines(found: Audit) -> list[str]:
    pairs = found.pairs()
    looked = ", ".join(f"{code.id} {len(matches):,}" for code, matches in found.matches.items())
    if not pairs:
        return [f"Nothing is shared that should not be ({looked})."]
    rows = [
        [code.id, code.severity.label, code.title, leaked, other, count]
        for (code, leaked, other), count in sorted(pairs.items(), key=lambda item: (item[0][0].id, item[0][1:]))
    ]
    header = ["code", "severity", "what", "of", "is in", "samples"]
    return [
        table(header, rows),
        "",
        f"A sample stands in the row of the surest way that finds it. Found by each way alone: {looked}.",
    ]


def _listed_lines(found: Audit, request: AuditRequest, value: dict[str, Any]) -> list[str]:
    """What evaluation lists were compared with, where there are any; the machine's result is told as well."""
    if not request.against:
        return []
    listed = len(set().union(*(entry.keys for entry in request.against)))
    value["listed_images"] = listed
    return ["", f"{listed:,} listed images: {len(found.listed):,} training samples show one of them."]


def _finding_lines(findings: Sequence[Finding], most: int) -> list[str]:
    if not findings or not most:
        return []
    lines = ["", *(f"{finding.severity.label}: {finding}" for finding in findings[:most])]
    if len(findings) > most:
        lines.append(f"… and {len(findings) - most:,} more; --json lists them all.")
    return lines


def _unreadable_lines(found: Audit) -> list[str]:
    lines: list[str] = []
    for code, count in sorted(found.unreadable.items()):
        first = next((finding for finding in found.problems if finding.code.id == code), None)
        lines += ["", f"{count:,} images could not be compared; the first: {first}"]
    return lines


class _Stages:
    """A progress bar for each stage of the audit."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._open: Any = None

    def __enter__(self) -> _Stages:
        return self

    def __exit__(self, *problem: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._open is not None:
            self._open.__exit__(None, None, None)
            self._open = None

    def stage(self, name: str, total: int) -> Callable[[int], None]:
        self._close()
        self._open = self._console.progress(name, total)
        bar = self._open.__enter__()
        advance: Callable[[int], None] = bar.advance
        return advance
