"""New splits: nothing leaks, sizes are those asked for, the same seed gives the same splits whatever the order of samples.

Expected values are properties (Hamilton's quota rule, uniform draws) or computed anew by brute force or by pandas.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_samples import coco_mini, mini_refcoco
from scipy.stats import chi2

from mmud.cli import run
from mmud.dataset.split.dealing import Group, apportion, deal
from mmud.dataset.split.listing import read_listing
from mmud.dataset.split.run import SplitRequest, parse_shares, plan_split, write_split
from mmud.dataset.store import Dataset
from mmud.dataset.writer import write_dataset
from mmud.errors import MmudError
from mmud.records import ImageReference, Sample

SHARES = {"train": 0.8, "valid": 0.1, "test": 0.1}

# -- dealing ------------------------------------------------------------------------------------------------------------

share_tables = st.dictionaries(st.sampled_from("abcde"), st.floats(0.01, 1), min_size=1)


@given(st.integers(0, 10_000), share_tables)
def test_apportioned_numbers_keep_hamiltons_quota(total: int, shares: dict[str, float]) -> None:
    found = apportion(total, shares)
    assert sum(found.values()) == total
    for name, share in shares.items():
        assert abs(found[name] - total * share / sum(shares.values())) < 1 + 1e-6


def test_the_official_sizes() -> None:
    # MMUD's own splits, as shares of its 36,489 samples.
    sizes = {"train": 33_682, "valid": 1_404, "test": 1_403}
    assert apportion(36_489, {name: size / 36_489 for name, size in sizes.items()}) == sizes


groups_of = st.lists(st.integers(1, 6), min_size=1, max_size=40)


def _sizes(groups: list[Group], placed: dict[str, str], shares: dict[str, float]) -> dict[str, int]:
    found = dict.fromkeys(shares, 0)
    for group in groups:
        found[placed[group.key]] += group.size
    return found


def _distance(sizes: dict[str, int], wanted: dict[str, int]) -> int:
    return sum(abs(sizes[name] - wanted[name]) for name in wanted)


@settings(max_examples=150, deadline=None)
@given(groups_of, share_tables, st.integers(0, 9))
def test_enough_single_samples_make_sizes_exact(sizes: list[int], shares: dict[str, float], seed: int) -> None:
    sizes += [1] * (2 * len(shares) * max(sizes))
    groups = [Group(f"g{number}", size) for number, size in enumerate(sizes)]
    placed = deal(groups, shares, seed)
    assert _sizes(groups, placed, shares) == apportion(sum(sizes), shares)
    shuffled = sorted(groups, key=lambda group: hash((group.key, 1)))
    assert deal(shuffled, shares, seed) == placed


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=8), st.integers(0, 5))
def test_no_move_or_exchange_would_bring_sizes_nearer(sizes: list[int], seed: int) -> None:
    shares = {"a": 0.6, "b": 0.25, "c": 0.15}
    groups = [Group(f"g{number}", size) for number, size in enumerate(sizes)]
    placed = deal(groups, shares, seed)
    wanted = apportion(sum(sizes), shares)
    own = _distance(_sizes(groups, placed, shares), wanted)
    for group, split in itertools.product(groups, shares):
        assert _distance(_sizes(groups, {**placed, group.key: split}, shares), wanted) >= own
    for first, second in itertools.combinations(groups, 2):
        exchanged = {**placed, first.key: placed[second.key], second.key: placed[first.key]}
        assert _distance(_sizes(groups, exchanged, shares), wanted) >= own
    best = min(
        _distance(_sizes(groups, dict(zip(placed, choice, strict=True)), shares), wanted)
        for choice in itertools.product(shares, repeat=min(len(groups), 8))
    )
    assert own <= best + 2 * max(sizes)


def test_every_group_is_equally_likely_to_be_tested() -> None:
    groups = [Group(f"g{number}", 1 + number % 3) for number in range(120)]
    seeds = 400
    counts = Counter(
        key for seed in range(seeds) for key, split in deal(groups, SHARES, seed).items() if split == "test"
    )
    for size in (1, 2, 3):
        own = [counts[group.key] for group in groups if group.size == size]
        mean = sum(own) / len(own)
        assert mean / seeds == pytest.approx(0.1, abs=0.02)
        statistic = sum((count - mean) ** 2 / (mean * (1 - mean / seeds)) for count in own)
        assert statistic < chi2.ppf(0.9999, len(own) - 1)


def test_each_stratum_gets_its_share() -> None:
    strata = {"refcoco": 503, "refcoco+": 97, "refclef": 1201, "rare": 7}
    groups = [Group(f"{name}{i}", 1 + i % 2, name) for name, count in strata.items() for i in range(count)]
    placed = deal(groups, SHARES, seed=5)
    for name in strata:
        own = [group for group in groups if group.stratum == name]
        total = sum(group.size for group in own)
        for split, share in SHARES.items():
            inside = sum(group.size for group in own if placed[group.key] == split)
            assert abs(inside - share * total) <= 3
    total = sum(group.size for group in groups)
    assert _sizes(groups, placed, SHARES) == apportion(total, SHARES)


# -- a dataset ----------------------------------------------------------------------------------------------------------


def made(count: int, prefix: str = "s", link: Path | None = None) -> Iterator[Sample]:
    """Every third sample shows the image of the one before under another source; every tenth has an earlier one's bytes."""
    names = ("refcoco", "refcoco+", "coco")
    for number in range(count):
        image = number - (number % 3 == 1)
        data = b"picture %d" % (image if number % 10 else number // 20)
        reference = ImageReference(bytes=data, path=f"{prefix}{number}.png")
        if link is not None:
            (link / f"{prefix}{number}.png").write_bytes(data)
            reference = ImageReference(path=str(link / f"{prefix}{number}.png"))
        yield Sample(
            sample_id=f"{prefix}{number}",
            image=reference,
            width=8,
            height=6,
            source=names[number % 3],
            source_image_id=f"COCO_train2014_{image:012d}.jpg" if number % 2 else str(image),
            caption=f"caption {number}",
        )


def frame_of(dataset: Dataset) -> pd.DataFrame:
    parts = [pd.read_parquet(shard.path).assign(split=shard.split) for shard in dataset.shards()]
    frame = pd.concat(parts, ignore_index=True)
    frame["number"] = frame["source_image_id"].str.extract(r"(\d+)(?:\.jpg)?$")[0].astype(int)
    frame["content"] = frame["image"].map(lambda image: image["bytes"])
    return frame


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return write_dataset(tmp_path / "d", {"train": made(200), "test": made(40, "t")}, shard_rows=64)


def new_splits(dataset: Dataset, request: SplitRequest, output: Path) -> Dataset:
    return write_split(dataset, plan_split(dataset, request), request, output)


def test_nothing_leaks_and_nothing_is_lost(dataset: Dataset, tmp_path: Path) -> None:
    request = SplitRequest(SHARES, seed=1)
    plan = plan_split(dataset, request)
    found = write_split(dataset, plan, request, tmp_path / "new")
    frame = frame_of(found)
    assert frame.groupby("number")["split"].nunique().max() == 1
    assert frame.groupby("content")["split"].nunique().max() == 1
    before = {sample.sample_id: sample for sample in dataset.samples(images=True)}
    after = {sample.sample_id: sample for sample in found.samples(images=True)}
    assert before == after
    assert {split: found.length(split) for split in found.splits} == plan.sizes == plan.wanted
    # Within a split samples keep their order.
    order = {sample_id: position for position, sample_id in enumerate(before)}
    for split in found.splits:
        positions = [order[sample.sample_id] for sample in found.samples(split)]
        assert positions == sorted(positions)


def test_the_seed_decides_and_the_order_does_not(dataset: Dataset, tmp_path: Path) -> None:
    def places(source: Dataset, seed: int) -> dict[str, str]:
        request = SplitRequest(SHARES, seed=seed)
        plan = plan_split(source, request)
        ids = [sample.sample_id for sample in source.samples()]
        return {sample_id: plan.splits[place] for sample_id, place in zip(ids, plan.placed, strict=True)}

    samples = [*made(200), *made(40, "t")]
    turned = write_dataset(tmp_path / "turned", {"all": reversed(samples)}, shard_rows=17)
    assert places(dataset, 3) == places(turned, 3)
    assert places(dataset, 3) != places(dataset, 4)
    first = new_splits(dataset, SplitRequest(SHARES, seed=3), tmp_path / "one")
    second = new_splits(dataset, SplitRequest(SHARES, seed=3), tmp_path / "two")
    assert first.manifest.splits == second.manifest.splits


def test_by_image_looks_at_bytes_alone(dataset: Dataset) -> None:
    by_number = plan_split(dataset, SplitRequest(SHARES))
    by_bytes = plan_split(dataset, SplitRequest(SHARES, by="image"))
    frame = frame_of(dataset)
    assert by_bytes.images == frame["content"].nunique()
    assert by_number.images < by_bytes.images


def test_linked_images_are_compared_by_content(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    linked = write_dataset(tmp_path / "l", {"train": made(60, link=tmp_path / "images")}, images="link")
    embedded = write_dataset(tmp_path / "e", {"train": made(60)})
    request = SplitRequest(SHARES, by="image", seed=2)
    assert plan_split(linked, request).placed.tolist() == plan_split(embedded, request).placed.tolist()
    found = new_splits(linked, request, tmp_path / "new")
    assert found.manifest.images == "link"
    assert all(Path(sample.image.path or "").exists() for sample in found.samples(images=True))


def test_kept_splits_keep_their_samples_and_draw_their_images(dataset: Dataset, tmp_path: Path) -> None:
    request = SplitRequest({"train": 0.5, "valid": 0.5}, keep=("test",))
    plan = plan_split(dataset, request)
    frame = frame_of(new_splits(dataset, request, tmp_path / "new"))
    kept = set(frame.loc[frame["split"] == "test", "sample_id"])
    assert {f"t{number}" for number in range(40)} <= kept
    # The test images are the training images with the same number: those samples joined them, and were counted.
    assert len(kept) - 40 == plan.drawn_along > 0
    assert frame.groupby("number")["split"].nunique().max() == 1


def test_two_kept_splits_that_share_an_image_are_refused(dataset: Dataset) -> None:
    with pytest.raises(MmudError, match="MM630"):
        plan_split(dataset, SplitRequest({"valid": 1.0}, keep=("train", "test")))


def test_explicit_splits(dataset: Dataset, tmp_path: Path) -> None:
    file = tmp_path / "ids.json"
    file.write_text(json.dumps({"test": ["t2", 30], "held": ["s100"]}))
    listed = read_listing(file)
    assert listed == {"t2": "test", "coco:30": "test", "s100": "held"}
    alone = frame_of(new_splits(dataset, SplitRequest(listed=listed), tmp_path / "alone"))
    assert set(alone["split"]) == {"test", "held"}
    assert {"t2", "s2", "s30", "t30", "s31", "t31"} <= set(alone.loc[alone["split"] == "test", "sample_id"])
    rest = frame_of(new_splits(dataset, SplitRequest({"train": 1.0}, listed=listed), tmp_path / "rest"))
    assert len(rest) == 240
    assert set(rest.loc[rest["split"] != "train", "sample_id"]) == set(alone["sample_id"])

    file.write_text("sample_id,split\nt2,test\ns100 , held\n\n")
    assert read_listing(file) == {"t2": "test", "s100": "held"}
    file.write_text("t2\ttest\na,b\theld\n")
    assert read_listing(file) == {"t2": "test", "a,b": "held"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"a": ["x"], "b": ["x"]}', "MM630"),
        ('{"a": "x"}', "MM631"),
        ('{"a": [1.5]}', "MM631"),
        ('{"a": [true]}', "MM631"),
        ('["x"]', "MM631"),
        ('{"a": [', "MM631"),
        ("[" * 100_000, "MM631"),
        ("x,train,more", "MM631"),
        ("x", "MM631"),
        ("x,", "MM631"),
    ],
)
def test_unreadable_lists(tmp_path: Path, text: str, code: str) -> None:
    file = tmp_path / "ids"
    file.write_text(text)
    with pytest.raises(MmudError, match=code):
        read_listing(file)


