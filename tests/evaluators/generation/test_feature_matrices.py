"""Feature matrices: checks, canonical order, exact means, and loading files from strangers."""

from __future__ import annotations

import io
import math
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmud.errors import MmudError
from mmud.evaluators.generation.features import (
    as_feature_matrix,
    canonical_order,
    exact_mean,
    features_from_rows,
    load_features,
    size_findings,
)


class Trap:
    """Unpickling it would run code."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was opened",))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint8", "int64", ">f4", "<f8"])
def test_real_types_are_taken(tmp_path, dtype):
    rows = np.arange(12).reshape(4, 3).astype(dtype)
    np.save(tmp_path / "a.npy", rows)
    loaded = load_features(tmp_path / "a.npy")
    assert loaded.dtype == np.float64
    assert np.array_equal(loaded, np.arange(12).reshape(4, 3))


def test_fortran_order(tmp_path):
    rows = np.asfortranarray(np.arange(12.0).reshape(4, 3))
    np.save(tmp_path / "a.npy", rows)
    assert np.array_equal(load_features(tmp_path / "a.npy"), rows)


def npy(array) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def header(text: str) -> bytes:
    body = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body


SMALL = npy(np.ones((3, 2)))
HOSTILE = {
    "empty": (b"", "MM863"),
    "text": (b"a,b\n1,2\n", "MM863"),
    "a pickle": (pickle.dumps([1.0, 2.0]), "MM863"),
    "a pickle in npy": (npy(np.array([[Trap()]], dtype=object)), "MM863"),
    "a structured type with objects": (npy(np.zeros(2, dtype=[("x", "O")])), "MM863"),
    "truncated": (SMALL[:-1], "MM863"),
    "trailing bytes": (SMALL + b"x", "MM863"),
    "only a header": (SMALL[:128], "MM863"),
    "an archive": (b"PK\x03\x04" + bytes(200), "MM863"),
    "a header of a petabyte": (
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 200), }"),
        "MM863",
    ),
    "a negative shape": (header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -8), }") + bytes(64), "MM863"),
    "a header that is code": (header("__import__('os').getcwd()"), "MM863"),
    "a header that is no dictionary": (header("[1, 2]"), "MM863"),
    "version 9": (b"\x93NUMPY\x09\x00" + SMALL[8:], "MM863"),
    "one axis": (npy(np.ones(3)), "MM860"),
    "three axes": (npy(np.ones((3, 2, 2))), "MM860"),
    "no rows": (npy(np.ones((0, 2))), "MM860"),
    "complex": (npy(np.ones((3, 2), complex)), "MM860"),
    "booleans": (npy(np.ones((3, 2), bool)), "MM860"),
    "text values": (npy(np.array([["a"]])), "MM860"),
    "NaN": (npy(np.array([[1.0, np.nan]])), "MM861"),
    "infinity": (npy(np.array([[1.0, -np.inf]])), "MM861"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(tmp_path, name):
    data, code = HOSTILE[name]
    path = tmp_path / "a.npy"
    path.write_bytes(data)
    with pytest.raises(MmudError) as caught:
        load_features(path)
    assert caught.value.code.id == code
    assert caught.value.where.file == str(path)


def test_files_that_are_none(tmp_path):
    with pytest.raises(MmudError) as caught:
        load_features(tmp_path / "none.npy")
    assert caught.value.code.id == "MM002"
    with pytest.raises(MmudError) as caught:
        load_features(tmp_path)
    assert caught.value.code.id == "MM863"


def test_size_bound(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((10, 10)))
    with pytest.raises(MmudError, match="bound is 100"):
        load_features(tmp_path / "a.npy", max_bytes=100)


def test_the_bad_row_is_named():
    rows = np.ones((5, 3))
    rows[3, 1] = np.nan
    rows[4, 0] = np.inf
    with pytest.raises(MmudError, match="nan in dimension 2; 2 of 5 rows") as caught:
        as_feature_matrix(rows)
    assert caught.value.where.row == 4


@given(
    rows=arrays(
        np.float32, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=st.sampled_from([-1, 0, 0.5, 2])
    ),
    seed=st.integers(0, 999),
)
def test_canonical_order_forgets_the_order(rows, seed):
    rows = rows.astype(np.float64)
    order = np.random.default_rng(seed).permutation(len(rows))
    shuffled = rows[order]
    assert np.array_equal(rows[canonical_order(rows)], shuffled[canonical_order(shuffled)])
    assert sorted(canonical_order(rows)) == list(range(len(rows)))


@given(seed=st.integers(0, 999))
def test_canonical_order_of_pairs_keeps_them_together(seed):
    random = np.random.default_rng(0)
    a, b = random.integers(0, 2, (30, 2)).astype(float), random.integers(0, 3, (30, 2)).astype(float)
    order = np.random.default_rng(seed).permutation(30)
    first, second = canonical_order(a, b), canonical_order(a[order], b[order])
    assert np.array_equal(np.hstack([a, b])[first], np.hstack([a[order], b[order]])[second])


@given(st.lists(st.floats(-1e15, 1e15), min_size=1, max_size=30), st.randoms())
def test_exact_mean(values, random):
    """Rounded once before the division: against exact fractions, and in another order."""
    shuffled = list(values)
    random.shuffle(shuffled)
    assert exact_mean(values) == exact_mean(shuffled) == float(sum(map(Fraction, values))) / len(values)


def test_exact_mean_of_nothing():
    with pytest.raises(MmudError, match="0 samples"):
        exact_mean([])


def test_features_of_rows():
    matrix = features_from_rows([[1, 2.5], np.array([3.0, 4.0])], ["x", "y"])
    assert matrix.dtype == np.float32
    assert matrix.tolist() == [[1, 2.5], [3, 4]]


@pytest.mark.parametrize(
    ("feature", "code"),
    [
        (None, "MM876"),
        ([1.0], "MM862"),
        ([1.0, math.nan], "MM861"),
        ([1.0, 1e300], "MM861"),
        (["a", "b"], "MM860"),
        ([[1.0], [2.0]], "MM860"),
        ([[1.0], 2.0], "MM860"),
        ([], "MM860"),
        ([True, False], "MM860"),
        ({"a": 1}, "MM860"),
    ],
)
def test_bad_rows_name_their_sample(feature, code):
    with pytest.raises(MmudError) as caught:
        features_from_rows([[1.0, 2.0], feature], ["x", "y"])
    assert caught.value.code.id == code
    assert caught.value.where.sample == "y"


def test_features_of_a_given_dimension():
    with pytest.raises(MmudError, match="2 numbers, not 512") as caught:
        features_from_rows([[1.0, 2.0]], ["x"], dimension=512)
    assert caught.value.where.sample == "x"
    with pytest.raises(MmudError) as caught:
        features_from_rows([], [])
    assert caught.value.code.id == "MM864"


def test_warnings_about_sizes_are_data():
    assert [finding.code.id for finding in size_findings(10, 12, 11)] == ["MM865", "MM866"]
    assert [finding.code.id for finding in size_findings(10, 10, 11)] == ["MM865", "MM865"]
    assert size_findings(12, 12, 12) == []
    assert all(finding.severity.label == "warning" for finding in size_findings(10, 12, 11))
