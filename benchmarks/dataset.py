"""The data layer against its peers, in one run: a table of CPU seconds, ratios and peak memory.

    python benchmarks/dataset.py [--samples 36489] [--pairs 10000] [--images FOLDER] [--tenfold] [--work DIR]

A release of the official shape is made up first (benchmarks/official_release.py). Every figure is the CPU time of this process
and its children, or the peak memory of a child, so that a busy machine changes little; ratios carry over to other machines.
"""

from __future__ import annotations

import argparse
import gc
import os
import pickle
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measuring import cpu, cpu_seconds, mmud
from official_release import TOTAL, make_release
from pycocotools import mask as coco
from validate import image_speed

from mmud.annotations.masks import Mask, intersections_and_unions
from mmud.dataset.schema import schema
from mmud.dataset.store import Dataset

PAIRS = 10_000
HEIGHT, WIDTH = 480, 640


def command(*arguments: str) -> tuple[float, int]:
    """Run ``mmud …`` in a child: its CPU seconds and its peak memory in MB."""
    start = cpu_seconds()
    peak = mmud(*arguments)
    return cpu_seconds() - start, peak


def load_pickles(folder: Path) -> None:
    for file in sorted(folder.glob("*.pkl")):
        if "withlength" in file.name or not (folder / f"{file.stem}_withlength.pkl").exists():
            with open(file, "rb") as stream:
                pickle.load(stream)


def write_table(dataset: Dataset, target: Path) -> Callable[[], None]:
    """What pyarrow needs to write the same rows from Python values, in one call a split."""
    splits = {}
    for split in dataset.splits:
        splits[split] = [{**row, "image": {"bytes": None, "path": "x"}} for _, row in dataset.rows(split)]

    def run() -> None:
        for split, rows in splits.items():
            pq.write_table(pa.Table.from_pylist(rows, schema=schema()), target / f"{split}.parquet", compression="zstd")

    return run


def first_sample(path: Path) -> None:
    Dataset(path).first("train")


def random_access(dataset: Dataset, count: int = 3000) -> float:
    """Samples a CPU second, one by one, validated, in random order; the memory-mapped copy is there already."""
    dataset.sample("train", 0)
    indices = np.random.default_rng(0).integers(0, dataset.length("train"), count).tolist()
    return count / cpu(lambda: [dataset.sample("train", index) for index in indices], 1)[0]


def mask_pairs(count: int) -> tuple[list[Mask], list[Mask]]:
    """Pairs of overlapping regions of 640 by 480 pixels, made of polygons as COCO's are."""
    rng = np.random.default_rng(0)

    def region() -> Mask:
        corners = int(rng.integers(8, 40))
        angles = np.sort(rng.random(corners)) * 2 * np.pi
        radius = rng.uniform(30, 120) * (1 + 0.3 * rng.random(corners))
        centre = rng.uniform((100, 100), (540, 380))
        points = centre + radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
        return Mask.from_polygons([points.ravel().tolist()], HEIGHT, WIDTH)

    return [region() for _ in range(count)], [region() for _ in range(count)]


def measure_masks(count: int) -> list[list[str]]:
    first, second = mask_pairs(count)
    a, b = [mask.to_coco() for mask in first], [mask.to_coco() for mask in second]
    found: dict[str, Any] = {}

    def ours() -> None:
        found["ours"] = [column.tolist() for column in intersections_and_unions(first, second)]

    def merged() -> None:
        pairs = list(zip(a, b, strict=True))
        found["merge"] = [
            [int(coco.area(coco.merge(list(pair), intersect))) for pair in pairs] for intersect in (True, False)
        ]

    def decoded() -> None:
        both = [[], []]
        for x, y in zip(a, b, strict=True):
            left, right = coco.decode(x).astype(bool), coco.decode(y).astype(bool)
            both[0].append(int((left & right).sum()))
            both[1].append(int((left | right).sum()))
        found["decode"] = both

    times = {"ours": cpu(ours, 3)[0], "merge": cpu(merged, 3)[0], "decode": cpu(decoded, 1)[0]}
    if not found["ours"] == found["merge"] == found["decode"]:
        raise SystemExit("the three ways of counting pixels disagree")
    what = f"intersection and union of {count:,} pairs"
    return [
        [f"{what}: mmud", f"{times['ours']:.3f}", "", ""],
        [
            f"{what}: pycocotools merge + area",
            f"{times['merge']:.3f}",
            f"{times['merge'] / times['ours']:.1f} x ours",
            "at least 1",
        ],
        [
            f"{what}: decode, then numpy",
            f"{times['decode']:.2f}",
            f"{times['decode'] / times['ours']:.0f} x ours",
            "at least 25",
        ],
    ]


