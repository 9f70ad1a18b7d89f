"""Arrays and torch tensors out of a pickle, without torch.

A tensor that was written with ``pickle.dump`` is a call of ``torch._utils._rebuild_tensor_v2`` on a storage, and the storage is a
call on bytes: those of ``torch.save`` in its older form, five pickles one after another (a number that marks the form, its
version, facts about the machine, the storage as a persistent id, the storages' keys), then the count of numbers and the
numbers themselves.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mmud.dataset.sources import codes
from mmud.dataset.sources.pickles.arrays import ALLOWED, PickledArray, to_plain
from mmud.dataset.sources.pickles.machine import run_whole
from mmud.dataset.sources.pickles.state import GlobalName, Limits, Reference, State
from mmud.dataset.sources.pickles.window import Refusal
from mmud.errors import MmudError, Place

SMALL = Limits(file_bytes=1 << 26, held_bytes=1 << 26, held_objects=10_000)

_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
}


class _Storage:
    """The numbers of a tensor, flat."""

    __slots__ = ("numbers",)

    def __init__(self, numbers: NDArray[Any]) -> None:
        self.numbers = numbers


def load_array(stream: BinaryIO, size: int, place: Place) -> Any:
    """What a pickle holds, if that is an array, a tensor or plain data; arrays and tensors as numpy arrays at the top.

    Raises:
        MmudError: MM701 more than that, MM702 malformed, MM703 beyond the bounds.
    """
    if size > SMALL.file_bytes:
        raise MmudError(codes.PICKLE_TOO_LARGE, f"{size:,} bytes, at most {SMALL.file_bytes:,} are read", place)
    value = run_whole(State(stream, size, SMALL, _ALLOWED), place)
    return value.array if isinstance(value, PickledArray) else to_plain(value, place)


def _rebuild_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> PickledArray:
    if not isinstance(storage, _Storage) or not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise Refusal(codes.PICKLE_MALFORMED, "a tensor without its storage or shape")
    numbers = [offset, *shape, *strides]
    if len(shape) != len(strides) or len(shape) > 8 or not all(type(n) is int and 0 <= n < 1 << 31 for n in numbers):
        raise Refusal(codes.PICKLE_MALFORMED, "a tensor of impossible shape")
    flat = storage.numbers
    last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    count = int(np.prod([int(side) for side in shape], dtype=object)) if shape else 1
    if 0 in shape or last >= len(flat) or count > len(flat):
        raise Refusal(codes.PICKLE_MALFORMED, f"a tensor of shape {shape} with {len(flat):,} numbers")
    steps = tuple(stride * flat.itemsize for stride in strides)
    return PickledArray(np.lib.stride_tricks.as_strided(flat[offset:], shape, steps, writeable=False).copy())


def _rebuild_parameter(data: Any, *rest: Any) -> Any:
    return data


def _load_storage(data: Any) -> _Storage:
    if not isinstance(data, bytes):
        raise Refusal(codes.PICKLE_MALFORMED, "a storage without its bytes")
    stream = io.BytesIO(data)

    def next_pickle(persistent: Callable[[Any], Any] | None = None) -> Any:
        start = stream.tell()
        state = State(stream, len(data) - start, SMALL, _STORAGE_NAMES, persistent)
        value = run_whole(state, Place())
        stream.seek(start + state.window.offset)
        return value

    try:
        if next_pickle() != _MAGIC:
            raise Refusal(codes.PICKLE_MALFORMED, "a storage of an unknown form")
        next_pickle()  # the form's version
        machine = next_pickle()
        if not isinstance(machine, dict) or machine.get("little_endian") is not True:
            raise Refusal(codes.PICKLE_MALFORMED, "a storage written on a big-endian machine")
        kind, declared = next_pickle(_storage_named)
        if not isinstance(next_pickle(), list):
            raise Refusal(codes.PICKLE_MALFORMED, "a storage without its keys")
    except MmudError as error:
        raise Refusal(error.code, f"within a storage: {error.message}") from error
    head = stream.read(8)
    numbers = data[stream.tell() :]
    dtype = np.dtype(_STORAGES[kind])
    if len(head) != 8 or struct.unpack("<q", head)[0] != declared or len(numbers) != declared * dtype.itemsize:
        raise Refusal(codes.PICKLE_MALFORMED, "a storage of another length than it says")
    flat = np.frombuffer(numbers, dtype)
    if kind == "BFloat16Storage":
        flat = (flat.astype(np.uint32) << 16).view(np.float32)
    return _Storage(flat)


def _storage_named(name: Any) -> tuple[str, int]:
    """From ("storage", type, key, device, count, None): the type's name and the count."""
    if isinstance(name, tuple) and len(name) >= 5 and name[0] == "storage" and isinstance(name[1], Reference):
        kind, count = name[1].name[1], name[4]
        if kind in _STORAGES and type(count) is int and 0 < count <= 1 << 26:
            return kind, count
    raise Refusal(codes.PICKLE_FORBIDDEN, "a storage of an unknown type")


def _not_callable(*arguments: Any) -> Any:
    raise Refusal(codes.PICKLE_FORBIDDEN, "a storage made by calling its class")


def _ordered() -> dict[Any, Any]:
    return {}


_STORAGE_NAMES: dict[GlobalName, Callable[..., Any]] = {("torch", name): _not_callable for name in _STORAGES}
_ALLOWED: dict[GlobalName, Callable[..., Any]] = {
    **ALLOWED,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch.storage", "_load_from_bytes"): _load_storage,
    ("collections", "OrderedDict"): _ordered,
}
