"""CLIP features as the official code has them: ``pickle.load(…).squeeze()`` of 512 numbers, written by numpy and by torch."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmud.dataset.build import build
from mmud.dataset.recipe import Recipe
from mmud.dataset.sources.features import FEATURE_SIZE, export_features, feature_file, read_feature
from mmud.dataset.sources.official import OfficialSource
from mmud.errors import MmudError
from tests.dataset.sources.drained import drained
from tests.dataset.sources.test_official import record, release

NUMBERS = np.random.default_rng(0).normal(size=FEATURE_SIZE).astype(np.float32)


def write(folder: Path, value: Any, protocol: int | None = None) -> Path:
    path = folder / "1.jpg.pkl"
    path.write_bytes(value if isinstance(value, bytes) else pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("form", ["flat", "row", "float64", "list", "nested list"])
def test_numpy_and_lists(tmp_path: Path, form: str, protocol: int) -> None:
    value = {
        "flat": NUMBERS,
        "row": NUMBERS[None],
        "float64": NUMBERS.astype(np.float64),
        "list": NUMBERS.tolist(),
        "nested list": [NUMBERS.tolist()],
    }[form]
    assert np.array_equal(read_feature(write(tmp_path, value, protocol)), NUMBERS)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", ["float32", "float64", "float16", "bfloat16"])
def test_torch_tensors(tmp_path: Path, kind: str, protocol: int) -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(NUMBERS)[None].to(getattr(torch, kind))
    expected = tensor.float().numpy()[0]
    assert np.array_equal(read_feature(write(tmp_path, tensor, protocol)), expected)


def test_torch_views_and_parameters(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    table = torch.from_numpy(np.stack([NUMBERS, -NUMBERS, 2 * NUMBERS]))
    # A row and a column of a larger tensor are pickled with its whole storage.
    assert np.array_equal(read_feature(write(tmp_path, table[1])), -NUMBERS)
    assert np.array_equal(read_feature(write(tmp_path, table.T.contiguous()[:, 2])), 2 * NUMBERS)
    assert np.array_equal(read_feature(write(tmp_path, torch.nn.Parameter(table[0]))), NUMBERS)


class Runs:
    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return exec, (f"open({self.mark!r}, 'w')",)


def unusable(tmp_path: Path) -> dict[str, Any]:
    return {
        "short": NUMBERS[:100],
        "two": np.stack([NUMBERS, NUMBERS]),
        "NaN": np.where(np.arange(FEATURE_SIZE) == 3, np.nan, NUMBERS),
        "infinite": np.where(np.arange(FEATURE_SIZE) == 3, np.inf, NUMBERS),
        "text": "no feature",
        "texts": ["x"] * FEATURE_SIZE,
        "ragged": [[1.0], [1.0, 2.0]],
        "dictionary": {"feature": NUMBERS.tolist()},
        "nothing": None,
        "cut off": pickle.dumps(NUMBERS)[:900],
        "empty": b"",
        "code": Runs(str(tmp_path / "LOADED")),
        "too long": NUMBERS.repeat(1000),
    }


@pytest.mark.parametrize("name", unusable(Path()))
def test_what_is_no_feature(tmp_path: Path, name: str) -> None:
    with pytest.raises(MmudError) as raised:
        read_feature(write(tmp_path, unusable(tmp_path)[name]))
    assert raised.value.code.id in ("MM739", "MM701", "MM702", "MM704")
    assert not (tmp_path / "LOADED").exists()


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_damaged_tensors_are_refused_or_read(tmp_path: Path, data: st.DataObject) -> None:
    torch = pytest.importorskip("torch")
    damaged = bytearray(pickle.dumps(torch.from_numpy(NUMBERS[:512])))
    for _ in range(data.draw(st.integers(1, 4))):
        # The numbers themselves, at the end, are not of interest.
        damaged[data.draw(st.integers(0, len(damaged) - 2200))] = data.draw(st.integers(0, 255))
    try:
        assert read_feature(write(tmp_path, bytes(damaged))).shape == (FEATURE_SIZE,)
    except MmudError as error:
        assert error.code.id in ("MM739", "MM701", "MM702", "MM703")


def test_names_of_feature_files(tmp_path: Path) -> None:
    assert feature_file(tmp_path, "1.jpg") is None
    (tmp_path / "1.pkl").write_bytes(b"")
    assert feature_file(tmp_path, "1.jpg") == tmp_path / "1.pkl"
    (tmp_path / "1.jpg.pkl").write_bytes(b"")
    assert feature_file(tmp_path, "1.jpg") == tmp_path / "1.jpg.pkl"


def test_features_of_a_release_are_checked_and_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMUD_CACHE", str(tmp_path / "cache"))
    records = [record(image_path=f"{number}.jpg") for number in range(4)]
    path = release(tmp_path / "release", records, images=True)
    features = tmp_path / "features"
    features.mkdir()
    for number in range(3):
        (features / f"{number}.jpg.pkl").write_bytes(pickle.dumps(NUMBERS * number))
    (features / "2.jpg.pkl").write_bytes(pickle.dumps(NUMBERS[:9]))
    options = {"path": str(path), "features": str(features)}
    found = drained(OfficialSource.from_options(options))
    assert found.codes == {"MM739": 1, "MM738": 1}
    assert [sample.provenance["official"].get("feature") for sample in found.samples] == [
        "0.jpg.pkl",
        "1.jpg.pkl",
        None,
        None,
    ]

    report = build(Recipe(sources=({"type": "official", **options},)), tmp_path / "dataset")
    assert report.dataset is not None
    with pytest.raises(MmudError, match="MM739"):
        export_features(report.dataset, features, tmp_path / "out")
    for number in (2, 3):
        (features / f"{number}.jpg.pkl").write_bytes(pickle.dumps(NUMBERS * number))
    assert export_features(report.dataset, features, tmp_path / "out") == {"train": 4}
    with np.load(tmp_path / "out" / "train.npz", allow_pickle=False) as arrays:
        assert arrays["sample_ids"].tolist() == ["0", "1", "2", "3"]
        assert np.array_equal(arrays["features"], NUMBERS * np.arange(4, dtype=np.float32)[:, None])
    with pytest.raises(MmudError, match="MM003"):
        export_features(report.dataset, features, tmp_path / "out")
    (features / "1.jpg.pkl").unlink()
    with pytest.raises(MmudError, match="MM738"):
        export_features(report.dataset, features, tmp_path / "again")


def test_features_go_along_with_an_export(tmp_path: Path) -> None:
    """The numbers are those that the official code would load; the file is one that evaluation reads."""
    from mmud.cli import run
    from mmud.evaluators.reference_features import read_reference_features

    records = [record(image_path=f"D:\\x\\{number}.jpg") for number in range(3)]
    folder = release(tmp_path / "release", records, images=True)
    features = tmp_path / "features"
    features.mkdir()
    for number in range(3):
        (features / f"{number}.jpg.pkl").write_bytes(pickle.dumps(NUMBERS * number))
    options = {"path": str(folder), "images": str(folder / "images")}
    build(Recipe(sources=({"type": "official", **options},)), tmp_path / "data")
    command = ["export", str(tmp_path / "data"), "--to", "official", "-q"]
    assert run([*command, "-o", str(tmp_path / "out"), "--set", f"features={features}"]) == 0
    found = read_reference_features(tmp_path / "out" / "features" / "train.npz")
    assert {name: value.tolist() for name, value in found.items()} == {
        str(number): (NUMBERS * number).tolist() for number in range(3)
    }
    (features / "1.jpg.pkl").unlink()
    assert run([*command, "-o", str(tmp_path / "broken"), "--set", f"features={features}"]) != 0
    assert not (tmp_path / "broken").exists()
    assert run([*command, "-o", str(tmp_path / "none"), "--set", f"features={tmp_path / 'nowhere'}"]) == 2
