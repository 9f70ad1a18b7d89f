"""The demo's own small parts: shares of tags, figures beside aims, and what an earlier demo left."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from mmud.annotations.masks import Mask
from mmud.demo.building import OF_DATASET, OF_SYSTEMS, settle
from mmud.demo.emission import counted, share_of, wilson
from mmud.demo.outcome import Figure, outcome
from mmud.demo.plan import DEFAULT, FULL, QUICK, SYSTEMS, Places
from mmud.demo.scoring import Scored
from mmud.errors import MmudError
from mmud.records import MaskedObject, PredictedMask, Prediction, Sample, Task

REVIEW = "annotation/filtered.review.jsonl"


@pytest.mark.parametrize(("right", "cases"), [(0, 32), (32, 32), (31, 32), (295, 300), (1, 2)])
def test_the_interval_of_a_share_is_scipys_wilson_interval(right: int, cases: int) -> None:
    found = binomtest(right, cases).proportion_ci(method="wilson")
    assert wilson(right, cases) == pytest.approx((found.low, found.high), abs=1e-12)


def test_shares_are_over_cases_not_over_samples() -> None:
    share = share_of([(4, 4), (1, 0), (0, 0)], seed=0)
    assert (share.value, share.n) == (0.8, 5)
    assert share.low is not None
    assert share.high is not None
    assert 0.0 <= share.low <= 0.8 <= share.high <= 1.0
    assert share_of([], seed=0).value is None
    assert share_of([(0, 0)], seed=0).n == 0


def test_cases_that_want_a_tag() -> None:
    segmentation = Mask.from_array(np.eye(4, dtype=np.uint8)).to_record()
    drawn, none = PredictedMask(tag=1, segmentation=segmentation), PredictedMask()
    named = MaskedObject(phrases=("a",), segmentation=segmentation)
    sample = Sample(
        sample_id="1",
        source="here",
        width=4,
        height=4,
        answer="That is <LCL-2>.",
        objects=(named, named, MaskedObject(phrases=("b",))),
    )
    referring = Prediction(sample_id="1", task=Task.REFERRING_SEGMENTATION, masks=(drawn, none, none))
    # The third object has no mask of its own and is asked of nobody.
    assert counted(sample, referring) == (2, 1)
    reasoning = Prediction(sample_id="1", task=Task.REASONING_SEGMENTATION, masks=(drawn,))
    assert counted(sample, reasoning) == (1, 1)
    assert counted(sample, reasoning.model_copy(update={"masks": ()})) == (1, 0)
    plain = sample.model_copy(update={"answer": "Nothing there."})
    assert counted(plain, reasoning) == (0, 0)


def test_aims_know_which_way_is_better() -> None:
    assert Figure("a", 0.6, None, None, aim=0.6).reached is True
    assert Figure("a", 0.59, None, None, aim=0.6).reached is False
    assert Figure("d", 3.0, None, None, higher=False, aim=2.9).reached is False
    assert Figure("d", None, None, None, aim=1.0).reached is None
    assert Figure("d", 3.0, 2.5, 3.5, floor=20.0, floor_name="mean-image").text().split() == (
        ["d", "3.000", "[2.500,", "3.500]", "floor", "20.000", "(mean-image)"]
    )


def scored(name: str, referring: float, distance: float | None = None) -> Scored:
    tasks = {"referring_segmentation": {"metrics": {"gIoU": {"value": referring, "low": None, "high": None}}}}
    if distance is not None:
        tasks["generation"] = {"metrics": {"frechet_distance": {"value": distance, "low": None, "high": None}}}
    return Scored(name, {"tasks": tasks})


def test_figures_stand_beside_the_best_floor_and_no_ceiling() -> None:
    everyone = [
        scored("neural-tuning", 0.7, 9.0),
        scored("union", 0.2),
        scored("empty", 0.0),
        scored("oracle", 1.0, 0.0),
    ]
    everyone.append(scored("mean-image", 0.0, 50.0))
    table = {one.name: one for one in everyone}
    figures = {figure.title: figure for figure in outcome(table["neural-tuning"], table)}
    assert (figures["referring gIoU"].floor, figures["referring gIoU"].floor_name) == (0.2, "union")
    assert figures["referring gIoU"].reached is True
    distance = figures["drawn images, Fréchet distance"]
    assert (distance.floor, distance.aim, distance.reached) == (50.0, 10.0, True)
    assert all(figure.aim is None for figure in outcome(table["neural-tuning"], table, aims=False))


def test_another_plan_removes_what_does_not_fit(tmp_path: Path) -> None:
    def fill() -> None:
        for name in (*OF_DATASET, *OF_SYSTEMS):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            if "." in name.rpartition("/")[2]:
                (tmp_path / name).write_text("{}")
            else:
                (tmp_path / name).mkdir(exist_ok=True)

    def there() -> set[str]:
        return {name for name in (*OF_DATASET, *OF_SYSTEMS, "mine.txt", REVIEW) if (tmp_path / name).exists()}

    said: list[str] = []
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "annotation").mkdir()
    # What `mmud review` keeps of a person's decisions on the demo's labels.
    (tmp_path / REVIEW).write_text("{}")
    settle(tmp_path, QUICK.dataset_settings(0), None, said.append)
    fill()
    settle(tmp_path, QUICK.dataset_settings(0), None, said.append)
    assert there() == {*OF_DATASET, *OF_SYSTEMS, "mine.txt", REVIEW}
    assert not said
    settle(tmp_path, QUICK.dataset_settings(0), {"options": QUICK.training_options()}, said.append)
    assert there() == {*OF_DATASET, "mine.txt", REVIEW}
    fill()
    settle(tmp_path, DEFAULT.dataset_settings(0), {"options": QUICK.training_options()}, said.append)
    assert there() == {"mine.txt", REVIEW}
    assert len(said) == 2
    # A demo of a version that left no plan is another one.
    fill()
    (tmp_path / "demo-plan.json").unlink()
    (tmp_path / "demo.json").write_text(json.dumps({}))
    settle(tmp_path, DEFAULT.dataset_settings(0), None, said.append)
    assert there() == {"mine.txt", REVIEW}


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(MmudError, match=r"MM003.*run, and no demo made"):
        settle(tmp_path, QUICK.dataset_settings(0), None, print)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_training_is_not_removed_where_it_cannot_be_made_again(tmp_path: Path) -> None:
    both = {"options": FULL.training_options(), "arms": ["neural-tuning", "lora"]}
    settle(tmp_path, FULL.dataset_settings(0), both, print)
    (tmp_path / "run").mkdir()
    for less in (None, {**both, "arms": ["neural-tuning"]}):
        with pytest.raises(MmudError, match=r"MM003.*lora.*no peft"):
            settle(tmp_path, FULL.dataset_settings(0), less, print, "no peft")
    assert (tmp_path / "run").exists()
    # Another demo, which somebody asked for, is another matter.
    settle(tmp_path, DEFAULT.dataset_settings(0), {**both, "arms": ["neural-tuning"]}, print)
    assert not (tmp_path / "run").exists()


def test_plans_name_what_exists(tmp_path: Path) -> None:
    """Options are those that the baselines take, and only the full demo trains more than one arm."""
    from mmud.baselines.base import BASELINES
    from mmud.baselines.run_folder import make_baseline

    for plan in (QUICK, DEFAULT, FULL):
        for arm in plan.arms:
            assert make_baseline(arm, {**plan.training_options(), **plan.predicting}, 0).needs_fitting
    assert (len(QUICK.arms), len(DEFAULT.arms), len(FULL.arms)) == (1, 1, 3)
    assert set(SYSTEMS) <= set(BASELINES.names())
    assert Places(tmp_path, "union").predictions("union") == tmp_path / "predictions"
    assert Places(tmp_path, "union").run("lora") == tmp_path / "others" / "lora" / "run"
