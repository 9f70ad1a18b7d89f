"""The two verbs as scripts use them: flags, exit codes, formats, workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from validation_breaks import BREAKS
from validation_folders import FOLDERS
from validation_world import Rows, clean_rows, write_rows

from mmud import cli
from mmud.dataset.checks.engine import validate
from mmud.dataset.checks.explanation import reference
from mmud.errors import Severity, catalogue

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    def call(*arguments: object) -> tuple[int, str, str]:
        texts = [str(argument) for argument in arguments]
        monkeypatch.setattr(sys, "argv", ["mmud", *texts])
        code = cli.run(texts)
        out, err = capsys.readouterr()
        return code, out, err

    return call


def _rows(**breaking: str) -> Rows:
    """Clean rows, some of which are broken: split_number="CODE CODE"."""
    rows = clean_rows()
    for where, codes in breaking.items():
        split, _, number = where.rpartition("_")
        for code in codes.split():
            BREAKS[code](rows[split][int(number)])
    return rows


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """One error, three warnings, two notes."""
    rows = _rows(train_0="MM204 MM413", train_1="MM413", valid_0="MM218", valid_1="MM220", test_0="MM422")
    return write_rows(tmp_path / "broken", rows, shard_rows=2)


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "clean", clean_rows())


# -- exit codes and flags ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        ([], 3),
        (["--fail-on", "never"], 0),
        (["--ignore", "MM204"], 0),
        (["--ignore", "MM204", "--fail-on", "warning"], 3),
        (["--select", "MM218", "--fail-on", "warning"], 0),
        (["--select", "MM218", "--fail-on", "info"], 3),
        (["--select", "MM3"], 0),
        (["--select", "MM2", "--ignore", "MM204,MM22"], 0),
        (["--split", "valid"], 0),
        (["--split", "train"], 3),
        (["--split", "tran"], 2),
        (["--select", "MM3,XX"], 2),
        (["--fail-on", "bad"], 2),
        (["--dry-run"], 2),
        (["--in-place"], 2),
    ],
)
def test_exit_codes(run: Any, broken: Path, flags: list[str], code: int) -> None:
    assert run("validate", broken, *flags)[0] == code


def test_a_clean_dataset_ends_in_0(run: Any, clean: Path) -> None:
    code, out, err = run("validate", clean, "--fail-on", "info")
    assert (code, out) == (0, "6 samples, 12 objects: nothing found\n")
    assert "failed" not in err


def test_unknown_codes_are_guessed_at(run: Any, clean: Path) -> None:
    code, _, err = run("validate", clean, "--select", "MM2O4")
    assert code == 2
    assert "Did you mean" in err
    assert "MM204" in err


def test_the_text_is_grouped_and_cut(run: Any, tmp_path: Path) -> None:
    rows = _rows(train_0="MM413", train_1="MM413", train_2="MM413 MM204")
    folder = write_rows(tmp_path / "d", rows)
    _, out, err = run("validate", folder, "--max-findings", "2")
    lines = out.splitlines()
    assert lines[0] == "error MM204 empty mask: 1"
    assert (
        lines[1]
        == "  sample sample-2, object 1, field segmentation · data/train-00000.parquet row 2: the mask has no pixel"
    )
    assert lines[2] == f"  -> {catalogue()['MM204'].remedy}"
    assert lines[3] == "warning MM413 control character: 3"
    assert lines[6] == "  … and 1 more"
    assert lines[-1] == "6 samples, 12 objects: 1 error, 3 warnings"
    assert "mmud explain" in err
    assert len(run("validate", folder, "--max-findings", "0")[1].splitlines()) == 5


def test_a_part_is_marked_as_such(run: Any, broken: Path) -> None:
    value = json.loads(run("validate", broken, "--limit", "1", "--json", "--no-images")[1])
    assert value["checked"] == {"samples": 1, "objects": 2, "shards": 1}
    assert value["partial"] is True
    assert value["images"] is False
    assert [entry["code"] for entry in value["codes"]] == ["MM204", "MM413"]
    assert "(a part only, images not read)" in run("validate", broken, "--limit", "3", "--no-images")[1]


def test_images_can_be_left_alone(run: Any, tmp_path: Path) -> None:
    folder = FOLDERS["MM501"](tmp_path / "d")
    assert run("validate", folder)[0] == 3
    assert run("validate", folder, "--no-images")[0] == 0


def test_environment_gives_options(run: Any, broken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMUD_VALIDATE_FAIL_ON", "never")
    assert run("validate", broken)[0] == 0


def test_reports_go_to_files_and_overwrite_nothing(run: Any, broken: Path, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    code, out, err = run("validate", broken, "--format", "json", "-o", file)
    assert (code, out) == (3, "")
    assert "6 samples" in err
    assert json.loads(file.read_text())["counts"] == {"error": 1, "warning": 3, "info": 2}
    assert run("validate", broken, "-o", file)[0] == 2
    assert run("validate", broken, "-o", file, "--force")[0] == 3
    assert file.read_text().startswith("error MM204")


def test_a_folder_that_is_none(run: Any, tmp_path: Path) -> None:
    code, out, _ = run("validate", tmp_path / "nowhere", "--json")
    assert code == 2
    assert json.loads(out)["error"]["code"] == "MM002"
    code, out, _ = run("validate", tmp_path, "--json")
    assert code == 3
    assert [entry["code"] for entry in json.loads(out)["codes"]] == ["MM102"]


# -- formats -----------------------------------------------------------------------------------------------------------------


def test_json_has_counts_and_every_finding(run: Any, broken: Path) -> None:
    code, out, _ = run("validate", broken, "--json")
    value = json.loads(out)
    assert code == 3
    assert value["failed"] is True
    assert value["fail_on"] == "error"
    assert value["checked"] == {"samples": 6, "objects": 12, "shards": 4}
    assert {entry["code"]: entry["count"] for entry in value["codes"]} == {
        "MM204": 1, "MM220": 1, "MM413": 2, "MM218": 1, "MM422": 1,
    }  # fmt: skip
    assert sum(entry["count"] for entry in value["codes"]) == len(value["findings"])
    assert value["findings"][0] == {
        "code": "MM204",
        "severity": "error",
        "message": "the mask has no pixel",
        "place": {
            "sample": "sample-0",
            "object": 1,
            "split": "train",
            "file": "data/train-00000.parquet",
            "row": 0,
            "field": "segmentation",
        },
    }


def _check_sarif(log: dict[str, Any]) -> None:
    """What SARIF 2.1.0 (OASIS, sections 3.13, 3.14, 3.18, 3.19, 3.27, 3.28 and 3.52) requires of the parts that we use."""
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"]
    rules = driver["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    assert all(set(rule["shortDescription"]) == {"text"} for rule in rules)
    assert run["originalUriBaseIds"]["DATASET"]["uri"].endswith("/")
    for result in run["results"]:
        assert result["message"]["text"]
        assert result["level"] in ("none", "note", "warning", "error")
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        for location in result.get("locations", ()):
            uri = location["physicalLocation"]["artifactLocation"]["uri"]
            assert not set(uri) & set(' <>"{}|\\^`')


def test_sarif_has_what_the_standard_requires(run: Any, broken: Path) -> None:
    log = json.loads(run("validate", broken, "--format", "sarif")[1])
    _check_sarif(log)
    assert len(log["runs"][0]["results"]) == 6
    assert [rule["id"] for rule in log["runs"][0]["tool"]["driver"]["rules"]] == [
        "MM204", "MM218", "MM220", "MM413", "MM422",
    ]  # fmt: skip
    schema_file = os.environ.get("MMUD_TEST_SARIF_SCHEMA")
    if schema_file:
        jsonschema = pytest.importorskip("jsonschema")
        jsonschema.Draft4Validator(json.loads(Path(schema_file).read_text())).validate(log)


def test_sarif_of_nothing(run: Any, clean: Path) -> None:
    log = json.loads(run("validate", clean, "--format", "sarif")[1])
    _check_sarif(log)
    assert log["runs"][0]["results"] == []


def test_github_annotations_are_escaped(run: Any, tmp_path: Path) -> None:
    folder = write_rows(tmp_path / "d", {**clean_rows(), "50 %: a, b": []})
    code, out, _ = run("validate", folder, "--format", "github")
    assert code == 3
    assert out.splitlines()[0] == (
        "::error file=mmud.json,title=MM603 empty split::split 50 %25: a, b has no sample · mmud.json"
    )


# -- workers -----------------------------------------------------------------------------------------------------------------


def test_workers_change_nothing(tmp_path: Path) -> None:
    rows = _rows(train_0="MM204", train_1="MM413 MM218", train_2="MM220", valid_0="MM502", test_0="MM306")
    rows["valid"][1]["sample_id"] = rows["train"][0]["sample_id"]
    folder = write_rows(tmp_path / "d", rows, shard_rows=1)
    with validate(folder) as one, validate(folder, workers=3) as three:
        assert list(map(str, one.findings())) == list(map(str, three.findings()))
        assert one.summary() == three.summary()
        assert one.counts["MM602"] == 1
        assert [finding.place.sample for finding in one.findings()][:2] == ["sample-0", "sample-1"]


def test_progress_counts_samples(tmp_path: Path) -> None:
    seen: list[int] = []
    validate(write_rows(tmp_path / "d", clean_rows(), shard_rows=2), advance=seen.append).close()
    assert sum(seen) == 6


def test_findings_lie_on_disk_and_go_with_the_report(broken: Path) -> None:
    report = validate(broken)
    spool = report.spool
    assert any(spool.iterdir())
    report.close()
    assert not spool.exists()
    assert report.total == 6
    assert report.fails(Severity.ERROR)
    assert not report.fails(None)


# -- plug-ins ----------------------------------------------------------------------------------------------------------------

_PLUGIN = """
from mmud.dataset.checks.base import Check
from mmud.errors import Finding, Severity, declare