def measure_release(work: Path, samples: int) -> list[list[str]]:
    release, built = work / "release", work / "built"
    make_release(release, samples, images=True)
    gc.collect()
    load, _ = cpu(lambda: load_pickles(release), 3)
    build_time, build_peak = command("build", "official", str(release), "--images", str(release / "images"), "--images", "link",
                                     "-o", str(built), "--force", "-q")  # fmt: skip
    dataset = Dataset(built)
    (work / "plain").mkdir(exist_ok=True)
    write, _ = cpu(write_table(dataset, work / "plain"), 2)
    train_load, _ = cpu(lambda: _load(release), 3)
    opened, _ = cpu(lambda: first_sample(built), 5)
    rate = random_access(dataset)
    check_time, check_peak = command("validate", str(built), "--no-images", "-q", "--fail-on", "never")
    ratio = build_time / (load + write)
    return [
        ["pickle.load of the release", f"{load:.2f}", "", ""],
        ["pyarrow writes the same rows", f"{write:.2f}", "", ""],
        [
            f"mmud build official, {len(dataset):,} records, linked",
            f"{build_time:.2f}",
            f"{ratio:.2f} x both",
            "at most 3",
        ],
        ["  its peak memory, MB", str(build_peak), "", "under 600"],
        [
            "open and read one sample",
            f"{opened:.4f}",
            f"1/{train_load / opened:.0f} of pickle.load (train)",
            "at most 1/50",
        ],
        ["random access, samples a CPU second", f"{rate:,.0f}", "", "at least 2,500"],
        ["mmud validate --no-images", f"{check_time:.1f}", "", "under 30"],
        ["  its peak memory, MB", str(check_peak), "", "under 600"],
    ]


def _load(release: Path) -> None:
    file = release / "train_withlength.pkl"
    with open(file if file.exists() else release / "train.pkl", "rb") as stream:
        pickle.load(stream)


def measure_tenfold(work: Path, samples: int) -> list[list[str]]:
    release, built = work / "release10", work / "built10"
    make_release(release, 10 * samples, images=False)
    took, peak = command("build", "official", str(release), "--images", "none", "--images", "link",
                         "-o", str(built), "--force", "-q")  # fmt: skip
    checked, check_peak = command("validate", str(built), "--no-images", "-q", "--fail-on", "never")
    return [
        [f"mmud build official, {10 * samples:,} records: peak MB", str(peak), f"{took:.0f} CPU s", "under 600"],
        [f"mmud validate, {10 * samples:,} records: peak MB", str(check_peak), f"{checked:.0f} CPU s", "under 600"],
    ]


def measure_decoding(work: Path, images: Path, records: int = 1000) -> list[list[str]]:
    ratio, alone, found, files = image_speed(work, images, records)
    return [
        [
            f"mmud validate, {records:,} records, {files} images decoded",
            f"{found['seconds']:.2f}",
            f"{100 * ratio:.0f} % of Pillow's speed ({alone:.2f} s)",
            "at least 80 %",
        ]
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=TOTAL)
    parser.add_argument("--pairs", type=int, default=PAIRS, help="of masks")
    parser.add_argument("--tenfold", action="store_true", help="also build and validate ten times as many records")
    parser.add_argument(
        "--images", type=Path, help="a folder of JPEG files: also validate with decoding, beside Pillow"
    )
    parser.add_argument("--work", type=Path, help="where to make files; a temporary folder otherwise")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mmud-benchmark-") as name:
        work = options.work or Path(name)
        os.environ.setdefault("MMUD_CACHE", str(work / "cache"))
        started = time.monotonic()
        rows = measure_masks(options.pairs) + measure_release(work, options.samples)
        if options.images is not None:
            rows += measure_decoding(work, options.images)
        if options.tenfold:
            rows += measure_tenfold(work, options.samples)
        print("| work | CPU s | against | aim |\n|---|---|---|---|")
        for row in rows:
            print("| " + " | ".join(row) + " |")
        print(f"\n{os.cpu_count()} cores, {time.monotonic() - started:.0f} s in all")


if __name__ == "__main__":
    main()
