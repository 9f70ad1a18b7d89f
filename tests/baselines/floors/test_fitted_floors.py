"""Floors that learn a little; each is compared with a plain computation of the same thing by numpy, Pillow or Counter."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmud.annotations import tags
from mmud.annotations.masks import Mask
from mmud.baselines.base import Baseline, FitRun
from mmud.baselines.floors.constant import centre_box
from mmud.baselines.floors.mean_image import MeanImage
from mmud.baselines.floors.most_frequent import MostFrequentCaption, most_frequent
from mmud.baselines.floors.nearest import TextIndex, nearest
from mmud.baselines.floors.retrieval import Retrieval
from mmud.baselines.predicting import write_predictions
from mmud.dataset.store import Dataset
from mmud.dataset.writer import write_dataset
from mmud.errors import MmudError
from mmud.evaluators.evaluation import evaluate
from mmud.records import ImageReference, MaskedObject, Sample, Task


def fitted(
    kind: type[Baseline], dataset: Dataset, folder: Path, options: dict[str, Any] | None = None, **run: Any
) -> Any:
    """Fitted, saved, and loaded into a new instance, as it is used."""
    (folder / "work").mkdir(parents=True)
    (folder / "model").mkdir()
    first = kind(options)
    first.fit(dataset, FitRun(folder / "work", **run))
    first.save(folder / "model")
    second = kind(options)
    second.load(folder / "model")
    return second


def pixels_of(data: bytes | None) -> np.ndarray:
    assert data is not None
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def picture(value: int, height: int, width: int) -> bytes:
    stream = io.BytesIO()
    generator = np.random.default_rng(value)
    Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def sample(number: int, height: int = 8, width: int = 10, **fields: Any) -> Sample:
    image = ImageReference(bytes=picture(number, height, width), path=f"{number}.png")
    return Sample(sample_id=f"s{number}", image=image, height=height, width=width, source="made", **fields)


@given(st.integers(1, 60), st.integers(1, 60), st.floats(0.01, 1.0))
def test_a_centre_box_is_what_numpy_draws(height: int, width: int, fraction: float) -> None:
    expected = np.zeros((height, width), dtype=np.uint8)
    tall, wide = max(1, round(height * fraction)), max(1, round(width * fraction))
    top, left = (height - tall) // 2, (width - wide) // 2
    expected[top : top + tall, left : left + wide] = 1
    found = Mask.of(centre_box(height, width, fraction))
    assert np.array_equal(found.decode(), expected)
    assert found == Mask.from_array(expected)


def test_the_mean_image_is_the_mean(scenes: Dataset, tmp_path: Path) -> None:
    floor = fitted(MeanImage, scenes, tmp_path)
    stack = np.stack([pixels_of(one.image_bytes()) for one in scenes.samples("train", images=True)])
    exact = stack.astype(np.float64).mean(axis=0)
    drawn = pixels_of(floor.answer(scenes.first("test"), Task.GENERATION).image)
    assert np.abs(drawn - exact).max() <= 0.5
    other = Sample(sample_id="x", height=30, width=50, source="made", caption="a")
    assert pixels_of(floor.answer(other, Task.GENERATION).image).shape == (30, 50, 3)


def test_only_the_commonest_sizes_have_a_mean_of_their_own(tmp_path: Path) -> None:
    samples = [sample(number, *((8, 10) if number % 3 else (6, 6)), caption="x") for number in range(6)]
    dataset = write_dataset(tmp_path / "d", {"train": samples}, images="embed")
    floor = fitted(MeanImage, dataset, tmp_path, {"sizes": 1})
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["8x10.png", "common.png", "means.json"]
    mean = np.stack([pixels_of(one.image.bytes) for one in samples if one.height == 8]).astype(float).mean(axis=0)
    assert np.abs(pixels_of(floor.answer(samples[1], Task.GENERATION).image) - mean).max() <= 0.5
    (tmp_path / "model" / "common.png").write_bytes(b"no image")
    with pytest.raises(MmudError, match="MM904"):
        MeanImage().load(tmp_path / "model")


def test_the_most_frequent_texts(tmp_path: Path) -> None:
    captions = ["a dog", "two  cats", "two cats", "a dog", "two cats "]
    answers = ["The dog <LCL-1>.", "The dog <LCL-2>.", "Nothing.", "", "It is a cat <LCL-1>"]
    samples = [
        sample(number, caption=caption, question="?", answer=answer)
        for number, (caption, answer) in enumerate(zip(captions, answers, strict=True))
    ]
    dataset = write_dataset(tmp_path / "d", {"train": samples}, images="embed")
    floor = fitted(MostFrequentCaption, dataset, tmp_path)
    assert floor.answer(samples[0], Task.CAPTIONING).prediction.caption == "two cats"
    reasoning = floor.answer(samples[0], Task.REASONING_SEGMENTATION).prediction
    assert (reasoning.answer, reasoning.masks) == ("The dog.", ())
    assert not tags.parse(reasoning.answer)
    blank = write_dataset(tmp_path / "blank", {"train": [sample(0)]}, images="embed")
    with pytest.raises(MmudError, match="MM947"):
        MostFrequentCaption().fit(blank, FitRun(tmp_path))


def test_ties_go_to_the_usual_length() -> None:
    assert most_frequent(Counter(["a", "a b c d e f g", "a b c", "x y z"])) == ("a b c", 1)


@given(st.integers(0, 2**32 - 1))
def test_the_nearest_is_the_nearest_and_the_first(seed: int) -> None:
    generator = np.random.default_rng(seed)
    known = generator.integers(0, 256, (30, 432), dtype=np.uint8)
    known[20:] = known[:10]  # every one of these has an equal before it
    queries = np.concatenate([known[15:25], generator.integers(0, 256, (5, 432), dtype=np.uint8)])
    exact = ((queries[:, None].astype(np.int64) - known[None].astype(np.int64)) ** 2).sum(axis=2)
    assert nearest(queries, known).tolist() == exact.argmin(axis=1).tolist()


def test_blocks_do_not_change_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    known, queries = (generator.integers(0, 4, (count, 12), dtype=np.uint8) for count in (100, 40))
    whole = nearest(queries, known)
    monkeypatch.setattr("mmud.baselines.floors.nearest._BLOCK", 7)
    assert nearest(queries, known).tolist() == whole.tolist()


def test_captions_are_found_by_their_rare_words() -> None:
    index = TextIndex(["a red star", "a blue moon", "a red moon and a star", ""])
    assert index.nearest("The RED star!") == 0
    assert index.nearest("blue") == 1
    assert index.nearest("words that nobody said") == 0


def test_retrieval_finds_a_training_sample_itself(scenes: Dataset, tmp_path: Path) -> None:
    """Asked about the samples it was fitted on, the nearest is the sample itself, and the score is the oracle's."""
    system = fitted(Retrieval, scenes, tmp_path)
    folder = write_predictions(tmp_path / "p", scenes, system, split="train")
    scores = evaluate(folder, scenes, split="train")
    for task in ("referring_segmentation", "reasoning_segmentation"):
        assert scores.value(task, "gIoU") == pytest.approx(1.0, abs=0.1 if task.startswith("referring") else 0.0)
    assert scores.value("captioning", "cider_d") == pytest.approx(10.0)
    first = scenes.first("train", images=True)
    image = next(system.predict(iter([first]), Task.GENERATION)).image
    assert np.array_equal(pixels_of(image), pixels_of(first.image_bytes()))


