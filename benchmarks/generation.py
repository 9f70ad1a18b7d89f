"""Time the distances of the generation task against the public ways, in one run, in CPU seconds.

    OMP_NUM_THREADS=1 python benchmarks/generation.py [--samples 1403] [--dimension 2048] [--repeats 3] [--drawn 5] [--json]
    OMP_NUM_THREADS=1 python benchmarks/generation.py --coverage 1000

The features are made up (after a ReLU, correlated, decaying spectrum), the same for every method. A peer that is not
installed is left out with a line that says so. clean-fid itself needs torchvision to import, so its distance is written out
here: scipy's sqrtm on the product of the covariances.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from measuring import Row, faster, one_thread

one_thread()

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from mmud.evaluators.generation.cmmd import cmmd_estimate  # noqa: E402
from mmud.evaluators.generation.frechet import frechet_distance, frechet_estimate  # noqa: E402
from mmud.evaluators.generation.kid import kid, kid_estimate, kid_of_subsets  # noqa: E402
from mmud.evaluators.generation.resampling import LinearisedEstimate, draw_weights  # noqa: E402
from mmud.evaluators.generation.scores import score_features  # noqa: E402
from mmud.evaluators.statistics.bootstrap import interval  # noqa: E402

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Timing:
    """One line of the table."""

    work: str
    method: str
    cpu_seconds: float
    value: float


def made_up_features(count: int, dimension: int, seed: int, shift: float) -> Features:
    """Non-negative, correlated features: normal, scaled by a decaying spectrum, rotated, cut at 0."""
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((dimension, dimension)))[0]
    normal = np.random.default_rng(seed).standard_normal((count, dimension))
    mixed = normal * np.exp(-np.arange(dimension) / (dimension / 7)) @ rotation
    features: Features = np.maximum(mixed + 0.3 + shift, 0).astype(np.float32)
    return features


def timed(work: str, method: str, run: Callable[[], float], repeats: int) -> Timing:
    """The least CPU time of several runs."""
    best, value = float("inf"), float("nan")
    for _ in range(repeats):
        start = time.process_time()
        value = run()
        best = min(best, time.process_time() - start)
    print(f"  {work}: {method}, {best:.3f} CPU s", file=sys.stderr)
    return Timing(work, method, best, value)


def covariances(a: Features, b: Features) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Both covariances as the peers compute them, and everything of the distance but the root's trace."""
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    difference = a.mean(0, dtype=np.float64) - b.mean(0, dtype=np.float64)
    return first, second, float(difference @ difference + np.trace(first) + np.trace(second))


def clean_fid(a: Features, b: Features) -> float:
    """clean-fid 0.1.35: the trace of scipy.linalg.sqrtm of the product."""
    from scipy.linalg import sqrtm

    first, second, rest = covariances(a, b)
    root = sqrtm(first.dot(second))
    return rest - 2 * float(np.trace(np.real(root)))


def torch_fidelity(a: Features, b: Features) -> float:
    """torch-fidelity: the roots of the product's eigenvalues."""
    first, second, rest = covariances(a, b)
    roots = np.sqrt(np.linalg.eigvals(first.dot(second)).astype(np.complex128)).real
    return rest - 2 * float(roots.sum())


def torch_fidelity_without_noise(a: Features, b: Features) -> float:
    """The same without the eigenvalues that are 0 but for rounding: below the dimension at most n - 1 are not."""
    first, second, rest = covariances(a, b)
    eigenvalues = np.sort(np.linalg.eigvals(first.dot(second)).real)[::-1][: min(len(a), len(b)) - 1]
    return rest - 2 * float(np.sqrt(np.maximum(eigenvalues, 0)).sum())


def torchmetrics_fid(a: Features, b: Features) -> float:
    """torchmetrics with a module that hands the features through, update and compute, in float64."""
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    class HandThrough(torch.nn.Module):
        num_features = a.shape[1]

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.flatten(1)

    torch.set_num_threads(1)
    metric = FrechetInceptionDistance(feature=HandThrough(), normalize=True).set_dtype(torch.float64)
    metric.update(torch.from_numpy(a).double()[:, :, None, None], real=False)
    metric.update(torch.from_numpy(b).double()[:, :, None, None], real=True)
    return float(metric.compute())


