"""The table of the data layer, made at a small size: every row is there, and its figures are measured ones.

That the three ways of counting pixels agree is checked by the benchmark itself, against pycocotools and numpy.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_row_has_its_figure(tmp_path: Path) -> None:
    outcome = subprocess.run(
        [
            sys.executable,
            str(ROOT / "benchmarks" / "dataset.py"),
            "--samples",
            "60",
            "--pairs",
            "300",
            "--work",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MMUD_CACHE": str(tmp_path / "cache")},
        cwd=ROOT,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    lines = [line for line in outcome.stdout.splitlines() if line.startswith("|")]
    assert lines[0] == "| work | CPU s | against | aim |"
    rows = {cells[0]: cells[1:] for cells in ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:])}
    assert {"mmud build official, 60 records, linked", "mmud validate --no-images", "open and read one sample"} <= set(
        rows
    )
    # Two commands, one line of memory each; under one name, the later stays. No Python process with Arrow is below 40 MB.
    assert sum(line.startswith("|   its peak memory, MB |") for line in lines) == 2
    assert 40 < int(rows["its peak memory, MB"][0]) < 600
    assert all(
        float(figures[0].replace(",", "")) > 0 for name, figures in rows.items() if name.startswith("intersection")
    )
