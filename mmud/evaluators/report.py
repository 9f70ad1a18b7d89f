"""Figures as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Table = tuple[list[str], list[list[str]]]
"""Header and rows."""

_SLICE_METRICS = 4


def figure_text(value: float | None) -> str:
    """A figure as people read it: four decimals, more digits where it is small, "-" where there is none."""
    if value is None:
        return "-"
    return f"{value:.4f}" if value == 0 or abs(value) >= 1e-3 else f"{value:.3g}"


def metrics_table(metrics: Mapping[str, Any]) -> Table:
    """One row a metric: value, interval, n."""
    rows = [
        [
            name,
            figure_text(figure["value"]),
            figure_text(figure["low"]),
            figure_text(figure["high"]),
            f"{figure['n']:,}",
        ]
        for name, figure in metrics.items()
    ]
    return ["metric", "value", "low", "high", "n"], rows


def protocols_table(protocols: Mapping[str, Any]) -> Table:
    """One row a metric, one column a protocol."""
    names = list(protocols)
    metrics = list(protocols[names[0]]["metrics"]) if names else []
    rows = [
        [metric, *(figure_text(protocols[name]["metrics"].get(metric, {}).get("value")) for name in names)]
        for metric in metrics
    ]
    return ["metric", *names], [row for row in rows if any(cell != "-" for cell in row[1:])]


def slices_table(by: str, slices: Mapping[str, Any]) -> Table:
    """One row a value of a slice, its first metrics as columns; ``scores.json`` has the others."""
    metrics: list[str] = []
    for part in slices.values():
        metrics += [name for name in part["metrics"] if name not in metrics]
    shown = metrics[:_SLICE_METRICS]
    rows = []
    for value, part in slices.items():
        figures = part["metrics"]
        n = max((figure["n"] for figure in figures.values()), default=0)
        rows.append([value, f"{n:,}", *(figure_text(figures.get(name, {}).get("value")) for name in shown)])
    return [by, "n", *shown], rows


def scores_tables(scores: Mapping[str, Any]) -> list[tuple[str, Table]]:
    """The tables of an evaluation, each with its title."""
    found = []
    for task, result in scores["tasks"].items():
        title = f"{task.replace('_', ' ')} ({result['samples']:,} samples, {result['images']:,} images)"
        found.append((title, metrics_table(result["metrics"])))
        if "protocols" in result:
            found.append((f"{task.replace('_', ' ')} by protocol", protocols_table(result["protocols"])))
        for by, slices in result.get("slices", {}).items():
            found.append((f"{task.replace('_', ' ')} by {by}", slices_table(by, slices)))
    return found


def summary_lines(scores: Mapping[str, Any]) -> list[str]:
    """What stands below the tables: how the figures were made, and whether they are of the whole split."""
    intervals = scores["intervals"]
    percent = 100 * intervals["confidence"]
    lines = [
        f"protocol {scores['protocol']}, masks matched by {scores['match']}; {percent:g} % intervals: "
        f"{intervals['replicates']:,} bootstrap replicates over images, seed {intervals['seed']}"
    ]
    if scores["shard"] is not None:
        lines.append(f"SHARD {scores['shard']['index']} of {scores['shard']['of']}: merge all of them for the figures.")
    if scores["partial"]:
        lines.append("PARTIAL: not every sample of the split was scored; these figures compare with nothing.")
    return lines


def padded(rows: Sequence[Sequence[str]], header: Sequence[str]) -> list[list[str]]:
    """Cells of all columns but the first moved to the right, so that decimal points stand below each other."""
    widths = [max([len(name), *(len(row[position]) for row in rows)]) for position, name in enumerate(header)]
    return [[row[0], *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))] for row in rows]
