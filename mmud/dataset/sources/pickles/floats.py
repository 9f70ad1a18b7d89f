"""Runs of floats, most of an annotation file: decoded in one go, or kept as the file spells them until they are asked for."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from mmud.dataset.sources import codes
from mmud.dataset.sources.pickles.window import Refusal

_SPELT = np.dtype([("opcode", "u1"), ("value", ">f8")])
_FEW_FLOATS = [struct.Struct(">" + "xd" * count).unpack_from for count in range(9)]
_PROBES = (48, 256, 4096)

FEWEST_PACKED = 6
"""A triangle: boxes and single numbers are wanted as they are."""

PIECE = 1000
"""Picklers write a longer list in pieces of so many elements: a run of this length may go on."""


class PackedFloats:
    """A list of floats as a pickle spells it, nine bytes each: making Python's own floats is what takes most of the time.

    Attributes:
        spelt: the opcodes BINFLOAT.
    """

    __slots__ = ("spelt",)

    def __init__(self, spelt: bytes) -> None:
        self.spelt = spelt

    @classmethod
    def of(cls, values: list[float]) -> PackedFloats:
        """The same list, packed."""
        spelt = np.empty(len(values), _SPELT)
        spelt["opcode"] = ord("G")
        spelt["value"] = values
        return cls(spelt.tobytes())

    def __len__(self) -> int:
        return len(self.spelt) // 9

    def to_list(self) -> list[float]:
        return read_floats(self.spelt, 0, len(self))


def joined(lists: Iterable[PackedFloats]) -> NDArray[np.float64]:
    """The values of some lists, end to end."""
    return np.frombuffer(b"".join([one.spelt for one in lists]), _SPELT)["value"].astype(np.float64)


def float_list(data: bytes, start: int, end: int, packed: bool) -> tuple[list[float] | PackedFloats, int] | None:
    """The floats from here on, where nothing but the end of the list follows them; and what comes after that end.

    Args:
        data: a window of the file.
        start: of the first float.
        end: of the file's own bytes in the window.
        packed: whether a list of `FEWEST_PACKED` and more may stay packed.
    """
    if data[start : start + 37 : 9] == b"GGGGe":  # a box
        return list(_FEW_FLOATS[4](data, start)), start + 37
    count = count_floats(data, start, end)
    after = start + 9 * count
    if data[after : after + 1] != b"e":
        return None
    if packed and count >= FEWEST_PACKED and count != PIECE:
        return PackedFloats(data[start:after]), after + 1
    return read_floats(data, start, count), after + 1


def count_floats(data: bytes, start: int, end: int) -> int:
    """How many floats follow each other from here on.

    Raises:
        Refusal: MM702 when there is not one.
    """
    count = 0
    for length in _PROBES:
        # Every ninth byte is the opcode of the next number.
        opcodes = data[start : start + 9 * length : 9]
        count = len(opcodes) - len(opcodes.lstrip(b"G"))
        if count < length:
            break
    count = min(count, (end - start) // 9)
    if count < 1:
        raise Refusal(codes.PICKLE_MALFORMED, "the file ends within a number")
    return count


def read_floats(data: bytes, start: int, count: int) -> list[float]:
    """So many floats, the first of which begins here."""
    if count < len(_FEW_FLOATS):
        return list(_FEW_FLOATS[count](data, start))
    values: list[float] = np.frombuffer(data, _SPELT, count, start)["value"].tolist()
    return values
