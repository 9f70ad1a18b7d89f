"""The evaluator that docs/evaluators.md shows, installed beside the package and used from the command line.

Its two files are taken from the page as they stand. Installing is what an installer does with a pure-Python project: the module
and a dist-info folder with its metadata and entry points, on the path of another process. No network is needed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from mmud.annotations import tags
from mmud.evaluators.predictions import PredictionFolder
from mmud.records import Task

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "evaluators.md"


def files_of_the_page() -> dict[str, str]:
    found = re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return dict(found)


def install(site: Path, project: str, modules: dict[str, str]) -> None:
    """Put a project where Python finds it."""
    described = tomllib.loads(project)["project"]
    for name, code in modules.items():
        (site / name).write_text(code)
    info = site / f"{described['name'].replace('-', '_')}-{described['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {described['name']}\nVersion: {described['version']}\n"
    )
    lines = []
    for group, points in described["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


def mmud(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(site)])}
    return subprocess.run(
        [sys.executable, "-c", "from mmud.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


@pytest.fixture
def site(tmp_path: Path) -> Path:
    files = files_of_the_page()
    project = files.pop("pyproject.toml")
    folder = tmp_path / "site"
    folder.mkdir()
    install(folder, project, files)
    return folder


def test_it_is_listed_and_scores(site: Path, made: Any, tmp_path: Path) -> None:
    listed = mmud(site, "plugins", "--json")
    assert listed.returncode == 0, listed.stderr
    entry = {"kind": "evaluator", "name": "tag_density", "provider": "mmud-tag-density", "state": "ok"}
    assert any(entry.items() <= row.items() for row in json.loads(listed.stdout)["plugins"])
    out = tmp_path / "out"
    data = ["--data", str(made.dataset.path), "--evaluators", "tag_density"]
    outcome = mmud(site, "evaluate", str(made.perturbed), *data, "-o", str(out), "--json", "-q", "--by", "source")
    assert outcome.returncode == 0, outcome.stderr
    result = json.loads(outcome.stdout)["tasks"]["reasoning_segmentation"]
    figure = result["metrics"]["tags_per_ten_words"]
    answers = [
        p.answer for p in PredictionFolder(made.perturbed).read(Task.REASONING_SEGMENTATION, lambda finding: None)
    ]
    expected = 10 * sum(len(tags.indices(a)) for a in answers) / sum(len(tags.remove(a).split()) for a in answers)
    assert figure["value"] == pytest.approx(expected)
    assert figure["low"] < expected < figure["high"]
    assert "evaluator:tag_density" in figure["signature"]
    assert result["metrics"]["untagged_share"]["value"] == 0.0
    assert "gIoU" in result["metrics"]
    assert "tags_per_ten_words" in result["slices"]["source"]["other"]["metrics"]
    again = mmud(site, "evaluate", "--rows", str(out), "--json", "-q")
    assert json.loads(again.stdout)["tasks"]["reasoning_segmentation"]["metrics"]["tags_per_ten_words"] == figure
    compared = mmud(site, "compare", str(out), str(out), "--json")
    metrics = json.loads(compared.stdout)["comparisons"][0]["tasks"]["reasoning_segmentation"]["metrics"]
    assert metrics["tags_per_ten_words"]["p"] == 1.0


def test_without_it_its_rows_cannot_be_read_and_that_is_said(site: Path, made: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    data = ["--data", str(made.dataset.path), "--evaluators", "tag_density", "-o", str(out), "-q"]
    assert mmud(site, "evaluate", str(made.perturbed), *data).returncode == 0
    outcome = mmud(tmp_path, "evaluate", "--rows", str(out))
    assert outcome.returncode == 2
    assert "MM004" in outcome.stderr


def test_a_broken_one_is_listed_and_stops_only_who_asks_for_it(site: Path, made: Any) -> None:
    (site / "tag_density.py").write_text("import a_module_that_is_not_there\n")
    listed = mmud(site, "plugins")
    assert listed.returncode == 4
    assert "a_module_that_is_not_there" in listed.stdout
    data = ["--data", str(made.dataset.path), "--tasks", "captioning", "-q"]
    assert mmud(site, "evaluate", str(made.perturbed), *data).returncode == 0
    asked = mmud(site, "evaluate", str(made.perturbed), *data, "--evaluators", "tag_density")
    assert asked.returncode == 4
    assert "MM005" in asked.stderr


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("class TagDensity", "TagDensity = 3\nclass Other", "is no subclass"),
        ("    def row(", "    def other(", "lacks row"),
        ('    name = "tag_density"\n', "", "lacks name"),
    ],
)
def test_what_is_no_evaluator_is_broken(site: Path, made: Any, old: str, new: str, told: str) -> None:
    module = site / "tag_density.py"
    module.write_text(module.read_text().replace(old, new))
    listed = mmud(site, "plugins")
    assert listed.returncode == 4
    assert told in listed.stdout
    asked = mmud(site, "evaluate", str(made.perturbed), "--data", str(made.dataset.path), "--evaluators", "tag_density")
    assert asked.returncode == 4
    assert "MM005" in asked.stderr
    assert told in asked.stderr


@pytest.mark.parametrize("method", ["__init__", "begin", "observe", "why_not", "applies", "finish"])
def test_whatever_it_raises_is_its_own_fault(site: Path, made: Any, method: str) -> None:
    module = site / "tag_density.py"
    fails = f"    def {method}(self, *given):\n        raise KeyError('fails here')\n\n    def row("
    module.write_text(module.read_text().replace("    def row(", fails))
    data = ["--data", str(made.dataset.path), "--evaluators", "tag_density"]
    outcome = mmud(site, "evaluate", str(made.perturbed), *data)
    assert "a fault of mmud" not in outcome.stderr
    assert "MM823" in outcome.stderr
    assert "fails here" in outcome.stderr


def test_two_that_claim_one_name_are_both_named(site: Path, made: Any) -> None:
    files = files_of_the_page()
    project = files["pyproject.toml"].replace("mmud-tag-density", "mmud-other").replace("tag_density:", "other:")
    install(site, project, {"other.py": files["tag_density.py"]})
    data = ["--data", str(made.dataset.path), "-q", "--tasks", "reasoning_segmentation"]
    clash = mmud(site, "evaluate", str(made.perturbed), *data, "--evaluators", "tag_density")
    assert clash.returncode == 2
    assert "mmud-other" in clash.stderr
    assert "mmud-tag-density" in clash.stderr
    picked = mmud(site, "evaluate", str(made.perturbed), *data, "--evaluators", "mmud-other:tag_density")
    assert picked.returncode == 0, picked.stderr


def test_one_that_claims_a_built_in_name_stops_only_who_asks_for_it(site: Path, made: Any) -> None:
    files = files_of_the_page()
    project = (
        files["pyproject.toml"].replace("mmud-tag-density", "mmud-other").replace("tag_density =", "segmentation =")
    )
    install(site, project.replace("tag_density:", "other:"), {"other.py": files["tag_density.py"]})
    data = ["--data", str(made.dataset.path), "-q", "--tasks", "reasoning_segmentation"]
    assert mmud(site, "evaluate", str(made.perturbed), *data).returncode == 0
    clash = mmud(site, "evaluate", str(made.perturbed), *data, "--evaluators", "segmentation")
    assert clash.returncode == 2
    assert "MM006" in clash.stderr
    picked = mmud(site, "evaluate", str(made.perturbed), *data, "--evaluators", "mmud-other:segmentation")
    assert picked.returncode == 0, picked.stderr
    assert "tags_per_ten_words" in picked.stdout
    two = mmud(site, "evaluate", str(made.perturbed), *data, "--evaluators", "tag_density,mmud-other:segmentation")
    assert two.returncode == 2  # both keep their rows as tag_density
    assert "MM006" in two.stderr


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ('return {"words": "many"}', "MM823"),
        ('return {"words": None}', "MM823"),
        ("return 3", "MM823"),
        ('raise KeyError("answer")', "MM823"),
    ],
)
def test_rows_of_another_kind_are_the_evaluators_fault(site: Path, made: Any, row: str, code: str) -> None:
    module = site / "tag_density.py"
    lines = module.read_text().splitlines()
    start = next(index for index, line in enumerate(lines) if "def row" in line)
    module.write_text("\n".join([*lines[: start + 1], f"        {row}", *lines[start + 4 :]]))
    data = ["--data", str(made.dataset.path), "--evaluators", "tag_density"]
    outcome = mmud(site, "evaluate", str(made.perturbed), *data)
    assert code in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_a_metric_that_was_not_declared_is_refused(site: Path, made: Any) -> None:
    module = site / "tag_density.py"
    module.write_text(module.read_text().replace('"untagged_share":', '"untold":'))
    data = ["--data", str(made.dataset.path), "--evaluators", "tag_density"]
    outcome = mmud(site, "evaluate", str(made.perturbed), *data)
    assert "MM823" in outcome.stderr


def test_a_metric_that_a_built_in_evaluator_reports_is_refused(site: Path, made: Any) -> None:
    module = site / "tag_density.py"
    module.write_text(module.read_text().replace("untagged_share", "gIoU"))
    data = ["--data", str(made.dataset.path), "--evaluators", "tag_density"]
    outcome = mmud(site, "evaluate", str(made.perturbed), *data)
    assert outcome.returncode == 2
    assert "MM006" in outcome.stderr