def test_retrieved_masks_take_the_asked_size(tmp_path: Path) -> None:
    array = np.zeros((8, 10), dtype=np.uint8)
    array[2:6, 3:9] = 1
    labels = (
        MaskedObject(phrases=("red dog",), segmentation=Mask.from_array(np.ones_like(array)).to_record()),
        MaskedObject(phrases=("old cat", "grey cat"), segmentation=Mask.from_array(array).to_record()),
        MaskedObject(phrases=("grey cat",)),
    )
    answer = "The cat <LCL-2> and <LCL-3> and <LCL-9>."
    known = sample(0, caption="c", question="q", answer=answer, objects=labels)
    dataset = write_dataset(tmp_path / "d", {"train": [known]}, images="embed")
    system = fitted(Retrieval, dataset, tmp_path)
    asked = sample(1, 31, 17, objects=(MaskedObject(phrases=("the grey cat",)), MaskedObject()))
    referring = next(system.predict(iter([asked]), Task.REFERRING_SEGMENTATION)).prediction
    expected = np.asarray(Image.fromarray(array).resize((17, 31), Image.Resampling.NEAREST))
    assert referring.masks[0].segmentation is not None
    assert np.array_equal(Mask.of(referring.masks[0].segmentation).decode(), expected)
    assert referring.masks[1].segmentation is None
    reasoning = next(system.predict(iter([asked]), Task.REASONING_SEGMENTATION)).prediction
    assert [mask.tag for mask in reasoning.masks] == [2]
    assert next(system.predict(iter([asked]), Task.CAPTIONING)).prediction.caption == "c"


def test_thumbnails_are_bounded_and_damage_is_named(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", {"train": [sample(0, 40, 80, caption="c")]}, images="embed")
    system = fitted(Retrieval, dataset, tmp_path, {"thumbnail": 20})
    image = next(system.predict(iter([sample(1, caption="c")]), Task.GENERATION)).image
    assert pixels_of(image).shape == (10, 20, 3)
    model = tmp_path / "model"
    np.save(model / "descriptors.npy", np.zeros((2, 432), dtype=np.uint8))
    with pytest.raises(MmudError, match="MM904"):
        Retrieval().load(model)
    np.save(model / "descriptors.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(MmudError, match="MM904"):
        Retrieval().load(model)
    (model / "neighbours.arrow").write_bytes(b"ARROW1 cut off")
    with pytest.raises(MmudError, match="MM904"):
        Retrieval().load(model)
