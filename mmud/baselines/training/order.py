"""Which examples make up which step: a pure function of seed and step, so that a resumed run sees what a straight one would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Draw:
    """One example of a step.

    Attributes:
        kind: which of the mixed streams it comes from.
        index: of the example within its stream.
        number: how many examples of this stream came before it; with the seed it is the seed of whatever is drawn for it.
    """

    kind: str
    index: int
    number: int


@lru_cache(maxsize=32)
def _permutation(seed: int, kind: str, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch, *kind.encode()]).permutation(count)


def mixing_pattern(weights: Mapping[str, int]) -> list[str]:
    """The shortest repeating sequence in which each kind comes as often as its weight says, spread as evenly as can be.

    Smooth weighted round robin: each turn adds its weight to every kind's account; the fullest is drawn and pays the sum.

    Raises:
        ValueError: when no weight is positive, or one is negative.
    """
    if any(weight < 0 for weight in weights.values()) or not any(weights.values()):
        raise ValueError(f"weights must be positive, not {dict(weights)}")
    divisor = int(np.gcd.reduce([weight for weight in weights.values() if weight]))
    shares = {kind: weight // divisor for kind, weight in weights.items() if weight}
    total = sum(shares.values())
    account = dict.fromkeys(shares, 0)
    pattern = []
    for _ in range(total):
        for kind, share in shares.items():
            account[kind] += share
        drawn = max(account, key=lambda kind: account[kind])
        account[drawn] -= total
        pattern.append(drawn)
    return pattern


class Order:
    """The order of examples from several streams, mixed by weight; every stream is shuffled anew for each of its epochs.

    Args:
        counts: kind -> number of its examples. Kinds without any are left out of the mixture.
        weights: kind -> its share, a whole number.
        batch: examples a step.
        seed: of the shuffling.

    Raises:
        ValueError: when no kind has both examples and weight.
    """

    def __init__(self, counts: Mapping[str, int], weights: Mapping[str, int], batch: int, seed: int) -> None:
        self._counts = {kind: count for kind, count in counts.items() if count > 0 and weights.get(kind, 0) > 0}
        self._pattern = mixing_pattern({kind: weights[kind] for kind in self._counts})
        self._batch = batch
        self._seed = seed

    @property
    def kinds(self) -> Sequence[str]:
        """The kinds that are drawn from."""
        return list(self._counts)

    def step(self, step: int) -> list[Draw]:
        """The examples of a step; steps count from 0."""
        return [self._draw(position) for position in range(step * self._batch, (step + 1) * self._batch)]

    def _draw(self, position: int) -> Draw:
        period = len(self._pattern)
        rounds, place = divmod(position, period)
        kind = self._pattern[place]
        number = rounds * self._pattern.count(kind) + self._pattern[:place].count(kind)
        epoch, offset = divmod(number, self._counts[kind])
        index = _permutation(self._seed, kind, epoch, self._counts[kind])[offset]
        return Draw(kind, int(index), number)
