"""The world as a source: records that the rest of the package, pycocotools and Pillow read."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from mmud.annotations import tags
from mmud.dataset.sources.base import SOURCES, Source
from mmud.dataset.sources.scenes import codes, generate
from mmud.dataset.sources.scenes.config import ScenesConfig
from mmud.dataset.sources.scenes.source import ScenesSource, split_of
from mmud.errors import MmudError
from mmud.records import Sample

ROOT = Path(__file__).resolve().parents[4]


def test_it_is_found_by_name_and_made_again_from_its_options() -> None:
    kind = SOURCES.get("scenes")
    assert kind is ScenesSource
    source = kind.from_options({"samples": 12, "seed": 5, "preset": "easy", "width": 96})
    again = kind.from_options(source.options())
    assert again.options() == source.options()
    assert list(again.items()) == list(source.items())
    assert isinstance(again, Source)
    item = list(source.items())[3]
    assert again.convert(item).sample == source.convert(item).sample


def test_a_worker_gets_a_copy() -> None:
    source = ScenesSource(ScenesConfig(seed=2), 3)
    copy = pickle.loads(pickle.dumps(source))
    item = next(iter(source.items()))
    assert copy.convert(item).sample == source.convert(item).sample


def test_items_name_scenes_and_split_them_by_fixed_shares() -> None:
    source = ScenesSource(ScenesConfig(seed=7, valid_share=0.1, test_share=0.2), 2000)
    items = list(source.items())
    assert [item.key for item in items[:2]] == ["scenes-7-000000", "scenes-7-000001"]
    assert len({item.key for item in items}) == len({item.group for item in items}) == 2000
    # Even at every length: no prefix is more than two samples off its share.
    seen: Counter[str] = Counter()
    for count, item in enumerate(items, start=1):
        seen[item.split or ""] += 1
        assert abs(seen["test"] - 0.2 * count) <= 2
        assert abs(seen["valid"] - 0.1 * count) <= 2
    later = ScenesSource(source.config, 10, first=500)
    assert list(later.items()) == items[500:510]


def test_shares_at_their_ends() -> None:
    everything = ScenesConfig(test_share=1.0, valid_share=0.0)
    assert {split_of(everything, index) for index in range(100)} == {"test"}
    nothing = ScenesConfig(test_share=0.0, valid_share=0.0)
    assert {split_of(nothing, index) for index in range(100)} == {"train"}


def test_a_sample_holds_the_scene() -> None:
    config = ScenesConfig(seed=9, width=120, height=90, max_objects=6)
    source = ScenesSource(config, 8)
    for item in source.items():
        converted = source.convert(item)
        sample, scene = converted.sample, generate(config, item.payload)
        assert converted.findings == []
        assert sample.sample_id == item.key
        assert (sample.width, sample.height) == (120, 90)
        with Image.open(io.BytesIO(sample.image_bytes())) as opened:
            assert (np.asarray(opened) == scene.image).all()
        assert len(sample.objects) == len(scene.objects)
        for thing, seen, phrases in zip(sample.objects, scene.objects, scene.phrases, strict=True):
            assert thing.segmentation is not None
            rle = {"size": list(thing.segmentation.size), "counts": thing.segmentation.counts}
            assert (coco.decode(rle).astype(bool) == scene.mask(seen.index)).all()
            assert coco.area(rle) == thing.area
            assert list(coco.toBbox(rle)) == list(thing.bbox)
            assert thing.phrases == phrases
            assert thing.category == seen.shape
        assert sample.question == scene.question.text
        assert tags.indices(sample.answer) == list(scene.question.targets)
        assert tags.problems(sample.answer, len(sample.objects)) == []
        assert Sample.from_row(sample.to_row()) == sample


@pytest.mark.parametrize("options", [{"samples": 0}, {"samples": "many"}, {"first": -1}, {"samples": True}])
def test_bad_numbers_of_samples(options: dict[str, object]) -> None:
    with pytest.raises(MmudError) as caught:
        ScenesSource.from_options(dict(options))
    assert caught.value.code is codes.SETTING_RANGE


def test_unknown_options_are_named() -> None:
    with pytest.raises(MmudError, match="'smaples'") as caught:
        ScenesSource.from_options({"smaples": 3})
    assert caught.value.code is codes.UNKNOWN_SETTING


def test_codes_load_without_numpy() -> None:
    program = "import sys, mmud.dataset.sources.scenes.codes as c; print(c.NO_QUESTION.id, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["MM774", "False"]
