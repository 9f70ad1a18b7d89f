"""Histograms and bar charts as SVG, written here: no plotting package, no fonts, no scripts; light and dark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmud.dataset.statistics.collect import Statistics
from mmud.dataset.statistics.report import UNNAMED
from mmud.dataset.statistics.summary import MEASURES, SIZE_BOUNDS, SIZES, Summary
from mmud.dataset.statistics.tally import Tally
from mmud.files import write_text

WIDTH, HEIGHT = 720, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 20, 64, 46
_MOST_BINS = 48
_FEWEST_BINS = 12
_MOST_BARS = 30
_MOST_SERIES = 7
_LOGARITHMIC = ("object_area", "object_share")

# Hues that people with the common colour deficiencies tell apart (Okabe and Ito), in an order that keeps neighbours distinct.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c8c8c")

_STYLE = """
svg { font-family: system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; background: #ffffff; }
text { fill: #3c4450; font-size: 12px; }
.title { fill: #161b22; font-size: 16px; font-weight: 600; }
.note { fill: #6b7380; }
.grid { stroke: #e4e7eb; stroke-width: 1; }
.axis { stroke: #9aa2ad; stroke-width: 1; }
.mark { stroke: #161b22; stroke-width: 1; stroke-dasharray: 4 3; opacity: 0.55; }
@media (prefers-color-scheme: dark) {
  svg { background: #14181d; }
  text { fill: #c3cad4; }
  .title { fill: #f0f3f6; }
  .note { fill: #8b94a0; }
  .grid { stroke: #2a3038; }
  .axis { stroke: #59626e; }
  .mark { stroke: #f0f3f6; }
}
"""

Series = Mapping[str, Tally]


def write_plots(statistics: Statistics, folder: Path) -> list[Path]:
    """Write one SVG for each distribution that has values, and one for the sizes of the groups.

    Args:
        statistics: what was counted; its groups, where there are few, share a chart in different colours.
        folder: made if it is not there.

    Returns:
        The files, each written atomically.

    Raises:
        MmudError: MM008 when a file cannot be written.
    """
    written = []
    groups = statistics.groups if statistics.by != "category" and len(statistics.groups) <= _MOST_SERIES else {}
    for name, title in MEASURES.items():
        if statistics.overall.tallies[name].counts:
            series = {label or UNNAMED: group.tallies[name] for label, group in groups.items()}
            text = histogram(
                title[0].upper() + title[1:],
                series or {"": statistics.overall.tallies[name]},
                logarithmic=name in _LOGARITHMIC,
                marks=dict(zip(("32²", "96²"), SIZE_BOUNDS, strict=True)) if name == "object_area" else {},
            )
            written.append(_write(folder / f"{name}.svg", text))
    if statistics.groups:
        written.append(_write(folder / f"by_{statistics.by}.svg", _group_bars(statistics)))
    return written


def _write(path: Path, text: str) -> Path:
    write_text(path, text)
    return path


def _group_bars(statistics: Statistics) -> str:
    def sizes(summary: Summary) -> list[int]:
        return [summary.sizes[name] for name in SIZES]

    rows = {name or UNNAMED: sizes(group) for name, group in statistics.groups.items()}
    return bars(f"Objects by {statistics.by} and size", rows, SIZES)


# -- charts -------------------------------------------------------------------------------------------------------------


def histogram(title: str, series: Series, logarithmic: bool = False, marks: Mapping[str, float] | None = None) -> str:
    """A stacked histogram.

    Args:
        title: above the chart.
        series: name -> distribution; at least one with values. A single series with no name needs no legend.
        logarithmic: bins and axis of equal ratios, for quantities over several orders of magnitude.
        marks: label -> value: dashed lines.
    """
    together = _joined(series.values())
    edges = bin_edges(together, logarithmic)
    stacks = [binned(tally, edges) for tally in series.values()]
    ticks = nice_ticks(max(int(np.sum(stacks, axis=0).max()), 1))
    low, high = (_log(edges[0]), _log(edges[-1])) if logarithmic else (edges[0], edges[-1])
    floor = HEIGHT - _BOTTOM

    def x(value: float) -> float:
        share = ((_log(value) if logarithmic else value) - low) / (high - low)
        return float(_LEFT + share * (WIDTH - _LEFT - _RIGHT))

    def y(count: float) -> float:
        return float(floor - count / ticks[-1] * (floor - _TOP))

    body = [_horizontal(y(tick), f"{tick:,}") for tick in ticks]
    base = np.zeros(len(edges) - 1, dtype=np.int64)
    for position, (name, counts) in enumerate(zip(series, stacks, strict=True)):
        for index in np.flatnonzero(counts).tolist():
            label = f"{_span(edges[index], edges[index + 1])}: {counts[index]:,}"
            left, right = x(edges[index]), x(edges[index + 1])
            gap = 1.0 if right - left > 4 else 0.25
            above, below = y(base[index] + counts[index]), y(base[index])
            label = f"{name}: {label}" if name else label
            body.append(_rectangle(left + gap / 2, above, right - left - gap, below - above, position, label))
        base += counts
    body.append(f'<line class="axis" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{floor}" y2="{floor}"/>')
    body.extend(_text(x(tick), floor + 18, f"{tick:,.0f}", "middle") for tick in _axis_ticks(edges, logarithmic))
    for mark, value in (marks or {}).items():
        if edges[0] < value < edges[-1]:
            body.append(f'<line class="mark" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{_TOP}" y2="{floor}"/>')
            body.append(_text(x(value) + 4, _TOP + 10, mark))
    note = f"n = {len(together):,} · median {together.quantiles([0.5])[0]:,.0f} · mean {together.mean or 0:,.1f}"
    return _page(title, note, [name for name in series if name], body, HEIGHT)


def bars(title: str, rows: Mapping[str, Sequence[int]], parts: Sequence[str]) -> str:
    """Horizontal stacked bars, the longest first.

    Args:
        title: above the chart.
        rows: label -> a count for each part.
        parts: what the counts are, for the legend.
    """
    chosen = sorted(rows.items(), key=lambda item: (-sum(item[1]), item[0]))
    left_out = chosen[_MOST_BARS:]
    chosen = chosen[:_MOST_BARS]
    start = 30 + 7 * min(max(len(label) for label, _ in chosen), 24)
    height = _TOP + 22 * len(chosen) + 16
    longest = max(max(sum(counts) for _, counts in chosen), 1)
    body = []
    for number, (label, counts) in enumerate(chosen):
        y = _TOP + 22 * number
        shown = label if len(label) <= 24 else label[:23] + "…"
        body.append(_text(start - 8, y + 12, shown, anchor="end"))
        x = float(start)
        for position, (part, count) in enumerate(zip(parts, counts, strict=True)):
            width = count / longest * (WIDTH - start - _RIGHT - 56)
            if count:
                body.append(_rectangle(x, y, width, 16, position, f"{label}, {part}: {count:,}"))
            x += width
        body.append(_text(x + 6, y + 12, f"{sum(counts):,}", style="note"))
    note = f"and {len(left_out)} more with {sum(sum(counts) for _, counts in left_out):,}" if left_out else ""
    return _page(title, note, list(parts), body, height)


# -- numbers ------------------------------------------------------------------------------------------------------------


def _joined(tallies: Iterable[Tally]) -> Tally:
    together = Tally()
    for tally in tallies:
        for value, count in tally.counts.items():
            together.counts[value] = together.counts.get(value, 0) + count
    return together


def bin_edges(tally: Tally, logarithmic: bool) -> NDArray[np.float64]:
    """Edges of bins that hold every value; unit bins where the values are few."""
    low, high = min(tally.counts), max(tally.counts)
    if logarithmic:
        first, last = math.floor(4 * _log(low)), math.floor(4 * _log(high)) + 1
        return np.array([10 ** (step / 4) if step or low > 0 else 0.0 for step in range(first, last + 1)])
    width = max(1, _nice((high - low + 1) / _MOST_BINS))
    first = math.floor(low / width) * width
    count = max((high - first) // width + 1, _FEWEST_BINS)
    # Whole numbers stand in the middle of unit bins.
    shift = 0.5 if width == 1 else 0.0
    return np.array([first + step * width - shift for step in range(count + 1)], dtype=np.float64)


def binned(tally: Tally, edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many values lie in each bin: from its edge up to, and without, the next."""
    values = np.fromiter(tally.counts, dtype=np.float64, count=len(tally.counts))
    counts = np.fromiter(tally.counts.values(), dtype=np.int64, count=len(tally.counts))
    where = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    return np.bincount(where, weights=counts, minlength=len(edges) - 1).astype(np.int64)


def _log(value: float) -> float:
    return math.log10(max(value, 1.0))


def _nice(value: float) -> int:
    """The least of 1, 2, 5, 10, 20, 50 … that is not under ``value``."""
    power = 1
    while True:
        for step in (1, 2, 5):
            if step * power >= value:
                return step * power
        power *= 10


def nice_ticks(highest: int, most: int = 5) -> list[int]:
    """Whole numbers at even steps from 0 to the first one that is not under ``highest``."""
    step = _nice(highest / most)
    return list(range(0, highest + step, step)) if highest % step else list(range(0, highest + 1, step))


def _axis_ticks(edges: NDArray[np.float64], logarithmic: bool) -> list[float]:
    if logarithmic:
        first, last = math.ceil(_log(edges[0])), math.floor(_log(edges[-1]))
        return [float(10**power) for power in range(first, last + 1)]
    low, high = math.ceil(edges[0]), math.floor(edges[-1])
    step = _nice((high - low + 1) / 12)
    return [float(value) for value in range(math.ceil(low / step) * step, high + 1, step)]


def _span(low: float, high: float) -> str:
    """The whole numbers of a bin, as a person reads them."""
    first, last = math.ceil(low), math.ceil(high) - 1
    return f"{first:,}" if first >= last else f"{first:,} to {last:,}"


# -- SVG ----------------------------------------------------------------------------------------------------------------


def _text(x: float, y: float, content: str, anchor: str = "start", style: str = "") -> str:
    kind = f' class="{style}"' if style else ""
    return f'<text{kind} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(content)}</text>'


def _rectangle(x: float, y: float, width: float, height: float, colour: int, label: str) -> str:
    shape = f'x="{x:.2f}" y="{y:.2f}" width="{max(width, 0.5):.2f}" height="{max(height, 0.5):.2f}"'
    return f'<rect {shape} fill="{_COLOURS[colour % len(_COLOURS)]}"><title>{escape(label)}</title></rect>'


def _horizontal(y: float, label: str) -> str:
    line = f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return line + _text(_LEFT - 8, y + 4, label, anchor="end", style="note")


def _legend(names: Sequence[str]) -> list[str]:
    parts = []
    x = float(WIDTH - _RIGHT)
    for position in reversed(range(len(names))):
        x -= 7.5 * len(names[position])
        parts.append(_text(x, 26, names[position]))
        parts.append(f'<rect x="{x - 17:.1f}" y="16" width="12" height="12" rx="2" fill="{_COLOURS[position]}"/>')
        x -= 30
    return parts


def _page(title: str, note: str, legend: Sequence[str], body: Sequence[str], height: int) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">'
    lines = [head, f"<title>{escape(title)}</title>", f"<style>{_STYLE}</style>", _text(20, 27, title, style="title")]
    if note:
        lines.append(_text(20, 46, note, style="note"))
    return "\n".join([*lines, *_legend(legend), *body, "</svg>", ""])
