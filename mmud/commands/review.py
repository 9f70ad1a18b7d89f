"""`mmud review`: people accept, mend, tag and reject samples in a browser; then the next version is made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmud import codes
from mmud.annotations.review.policy import Disputed, Policy, Rejected, Undecided
from mmud.commands.common import Console, DatasetArgument, DryRunFlag, ForceFlag, JsonFlag, QuietFlag, table
from mmud.errors import MmudError

if TYPE_CHECKING:
    from mmud.dataset.reviewed import Applied

HostOption = Annotated[
    str, typer.Option("--host", help="Listen there; anything but 127.0.0.1 can be reached from other machines.")
]
PortOption = Annotated[int, typer.Option("--port", min=0, max=65535, help="0 for any free one.")]
OpenFlag = Annotated[bool, typer.Option("--open", help="Open the page in this machine's browser.")]
PredictionsOption = Annotated[
    list[Path] | None,
    typer.Option(metavar="DIR", help="Draw a system's predictions over the labels; may be repeated."),
]
RowsOption = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="rows.parquet of `mmud evaluate`: sort and filter by score; may be repeated."),
]
FindingsOption = Annotated[
    list[Path] | None,
    typer.Option("--findings", metavar="FILE", help="Findings to filter by: what `mmud validate --json` printed."),
]
PORT = 8765


def register(app: typer.Typer) -> None:
    app.command("review", help="Accept, mend, tag and reject samples in a browser; make the next version of it.")(
        review
    )


def review(
    dataset: DatasetArgument,
    journal: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Where decisions go; beside DIR by default. --apply and --status take several."
        ),
    ] = None,
    reviewer: Annotated[
        str, typer.Option(help="Your name, which each decision carries; the page asks otherwise.")
    ] = "",
    apply: Annotated[bool, typer.Option("--apply", help="Make the next version of the dataset, as -o.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Print progress and agreement.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="With --apply: where to write.")
    ] = None,
    rejected: Annotated[
        Rejected, typer.Option(help="With --apply: leave rejected samples out, or empty their texts.")
    ] = Rejected.DROP,
    undecided: Annotated[
        Undecided, typer.Option(help="With --apply: samples that nobody decided on.")
    ] = Undecided.KEEP,
    disputed: Annotated[
        Disputed, typer.Option(help="With --apply: samples on which reviewers disagree.")
    ] = Disputed.REFUSE,
    predictions: PredictionsOption = None,
    rows: RowsOption = None,
    findings: FindingsOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = PORT,
    open_page: OpenFlag = False,
    dry_run: DryRunFlag = False,
    force: ForceFlag = False,
    json: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    console = Console(json, quiet)
    if apply and status:
        raise MmudError(codes.USAGE, "--apply and --status exclude each other")
    if not apply and (output is not None or dry_run or force):
        raise MmudError(codes.USAGE, "-o, --dry-run and --force go with --apply")
    from mmud.dataset.reviewed import default_journal
    from mmud.dataset.store import Dataset

    opened = Dataset(dataset)
    journals = journal or [default_journal(dataset)]
    if status:
        _status(console, opened, journals)
    elif apply:
        if output is None and not dry_run:
            raise MmudError(codes.USAGE, "--apply needs -o, the folder of the next version")
        policy = Policy(rejected, undecided, disputed)
        _apply(console, opened, journals, output or Path("next"), policy, dry_run, force)
    else:
        if len(journals) > 1:
            raise MmudError(codes.USAGE, "a server keeps one journal; --apply and --status take several")
        _refuse_inside(journals[0], dataset)
        from mmud.web.server.run import require_packages

        require_packages()
        from mmud.annotations.review.journal import Journal
        from mmud.web.server.session import Session

        with Journal(journals[0]) as kept:
            session = Session(opened, kept, reviewer, predictions or (), rows or (), findings or ())
            console.findings(session.findings)
            console.note(f"Decisions are kept in {kept.path}, {len(kept.entries):,} entries so far.")
            serve_session(console, session, host, port, open_page)
            console.note(f"Stopped. {kept.path} has {len(kept.entries):,} entries; run the same command to go on.")


def _refuse_inside(journal: Path, dataset: Path) -> None:
    """A dataset's folder holds what its manifest names, and is replaced as a whole."""
    if journal.resolve().is_relative_to(dataset.resolve()):
        raise MmudError(codes.USAGE, f"{journal} lies in the dataset: name a --journal outside it")


def serve_session(console: Console, session: Any, host: str, port: int, open_page: bool) -> None:
    """Serve a session until interrupted, and say where."""
    from mmud.web.server.app import make_app
    from mmud.web.server.guard import Hosts, new_token
    from mmud.web.server.run import bound_socket, page_address, serve

    listening = bound_socket(host, port)
    port = listening.getsockname()[1]
    token, hosts = new_token(), Hosts(host, port)
    address = page_address(host, port, token)
    if not hosts.local:
        console.note(
            f"warning: {host} can be reached from other machines, without encryption. Whoever has the address below can see the "
            "dataset and decide."
        )

    def started() -> None:
        console.result({"address": address, "token": token, "port": port}, f"Open {address}")
        console.note("Ctrl-C ends the server.")
        if open_page:
            import webbrowser

            webbrowser.open(address)

    serve(make_app(session, token, hosts), listening, started)


def _status(console: Console, dataset: Any, journals: list[Path]) -> None:
    from mmud.dataset.label_index import LabelIndex
    from mmud.dataset.reviewed import load_decisions, review_facts

    index = LabelIndex(dataset)
    decisions, findings = load_decisions(index, journals)
    facts = review_facts(index, decisions)
    console.findings(findings)
    lines = [
        f"{facts['progress']['decided']:,} of {len(index):,} samples are decided, {facts['disputes']:,} in dispute."
    ]
    if facts["progress"]["reviewers"]:
        names = ["accept", "reject", "skip", "edited"]
        rows = [[name, *(own[key] for key in names)] for name, own in facts["progress"]["reviewers"].items()]
        lines += ["", table(["reviewer", *names], rows)]
    if facts["agreement"]:
        pairs = [
            [" and ".join(pair["reviewers"]), pair["samples"], pair["agreement"], pair["kappa"]]
            for pair in facts["agreement"]
        ]
        lines += ["", table(["reviewers", "samples", "equal", "Cohen's kappa"], pairs)]
    console.result({**facts, "findings": [finding.to_dict() for finding in findings]}, "\n".join(lines))


def _apply(
    console: Console, dataset: Any, journals: list[Path], output: Path, policy: Policy, dry_run: bool, force: bool
) -> None:
    from mmud.dataset.reviewed import apply_review

    with console.progress("samples", len(dataset)) as bar:
        applied = apply_review(dataset, journals, output, policy, dry_run=dry_run, force=force, advance=bar.advance)
    console.findings(applied.findings)
    console.result(applied.to_dict(), _summary(applied))


def _summary(applied: Applied) -> str:
    facts = applied.summary.to_dict()
    reasons = facts.pop("reasons")
    lines = [table(["samples", "count"], [[name, count] for name, count in facts.items()])]
    if reasons:
        lines += [
            "",
            table(["rejected because", "count"], [[reason or "-", count] for reason, count in reasons.items()]),
        ]
    if facts["pending"]:
        lines += ["", f"{facts['pending']:,} samples have edits that nobody accepted: these edits were not applied."]
    if applied.dataset is None:
        lines += ["", "Nothing was written (dry run)."]
    else:
        lines += ["", f"Wrote {applied.dataset.path}, fingerprint {applied.dataset.fingerprint[:16]}."]
    return "\n".join(lines)
