"""Random numbers that are the same on every machine, Python and numpy.

``random.Random`` keeps only ``random()`` stable between Python versions, and numpy's generators promise nothing for their
distributions. A world that has to come out byte for byte equal years later draws from splitmix64 (Steele, Lea, Flood,
"Fast splittable pseudorandom number generators", OOPSLA 2014): 64-bit integer arithmetic and nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_MASK = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15
_ONE = 1 << 64


class Stream:
    """A stream of draws named by its keys: equal keys, equal draws; different keys, unrelated draws.

    Args:
        keys: Strings and integers, as in ``Stream(seed, index, "layout")``.
    """

    __slots__ = ("_state",)

    def __init__(self, *keys: str | int) -> None:
        name = "/".join(str(key) for key in keys).encode()
        self._state = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little")

    def bits(self) -> int:
        """The next 64 bits as an integer."""
        self._state = (self._state + _GAMMA) & _MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return mixed ^ (mixed >> 31)

    def below(self, bound: int) -> int:
        """An integer in ``0 .. bound - 1``."""
        return (self.bits() * bound) >> 64

    def between(self, low: int, high: int) -> int:
        """An integer in ``low .. high``, both ends included."""
        return low + self.below(high - low + 1)

    def chance(self, probability: float) -> bool:
        """True with the given probability; a product by a power of two is exact, so the comparison is too."""
        return self.bits() < probability * _ONE

    def choice(self, items: Sequence[T]) -> T:
        """One of the items; the sequence is not empty."""
        return items[self.below(len(items))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in random order (Fisher-Yates), as a new list."""
        result = list(items)
        for last in range(len(result) - 1, 0, -1):
            other = self.below(last + 1)
            result[last], result[other] = result[other], result[last]
        return result

    def weighted(self, weights: Sequence[int]) -> int:
        """A position, drawn in proportion to its integer weight; at least one weight is positive."""
        rest = self.below(sum(weights))
        for position, weight in enumerate(weights):
            rest -= weight
            if rest < 0:
                return position
        raise ValueError("weights must hold a positive number")