WEEKDAY = declare("MM190", "sample of a Sunday", "Take another day.", "Only a test.", severity=Severity.ERROR)

class Sundays(Check):
    codes = (WEEKDAY,)
    def check(self, row, context):
        if row["sample_id"] == "sample-4":
            yield Finding(WEEKDAY, context.place(field="sample_id"), "it is a Sunday")

class Failing(Check):
    codes = (WEEKDAY,)
    def check(self, row, context):
        raise ZeroDivisionError("on purpose")
"""


@pytest.mark.parametrize(("name", "expected"), [("Sundays", 3), ("Failing", 4), ("Absent", 4)])
def test_an_installed_check_takes_part(clean: Path, tmp_path: Path, name: str, expected: int) -> None:
    """A package is installed for real: a module and its metadata on the path of a process of its own."""
    site = tmp_path / "site"
    info = site / "weekdays-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "weekdays.py").write_text(_PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: weekdays\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[mmud.checks]\nweekdays = weekdays:{name}\n")
    environment = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}"}
    command = [sys.executable, str(ROOT / "cli.py"), "validate", str(clean), "--workers", "2"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == expected, done.stderr
    if expected == 3:
        assert "error MM190 sample of a Sunday: 1" in done.stdout
        explained = subprocess.run([*command[:2], "explain", "MM190"], env=environment, capture_output=True, text=True)
        assert "Only a test." in explained.stdout
    else:
        assert "weekdays" in done.stderr
        assert "Traceback" not in done.stderr


# -- explain -----------------------------------------------------------------------------------------------------------------


def test_explain_one(run: Any) -> None:
    code, out, _ = run("explain", "mm204")
    declared = catalogue()["MM204"]
    assert code == 0
    for part in (declared.title, declared.severity.label, declared.explanation, declared.remedy):
        assert part in out
    value = json.loads(run("explain", "MM207", "--json")[1])
    assert value["fixable"] is True
    assert value["code"] == "MM207"


def test_the_page_is_written_whole(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "codes.md"
    assert run("explain", "--markdown", "-o", file)[0] == 0
    assert file.read_text("utf-8") == reference() == run("explain", "--markdown")[1]
    assert run("explain", "MM204", "-o", file)[0] == 2


def test_explain_all_by_family(run: Any) -> None:
    code, out, _ = run("explain")
    assert code == 0
    assert all(id in out for id in catalogue())
    assert "MM3xx tags" in out
    listed = json.loads(run("explain", "--json")[1])["codes"]
    assert [entry["code"] for entry in listed] == list(catalogue())
    assert {entry["code"][:3] for entry in json.loads(run("explain", "MM3", "--json")[1])["codes"]} == {"MM3"}


@pytest.mark.parametrize(
    ("text", "guess"), [("MM2O4", "MM204"), ("MM2004", "MM204"), ("empty mask", "MM204"), ("", "explain")]
)
def test_explain_guesses(run: Any, text: str, guess: str) -> None:
    code, _, err = run("explain", text)
    assert code == 2
    assert guess in err


def test_the_page_of_codes_is_current() -> None:
    """After declaring a code: `mmud explain --markdown -o docs/codes.md`."""
    assert (ROOT / "docs" / "codes.md").read_text("utf-8") == reference()
