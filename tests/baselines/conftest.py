"""A small synthetic world with labels for all four tasks, built once; and real images as `mmud build` makes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmud.cli import run
from mmud.dataset.build import build
from mmud.dataset.recipe import Recipe
from mmud.dataset.store import Dataset

SCENES = {"type": "scenes", "samples": 60, "seed": 5, "width": 64, "height": 64, "max_objects": 4}


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("world") / "scenes"
    report = build(Recipe(sources=(SCENES,), split={"train": 0.6, "valid": 0.1, "test": 0.3}), folder)
    assert report.dataset is not None
    return report.dataset


@pytest.fixture(scope="session")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    """mini_refcoco (three sets joined) and the validation half of coco_mini, as `mmud build` makes them."""
    root = tmp_path_factory.mktemp("real")
    refs, coco = shared_data / "mini_refcoco", shared_data / "coco_mini"
    sets = [argument for name in ("refcoco", "refcoco+", "refcocog") for argument in ("--dataset", name)]
    layout = ["--instances", str(refs / "instances.json"), "--captions", str(refs / "captions.json")]
    images = ["--images", str(refs / "images"), "-o", str(root / "refs"), "-q"]
    assert run(["build", "refer", str(refs), *sets, *layout, *images]) == 0
    annotations = coco / "annotations"
    files = ["--instances", str(annotations / "instances_val2017.json")]
    files += ["--captions", str(annotations / "captions_val2017.json"), "--images", str(coco / "val2017")]
    assert run(["build", "coco", *files, "--set", "split=test", "-o", str(root / "coco"), "-q"]) == 0
    return {"mini_refcoco": Dataset(root / "refs"), "coco_mini": Dataset(root / "coco")}
