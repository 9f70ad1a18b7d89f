"""Sums of units: exact over everything, and one for each image for resampling."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmud.evaluators.base import Numbers, Sums

Int64 = NDArray[np.int64]


def exact_sum(column: NDArray[Any]) -> float:
    """The sum, the same in whatever order the numbers come: whole numbers exactly, fractions rounded once."""
    if column.dtype.kind in "iub":
        return float(int(column.sum(dtype=np.int64)))
    return math.fsum(column.tolist())


def exact_sums(columns: Mapping[str, NDArray[Any]]) -> Sums:
    """Column -> its exact sum, shape (1,)."""
    return {name: np.array([exact_sum(column)]) for name, column in columns.items()}


@dataclass(frozen=True, slots=True)
class GroupSums:
    """Sums by group, side by side.

    Attributes:
        names: the columns, in the order of the matrix.
        matrix: shape (groups, columns).
    """

    names: tuple[str, ...]
    matrix: Numbers

    def weighted(self, weights: Numbers) -> Sums:
        """Column -> its sum for each weighting of the groups.

        Args:
            weights: shape (weightings, groups).

        Returns:
            Shape (weightings,) each.
        """
        return self.named(weights @ self.matrix)

    def named(self, sums: Numbers) -> Sums:
        """A matrix of sums, shape (weightings, columns), by column."""
        return {name: sums[:, position] for position, name in enumerate(self.names)}

    @property
    def each(self) -> Sums:
        """The sums of each group by itself, shape (groups,)."""
        return self.named(self.matrix)


def group_sums(columns: Mapping[str, NDArray[Any]], group: Int64, groups: int) -> GroupSums:
    """Sum units by group.

    Args:
        columns: name -> shape (units,).
        group: the number of each unit's group, shape (units,).
        groups: how many groups there are; one without units has sums of zero.
    """
    matrix = np.empty((groups, len(columns)))
    for position, column in enumerate(columns.values()):
        matrix[:, position] = np.bincount(group, weights=column.astype(np.float64), minlength=groups)
    return GroupSums(tuple(columns), matrix)