def clean_fid_kid(a: Features, b: Features) -> float:
    """clean-fid's kernel distance: 100 subsets of up to 1,000, a kernel matrix for each, in the features' float32."""
    random, total = np.random.RandomState(0), 0.0
    size = min(len(a), len(b), 1000)
    for _ in range(100):
        x, y = b[random.choice(len(b), size, replace=False)], a[random.choice(len(a), size, replace=False)]
        within = (x @ x.T / a.shape[1] + 1) ** 3 + (y @ y.T / a.shape[1] + 1) ** 3
        across = (x @ y.T / a.shape[1] + 1) ** 3
        total += float((within.sum() - np.diag(within).sum()) / (size - 1) - across.sum() * 2 / size)
    return total / 100 / size


def torchmetrics_kid(a: Features, b: Features) -> float:
    """torchmetrics' kernel distance: 100 subsets of up to 1,000."""
    import torch
    from torchmetrics.image.kid import KernelInceptionDistance

    class HandThrough(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.flatten(1)

    torch.set_num_threads(1)
    torch.manual_seed(0)
    metric = KernelInceptionDistance(feature=HandThrough(), subset_size=min(len(a), len(b), 1000), normalize=True)
    metric.update(torch.from_numpy(a)[:, :, None, None], real=False)
    metric.update(torch.from_numpy(b)[:, :, None, None], real=True)
    return float(metric.compute()[0])


def run(samples: int, dimension: int, repeats: int, drawn: int) -> list[Timing]:
    """Every line of the table; the first of each kind of work is this package's."""
    _import_peers()
    a, b = made_up_features(samples, dimension, 1, 0.0), made_up_features(samples, dimension, 2, 0.05)
    rows: list[Timing | None] = [timed("Fréchet distance", "mmud", lambda: frechet_distance(a, b), repeats)]
    peers = [
        ("torchmetrics", torchmetrics_fid),
        ("torch-fidelity's formula", torch_fidelity),
        ("torch-fidelity's formula, n - 1 eigenvalues", torch_fidelity_without_noise),
        ("clean-fid's sqrtm", clean_fid),
    ]
    rows += [_peer("Fréchet distance", name, method, a, b) for name, method in peers]

    weights = draw_weights(np.arange(samples), 1000, 0)
    rows.append(
        timed(
            "Fréchet, 1,000 replicates",
            "mmud",
            lambda: float(frechet_estimate(a, b).replicates(weights, weights).mean()),
            repeats,
        )
    )
    rows.append(_drawn(a, b, weights[:drawn]))

    rows.append(timed("kernel distance", "mmud, all samples", lambda: kid(a, b), repeats))
    rows.append(timed("kernel distance", "mmud, 100 subsets", lambda: kid_of_subsets(a, b).mean, 1))
    peers = [("clean-fid's formula, 100 subsets", clean_fid_kid), ("torchmetrics, 100 subsets", torchmetrics_kid)]
    rows += [_peer("kernel distance", name, method, a, b) for name, method in peers]

    whole = lambda: score_features(a, b, paired=True).metrics["frechet_distance"].value  # noqa: E731
    rows.append(timed("Fréchet, kernel, error and cosine, with intervals", "mmud", whole, repeats))
    return [row for row in rows if row is not None]


def compared_row(samples: int, dimension: int, repeats: int) -> Row:
    """The Fréchet distance against clean-fid's way, and how far the two are apart as a share of the figure."""
    _import_peers()
    a, b = made_up_features(samples, dimension, 1, 0.0), made_up_features(samples, dimension, 2, 0.05)
    ours = timed("Fréchet distance", "mmud", lambda: frechet_distance(a, b), repeats)
    peer = timed("Fréchet distance", "clean-fid's sqrtm", lambda: clean_fid(a, b), 1)
    apart = abs(ours.value - peer.value) / abs(peer.value)
    work = f"Fréchet distance of {samples:,} images, {dimension:,} features, against clean-fid's sqrtm"
    row = faster(work, ours.cpu_seconds, peer.cpu_seconds, 20, f"{apart:.0e} of the figure apart", apart <= 1e-6)
    return replace(row, aim=f"{row.aim}, within 1e-6")


def _import_peers() -> None:
    """So that no peer's time holds its import; what is missing is reported when its turn comes."""
    for name in ("scipy.linalg", "torchmetrics.image.fid", "torchmetrics.image.kid"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def _peer(
    work: str, name: str, method: Callable[[Features, Features], float], a: Features, b: Features
) -> Timing | None:
    try:
        return timed(work, name, lambda: method(a, b), 1)
    except ImportError as error:
        print(f"  {work}: {name} left out: {error}", file=sys.stderr)
        return None


def _drawn(a: Features, b: Features, weights: NDArray[np.float64]) -> Timing:
    """The plain bootstrap: the distance of a few drawn sets, its time scaled to 1,000."""

    def mean() -> float:
        drawn = [[np.repeat(rows, row.astype(int), axis=0) for rows in (a, b)] for row in weights]
        return float(np.mean([frechet_distance(*pair) for pair in drawn]))

    few = timed("Fréchet, 1,000 replicates", f"mmud's distance of {len(weights)} drawn sets, scaled", mean, 1)
    return Timing(few.work, few.method, few.cpu_seconds * 1000 / len(weights), few.value)


def coverage(experiments: int) -> None:
    """How often the 95 % interval holds the mean of the figure over all simulated experiments; printed as a table.

    B is A's distribution moved by ``shift``; paired sets correlate by 0.7.
    """
    print(f"{experiments} experiments each\n")
    print("| figure | n | dimension | shift | unpaired | paired |\n|---|---|---|---|---|---|")
    estimates: list[tuple[str, Callable[[Features, Features], LinearisedEstimate]]] = [
        ("Fréchet distance", frechet_estimate),
        ("kernel distance", kid_estimate),
        ("CMMD", cmmd_estimate),
    ]
    for name, estimate in estimates:
        for count, dimension in ((200, 12), (60, 96)):
            for shift in (0.0, 0.1, 0.4):
                shares = [_covered(estimate, count, dimension, shift, paired, experiments) for paired in (False, True)]
                print(f"| {name} | {count} | {dimension} | {shift} | {shares[0]:.1%} | {shares[1]:.1%} |", flush=True)


def _covered(
    estimate: Callable[[Features, Features], LinearisedEstimate],
    count: int,
    dimension: int,
    shift: float,
    paired: bool,
    experiments: int,
) -> float:
    random = np.random.default_rng(0)
    scales = np.exp(-np.arange(dimension) / (dimension / 4))
    rotation = np.linalg.qr(random.standard_normal((dimension, dimension)))[0]
    weights_a = draw_weights(np.arange(count), 400, (7, 1))
    weights_b = weights_a if paired else draw_weights(np.arange(count), 400, (7, 2))
    values, intervals = [], []
    for _ in range(experiments):
        first, second = random.standard_normal((2, count, dimension))
        second = 0.7 * first + np.sqrt(1 - 0.7**2) * second if paired else second
        a = np.maximum(first * scales @ rotation + 0.2, 0).astype(np.float32)
        b = np.maximum(second * scales @ rotation + 0.2 + shift, 0).astype(np.float32)
        figure = estimate(a, b)
        values.append(figure.value)
        intervals.append(interval(figure.replicates(weights_a, weights_b), count))
    low, high = np.array(intervals).T
    return float(((low <= np.mean(values)) & (np.mean(values) <= high)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1403)
    parser.add_argument("--dimension", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3, help="runs of this package's methods; peers run once")
    parser.add_argument("--drawn", type=int, default=5, help="drawn sets of the plain bootstrap")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--coverage", type=int, metavar="N", help="simulate N experiments instead of timing")
    chosen = parser.parse_args()
    if chosen.coverage:
        coverage(chosen.coverage)
        return
    rows = run(chosen.samples, chosen.dimension, chosen.repeats, chosen.drawn)
    if chosen.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    print(f"{chosen.samples} samples on each side, {chosen.dimension} dimensions; CPU seconds\n")
    print("| work | method | CPU s | times mmud | value |\n|---|---|---|---|---|")
    for row in rows:
        own = next(other.cpu_seconds for other in rows if other.work == row.work)
        print(f"| {row.work} | {row.method} | {row.cpu_seconds:.3f} | {row.cpu_seconds / own:.1f} | {row.value:.11g} |")


if __name__ == "__main__":
    main()
