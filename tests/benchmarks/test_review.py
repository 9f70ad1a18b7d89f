"""The review page's benchmark, run as a person would at a small size: it prints both of its aims, judged by what it measured."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.browser
def test_both_aims_are_printed() -> None:
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if shutil.which("chromium") is None:
        pytest.skip("Chromium is not installed")
    command = [sys.executable, str(ROOT / "benchmarks" / "review.py"), "--samples", "40", "--steps", "3"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    outcome = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    assert outcome.returncode == 0, outcome.stderr
    assert outcome.stdout.startswith("40 samples;")
    rows = [line for line in outcome.stdout.splitlines() if "under " in line]
    assert [row[:16].strip() for row in rows] == ["open", "next, paced", "next, at once", "accept, paced"]
    for row in rows:
        median, _, worst = map(float, row[16:40].split())
        aim = float(row.partition("under ")[2].partition(":")[0])
        said = row.rpartition(": ")[2]
        assert 0 < median <= worst
        assert said == ("met" if worst < aim else "met at the median" if median < aim else "missed")
