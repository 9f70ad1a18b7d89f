"""The made-up release: ``pickle.load`` reads exactly the records, and they are of the official shape."""

from __future__ import annotations

import importlib.util
import pickle
import pickletools
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from mmud.dataset.sources.official import OfficialSource
from mmud.dataset.sources.release.restore import restore_record

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "official_release.py"


@pytest.fixture(scope="module")
def made() -> ModuleType:
    spec = importlib.util.spec_from_file_location("official_release", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pickles_hold_the_records(made: ModuleType, tmp_path: Path) -> None:
    sizes = made.make_release(tmp_path, 2600)
    assert sizes == {"train": 2401, "valid": 100, "test": 99}
    for split, count in sizes.items():
        data = (tmp_path / f"{split}.pkl").read_bytes()
        records = list(made.records(split, count, 0))
        assert pickle.loads(data) == records
        # As a pickler writes them, opcode by opcode, but for where frames end.
        again = pickle.dumps(pickle.loads(data), 4)
        ours, theirs = (
            [(opcode.name, value) for opcode, value, _ in pickletools.genops(text) if opcode.name != "FRAME"]
            for text in (data, again)
        )
        assert ours == theirs
    for record in records[:20]:
        with Image.open(tmp_path / "images" / record[0].rpartition("\\")[2]) as image:
            assert image.size == (record[7], record[6])


def test_the_official_source_reads_all_of_it(made: ModuleType, tmp_path: Path) -> None:
    sizes = made.make_release(tmp_path, 400)
    source = OfficialSource.from_options({"path": str(tmp_path)})
    converted = [source.convert(item) for item in source.items()]
    records = [record for split, count in sizes.items() for record in made.records(split, count, 0)]
    assert [restore_record(one.sample) for one in converted] == records
    # What of it the official code drops, and Windows folders; nothing is broken.
    assert {finding.code.id for one in converted for finding in one.findings} <= {"MM723", "MM732", "MM734", "MM741"}


def test_the_same_seed_gives_the_same_bytes(made: ModuleType, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        made.make_release(tmp_path / name, 120, seed, images=False)
    first, again, other = ((tmp_path / name / "train.pkl").read_bytes() for name in "abc")
    assert first == again != other
