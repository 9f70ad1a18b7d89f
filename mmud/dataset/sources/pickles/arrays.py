"""The few globals that a pickle of annotations may name, each replaced by a stand-in that makes plain values.

Numpy's arrays and scalars are rebuilt from their bytes, their type and their shape; object arrays, structured types and
everything else that could hold more than numbers or text are refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmud.dataset.sources import codes
from mmud.dataset.sources.pickles.floats import PackedFloats
from mmud.dataset.sources.pickles.state import Buildable, GlobalName, Reference
from mmud.dataset.sources.pickles.window import Refusal
from mmud.errors import MmudError, Place

MAX_DEPTH = 64
"""Nesting of a value that holds arrays."""

_TYPE = re.compile(r"[fiu][248]|[iu]1|b1|[SU][1-9]\d{0,5}")


def _refuse(message: str) -> Refusal:
    return Refusal(codes.PICKLE_MALFORMED, message)


class PickledType(Buildable):
    """A numpy type: numbers, truth values or text of fixed length."""

    __slots__ = ("dtype",)

    def __init__(self, name: Any, align: Any = False, copy: Any = True) -> None:
        if not isinstance(name, str) or not _TYPE.fullmatch(name):
            raise Refusal(
                codes.PICKLE_FORBIDDEN, f"an array of type {ascii(name)[:40]} may hold more than numbers or text"
            )
        self.dtype = np.dtype(name)

    def build(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "=", "|"):
            raise _refuse("an array's type with an unknown state")
        if any(part is not None for part in state[2:5]):
            raise Refusal(codes.PICKLE_FORBIDDEN, "an array of a structured type")
        self.dtype = self.dtype.newbyteorder(state[1])


class PickledArray(Buildable):
    """A numpy array: made empty, then told its shape, type and bytes."""

    __slots__ = ("array",)

    def __init__(self, array: NDArray[Any] | None = None) -> None:
        self.array: NDArray[Any] = np.zeros(0) if array is None else array

    def build(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise _refuse("an array with an unknown state")
        _, shape, kind, fortran, data = state
        self.array = _array(data, kind, shape, "F" if fortran is True else "C")


def _array(data: Any, kind: Any, shape: Any, order: Any) -> NDArray[Any]:
    if not isinstance(kind, PickledType) or not isinstance(data, bytes):
        raise _refuse("an array without its type or its bytes")
    if not isinstance(shape, tuple) or len(shape) > 8 or order not in ("C", "F"):
        raise _refuse("an array without its shape")
    if not all(type(side) is int and 0 <= side <= 1 << 40 for side in shape):
        raise _refuse("an array of impossible shape")
    if math.prod(shape) * kind.dtype.itemsize != len(data):
        raise _refuse(f"an array of shape {shape} with {len(data):,} bytes")
    # An empty array of many rows would become as many empty lists.
    return np.frombuffer(data, kind.dtype).reshape(shape if 0 not in shape else (0,), order=order)


def _reconstruct(kind: Any, shape: Any, code: Any) -> PickledArray:
    if not isinstance(kind, Reference) or kind.name != ("numpy", "ndarray"):
        raise Refusal(codes.PICKLE_FORBIDDEN, "an array of another class than numpy's own")
    return PickledArray()


def _from_buffer(data: Any, kind: Any, shape: Any, order: Any) -> PickledArray:
    return PickledArray(_array(data, kind, shape, order))


def _scalar(kind: Any, data: Any) -> Any:
    return _array(data, kind, (1,), "C").tolist()[0]


def _encode(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise Refusal(codes.PICKLE_FORBIDDEN, "bytes written in another way than picklers write them")
    return text.encode("latin-1")


def _no_bytes() -> bytes:
    return b""


def _not_callable(*arguments: Any) -> Any:
    raise Refusal(codes.PICKLE_FORBIDDEN, "an array made by calling its class")


ALLOWED: dict[GlobalName, Callable[..., Any]] = {
    ("_codecs", "encode"): _encode,
    ("builtins", "bytes"): _no_bytes,
    ("__builtin__", "bytes"): _no_bytes,
    ("numpy", "dtype"): PickledType,
    ("numpy", "ndarray"): _not_callable,
}
# Numpy 2 moved its inner modules.
for _core in ("numpy.core", "numpy._core"):
    ALLOWED[f"{_core}.multiarray", "_reconstruct"] = _reconstruct
    ALLOWED[f"{_core}.multiarray", "scalar"] = _scalar
    ALLOWED[f"{_core}.numeric", "_frombuffer"] = _from_buffer


def to_plain(value: Any, place: Place) -> Any:
    """The value with every array as nested lists and packed floats as a list; a list stays the same list.

    Raises:
        MmudError: MM701 when a bare function or type is left in it, MM703 when it is nested too deeply or contains itself.
    """
    try:
        return _plain(value, {}, 0)
    except Refusal as refusal:
        raise MmudError(refusal.code, refusal.message, place) from None
    except (ValueError, OverflowError) as error:  # text of an array that is no text
        raise MmudError(codes.PICKLE_MALFORMED, str(error)[:120], place) from error


def _plain(value: Any, done: dict[int, Any], depth: int) -> Any:
    kind = type(value)
    if kind is PickledArray:
        return value.array.tolist()
    if kind is PackedFloats:
        return value.to_list()
    if kind in (Reference, PickledType):
        raise Refusal(codes.PICKLE_FORBIDDEN, "a function or type stands where a value belongs")
    if kind not in (list, tuple, dict):
        return value
    if id(value) in done:
        return done[id(value)]
    if depth > MAX_DEPTH:
        raise Refusal(codes.PICKLE_TOO_LARGE, f"nested more than {MAX_DEPTH} deep")
    made: Any
    if kind is dict:
        made = {_plain(key, done, depth + 1): _plain(item, done, depth + 1) for key, item in value.items()}
    else:
        made = kind(_plain(item, done, depth + 1) for item in value)
    done[id(value)] = made
    return made
