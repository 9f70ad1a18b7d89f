"""Comparing systems: identical ones, better ones, ones that cannot be compared; and where they differ most."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmud.cli import run
from mmud.errors import MmudError
from mmud.evaluators.comparison import compare_rows
from mmud.evaluators.comparison_report import markdown
from mmud.evaluators.evaluation import evaluate
from mmud.records import Task

REFERRING, REASONING, CAPTIONING = "referring_segmentation", "reasoning_segmentation", "captioning"


@pytest.fixture(scope="module")
def rows(made: Any) -> dict[str, Any]:
    folders = {"oracle": made.oracle, "perturbed": made.perturbed, "worse": made.worse}
    return {name: evaluate(folder, made.dataset, replicates=0).rows for name, folder in folders.items()}


def test_identical_systems_give_p_one_everywhere(rows: dict[str, Any]) -> None:
    found = compare_rows(rows["perturbed"], rows["perturbed"])
    for task, metrics in found.tasks.items():
        for name, one in metrics.items():
            if one.result.first is not None and name not in ("distinct_1", "distinct_2"):
                assert one.result.p == 1.0, (task, name)
                assert one.result.difference == one.result.low == one.result.high == 0.0
            assert not one.wins
            assert not one.losses
            assert one.different == []
        assert next(iter(metrics.values())).p_holm == 1.0


def test_a_better_system_is_found_better(rows: dict[str, Any]) -> None:
    found = compare_rows(rows["worse"], rows["perturbed"])
    for task, metric in ((REFERRING, "gIoU"), (REASONING, "gIoU"), (CAPTIONING, "cider_d")):
        one = found.tasks[task][metric]
        assert one.result.difference is not None
        assert one.result.difference > 0
        assert one.result.low is not None
        assert one.result.low > 0
        assert one.result.p is not None
        assert one.result.p < 0.01
        assert one.wins is not None
        assert one.ties is not None
        assert one.losses is not None
        assert one.wins > one.losses
        assert one.wins + one.ties + one.losses == 30
    primary = [next(iter(metrics.values())) for metrics in found.tasks.values()]
    for one in primary:
        assert one.p_holm is not None
        assert one.result.p is not None
        assert one.p_holm >= one.result.p


def test_turned_round_everything_changes_sign(rows: dict[str, Any]) -> None:
    forward, back = compare_rows(rows["worse"], rows["perturbed"]), compare_rows(rows["perturbed"], rows["worse"])
    one, other = forward.tasks[REFERRING]["gIoU"], back.tasks[REFERRING]["gIoU"]
    assert one.result.difference == -(other.result.difference or 0)
    assert (one.wins, one.losses) == (other.losses, other.wins)
    assert [sample.sample_id for sample in one.different] == [sample.sample_id for sample in other.different]


def test_differences_are_those_of_the_scores(rows: dict[str, Any], made: Any) -> None:
    first, second = (evaluate(folder, made.dataset).scores["tasks"] for folder in (made.worse, made.perturbed))
    found = compare_rows(rows["worse"], rows["perturbed"])
    for task, metrics in found.tasks.items():
        for name, one in metrics.items():
            assert one.result.first == first[task]["metrics"][name]["value"]
            assert one.result.second == second[task]["metrics"][name]["value"]


def test_the_samples_that_differ_most_are_the_ones(rows: dict[str, Any]) -> None:
    found = compare_rows(rows["oracle"], rows["worse"]).tasks[REFERRING]["gIoU"].different
    sizes = [abs(sample.difference) for sample in found]
    assert len(found) == 10
    assert sizes == sorted(sizes, reverse=True)
    assert all(sample.first == 1.0 for sample in found)
    assert all(sample.second - sample.first == sample.difference for sample in found)


def test_a_lower_figure_wins_where_lower_is_better(rows: dict[str, Any]) -> None:
    one = compare_rows(rows["worse"], rows["perturbed"]).tasks[CAPTIONING]
    assert one["empty_share"].metric.higher_is_better is False
    assert one["words"].wins is None


def test_what_cannot_be_compared_is_refused(rows: dict[str, Any], made: Any, tmp_path: Path) -> None:
    from made_samples import make_dataset

    from mmud.baselines.floors.labels import Oracle
    from mmud.baselines.predicting import write_predictions

    other = make_dataset(tmp_path / "other", seed=9)
    write_predictions(tmp_path / "p", other, Oracle(), tasks=[Task.CAPTIONING])
    strange = evaluate(tmp_path / "p", other).rows
    by_tag = evaluate(made.perturbed, made.dataset, match="tag").rows
    fewer = evaluate(made.perturbed, made.dataset, limit=10).rows
    for second in (strange, by_tag, fewer):
        with pytest.raises(MmudError, match="MM824"):
            compare_rows(rows["oracle"], second)
    with pytest.raises(MmudError, match="MM821"):
        compare_rows(rows["oracle"], rows["worse"], protocol="official")
    with pytest.raises(MmudError, match="MM824"):
        compare_rows(rows["oracle"], rows["worse"], metrics=["nothing"])


def test_any_protocol_can_be_compared(made: Any) -> None:
    a, b = (
        evaluate(folder, made.dataset, protocol="all", replicates=0).rows for folder in (made.worse, made.perturbed)
    )
    mmud, rela = compare_rows(a, b), compare_rows(a, b, protocol="rela")
    assert mmud.tasks[REFERRING]["gIoU"].result.first != rela.tasks[REFERRING]["gIoU"].result.first


def test_markdown(rows: dict[str, Any]) -> None:
    text = markdown(compare_rows(rows["worse"], rows["perturbed"], names=("a|b", "perturbed")))
    lines = text.splitlines()
    tables = [line for line in lines if line.startswith("|")]
    assert "a\\|b" in text
    assert len({line.replace("\\|", "").count("|") for line in tables if "gIoU" in line or "cIoU" in line}) == 1
    assert "### captioning (30 samples)" in text


def test_the_command(made: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", str(made.dataset.path)]
    systems = [str(made.perturbed), str(made.oracle), str(made.worse)]
    assert run(["compare", *systems, *data, "--json", "--permutations", "200"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["first"], one["second"]) for one in found["comparisons"]] == [
        ("perturbed", "oracle"),
        ("perturbed", "worse"),
    ]
    for system in systems[:2]:
        assert run(["evaluate", system, *data, "-o", f"{system}.out", "-q"]) == 0
    capsys.readouterr()
    outputs = [f"{system}.out" for system in systems[:2]]
    report = tmp_path / "report.md"
    assert run(["compare", *outputs, "-o", str(report), "--tasks", REFERRING]) == 0
    assert capsys.readouterr().out.strip() == report.read_text().strip()
    assert "gIoU" in report.read_text()
    assert run(["compare", *outputs, "-o", str(report)]) == 2
    assert run(["compare", outputs[0]]) == 2
    assert run(["compare", *systems[:2]]) == 2
