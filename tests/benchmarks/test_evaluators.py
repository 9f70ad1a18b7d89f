"""The table of the evaluators' aims: run as a person would, at small sizes.

That both sides give one figure is checked by the benchmarks themselves, against pycocotools, scipy and pycocoevalcap: a run
that ends with 0 has passed those checks.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "benchmarks" / "evaluators.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)


def test_chosen_rows_make_one_table() -> None:
    outcome = run("--quick", "--row", "frechet", "--row", "segmentation")
    assert outcome.returncode == 0, outcome.stderr
    table = [line for line in outcome.stdout.splitlines() if line.startswith("|")]
    assert table[0] == "| work | ours CPU s | peer CPU s | ratio | aim | reached |"
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]
    assert [row[4] for row in cells] == ["at least 10 times faster"] * 2 + ["at least 20 times faster, within 1e-6"]
    assert all(row[5].startswith("not judged") for row in cells)


def test_the_ratio_is_that_of_the_times() -> None:
    outcome = run("--quick", "--row", "segmentation", "--json")
    assert outcome.returncode == 0, outcome.stderr
    for row in json.loads(outcome.stdout):
        assert row["ratio"] == pytest.approx(row["peer"] / row["ours"])
        assert row["reached"] is None


@pytest.mark.skipif(shutil.which("java") is None, reason="pycocoevalcap's tokenizer needs Java")
def test_captions_are_compared_with_pycocoevalcap() -> None:
    outcome = run("--quick", "--row", "captions-long", "--json")
    assert outcome.returncode == 0, outcome.stderr
    (row,) = json.loads(outcome.stdout)
    assert row["peer"] > 0
    assert "pycocoevalcap" in row["work"]


def test_a_whole_evaluation_has_time_and_memory() -> None:
    outcome = run("--quick", "--row", "evaluation", "--json")
    assert outcome.returncode == 0, outcome.stderr
    (row,) = json.loads(outcome.stdout)
    assert row["peer"] is None
    assert row["ours"] > 0
    assert row["note"].endswith("MB at most")


def test_aims_are_not_judged_at_small_sizes() -> None:
    assert run("--quick", "--check").returncode == 2
