"""A report as text for people, as JSON, as SARIF 2.1.0, and as annotations of GitHub's workflows; all are streamed."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

from mmud import __version__
from mmud.dataset.checks.report import Report
from mmud.errors import Code, Finding, Severity

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_SARIF_LEVEL = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_GITHUB_LEVEL = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}
_INDENT = "  "


def text_lines(report: Report, shown: int) -> Iterator[str]:
    """Grouped by code, the worst first: the count, the first places, the remedy; then one line that sums up.

    Args:
        report: what was found.
        shown: findings of each code to print.
    """
    first: dict[str, list[Finding]] = {}
    for finding in report.findings() if shown else ():
        members = first.setdefault(finding.code.id, [])
        if len(members) < shown:
            members.append(finding)
    for code in report.found_codes():
        count = report.counts[code.id]
        yield f"{code.severity.label} {code.id} {code.title}: {count:,}"
        for finding in first.get(code.id, ()):
            place = str(finding.place)
            yield f"{_INDENT}{place + ': ' if place else ''}{finding.message}"
        if 0 < shown < count:
            yield f"{_INDENT}… and {count - shown:,} more"
        yield f"{_INDENT}-> {code.remedy}"
    yield summary_line(report)


def summary_line(report: Report) -> str:
    """What was looked at and what was found, in one line."""
    severities = report.by_severity()
    parts = [_counted(count, severity.label) for severity, count in severities.items() if count and severity]
    notes = severities[Severity.INFO]
    if notes:
        parts.append(_counted(notes, "note"))
    looked = f"{_counted(report.tally.samples, 'sample')}, {_counted(report.tally.objects, 'object')}"
    left_out = [
        text for text, said in (("a part only", report.partial), ("images not read", not report.images)) if said
    ]
    return f"{looked}{' (' + ', '.join(left_out) + ')' if left_out else ''}: {', '.join(parts) or 'nothing found'}"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def json_lines(report: Report, fail_on: str, failed: bool) -> Iterator[str]:
    """One JSON object: the summary, and every finding."""
    head = {**report.summary(), "fail_on": fail_on, "failed": failed}
    yield json.dumps(head, indent=2, ensure_ascii=False)[: -len("\n}")] + ',\n  "findings": ['
    yield from json_members((_plain(finding) for finding in report.findings()), "    ")
    yield "  ]\n}"


def _plain(finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code.id,
        "severity": finding.severity.label,
        "message": finding.message,
        "place": finding.place.to_dict(),
    }


def json_members(values: Iterator[dict[str, Any]], indent: str) -> Iterator[str]:
    """The members of a JSON array, one a line."""
    for previous, value in itertools.pairwise(itertools.chain(values, [None])):
        comma = "" if value is None else ","
        yield f"{indent}{json.dumps(previous, ensure_ascii=False)}{comma}"


def sarif_lines(report: Report) -> Iterator[str]:
    """A SARIF 2.1.0 log with one run: a rule for each code that was found, a result for each finding.

    SARIF's regions are lines and characters of text, which Parquet does not have; so a result names its shard as the artifact,
    and sample, object, row and field as a logical location.
    """
    found = sorted(report.counts)
    rules = [_sarif_rule(report.codes[id]) for id in found]
    driver = {"name": "mmud", "version": __version__, "rules": rules}
    properties = {name: value for name, value in report.summary().items() if name != "codes"}
    base = {"DATASET": {"uri": report.folder.resolve().as_uri() + "/"}}
    run = {"tool": {"driver": driver}, "originalUriBaseIds": base, "columnKind": "unicodeCodePoints"}
    head = {"$schema": SARIF_SCHEMA, "version": "2.1.0"}
    yield json.dumps(head, indent=2)[: -len("\n}")] + ',\n  "runs": [{'
    for name, value in {**run, "properties": properties}.items():
        yield f"    {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)},"
    yield '    "results": ['
    index = {id: position for position, id in enumerate(found)}
    yield from json_members((_sarif_result(finding, index) for finding in report.findings()), "      ")
    yield "    ]\n  }]\n}"


def _sarif_rule(code: Code) -> dict[str, Any]:
    return {
        "id": code.id,
        "name": "".join(word.capitalize() for word in code.title.split() if word.isalnum()),
        "shortDescription": {"text": code.title},
        "fullDescription": {"text": code.explanation},
        "help": {"text": code.remedy},
        "defaultConfiguration": {"level": _SARIF_LEVEL[code.severity]},
        "properties": {"fixable": code.fixable},
    }


def _sarif_result(finding: Finding, index: dict[str, int]) -> dict[str, Any]:
    place = finding.place
    location: dict[str, Any] = {}
    if place.file is not None:
        location["physicalLocation"] = {"artifactLocation": {"uri": quote(place.file), "uriBaseId": "DATASET"}}
    parts = {
        "split": place.split,
        "sample": place.sample,
        "object": place.object,
        "row": place.row,
        "field": place.field,
    }
    named = {name: value for name, value in parts.items() if value is not None}
    if named:
        path = "/".join(f"{name}={value}" for name, value in named.items())
        location["logicalLocations"] = [{"fullyQualifiedName": path, "kind": "element"}]
    result = {
        "ruleId": finding.code.id,
        "ruleIndex": index[finding.code.id],
        "level": _SARIF_LEVEL[finding.severity],
        "message": {"text": finding.message},
        "properties": named,
    }
    return {**result, "locations": [location]} if location else result


def github_lines(report: Report, shown: int) -> Iterator[str]:
    """Workflow commands that GitHub shows as annotations; it takes few a step, so only the first of each code.

    Args:
        report: what was found.
        shown: findings of each code to print.
    """
    printed: Counter[str] = Counter()
    for finding in report.findings():
        printed[finding.code.id] += 1
        if printed[finding.code.id] > shown:
            continue
        title = _escaped(f"{finding.code.id} {finding.code.title}", property=True)
        file = f"file={_escaped(finding.place.file, property=True)}," if finding.place.file else ""
        text = _escaped(f"{finding.message} · {finding.place}")
        yield f"::{_GITHUB_LEVEL[finding.severity]} {file}title={title}::{text}"
    yield f"::notice title=mmud validate::{_escaped(summary_line(report))}"


def _escaped(text: str, property: bool = False) -> str:
    """As GitHub's toolkit escapes the data and the properties of a workflow command."""
    text = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return text.replace(":", "%3A").replace(",", "%2C") if property else text


Renderer = Callable[[Report, int, str, bool], Iterator[str]]

RENDERERS: dict[str, Renderer] = {
    "text": lambda report, shown, fail_on, failed: text_lines(report, shown),
    "json": lambda report, shown, fail_on, failed: json_lines(report, fail_on, failed),
    "sarif": lambda report, shown, fail_on, failed: sarif_lines(report),
    "github": lambda report, shown, fail_on, failed: github_lines(report, shown),
}
"""By the name of --format: report, findings shown of each code, threshold, whether it was reached."""
