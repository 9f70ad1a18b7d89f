"""pycocoevalcap as an oracle: what it says is what we say, it downloads nothing, and what is missing is named."""

from __future__ import annotations

import importlib
import os
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mmud.errors import ExitCode, MmudError
from mmud.evaluators.captions import oracles
from mmud.evaluators.captions.oracles import java_tokens, score_with_pycocoevalcap
from mmud.evaluators.captions.score import score_captions
from mmud.evaluators.captions.tokenizer import tokenize

REFERENCES = {
    "b": ["A dog runs on the grass.", "The dog's on the grass (green)."],
    "a": ["A cat sits on a roof.", "Two cats sit on the roof of a house."],
    "c": ["A man rides a horse\u2028along the beach.", "1 1/2 horses."],
    "d": ["Nothing to see."],
}
CANDIDATES = {"a": "A cat sits on the roof.", "b": "A dog runs.\r\nIt is happy.", "c": "||| a man ||| rides", "d": ""}


@pytest.fixture
def no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracles, "java_works", lambda: False)


def installed_files() -> dict[str, tuple[int, int]]:
    """Size and time of each file of the installed package, compiled modules aside."""
    folder = oracles.package_folder()
    assert folder is not None
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


@pytest.mark.java
@pytest.mark.slow
def test_the_oracle_agrees_and_leaves_no_trace(java: str) -> None:
    before = installed_files()
    scores = score_with_pycocoevalcap(REFERENCES, CANDIDATES)
    assert installed_files() == before
    assert set(scores.skipped) <= {"spice"}
    ours = score_captions(REFERENCES, CANDIDATES)
    assert scores.ids == ours.columns.ids
    for name in ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider_d"):
        assert scores.metrics[name] == pytest.approx(ours.metrics[name], abs=1e-9), name
        np.testing.assert_allclose(scores.per_image[name], ours.per_image(name), rtol=0, atol=1e-9, err_msg=name)
    assert 0 < scores.metrics["meteor"] < 1
    assert scores.per_image["meteor"].shape == (4,)
    # The captions of "b" and "a" say part of what the references say, the empty one of "d" nothing.
    assert scores.per_image["meteor"][:2].min() > 0.2
    assert scores.per_image["meteor"][3] == 0


@pytest.mark.java
def test_the_jar_gives_the_tokens_that_the_wrapper_gives(java: str) -> None:
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    captions = ["A dog (black)... runs!", "", "It's 1 1/2 cups, e.g. of Mr. X's.", "-lrb- é 😀"]
    wrapper = PTBTokenizer().tokenize({index: [{"caption": text}] for index, text in enumerate(captions)})
    assert java_tokens(captions) == [wrapper[index][0] for index in range(len(captions))]


@pytest.mark.java
def test_line_separators_keep_captions_in_step(java: str) -> None:
    captions = [f"one{separator}two" for separator in "\n\r\x0b\x0c\x85\u2028\u2029"] + ["three"]
    assert java_tokens(captions) == ["one two"] * 7 + ["three"]
    assert [" ".join(tokenize(caption)) for caption in captions] == java_tokens(captions)


@pytest.mark.java
def test_spice_is_never_downloaded(java: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("something was to be downloaded")

    monkeypatch.setattr(urllib.request, "urlretrieve", refuse)
    models = importlib.import_module("pycocoevalcap.spice.get_stanford_models")
    monkeypatch.setattr(models, "urlretrieve", refuse)
    if oracles.why_not("spice") is None:
        pytest.skip("SPICE's models are installed")
    with pytest.raises(MmudError) as caught:
        score_with_pycocoevalcap(REFERENCES, CANDIDATES, ["spice"])
    assert caught.value.code.id == "MM859"
    assert caught.value.exit_code == ExitCode.MISSING_DEPENDENCY
    assert "stanford-corenlp-3.6.0" in caught.value.message
    assert "stanford-corenlp-3.6.0" in str(oracles.why_not("spice"))
    assert "stanford-corenlp-full-2015-12-09.zip" in str(caught.value.hint)


def test_a_scorer_that_is_none_is_a_mistake_of_usage() -> None:
    with pytest.raises(MmudError) as caught:
        score_with_pycocoevalcap(REFERENCES, CANDIDATES, ["metor"])
    assert (caught.value.code.id, caught.value.code.exit_code) == ("MM004", ExitCode.USAGE)


@pytest.mark.usefixtures("no_java")
@pytest.mark.parametrize("scorers", [["meteor"], ["spice"], ["cider"], None])
def test_without_java_the_remedy_is_named(scorers: list[str] | None) -> None:
    with pytest.raises(MmudError) as caught:
        score_with_pycocoevalcap(REFERENCES, CANDIDATES, scorers)
    assert caught.value.code.id == "MM859"
    assert caught.value.exit_code == ExitCode.MISSING_DEPENDENCY
    assert "Java" in caught.value.message
    assert "pip install" in caught.value.hint


def test_without_the_package_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracles, "package_folder", lambda: None)
    with pytest.raises(MmudError) as caught:
        score_with_pycocoevalcap(REFERENCES, CANDIDATES)
    assert caught.value.exit_code == ExitCode.MISSING_DEPENDENCY
    assert "pycocoevalcap is not installed" in caught.value.message


def test_a_program_called_java_that_does_not_run_is_no_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "java"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    oracles.java_works.cache_clear()
    try:
        assert not oracles.java_works()
        monkeypatch.setenv("PATH", str(tmp_path / "empty"))
        oracles.java_works.cache_clear()
        assert not oracles.java_works()
    finally:
        oracles.java_works.cache_clear()


def test_a_scorer_that_does_not_exist_is_refused() -> None:
    with pytest.raises(MmudError) as caught:
        score_with_pycocoevalcap(REFERENCES, CANDIDATES, ["bertscore"])
    assert "bertscore" in caught.value.message


def test_ids_are_checked_before_anything_runs() -> None:
    with pytest.raises(MmudError) as caught:
        score_with_pycocoevalcap(REFERENCES, {"a": "x"})
    assert caught.value.code.id == "MM850"


@pytest.mark.java
def test_references_without_a_word_are_refused_where_the_scorers_would_crash(java: str) -> None:
    with pytest.raises(MmudError) as caught:
        score_with_pycocoevalcap({"a": ["."], "b": [""]}, {"a": "x", "b": "y"})
    assert caught.value.code.id == "MM854"


def test_spice_answers_in_the_order_of_sorted_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its wrapper sorts the ids; the figures must come back to their images."""
    module = importlib.import_module("pycocoevalcap.spice.spice")
    figures = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4}

    def compute_score(gts: dict[str, list[str]], res: dict[str, list[str]]) -> tuple[float, list[dict[str, dict]]]:
        return 0.25, [{"All": {"f": figures[name]}} for name in sorted(gts)]

    monkeypatch.setattr(module, "Spice", lambda: SimpleNamespace(compute_score=compute_score))
    outcome = oracles._spice({name: ["x"] for name in REFERENCES}, {name: ["x"] for name in REFERENCES})
    np.testing.assert_array_equal(outcome["spice"][1], [figures[name] for name in REFERENCES])


def test_a_scorer_that_fails_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(expected: object, said: object) -> None:
        raise BrokenPipeError("the program ended")

    monkeypatch.setattr(oracles, "_bleu", fail)
    with pytest.raises(MmudError) as caught:
        oracles._run("bleu", {}, {})
    assert "the program ended" in caught.value.message
