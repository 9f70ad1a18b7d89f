"""The command line's frame: light, with errors that say what, where and how to mend it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mmud import codes
from mmud.cli import app, run
from mmud.errors import ExitCode, MmudError, Place

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "transformers", "datasets", "pandas", "pyarrow", "scipy", "numpy", "PIL", "pycocotools", "matplotlib")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from mmud.cli import run; run(['--help']); "
        f"print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert "HEAVY []" in outcome.stdout
    assert "validate" in outcome.stdout or "build" in outcome.stdout


def test_the_package_itself_imports_nothing_heavy() -> None:
    code = f"import sys, mmud; print([name for name in {HEAVY!r} if name in sys.modules])"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert outcome.stdout.strip() == "[]"


def test_the_launcher_is_the_command() -> None:
    outcome = subprocess.run(
        [sys.executable, "cli.py", "--version"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert outcome.stdout.startswith("mmud ")


def verbs() -> list[str]:
    return [str(command.name) for command in app.registered_commands] + [
        str(group.name) for group in app.registered_groups
    ]


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([verb, "--help"]) == 0
    assert "Usage: mmud" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["nothing"], ["build"], ["doctor", "--no-such-flag"], ["build", "scenes", "--workers", "0"]]
)
def test_wrong_usage_ends_with_2_and_no_traceback(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert "Traceback" not in captured.err


def _raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(**kwargs: object) -> None:
        raise error

    monkeypatch.setattr("mmud.cli.app", fail)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (
            MmudError(codes.FILE_MISSING, "no such file: x", Place(sample="7", object=2, file="a.json", line=3)),
            2,
            "MM002 no such",
        ),
        (MmudError(codes.DEPENDENCY_MISSING), 4, "MM007"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (RuntimeError("boom"), 1, "internal error: RuntimeError: boom"),
        (OSError(28, "No space left on device"), 2, "No space left"),
    ],
)
def test_every_error_has_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, text: str
) -> None:
    _raising(monkeypatch, error)
    assert run([]) == code
    assert text in capsys.readouterr().err


def test_an_error_names_its_place_and_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _raising(
        monkeypatch,
        MmudError(codes.FILE_MISSING, "no file", Place(sample="7", object=2, file="a.json", line=3), "Do so."),
    )
    monkeypatch.setattr(sys, "argv", ["mmud", "--json"])
    run([])
    captured = capsys.readouterr()
    assert "error: MM002 no file · sample 7, object 2 · a.json:3\n  Do so.\n  More: mmud explain MM002" in captured.err
    error = json.loads(captured.out)["error"]
    assert error["place"] == {"sample": "7", "object": 2, "file": "a.json", "line": 3}
    assert error["remedy"] == "Do so."


def test_environment_sets_options(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MMUD_DOCTOR_JSON", "1")
    run(["doctor"])
    assert json.loads(capsys.readouterr().out)["checks"]


def test_the_public_face_is_there_and_lazy() -> None:
    import mmud

    for name in mmud.__all__:
        assert getattr(mmud, name) is not None
    assert set(mmud.__all__) <= set(dir(mmud))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mmud.nothing


def test_doctor_finds_the_small_backbones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("transformers", reason="transformers is not installed")

    monkeypatch.setenv("MMUD_DOCTOR_JSON", "1")

    def found() -> tuple[int, dict[str, Any]]:
        code = run(["doctor"])
        checks = json.loads(capsys.readouterr().out)["checks"]
        return code, next(check for check in checks if check["name"] == "scenes-tiny")

    code, check = found()
    assert (code, check["state"]) == (0, "ok")
    assert "MB in" in check["seen"]
    monkeypatch.setenv("MMUD_SCENES_TINY", str(tmp_path / "nowhere"))
    code, check = found()
    assert (code, check["state"]) == (4, "broken")
    assert check["seen"] == str(tmp_path / "nowhere")
    assert "MMUD_SCENES_TINY" in check["remedy"]
    (tmp_path / "nowhere" / "language_model").mkdir(parents=True)
    code, check = found()
    assert (code, check["state"]) == (4, "broken")
    assert "lacks language_model, vision_tower" in check["seen"]