def test_more_unreadable_lists(tmp_path: Path, dataset: Dataset) -> None:
    (tmp_path / "latin").write_bytes("caf\xe9,train".encode("latin-1"))
    with pytest.raises(MmudError, match="MM631"):
        read_listing(tmp_path / "latin")
    with pytest.raises(MmudError, match="MM002"):
        read_listing(tmp_path / "absent")
    with pytest.raises(MmudError, match="MM632"):
        plan_split(dataset, SplitRequest(listed={"nobody": "test"}))
    with pytest.raises(MmudError, match="MM630"):
        plan_split(dataset, SplitRequest(listed={"s30": "test", "t30": "train"}))
    with pytest.raises(MmudError, match="MM108"):
        plan_split(dataset, SplitRequest(SHARES, keep=("nope",)))


@pytest.mark.parametrize(
    "text",
    ["train", "train=x", "train=0.5,train=0.5", "train=nan,test=1", "=1", "train=0.5,test=0.4", "train=1,test=0"],
)
def test_unusable_ratios(text: str) -> None:
    with pytest.raises(MmudError, match="MM001"):
        SplitRequest(parse_shares(text))


@pytest.mark.parametrize(
    "request_", [{}, {"shares": {"a": 1.0}, "keep": ("a",)}, {"shares": {"a-b": 1.0}}, {"shares": {"../a": 1.0}}]
)
def test_contradictory_requests(request_: dict[str, object]) -> None:
    with pytest.raises(MmudError, match="MM001"):
        SplitRequest(**request_)  # type: ignore[arg-type]


