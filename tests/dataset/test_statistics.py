"""Statistics against pandas, which computes the same figures from the whole table at once, and against published counts."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from real_samples import coco_mini

from mmud.annotations.masks import Mask
from mmud.dataset.statistics.collect import collect
from mmud.dataset.statistics.plots import bin_edges, binned, nice_ticks, write_plots
from mmud.dataset.statistics.tally import Tally
from mmud.dataset.store import Dataset
from mmud.dataset.writer import write_dataset
from mmud.errors import MmudError
from mmud.records import MaskedObject, Sample

QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}


def made(count: int, seed: int = 3) -> Iterator[Sample]:
    """Samples with every oddity that counting could trip over: no objects, no texts, strange white space, crowds, no mask."""
    generator = np.random.default_rng(seed)
    mask = Mask.full(30, 40).to_record()
    for number in range(count):
        objects = tuple(
            MaskedObject(
                phrases=tuple("the  red\u00a0dog"[: 3 + k] for k in range(generator.integers(0, 4))),
                segmentation=mask if generator.random() < 0.8 else None,
                area=float(generator.choice([0.0, 1023.9, 1024.0, 5000.5, 9215.9, 9216.0, 70000.25])),
                category=str(generator.choice(["dog", "cat", "", "potted plant"])),
                iscrowd=bool(generator.random() < 0.1),
            )
            for _ in range(generator.integers(0, 7))
        )
        answers = ("", "the dog <LCL-1>and the cat <LCL-2>.", "no tag", "a<OBJ-1> a <LCL-1><LCL-3> <LCL->", "<LCL-1>")
        yield Sample(
            sample_id=f"s{number}",
            width=int(generator.integers(1, 900)),
            height=int(generator.integers(1, 900)),
            source=str(generator.choice(["refcoco", "refclef"])),
            caption=" ".join(["word"] * int(generator.integers(0, 150))),
            question=str(generator.choice(["", "  ", "who is\nit\u2003there ?"])),
            answer=str(generator.choice(answers)),
            license=str(generator.choice(["", "CC BY"])),
            objects=objects,
        )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("statistics") / "d"
    return write_dataset(folder, {"train": made(700), "valid": made(40, 4), "test": []}, shard_rows=300)


def frame_of(dataset: Dataset) -> pd.DataFrame:
    parts = [pd.read_parquet(shard.path).assign(split=shard.split) for shard in dataset.shards()]
    return pd.concat(parts, ignore_index=True)


def expected(frame: pd.DataFrame, category: str | None = None) -> dict[str, object]:
    """The same figures, by pandas, from whole columns."""
    objects = frame.explode("objects").dropna(subset=["objects"])
    items = pd.DataFrame(list(objects["objects"]), index=objects.index)
    if category is not None:
        items = items[items["category"] == category]
        frame = frame.loc[sorted(set(items.index))]
    plain = items[~items["iscrowd"].astype(bool)] if len(items) else items
    plain_answers = frame["answer"].str.replace(r"[ \t]*<(LCL|OBJ)-\d+>(?=\w)", " ", regex=True)
    plain_answers = plain_answers.str.replace(r"[ \t]*<(LCL|OBJ)-\d+>", "", regex=True)
    lengths = {
        "caption_words": frame["caption"].str.split().str.len(),
        "question_words": frame["question"].str.split().str.len(),
        "answer_words": plain_answers.str.split().str.len(),
    }
    tags = frame["answer"].str.count(r"<(?:LCL|OBJ)-\d+>")
    pixels = (frame["width"] * frame["height"]).reindex(plain.index)
    distributions = {
        "objects_per_sample": items.groupby(items.index).size().reindex(frame.index, fill_value=0),
        "phrases_per_object": items["phrases"].map(len),
        "phrase_words": items["phrases"].explode().dropna().str.split().str.len(),
        **{name: values[values > 0] for name, values in lengths.items()},
        "tags_per_answer": tags[lengths["answer_words"] > 0],
        "object_area": plain["area"].round(),
        "object_share": (1000 * plain["area"] / pixels).round(),
        "image_width": frame["width"],
        "image_height": frame["height"],
    }
    sizes = pd.cut(plain["area"], [-1, 1024, 9216, np.inf], right=False, labels=["small", "medium", "large"])
    return {
        "distributions": distributions,
        "sizes": sizes.value_counts().to_dict(),
        "counts": {
            "samples": len(frame),
            "objects": len(items),
            "crowds": int(items["iscrowd"].sum()),
            "phrases": int(items["phrases"].map(len).sum()),
            "objects_without_phrase": int((items["phrases"].map(len) == 0).sum()),
            "objects_without_mask": int(items["segmentation"].isna().sum()),
            "captions": int((lengths["caption_words"] > 0).sum()),
            "questions": int((lengths["question_words"] > 0).sum()),
            "answers": int((lengths["answer_words"] > 0).sum()),
            "tags": int(tags.sum()),
        },
        "licenses": frame["license"].value_counts().to_dict(),
    }


def assert_same(found: dict[str, object], frame: pd.DataFrame, category: str | None = None) -> None:
    wanted = expected(frame, category)
    assert found["sizes"] == wanted["sizes"]
    assert found["licenses"] == wanted["licenses"]
    assert {name: found["counts"][name] for name in wanted["counts"]} == wanted["counts"]  # type: ignore[index]
    for name, values in wanted["distributions"].items():  # type: ignore[attr-defined]
        figures = found["distributions"][name]  # type: ignore[index]
        assert figures["n"] == len(values), name
        if len(values):
            assert (figures["min"], figures["max"]) == (values.min(), values.max()), name
            assert figures["mean"] == pytest.approx(values.mean(), rel=1e-12), name
            for key, share in QUANTILES.items():
                assert figures[key] == pytest.approx(values.quantile(share), rel=1e-12), (name, key)


def test_all_figures_equal_pandas(dataset: Dataset) -> None:
    frame = frame_of(dataset)
    assert_same(collect(dataset).overall.to_dict(), frame)
    by_split = collect(dataset, "split")
    assert list(by_split.groups) == ["train", "valid", "test"][: len(by_split.groups)]
    for split, group in by_split.groups.items():
        assert_same(group.to_dict(), frame[frame["split"] == split])
    by_source = collect(dataset, "source")
    assert set(by_source.groups) == {"refclef", "refcoco"}
    for source, group in by_source.groups.items():
        assert_same(group.to_dict(), frame[frame["source"] == source])
    by_category = collect(dataset, "category")
    assert set(by_category.groups) == {"dog", "cat", "", "potted plant"}
    for category, group in by_category.groups.items():
        assert_same(group.to_dict(), frame, category)


def test_tagged_objects_count_once(tmp_path: Path) -> None:
    sample = Sample(sample_id="a", width=9, height=9, source="x", answer="b<OBJ-1> b <LCL-1> c<LCL-3> d <LCL-")
    counts = collect(write_dataset(tmp_path / "d", {"train": [sample]})).overall.counts
    assert (counts["tags"], counts["tagged_objects"]) == (3, 2)


def test_real_data_has_its_published_counts(shared_data: Path, tmp_path: Path) -> None:
    splits = {"train": coco_mini(shared_data, "train2017"), "valid": coco_mini(shared_data, "val2017")}
    dataset = write_dataset(tmp_path / "coco", splits)
    statistics = collect(dataset, "split")
    # The README beside the data: 80 and 79 images, 1,363 objects of which 13 are crowds.
    assert {name: group.counts["samples"] for name, group in statistics.groups.items()} == {"train": 80, "valid": 79}
    assert statistics.overall.counts["objects"] == 1363
    assert statistics.overall.counts["crowds"] == 13
    assert_same(statistics.overall.to_dict(), frame_of(dataset))
    # COCO's own field and bounds, counted from the JSON.
    sizes: Counter[str] = Counter()
    for part in ("train2017", "val2017"):
        text = (shared_data / f"coco_mini/annotations/instances_{part}.json").read_bytes()
        for entry in json.loads(text)["annotations"]:
            if not entry["iscrowd"]:
                sizes["small" if entry["area"] < 1024 else "medium" if entry["area"] < 9216 else "large"] += 1
    assert statistics.overall.sizes == sizes


def test_one_split_and_a_limit(dataset: Dataset) -> None:
    assert collect(dataset, split="valid").overall.counts["samples"] == 40
    limited = collect(dataset, limit=450)
    assert limited.partial
    assert_same(limited.overall.to_dict(), frame_of(dataset).iloc[:450])
    assert not collect(dataset).partial
    with pytest.raises(MmudError, match="MM108"):
        collect(dataset, split="nope")


@settings(max_examples=200, deadline=None)
@given(hnp.arrays(np.int64, st.integers(1, 60), elements=st.integers(-50, 10**6)), st.floats(0, 1))
def test_quantiles_are_numpys(values: np.ndarray, share: float) -> None:
    tally = Tally()
    for part in np.array_split(values, 3):
        tally.add(part)
    assert tally.quantiles([share])[0] == pytest.approx(np.quantile(values, share), rel=1e-9, abs=1e-6)
    assert tally.mean == pytest.approx(values.mean())
    assert len(tally) == len(values)


def test_nothing_to_count(tmp_path: Path) -> None:
    statistics = collect(write_dataset(tmp_path / "d", {"train": []}), "category")
    assert statistics.overall.counts["samples"] == 0
    assert statistics.to_dict()["overall"]["distributions"]["caption_words"] == {"n": 0}
    assert write_plots(statistics, tmp_path / "plots") == []
    with pytest.raises(ValueError, match="no values"):
        Tally().quantiles([0.5])


# -- plots --------------------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=40), st.booleans())
def test_every_value_is_in_one_bin(values: list[int], logarithmic: bool) -> None:
    tally = Tally()
    tally.add(np.array(values))
    edges = bin_edges(tally, logarithmic)
    counts = binned(tally, edges)
    assert (np.diff(edges) > 0).all()
    assert edges[0] <= min(values)
    assert max(values) < edges[-1]
    assert counts.sum() == len(values)
    if not logarithmic or min(values) > 0:
        assert counts.tolist() == np.histogram(values, edges)[0].tolist()


@given(st.integers(1, 10**9))
def test_ticks_are_few_and_reach_the_top(highest: int) -> None:
    ticks = nice_ticks(highest)
    assert ticks[0] == 0
    assert ticks[-2] < highest <= ticks[-1]
    assert 2 <= len(ticks) <= 7
    assert len(set(np.diff(ticks).tolist())) == 1


def test_plots_are_drawn_to_scale(dataset: Dataset, tmp_path: Path) -> None:
    statistics = collect(dataset, "source")
    files = {path.name: path for path in write_plots(statistics, tmp_path / "plots")}
    assert {"caption_words.svg", "object_area.svg", "by_source.svg"} <= set(files)
    namespace = "{http://www.w3.org/2000/svg}"
    for path in files.values():
        page = ET.parse(path).getroot()
        _, _, width, height = map(float, page.attrib["viewBox"].split())
        for bar in page.iter(f"{namespace}rect"):
            left, top = float(bar.attrib["x"]), float(bar.attrib["y"])
            assert 0 <= left <= left + float(bar.attrib["width"]) <= width
            assert 0 <= top <= top + float(bar.attrib["height"]) <= height
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", path.read_text("utf-8"))
    # Each bar says its count: together they are the samples with a caption, and heights are in proportion to counts.
    page = ET.parse(files["caption_words.svg"]).getroot()
    bars = [bar for bar in page.iter(f"{namespace}rect") if bar.find(f"{namespace}title") is not None]
    counts = np.array([int(bar.find(f"{namespace}title").text.rpartition(": ")[2]) for bar in bars])  # type: ignore[union-attr]
    assert counts.sum() == statistics.overall.counts["captions"]
    heights = np.array([float(bar.attrib["height"]) for bar in bars])
    assert np.allclose(heights / counts, heights.sum() / counts.sum(), rtol=0.01)


def test_labels_are_escaped(tmp_path: Path) -> None:
    sample = Sample(sample_id="a", width=9, height=9, source="<script>&", objects=(MaskedObject(area=5.0),))
    statistics = collect(write_dataset(tmp_path / "d", {"train": [sample]}), "source")
    for path in write_plots(statistics, tmp_path / "plots"):
        ET.parse(path)
        assert "<script" not in path.read_text("utf-8")
