"""Statistics as tables for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mmud.dataset.statistics.collect import Statistics
from mmud.dataset.statistics.summary import MEASURES, SIZES, Summary

Table = tuple[str, Sequence[str], list[list[Any]]]
"""A title, a header and rows."""

UNNAMED = "(none)"
_QUANTILE_NAMES = {
    "min": "min",
    "q05": "5 %",
    "q25": "25 %",
    "q50": "median",
    "q75": "75 %",
    "q95": "95 %",
    "max": "max",
}


def tables(statistics: Statistics, most: int = 25) -> list[Table]:
    """Every table that says something: parts with nothing in them are left out.

    Args:
        statistics: what was counted.
        most: at most so many rows of groups and licences, the largest first where there are more.
    """
    found = [_groups(statistics, most), _distributions(statistics.overall), _licenses(statistics.overall, most)]
    return [table for table in found if table[2]]


def _groups(statistics: Statistics, most: int) -> Table:
    chosen = list(statistics.groups.items())
    if len(chosen) > most:
        chosen = sorted(chosen, key=lambda item: (-item[1].counts["objects"], item[0]))[:most]
    rows = [_row(name or UNNAMED, group) for name, group in chosen]
    rows.append(_row("all", statistics.overall))
    # Columns of which nothing is there are left out, but for the first ones.
    kept = [column for column in range(len(_HEADER)) if column < 3 or any(row[column] for row in rows)]
    header = [statistics.by or "", *_HEADER[1:]]
    return "", [header[column] for column in kept], [[row[column] for column in kept] for row in rows]


_HEADER = (
    "",
    "samples",
    "objects",
    *SIZES,
    "crowds",
    "phrases",
    "captions",
    "questions",
    "answers",
    "tags",
)


def _row(name: str, summary: Summary) -> list[Any]:
    counts = summary.counts
    first = [name, counts["samples"], counts["objects"], *(summary.sizes[size] for size in SIZES)]
    return first + [counts[column] for column in _HEADER[len(first) :]]


def _distributions(summary: Summary) -> Table:
    rows = []
    for name, title in MEASURES.items():
        figures = summary.tallies[name].to_dict()
        if figures["n"]:
            rows.append(
                [title, figures["n"], *(_short(figures[key]) for key in _QUANTILE_NAMES), _short(figures["mean"])]
            )
    return "Distributions", ["", "n", *_QUANTILE_NAMES.values(), "mean"], rows


def _short(value: float | int | None) -> float | int | None:
    """A figure as a person reads it: whole where it is whole or large, else with one decimal."""
    if value is None or isinstance(value, int):
        return value
    rounded = round(value, 1 if abs(value) < 1000 else None)
    return int(rounded) if rounded == int(rounded) else rounded


def _licenses(summary: Summary, most: int) -> Table:
    ordered = sorted(summary.licenses.items(), key=lambda item: (-item[1], item[0]))
    rows: list[list[Any]] = [[name or UNNAMED, count] for name, count in ordered[:most]]
    if len(ordered) > most:
        rows.append([f"… {len(ordered) - most} more", sum(count for _, count in ordered[most:])])
    return "Licences of images", ["licence", "samples"], rows


def render(statistics: Statistics, table: Callable[[Sequence[str], list[list[Any]]], str], most: int = 25) -> str:
    """Every table as text.

    Args:
        statistics: what was counted.
        table: how a header and rows are laid out.
        most: as for `tables`.
    """
    parts = [
        f"{title}\n{table(header, rows)}" if title else table(header, rows)
        for title, header, rows in tables(statistics, most)
    ]
    if len(statistics.groups) > most:
        parts[0] += f"\n… and {len(statistics.groups) - most:,} more, with fewer objects each (--most shows more)"
    sizes = statistics.overall.image_sizes
    if sizes:
        common = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:5]
        listed = ", ".join(f"{width}x{height} ({count:,})" for (width, height), count in common)
        parts.append(f"Image sizes: {len(sizes):,} different; most frequent {listed}")
    return "\n\n".join(parts)
