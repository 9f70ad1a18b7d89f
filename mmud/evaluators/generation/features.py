"""Feature matrices: checks, a canonical order of rows, and safe loading of ``.npy`` files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmud.errors import Finding, MmudError, Place
from mmud.evaluators.generation import codes
from mmud.evaluators.statistics.sums import exact_sum
from mmud.files import require

Matrix = NDArray[np.float64]

MAX_MAGNITUDE = 1e30
"""The largest feature that is accepted: its third power, which the polynomial kernel takes, is still a finite float64."""

MAX_FILE_BYTES = 8 << 30
_MAX_HEADER_BYTES = 10_000


def as_feature_matrix(values: Any, name: str = "features") -> Matrix:
    """``values`` as a C-ordered float64 matrix of shape (images, dimensions).

    Args:
        values: Anything numpy reads as a two-dimensional array of floats or integers.
        name: What the message calls it.

    Raises:
        MmudError: MM860 for another shape or type, MM861 for NaN, infinity or a magnitude above ``MAX_MAGNITUDE``.
    """
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise MmudError(codes.FEATURES_MALFORMED, f"{name} is not a matrix: {error}") from error
    if array.dtype.kind not in "fiu":
        raise MmudError(codes.FEATURES_MALFORMED, f"{name} has values of type {array.dtype}, not real numbers")
    if array.ndim != 2 or 0 in array.shape:
        raise MmudError(codes.FEATURES_MALFORMED, f"{name} has shape {array.shape}, not (images, dimensions)")
    matrix = np.ascontiguousarray(array, dtype=np.float64)
    usable = np.abs(matrix) <= MAX_MAGNITUDE  # False for NaN as well
    if not usable.all():
        row, column = (int(index) for index in np.argwhere(~usable)[0])
        raise MmudError(
            codes.FEATURES_NOT_FINITE,
            f"{name} holds {matrix[row, column]!s} in dimension {column + 1}; "
            f"{int((~usable).any(axis=1).sum())} of {len(matrix)} rows are affected",
            Place(row=row + 1),
        )
    return matrix


def same_dimension(a: Matrix, b: Matrix, name_a: str = "A", name_b: str = "B") -> None:
    """Both sets live in one space.

    Raises:
        MmudError: MM862 when they have different dimensions.
    """
    if a.shape[1] != b.shape[1]:
        raise MmudError(codes.DIMENSION_MISMATCH, f"{name_a} has {a.shape[1]} dimensions and {name_b} has {b.shape[1]}")


def at_least(count: int, minimum: int, name: str) -> None:
    """A set has ``minimum`` samples or more.

    Raises:
        MmudError: MM864 when it has fewer.
    """
    if count < minimum:
        raise MmudError(codes.TOO_FEW_SAMPLES, f"{name} has {count} sample{'s' * (count != 1)}; {minimum} are needed")


def size_findings(count_a: int, count_b: int, dimension: int) -> list[Finding]:
    """What a reader must know about the sizes: n below the dimension (MM865), unequal n (MM866)."""
    findings = []
    for name, count in (("A", count_a), ("B", count_b)):
        if count < dimension:
            message = f"set {name} has {count} samples in {dimension} dimensions"
            findings.append(Finding(codes.FEWER_SAMPLES_THAN_DIMENSIONS, Place(), message))
    if count_a != count_b:
        findings.append(Finding(codes.UNEQUAL_SAMPLES, Place(), f"{count_a} samples against {count_b}"))
    return findings


def canonical_order(*matrices: Matrix) -> NDArray[np.intp]:
    """The order of rows that does not depend on the order they came in: ascending by the rows' big-endian bytes.

    Floating-point sums depend on the order of their terms. Every figure here is computed in this order, so it is
    bit-identical for rows in any order and in any number of shards. Rows that tie are equal, so ties do not matter.

    Args:
        matrices: One matrix, or several with paired rows, which are ordered by the first, then the second, and so on.
    """
    joined = np.ascontiguousarray(np.hstack(matrices), dtype=">f8")
    keys = joined.view(np.dtype((np.void, joined.itemsize * joined.shape[1]))).ravel()
    return np.argsort(keys, kind="stable")


def exact_mean(values: Iterable[float]) -> float:
    """The mean whose sum is rounded once: the same bits for the values in any order.

    Raises:
        MmudError: MM864 for no values.
    """
    listed = np.fromiter(values, np.float64)
    at_least(len(listed), 1, "the mean")
    return exact_sum(listed) / len(listed)


def features_from_rows(
    features: Sequence[Sequence[float] | NDArray[Any] | None], ids: Sequence[str], dimension: int | None = None
) -> NDArray[np.float32]:
    """The matrix of features that prediction rows carry, float32, one row a sample, in the order given.

    Args:
        features: One vector a sample, ``None`` where a row has none.
        ids: The samples' names, for messages.
        dimension: The length that every vector must have; the first vector's when left out.

    Raises:
        MmudError: MM876 for a missing feature, MM860 for one that is no vector of numbers, MM862 for one of another
            length, MM861 for NaN or infinity; each names the sample.
    """
    missing = [name for name, feature in zip(ids, features, strict=True) if feature is None]
    if missing:
        raise MmudError(
            codes.FEATURE_MISSING, f"{len(missing)} of {len(ids)} samples carry no feature", Place(sample=missing[0])
        )
    rows = []
    for name, feature in zip(ids, features, strict=True):
        row = _vector(feature, name)
        dimension = len(row) if dimension is None else dimension
        if len(row) != dimension:
            message = f"feature has {len(row)} numbers, not {dimension}"
            raise MmudError(codes.DIMENSION_MISMATCH, message, Place(sample=name, field="feature"))
        rows.append(row)
    at_least(len(rows), 1, "the submission")
    return np.stack(rows)


def _vector(feature: Any, name: str) -> NDArray[np.float32]:
    place = Place(sample=name, field="feature")
    try:
        array = np.asarray(feature)
    except ValueError as error:
        raise MmudError(codes.FEATURES_MALFORMED, f"feature is not a vector: {error}", place) from error
    if array.dtype.kind not in "fiu" or array.ndim != 1 or not array.size:
        message = f"feature is {array.dtype} of shape {array.shape}, not a vector of numbers"
        raise MmudError(codes.FEATURES_MALFORMED, message, place)
    if not (np.abs(array.astype(np.float64)) <= MAX_MAGNITUDE).all():
        raise MmudError(codes.FEATURES_NOT_FINITE, "feature holds NaN, infinity or a number above 1e30", place)
    return array.astype(np.float32)


def load_features(path: Path, max_bytes: int = MAX_FILE_BYTES) -> Matrix:
    """The matrix in a ``.npy`` file from anyone: no pickle is opened, no memory is taken on a header's word alone.

    Returns:
        float64, shape (images, dimensions).

    Raises:
        MmudError: MM002 no such file, MM863 not a plain ``.npy`` file or too large, MM860 and MM861 as
            ``as_feature_matrix``.
    """
    path = require(Path(path))
    place = Place(file=str(path))
    if not path.is_file():
        raise MmudError(codes.FEATURES_FILE, "not a file", place)
    size = path.stat().st_size
    if size > max_bytes:
        raise MmudError(codes.FEATURES_FILE, f"{size} bytes; the bound is {max_bytes}", place)
    try:
        with open(path, "rb") as stream:
            shape, dtype = _read_header(stream)
            expected = math.prod(shape) * dtype.itemsize
            if dtype.hasobject:
                raise MmudError(codes.FEATURES_FILE, "the file holds pickled Python objects", place)
            if size - stream.tell() != expected:
                message = f"the header promises {expected} bytes of data and the file holds {size - stream.tell()}"
                raise MmudError(codes.FEATURES_FILE, message, place)
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise MmudError(codes.FEATURES_FILE, f"not a plain .npy file: {error}", place) from error
    try:
        return as_feature_matrix(array, path.name)
    except MmudError as error:
        row = error.where.row
        raise MmudError(error.code, error.message, Place(file=str(path), row=row), error.hint) from error


def _read_header(stream: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream, max_header_size=_MAX_HEADER_BYTES)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(stream, max_header_size=_MAX_HEADER_BYTES)
    else:
        raise ValueError(f"format version {version} is not read")
    return shape, dtype