def test_real_images_of_two_sources_stay_together(shared_data: Path, tmp_path: Path) -> None:
    """Four images are in both mini_refcoco and coco_mini: their COCO ids say so."""
    parts = [*coco_mini(shared_data, "train2017"), *coco_mini(shared_data, "val2017"), *mini_refcoco(shared_data)]
    shared = [number for number, count in Counter(sample.source_image_id for sample in parts).items() if count > 1]
    assert len(shared) == 4
    dataset = write_dataset(tmp_path / "d", {"all": iter(parts)})
    plan = plan_split(dataset, SplitRequest({"train": 0.6, "test": 0.4}, stratify=True))
    assert plan.images == len(parts) - len(shared)
    assert plan.sizes == plan.wanted
    ids = [sample.source_image_id for sample in parts]
    places = np.array(plan.placed)
    assert all(len({places[i] for i, name in enumerate(ids) if name == number}) == 1 for number in shared)


def test_the_command(dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = [str(dataset.path), "-o", str(tmp_path / "new"), "--ratios", "train=0.8,valid=0.1,test=0.1", "--json"]
    assert run(["split", *where, "--dry-run", "-q"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert not (tmp_path / "new").exists()
    assert run(["split", *where, "-q"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert {name: done[name] for name in planned} == planned
    assert planned["splits"]["train"]["samples"] == Dataset(tmp_path / "new").length("train")
    record = json.loads((tmp_path / "new" / "split.json").read_text())
    assert record["from"]["fingerprint"] == dataset.fingerprint
    assert record["seed"] == 0
    assert run(["split", *where]) == 2
    assert "MM003" in capsys.readouterr().err
    assert run(["split", *where, "--force", "--stratify", "source", "--seed", "9"]) == 0
    assert run(["split", str(dataset.path), "-o", str(dataset.path), "--ratios", "train=1", "--force", "-q"]) == 0
    assert Dataset(dataset.path).splits == ["train"]
