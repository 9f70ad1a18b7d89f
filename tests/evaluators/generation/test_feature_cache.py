"""The cache of reference features: keyed by content, restored in the caller's order, damage detected."""

from __future__ import annotations

import io
import os
import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mmud.errors import MmudError
from mmud.evaluators.generation.cache import cache_folder, cache_key, load_cached, store_cached
from mmud.evaluators.generation.extractors import ExtractorIdentity, ImageSource
from mmud.evaluators.generation.folders import CachePolicy, features_of

IDENTITY = ExtractorIdentity("mean", "m", "ab" * 32, "plain")
HASHES = ["c", "a", "b", "a"]
FEATURES = np.array([[3, 3], [1, 1], [2, 2], [1, 1]], np.float32)


def test_place(monkeypatch, tmp_path):
    monkeypatch.setenv("MMUD_CACHE", str(tmp_path / "here"))
    assert cache_folder() == tmp_path / "here" / "features"
    monkeypatch.delenv("MMUD_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "mmud" / "features"


def test_key_follows_content_and_nothing_else():
    key = cache_key(IDENTITY, HASHES)
    assert cache_key(IDENTITY, sorted(HASHES)) == key
    assert cache_key(ExtractorIdentity("mean", "renamed", "ab" * 32, "plain"), HASHES) == key
    others = [
        cache_key(ExtractorIdentity("other", "m", "ab" * 32, "plain"), HASHES),
        cache_key(ExtractorIdentity("mean", "m", "cd" * 32, "plain"), HASHES),
        cache_key(ExtractorIdentity("mean", "m", "ab" * 32, "legacy"), HASHES),
        cache_key(IDENTITY, HASHES[:3]),
        cache_key(IDENTITY, [*HASHES[:3], "d"]),
    ]
    assert len({key, *others}) == 6


def test_round_trip_in_another_order(tmp_path):
    key = cache_key(IDENTITY, HASHES)
    assert load_cached(key, HASHES, tmp_path) is None
    store_cached(key, HASHES, FEATURES, tmp_path)
    assert np.array_equal(load_cached(key, HASHES, tmp_path), FEATURES)
    assert load_cached(key, ["a", "a", "b", "c"], tmp_path).tolist() == [[1, 1], [1, 1], [2, 2], [3, 3]]
    assert os.listdir(tmp_path) == [f"{key}.npz"]  # no temporary file is left


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_one_changed_byte_is_harmless_or_detected(tmp_path, place, flip):
    key = cache_key(IDENTITY, HASHES)
    path = store_cached(key, HASHES, FEATURES, tmp_path)
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= flip
    path.write_bytes(bytes(data))
    try:
        assert np.array_equal(load_cached(key, HASHES, tmp_path), FEATURES)  # a byte of padding or a time stamp
    except MmudError as error:
        assert error.code.id == "MM873"


def archive(**arrays) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nothing",
        pickle.dumps({"features": 1}),
        archive(features=FEATURES),
        archive(features=FEATURES, digest=np.array("0" * 64)),
        archive(features=np.array([{"a": 1}], dtype=object), digest=np.array("0" * 64)),
        archive(features=FEATURES[:2], digest=np.array("0" * 64)),
    ],
)
def test_other_contents_are_refused(tmp_path, data):
    (tmp_path / "key.npz").write_bytes(data)
    with pytest.raises(MmudError) as caught:
        load_cached("key", HASHES, tmp_path)
    assert caught.value.code.id == "MM873"


def test_a_file_under_another_key_is_refused(tmp_path):
    path = store_cached("one", HASHES, FEATURES, tmp_path)
    path.rename(tmp_path / "two.npz")
    with pytest.raises(MmudError) as caught:
        load_cached("two", HASHES, tmp_path)
    assert caught.value.code.id == "MM873"


class Mean:
    """The mean colour; counts its calls."""

    def __init__(self, identity=IDENTITY) -> None:
        self.identity = identity
        self.calls = 0

    def extract(self, sources, progress=None):
        self.calls += 1
        return np.stack([source.pixels().mean((0, 1)) for source in sources]).astype(np.float32)


@pytest.fixture
def sources(tmp_path):
    made = []
    for index in range(3):
        path = tmp_path / f"{index}.png"
        Image.new("RGB", (4, 4), (index * 40, 10, 20)).save(path)
        made.append(ImageSource(path.name, path))
    return made


def test_extracted_once(tmp_path, sources):
    policy, extractor = CachePolicy(folder=tmp_path / "cache"), Mean()
    first, findings = features_of(sources, extractor, policy)
    again, _ = features_of(sources[::-1], extractor, policy)
    assert extractor.calls == 1
    assert findings == []
    assert np.array_equal(again, first[::-1])
    Image.new("RGB", (4, 4), (1, 2, 3)).save(sources[0].path)
    changed, _ = features_of(sources, extractor, policy)
    assert extractor.calls == 2
    assert changed[0].tolist() == [1, 2, 3]


def test_damage_is_reported_and_mended(tmp_path, sources):
    policy, extractor = CachePolicy(folder=tmp_path / "cache"), Mean()
    features, _ = features_of(sources, extractor, policy)
    (path,) = policy.folder.iterdir()
    path.write_bytes(path.read_bytes()[:-30])
    again, findings = features_of(sources, extractor, policy)
    assert [finding.code.id for finding in findings] == ["MM873"]
    assert np.array_equal(again, features)
    assert features_of(sources, extractor, policy)[1] == []
    assert extractor.calls == 2


def test_a_cache_that_cannot_be_written_costs_no_figures(tmp_path, sources):
    (tmp_path / "cache").write_text("a file where the folder should be")
    features, findings = features_of(sources, Mean(), CachePolicy(folder=tmp_path / "cache"))
    assert features.shape == (3, 3)
    assert "MM008" in [finding.code.id for finding in findings]


def test_extractors_without_a_hash_and_switched_off_caches(tmp_path, sources):
    nameless = Mean(ExtractorIdentity("mean"))
    features_of(sources, nameless, CachePolicy(folder=tmp_path / "cache"))
    features_of(sources, Mean(), CachePolicy(enabled=False, folder=tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()
