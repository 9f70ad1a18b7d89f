"""The restricted pickle reader on plain data: equal to ``pickle.loads`` for every protocol, in a file or as a stream."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmud.dataset.sources import safe_pickle
from mmud.dataset.sources.pickles.arrays import to_plain
from mmud.dataset.sources.pickles.floats import PackedFloats
from mmud.errors import MmudError, Place
from tests.dataset.sources.pickle_files import PROTOCOLS, write

TEXT = st.text(st.characters(exclude_categories=()), max_size=300)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT | st.binary(max_size=300)
KEYS = st.integers() | TEXT
PLAIN = st.recursive(
    SCALARS | st.lists(st.floats(allow_nan=False), max_size=80),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
        # The same object twice: the memo's reason to be.
        | inner.map(lambda value: [value, value])
    ),
    max_leaves=20,
)


@given(PLAIN, st.sampled_from(PROTOCOLS))
def test_plain_data_reads_as_pickle_reads_it(value: Any, protocol: int) -> None:
    assert safe_pickle.loads(pickle.dumps(value, protocol)) == value


@given(st.lists(PLAIN, max_size=8), st.sampled_from(PROTOCOLS))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_streamed_elements_are_those_of_the_list(tmp_path: Path, values: list[Any], protocol: int) -> None:
    path = write(tmp_path, pickle.dumps(values, protocol))
    assert list(safe_pickle.stream(path)) == values


@given(st.lists(PLAIN, max_size=6), st.sampled_from(PROTOCOLS))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_packed_floats_stand_for_their_lists(tmp_path: Path, values: list[Any], protocol: int) -> None:
    path = write(tmp_path, pickle.dumps(values, protocol))
    assert [to_plain(value, Place()) for value in safe_pickle.stream(path, packed=True)] == values


def test_which_lists_of_floats_stay_packed(tmp_path: Path) -> None:
    # Picklers write lists in pieces of a thousand, and one of a thousand looks like the first piece of a longer one.
    lengths = [1, 5, 6, 7, 50, 999, 1000, 1001, 2500]
    values = [[[number / 7 for number in range(length)]] for length in lengths]
    path = write(tmp_path, pickle.dumps(values))
    found = [element[0] for element in safe_pickle.stream(path, packed=True)]
    assert [len(one) for one, packed in zip(found, map(type, found), strict=True) if packed is PackedFloats] == [
        6,
        7,
        50,
        999,
    ]
    assert [one.to_list() if isinstance(one, PackedFloats) else one for one in found] == [value[0] for value in values]
    assert PackedFloats.of(values[4][0]).spelt == found[4].spelt


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_memo_survives_batches(tmp_path: Path, protocol: int) -> None:
    # Objects that a record shares with one far before it, as a release shares its category names.
    names = [f"category {number}" for number in range(300)]
    shared_list = [1.5, 2.5, 3.5] * 30
    values = [[number, names[number % 300], shared_list, {"fresh": [float(number)]}] for number in range(5_300)]
    path = write(tmp_path, pickle.dumps(values, protocol))
    assert list(safe_pickle.stream(path)) == values


def test_old_python_strings_are_text() -> None:
    # Python 2's str, by hand: its pickler is not here. 'U' is SHORT_BINSTRING, 'T' BINSTRING, 'S' STRING.
    assert safe_pickle.loads(b"\x80\x02U\x03abc.") == "abc"
    assert safe_pickle.loads(b"T\x03\x00\x00\x00abc.") == "abc"
    assert safe_pickle.loads(b"S'a\\'b\\x41'\n.") == "a'bA"
    # UTF-8 where it is, Latin-1 otherwise.
    assert safe_pickle.loads(b"U\x05caf\xc3\xa9.") == "caf\xe9"
    assert safe_pickle.loads(b"U\x04caf\xe9.") == "caf\xe9"


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype="f4").reshape(3, 4),
        np.asfortranarray(np.arange(6, dtype="f8").reshape(2, 3)),
        np.arange(5, dtype=">i2"),
        np.array([True, False]),
        np.array(["ab", "cde"]),
        np.array([b"ab", b"c"]),
        np.zeros((0, 7)),
        np.array(3.5, dtype="f2"),
    ],
    ids=str,
)
def test_numeric_arrays_become_lists(array: np.ndarray, protocol: int) -> None:
    read = safe_pickle.loads(pickle.dumps([array, {"twice": array}], protocol))
    expected = array.tolist()
    assert read == [expected, {"twice": expected}]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "scalar", [np.float32(1.5), np.int64(-7), np.bool_(True), np.str_("x"), np.uint8(200)], ids=repr
)
def test_numpy_scalars_become_plain_numbers(scalar: Any, protocol: int) -> None:
    read = safe_pickle.loads(pickle.dumps((scalar,), protocol))
    assert read == (scalar.item(),)
    assert type(read[0]) in (float, int, bool, str)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_window_borders(tmp_path: Path, protocol: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Windows of a few bytes put every opcode on a border at some size.
    from mmud.dataset.sources.pickles import window

    values = [
        ("é" * 200, "x" * 255, [float(n) for n in range(300)], 70_000, b"\x00" * 300, n, -5, 1 << 70) for n in range(6)
    ]
    path = write(tmp_path, pickle.dumps(values, protocol))
    for size in (1, 7, 301):
        monkeypatch.setattr(window, "CHUNK", size)
        assert list(safe_pickle.stream(path)) == values


def test_memory_of_a_stream_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "long.pkl"
    records = [(f"{n}.jpg", "word " * 50, [[float(n + i) for i in range(60)] for _ in range(3)]) for n in range(30_000)]
    path.write_bytes(pickle.dumps(records))
    program = f"""
        import resource
        from pathlib import Path
        from mmud.dataset.sources import safe_pickle
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        count = sum(1 for _ in safe_pickle.stream(Path({str(path)!r})))
        print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True, timeout=120
    )
    count, kilobytes = map(int, run.stdout.split())
    assert count == 30_000
    # The file has 70 MB; loaded whole it would take 250.
    assert kilobytes < 40_000


def test_real_refs(shared_data: Path) -> None:
    # Written by the maker of mini_refcoco, next to the same as JSON.
    import json

    for name in ("refcoco/refs(unc)", "refcoco+/refs(unc)", "refcocog/refs(umd)"):
        read = safe_pickle.load(shared_data / "mini_refcoco" / f"{name}.p")
        assert read == json.loads((shared_data / "mini_refcoco" / f"{name}.json").read_text())


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(MmudError, match="MM002"):
        safe_pickle.load(tmp_path / "none.pkl")
    with pytest.raises(MmudError, match="MM002"):
        list(safe_pickle.stream(tmp_path / "none.pkl"))
