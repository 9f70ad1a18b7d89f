"""A comparison as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from mmud.evaluators.comparison import Comparison, MetricComparison
from mmud.evaluators.report import figure_text

_ALIGNED = "---:"


def markdown(comparison: Comparison) -> str:
    """Tables of every task: values, difference, interval, p-values, wins, ties and losses; then the samples that differ most."""
    parts = [f"## {comparison.second} against {comparison.first}"]
    for task, metrics in comparison.tasks.items():
        parts.append(f"### {task.replace('_', ' ')} ({comparison.samples[task]:,} samples)")
        parts.append(_metrics_table(comparison, list(metrics.values())))
        first = next(iter(metrics.values()))
        if first.different:
            parts.append(f"Samples that differ most in {first.metric.name}:")
            parts.append(_samples_table(comparison, first))
    parts.append(
        f"A difference is {comparison.second} less {comparison.first}. p: permutation test, systems swapped image by image; "
        "p (Holm): corrected over the first metric of each task. Wins are those of "
        f"{comparison.second}, sample by sample."
    )
    return "\n\n".join(parts)


def _metrics_table(comparison: Comparison, metrics: Sequence[MetricComparison]) -> str:
    header = [
        "metric",
        comparison.first,
        comparison.second,
        "difference",
        "low",
        "high",
        "p",
        "p (Holm)",
        "win/tie/loss",
    ]
    rows = []
    for one in metrics:
        result = one.result
        counts = "-" if one.wins is None else f"{one.wins}/{one.ties}/{one.losses}"
        figures = (result.first, result.second, result.difference, result.low, result.high)
        rows.append([one.metric.name, *map(figure_text, figures), p_text(result.p), p_text(one.p_holm), counts])
    return _table(header, rows)


def _samples_table(comparison: Comparison, one: MetricComparison) -> str:
    rows = [
        [sample.sample_id, figure_text(sample.first), figure_text(sample.second), figure_text(sample.difference)]
        for sample in one.different
    ]
    return _table(["sample", comparison.first, comparison.second, "difference"], rows)


def p_text(p: float | None) -> str:
    """A p-value as people read it."""
    if p is None:
        return "-"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [[_escaped(cell) for cell in row] for row in (header, *rows)]
    rule = ["---", *([_ALIGNED] * (len(header) - 1))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (cells[0], rule, *cells[1:]))


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")
