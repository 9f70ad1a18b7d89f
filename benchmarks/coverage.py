"""How often intervals hold the true value: simulated test sets, four kinds of bootstrap interval, side by side.

    python benchmarks/coverage.py [--trials 1000] [--replicates 1000] [--images 100 300 1403]

The populations are those of tests/evaluators/statistics/simulated_populations.py. 95 % are wanted; the sampling error of a
coverage from 1,000 trials is 0.7 points.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from statistics import NormalDist

from measuring import Row, cpu, one_thread

one_thread()

import numpy as np  # noqa: E402

from mmud.evaluators.statistics.bootstrap import draw, expanded_tail  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "evaluators" / "statistics"))
from simulated_populations import population  # noqa: E402

NORMAL = NormalDist()
KINDS = ("gIoU", "cIoU", "CIDEr")
METHODS = ("percentile-expanded", "percentile", "BCa", "basic")


def intervals(a: np.ndarray, b: np.ndarray, replicates: np.ndarray) -> dict[str, tuple[float, float]]:
    """The interval of the ratio of sums by each method."""
    value = a.sum() / b.sum()
    tail = expanded_tail(len(a))
    plain = np.quantile(replicates, [0.025, 0.975])
    share = np.clip((replicates < value).mean() + (replicates == value).mean() / 2, 1e-6, 1 - 1e-6)
    bias = NORMAL.inv_cdf(float(share))
    without = (a.sum() - a) / (b.sum() - b)
    spread = without.mean() - without
    acceleration = (spread**3).sum() / (6 * (spread**2).sum() ** 1.5)
    shifted = [bias + NORMAL.inv_cdf(level) for level in (0.025, 0.975)]
    levels = [NORMAL.cdf(bias + one / (1 - acceleration * one)) for one in shifted]
    return {
        "percentile-expanded": tuple(np.quantile(replicates, [tail, 1 - tail])),
        "percentile": tuple(plain),
        "BCa": tuple(np.quantile(replicates, levels)),
        "basic": (2 * value - plain[1], 2 * value - plain[0]),
    }


def coverage(kind: str, images: int, trials: int, replicates: int, seed: int) -> dict[str, float]:
    """The share of trials whose interval holds the truth, by method."""
    generator = np.random.default_rng(seed)
    numerator, denominator = population(kind, 1_000_000, generator)
    truth = numerator.sum() / denominator.sum()
    hits = dict.fromkeys(METHODS, 0)
    for _ in range(trials):
        a, b = population(kind, images, generator)
        weights = draw(generator, replicates, images)
        for name, (low, high) in intervals(a, b, (weights @ a) / (weights @ b)).items():
            hits[name] += low <= truth <= high
    return {name: count / trials for name, count in hits.items()}


def coverage_row(kind: str, images: int, trials: int, replicates: int = 1000) -> Row:
    """How often our interval of one figure holds the truth."""
    seconds, found = cpu(lambda: coverage(kind, images, trials, replicates, seed=11), 1)
    share = found["percentile-expanded"]
    work = f"95 % interval of {kind}, {images} images, {trials:,} simulated test sets"
    return Row(work, seconds, None, "holds the truth in 93 to 97 %", 0.93 <= share <= 0.97, f"{share:.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--images", type=int, nargs="+", default=[100, 300, 1403])
    arguments = parser.parse_args()
    print(f"{arguments.trials:,} trials, {arguments.replicates:,} replicates")
    print(f"{'images':>6}  {'figure':<7}" + "".join(f"{name:>22}" for name in METHODS))
    for images in arguments.images:
        for kind in KINDS:
            found = coverage(kind, images, arguments.trials, arguments.replicates, seed=11)
            print(f"{images:>6}  {kind:<7}" + "".join(f"{found[name]:>22.3f}" for name in METHODS), flush=True)


if __name__ == "__main__":
    main()
