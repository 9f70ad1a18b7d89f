"""Feature sets that look like a network's: non-negative, correlated, with a decaying spectrum."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

FeatureMaker = Callable[..., NDArray[np.float32]]


@pytest.fixture(scope="session")
def network_features() -> FeatureMaker:
    """``make(count, dimension, seed, shift)``: float32 features after a ReLU, mixed by a fixed rotation."""
    rotations: dict[int, NDArray[np.float64]] = {}

    def make(count: int, dimension: int, seed: int = 0, shift: float = 0.0) -> NDArray[np.float32]:
        if dimension not in rotations:
            start = np.random.default_rng(dimension).standard_normal((dimension, dimension))
            rotations[dimension] = np.linalg.qr(start)[0]
        scales = np.exp(-np.arange(dimension) / (dimension / 6))
        mixed = np.random.default_rng(seed).standard_normal((count, dimension)) * scales @ rotations[dimension]
        return np.maximum(mixed + 0.3 + shift, 0).astype(np.float32)

    return make
