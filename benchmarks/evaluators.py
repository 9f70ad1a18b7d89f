"""The figures that the evaluators are to reach, side by side with their peers in one run: one table.

    python benchmarks/evaluators.py                  every row at its full size, about five CPU minutes
    python benchmarks/evaluators.py --row frechet    single rows; may be given several times
    python benchmarks/evaluators.py --quick          small sizes, to see that everything runs; whether aims are met is not judged

Each row is measured by the benchmark of its metrics (segmentation.py, captions.py, generation.py, coverage.py), which prints
more. CPU seconds of all processes, one thread each; both sides must give the same figure, or the run stops. `--check` ends
with 1 when an aim was missed.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace

from measuring import Row, markdown, one_thread

one_thread()

import captions  # noqa: E402
import coverage  # noqa: E402
import generation  # noqa: E402
import segmentation  # noqa: E402


def segmentation_rows(quick: bool) -> list[Row]:
    references, predictions = segmentation.make_rows(300 if quick else 10_000)
    return segmentation.compared_rows(references, predictions, 1 if quick else 3)


def caption_rows(name: str, quick: bool) -> list[Row]:
    work = captions.WORKS[name]
    if quick:
        work = replace(work, title=work.title.replace(f"{work.images:,}", "60"), images=60)
    return [captions.compared_row(work, 1 if quick else 2)]


def frechet_rows(quick: bool) -> list[Row]:
    samples, dimension = (200, 64) if quick else (1403, 2048)
    return [generation.compared_row(samples, dimension, 1 if quick else 3)]


def evaluation_rows(quick: bool) -> list[Row]:
    return [segmentation.full_row(30, 2, 20, 16) if quick else segmentation.full_row()]


def coverage_rows(quick: bool) -> list[Row]:
    return [coverage.coverage_row(kind, 300, 50 if quick else 1000) for kind in coverage.KINDS]


ROWS: Mapping[str, Callable[[bool], list[Row]]] = {
    "segmentation": segmentation_rows,
    "captions-short": lambda quick: caption_rows("short", quick),
    "captions-long": lambda quick: caption_rows("long", quick),
    "frechet": frechet_rows,
    "evaluation": evaluation_rows,
    "coverage": coverage_rows,
}
"""What can be measured; the first five are measured when nothing is chosen, the last is no matter of time."""

DEFAULT = tuple(ROWS)[:5]


def measure(names: Sequence[str], quick: bool) -> list[Row]:
    """The rows of the table, in the order of ROWS."""
    rows: list[Row] = []
    for name in (name for name in ROWS if name in names):
        print(f"{name} …", file=sys.stderr, flush=True)
        rows += ROWS[name](quick)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row", action="append", choices=list(ROWS), help="measure this row only; may be repeated")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--check", action="store_true", help="end with 1 when an aim was missed")
    options = parser.parse_args()
    if options.check and options.quick:
        parser.error("--check judges the aims, which are for full sizes: leave out --quick")
    started = time.monotonic()
    rows = measure(options.row or DEFAULT, options.quick)
    if options.json:
        found = [{**asdict(row), "ratio": row.ratio} for row in rows]
        print(json.dumps([{**row, "reached": None} for row in found] if options.quick else found, indent=2))
    else:
        print(markdown(rows, judged=not options.quick))
        seconds = time.monotonic() - started
        print(f"\nPython {platform.python_version()}, {platform.machine()}, {seconds:.0f} s in all")
    if options.check and not all(row.reached for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
