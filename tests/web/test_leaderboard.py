"""Leaderboards: ranks follow the tests, failed and partial entries never rank, and hostile names stay text everywhere."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mmud.baselines.base import Baseline
from mmud.baselines.floors.constant import Empty
from mmud.baselines.floors.labels import Oracle
from mmud.baselines.floors.perturbed import Perturbed
from mmud.baselines.predicting import write_predictions
from mmud.cli import run
from mmud.dataset.build import build
from mmud.dataset.recipe import Recipe
from mmud.dataset.store import Dataset
from mmud.errors import MmudError
from mmud.evaluators.leaderboard.adding import add_submission
from mmud.evaluators.leaderboard.board import entries, read_board
from mmud.evaluators.leaderboard.ranking import standings
from mmud.evaluators.leaderboard.tables import latex_text, make_table, to_csv, to_latex, to_markdown
from mmud.records import Task
from mmud.web.leaderboard import Presentation, Tile, render_board

SCENES = {"type": "scenes", "samples": 60, "seed": 5, "width": 64, "height": 64, "max_objects": 4}
HOSTILE = '=1+1 </script><script>document.title="x"</script> & 100%_{}|'


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("board")
    report = build(Recipe(sources=(SCENES,), split={"train": 0.5, "test": 0.5}), folder / "scenes")
    assert report.dataset is not None
    return report.dataset


def submission(folder: Path, dataset: Dataset, baseline: Baseline, name: str, **more: Any) -> Path:
    path = write_predictions(folder / name[:20].replace("/", "_").strip(), dataset, baseline, name=name)
    manifest = json.loads((path / "submission.json").read_text("utf-8"))
    (path / "submission.json").write_text(json.dumps({**manifest, **more}), "utf-8")
    return path


@pytest.fixture(scope="module")
def board(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("entries")
    target = folder / "board"
    systems: list[tuple[str, Baseline, dict[str, Any]]] = [
        (
            "oracle",
            Oracle(),
            {"authors": ["A. Author"], "system": {"parameters": 10, "trainable_parameters": {"captioning": 3, "b": 4}}},
        ),
        ("slightly spoilt", Perturbed({"strength": 0.1}, 1), {"system": {"throughput": {"captioning": 12.5}}}),
        ("spoilt the same", Perturbed({"strength": 0.1}, 2), {}),
        ("badly spoilt", Perturbed({"strength": 0.5}, 3), {}),
        ("empty", Empty(), {}),
    ]
    for name, baseline, more in systems:
        add_submission(target, submission(folder, dataset, baseline, name, **more), dataset, title="A board")
    broken = submission(folder, dataset, Oracle(), HOSTILE)
    lines = (broken / "captioning.jsonl").read_text("utf-8").splitlines()
    (broken / "captioning.jsonl").write_text("\n".join(lines[1:]) + "\n", "utf-8")
    assert add_submission(target, broken, dataset).entry.status == "failed"
    partial = shutil.copytree(broken, folder / "partial")
    (partial / "submission.json").write_text(json.dumps({"name": "partial oracle"}), "utf-8")
    assert add_submission(target, partial, dataset, allow_partial=True).entry.status == "partial"
    return target


def test_ranks_follow_the_tests(board: Path) -> None:
    whole = {one.entry.name: one.rows() for one in entries(board) if one.entry.status == "ranked"}
    for task in (Task.REFERRING_SEGMENTATION, Task.CAPTIONING):
        metric = read_board(board).primary[task]
        found = standings(whole, task, metric)
        assert [found["oracle"].best, found["oracle"].worst] == [1, 1]
        assert found["badly spoilt"].best >= 4
    referring = standings(whole, Task.REFERRING_SEGMENTATION, "gIoU")
    assert (referring["empty"].best, referring["empty"].worst) == (5, 5)
    # Two systems spoilt alike cannot be told apart: both may be second or third.
    for name in ("slightly spoilt", "spoilt the same"):
        assert (referring[name].best, referring[name].worst) == (2, 3)
    turned = dict(reversed(whole.items()))
    assert standings(turned, Task.REFERRING_SEGMENTATION, "gIoU") == referring


def test_identical_systems_share_every_place(board: Path) -> None:
    rows = next(one.rows() for one in entries(board) if one.entry.name == "badly spoilt")
    found = standings({"a": rows, "b": rows, "c": rows}, Task.REFERRING_SEGMENTATION, "gIoU")
    assert {(one.rank, one.best, one.worst) for one in found.values()} == {(1, 1, 3)}


def test_failed_and_partial_never_rank_and_move_nobody(board: Path) -> None:
    table = make_table(read_board(board), entries(board))
    assert table.ranked[0].loaded.entry.name == "oracle"
    assert table.ranked[0].mean_rank == 1.0
    assert [row.loaded.entry.name for row in table.ranked][-1] == "empty"
    reasons = {row.loaded.entry.name: row.loaded.entry.reason for row in table.unranked}
    assert reasons.keys() == {HOSTILE.strip(), "partial oracle"}
    assert "MM801" in reasons[HOSTILE.strip()]
    assert reasons["partial oracle"] == "captioning: 1 of 30 samples have no prediction"
    ranked_only = [one for one in entries(board) if one.entry.status == "ranked"]
    assert [row.mean_rank for row in make_table(read_board(board), ranked_only).ranked] == [
        row.mean_rank for row in table.ranked
    ]


def test_tables_hold_hostile_names_as_text(board: Path) -> None:
    table = make_table(read_board(board), entries(board))
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert len(rows) == 7
    assert rows[0]["system"] == "oracle"
    assert rows[0]["trainable_parameters"] == "7"
    assert (rows[0]["captioning_trainable_parameters"], rows[0]["referring_trainable_parameters"]) == ("3", "")
    rates = {row["system"]: row["captioning_samples_per_second"] for row in rows}
    assert rates["slightly spoilt"] == "12.5"
    hostile = next(row for row in rows if "script" in row["system"])
    # A spreadsheet would take a text that begins with = for a formula.
    assert hostile["system"].startswith("'=1+1")
    assert hostile["mean_rank"] == ""
    markdown = to_markdown(table)
    assert "<script>" not in markdown.replace("\\<", "")
    assert markdown.splitlines()[2].startswith("| oracle | 1.0000 \\[1.0000, 1.0000\\] | 1 |")
    latex = to_latex(table)
    assert r"\textbf{1.0000}" in latex
    assert latex.count(r"\\") == 6
    assert latex_text("a_b & 50% {x} ~ \\") == r"a\_b \& 50\% \{x\} \textasciitilde{} \textbackslash{}"
    assert latex_text("<b>|") == r"\textless{}b\textgreater{}\textbar{}"


def test_pages_render_offline_with_drawn_samples(board: Path, dataset: Dataset, tmp_path: Path) -> None:
    files = render_board(board, tmp_path / "site", dataset)
    names = {file.relative_to(tmp_path / "site").as_posix() for file in files}
    assert {"index.html", "leaderboard.csv", "leaderboard.md", "leaderboard.tex", "systems/oracle.html"} <= names
    page = (tmp_path / "site" / "index.html").read_text("utf-8")
    assert '"trainableFor": {"captioning": 3}' in page
    assert "<script>document" not in page
    assert "://" not in page.replace("http://www.w3.org/2000/svg", "")
    drawn = (tmp_path / "site" / "systems" / "badly-spoilt.html").read_text("utf-8")
    assert drawn.count('"Predicted caption"') == 8
    assert "best of referring segmentation" in drawn
    again = render_board(board, tmp_path / "again", dataset)
    assert [file.read_bytes() for file in files] == [file.read_bytes() for file in again]


def test_what_a_page_says_besides_is_text(board: Path, dataset: Dataset, tmp_path: Path) -> None:
    """Tiles, lines and links reach the page as data; a browser's own reading of them is in the demo's screenshots."""
    lines = {"oracle": {Task.CAPTIONING: [HOSTILE]}}
    presentation = Presentation(
        tiles=[Tile(HOSTILE, 0.5, 0.25, 0.75, note="a floor", aim="aim 0.4", reached=True), Tile("none", None)],
        tiles_title=HOSTILE,
        about={"oracle": HOSTILE},
        badges={"oracle": "ceiling"},
        beneath=lines,
        marked="oracle",
        links=[(HOSTILE, "other.html")],
    )
    render_board(board, tmp_path / "site", dataset, presentation=presentation)
    page = (tmp_path / "site" / "index.html").read_text("utf-8")
    assert "<script>document" not in page
    data = json.loads(page.partition('id="data"')[2].partition(">")[2].partition("</script>")[0])
    assert data["tiles"][0] == {
        "title": HOSTILE,
        "value": 0.5,
        "low": 0.25,
        "high": 0.75,
        "note": "a floor",
        "aim": "aim 0.4",
        "reached": True,
    }
    (oracle,) = [row for row in data["ranked"] if row["name"] == "oracle"]
    assert (oracle["about"], oracle["badge"], oracle["marked"]) == (HOSTILE, "ceiling", True)
    assert oracle["cells"]["captioning"]["beneath"] == [HOSTILE]
    assert [row["marked"] for row in data["ranked"]].count(True) == 1
    assert data["links"] == [[HOSTILE, "other.html"]]


def test_what_cannot_be_compared_is_refused(board: Path, dataset: Dataset, tmp_path: Path) -> None:
    other = build(Recipe(sources=({**SCENES, "seed": 6},), split={"test": 1.0}), tmp_path / "other").dataset
    assert other is not None
    strange = submission(tmp_path, other, Oracle(), "strange")
    with pytest.raises(MmudError, match="MM841"):
        add_submission(board, strange, other, split="test")
    with pytest.raises(MmudError, match="MM842"):
        add_submission(board, submission(tmp_path, dataset, Oracle(), "oracle"), dataset)
    with pytest.raises(MmudError, match="MM840"):
        render_board(tmp_path, tmp_path / "site")


def test_the_command_line(dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = submission(tmp_path, dataset, Perturbed(seed=1), "one")
    data = ["--data", str(dataset.path), "-q"]
    assert run(["leaderboard", "add", str(tmp_path / "b"), str(path), *data, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "ranked"
    assert run(["leaderboard", "add", str(tmp_path / "b"), str(path), *data]) == 2
    assert run(["leaderboard", "add", str(tmp_path / "b"), str(path), *data, "--force"]) == 0
    assert run(["leaderboard", "render", str(tmp_path / "b"), *data]) == 0
    assert (tmp_path / "b" / "site" / "index.html").exists()
    (path / "captioning.jsonl").write_text("", "utf-8")
    (path / "submission.json").write_text('{"name": "two"}')
    assert run(["leaderboard", "add", str(tmp_path / "b"), str(path), *data]) == 5
