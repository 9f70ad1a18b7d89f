"""The cache of frozen features: the same as computing, interrupted or not; the key tells everything apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from mmud.baselines.training.feature_cache import FeatureCache, Features  # noqa: E402


def features_of(position: int) -> Features:
    generator = torch.Generator().manual_seed(position)
    return torch.rand(3, 4, generator=generator), torch.rand(2, generator=generator).half()


class Computing:
    """Counts what is asked of it; breaks off before a position."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.computed: list[int] = []
        self.fails_at = fails_at

    def __call__(self, pieces: Sequence[range]) -> Iterator[tuple[range, list[Features]]]:
        for piece in pieces:
            if self.fails_at is not None and self.fails_at in piece:
                raise KeyboardInterrupt
            self.computed += piece
            yield piece, [features_of(position) for position in piece]


def assert_holds(cache: FeatureCache, count: int) -> None:
    for position in [*range(count), *reversed(range(count))]:
        found = cache[position]
        assert len(found) == 2
        for one, other in zip(found, features_of(position), strict=True):
            assert one.dtype == other.dtype
            assert torch.equal(one, other)


def test_it_gives_back_what_was_computed_once(tmp_path: Path) -> None:
    computing = Computing()
    assert FeatureCache({"a": 1}, 10, 4, tmp_path).fill(computing) == 10
    again = FeatureCache({"a": 1}, 10, 4, tmp_path)
    assert again.fill(computing) == 0
    assert computing.computed == list(range(10))
    assert_holds(again, 10)
    with pytest.raises(IndexError):
        again[10]


def test_an_interrupted_computation_goes_on_where_it_stopped(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        FeatureCache({"a": 1}, 10, 4, tmp_path).fill(Computing(fails_at=6))
    computing = Computing()
    cache = FeatureCache({"a": 1}, 10, 4, tmp_path)
    cache.fill(computing)
    assert computing.computed == [4, 5, 6, 7, 8, 9]
    assert_holds(cache, 10)


@pytest.mark.parametrize("damage", [b"", b"\x80\x04nonsense", None])
def test_a_damaged_piece_is_computed_again(tmp_path: Path, damage: bytes | None) -> None:
    cache = FeatureCache({"a": 1}, 10, 4, tmp_path)
    cache.fill(Computing())
    file = sorted(cache.folder.glob("chunk-*"))[1]
    file.write_bytes(file.read_bytes()[:-9] if damage is None else damage)
    computing = Computing()
    again = FeatureCache({"a": 1}, 10, 4, tmp_path)
    again.fill(computing)
    assert computing.computed == [4, 5, 6, 7]
    assert_holds(again, 10)


def test_a_limited_look_is_extended(tmp_path: Path) -> None:
    FeatureCache({"a": 1}, 6, 4, tmp_path).fill(Computing())
    computing = Computing()
    longer = FeatureCache({"a": 1}, 10, 4, tmp_path)
    longer.fill(computing)
    assert computing.computed == [4, 5, 6, 7, 8, 9]
    shorter = FeatureCache({"a": 1}, 5, 4, tmp_path)
    assert shorter.fill(computing) == 0
    assert_holds(shorter, 5)


def test_whatever_the_features_depend_on_has_a_cache_of_its_own(tmp_path: Path) -> None:
    keys = [{"a": 1}, {"a": 2}, {"b": 1}, {"a": 1, "b": 1}]
    assert len({FeatureCache(key, 4, 4, tmp_path).folder for key in keys}) == 4
    assert FeatureCache({"a": 1}, 4, 4, tmp_path).folder != FeatureCache({"a": 1}, 4, 2, tmp_path).folder
    assert (
        FeatureCache({"a": 1, "b": 2}, 4, 4, tmp_path).folder == FeatureCache({"b": 2, "a": 1}, 4, 4, tmp_path).folder
    )


def test_many_pieces_need_few_open_files(tmp_path: Path) -> None:
    cache = FeatureCache({"a": 1}, 100, 1, tmp_path)
    cache.fill(Computing())
    assert_holds(cache, 100)
    assert len(cache._open) <= 64
