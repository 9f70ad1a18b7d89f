"""Segmentation metrics against decoding and numpy, in one run: a table of CPU seconds and ratios.

    python benchmarks/segmentation.py [--pairs 10000] [--repeats 3] [--full]

Masks are made up from a seed: outlines of some eighty points with areas as COCO's, each prediction its label shifted and
deformed, one in fifty denied, one in thirty without a target. Both sides start from the same RLE dictionaries in memory. The
peers compute IoU, gIoU and cIoU and no intervals; ours checks every RLE and computes all metrics with a thousand bootstrap
replicates over images. The peers' figures must equal ours, or the run stops. ``--full`` adds an evaluation of a test split of
MMUD's size.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from pathlib import Path
from typing import Any

from measuring import Row as TableRow
from measuring import cpu, faster, mmud, one_thread

one_thread()

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402
from pycocotools import mask as coco  # noqa: E402

from mmud.evaluators.plain_masks import NAMES, score_mask_files, score_masks  # noqa: E402
from mmud.evaluators.statistics.bootstrap import Resampler  # noqa: E402

HEIGHT, WIDTH = 480, 640
Row = dict[str, Any]


def outline(generator: np.random.Generator, area: float) -> np.ndarray:
    """Points of a closed curve around the origin, its radius a sum of random waves; shape (80, 2)."""
    angle = np.linspace(0, 2 * np.pi, 80, endpoint=False)
    waves = sum(generator.normal(0, 0.25 / k) * np.cos(k * angle + generator.uniform(0, 6.3)) for k in range(1, 7))
    radius = np.maximum(0.2, 1 + waves)
    points = np.stack([radius * np.cos(angle) * generator.uniform(0.6, 1.6), radius * np.sin(angle)], axis=1)
    return points * math.sqrt(area / math.pi)


def rle_of(points: np.ndarray) -> Row:
    polygon = np.clip(points, 0, [WIDTH, HEIGHT]).ravel().tolist()
    rle = coco.merge(coco.frPyObjects([polygon], HEIGHT, WIDTH))
    return {"size": [HEIGHT, WIDTH], "counts": rle["counts"].decode("ascii")}


def make_rows(pairs: int, seed: int = 0) -> tuple[list[Row], list[Row]]:
    """References and predictions; three expressions share an image."""
    generator = np.random.default_rng(seed)
    references, predictions = [], []
    for number in range(pairs):
        area = min(math.exp(generator.normal(8.7, 1.4)), 0.5 * HEIGHT * WIDTH)
        points = outline(generator, area)
        centre = generator.uniform([60, 60], [WIDTH - 60, HEIGHT - 60])
        spoilt = points * generator.normal(1, 0.1, points.shape) + generator.normal(0, 0.05 * math.sqrt(area), 2)
        label = None if number % 30 == 29 else rle_of(points + centre)
        said = None if number % 50 == 49 else rle_of(spoilt + centre)
        references.append({"id": number, "segmentation": label, "image_id": number // 3})
        predictions.append({"id": number, "segmentation": said})
    return references, predictions


def decoded(row: Row) -> np.ndarray:
    rle = row["segmentation"]
    return np.zeros((HEIGHT, WIDTH), dtype=np.uint8) if rle is None else coco.decode(rle)


def as_rela(references: list[Row], predictions: list[Row]) -> tuple[float, float]:
    """Decode both, logical and, logical or, sums; the plain rule for IoU and no intervals."""
    ious, total_i, total_u = [], 0, 0
    for truth, said in zip(references, predictions, strict=True):
        label, predicted = decoded(truth).astype(np.int8), decoded(said).astype(np.int8)
        intersection = int(np.sum(np.logical_and(predicted, label)))
        union = int(np.sum(np.logical_or(predicted, label)))
        ious.append(intersection / union if union else 1.0)
        total_i += intersection
        total_u += union
    return sum(ious) / len(ious), total_i / total_u


def as_lisa(references: list[Row], predictions: list[Row]) -> tuple[float, float]:
    """Decode both, mark ignored pixels, two-class histograms (counts of equal values in place of torch's histc)."""
    ious, total_i, total_u = 0.0, 0, 0
    for truth, said in zip(references, predictions, strict=True):
        output, target = decoded(said).ravel().astype(np.int32), decoded(truth).ravel().astype(np.int32)
        output[target == 255] = 255
        shared = np.bincount(output[output == target], minlength=2)[:2]
        union = np.bincount(output, minlength=2)[:2] + np.bincount(target, minlength=2)[:2] - shared
        ious += shared[1] / (union[1] + 1e-5) + (union[1] == 0)
        total_i += int(shared[1])
        total_u += int(union[1])
    return ious / (len(references) + 1e-5), total_i / (total_u + 1e-10)


def resized_as_rela(references: list[Row], predictions: list[Row], side: int) -> float:
    """cIoU after Pillow's nearest neighbour on both sides."""
    total_i, total_u = 0, 0
    for truth, said in zip(references, predictions, strict=True):
        label, predicted = (
            np.asarray(Image.fromarray(decoded(row)).resize((side, side), Image.Resampling.NEAREST))
            for row in (truth, said)
        )
        total_i += int(np.logical_and(predicted, label).sum())
        total_u += int(np.logical_or(predicted, label).sum())
    return total_i / total_u


def boundary_as_published(references: list[Row], predictions: list[Row]) -> float:
    """Mean boundary IoU by eroding decoded masks d times with a 3 x 3 square (scipy in place of OpenCV)."""
    from scipy import ndimage

    d = round(0.02 * math.hypot(HEIGHT, WIDTH))
    ious = []
    for truth, said in zip(references, predictions, strict=True):
        edges = []
        for row in (truth, said):
            mask = decoded(row).astype(bool)
            edges.append(mask & ~ndimage.binary_erosion(mask, np.ones((3, 3), dtype=bool), iterations=d))
        union = (edges[0] | edges[1]).sum()
        ious.append((edges[0] & edges[1]).sum() / union if union else 1.0)
    return float(np.mean(ious))


def line(title: str, ours: float, peer: float | None = None) -> None:
    ratio = "" if peer is None else f"{peer:9.2f} {peer / ours:8.1f}x"
    print(f"{title:<62} {ours:8.3f} {ratio}", flush=True)


def check(what: str, ours: float | None, peer: float, tolerance: float = 1e-9) -> None:
    if ours is None or abs(ours - peer) > tolerance:
        raise SystemExit(f"{what}: ours {ours}, the peer's {peer}")


def compared_rows(references: list[Row], predictions: list[Row], repeats: int) -> list[TableRow]:
    """All metrics and their intervals against the two usual ways; equal figures or the run stops."""
    pairs = f"{len(references):,} mask pairs, all metrics and intervals"
    ours, scores = cpu(lambda: score_masks(references, predictions), repeats)
    rela, (giou, ciou) = cpu(lambda: as_rela(references, predictions), 1)
    check("gIoU", scores.metrics["gIoU"].value, giou)
    check("cIoU", scores.metrics["cIoU"].value, ciou)
    lisa_ours, lisa_scores = cpu(lambda: score_masks(references, predictions, ["lisa"]), repeats)
    lisa, (giou, ciou) = cpu(lambda: as_lisa(references, predictions), 1)
    check("LISA's gIoU", lisa_scores.metrics["gIoU"].value, giou)
    check("LISA's cIoU", lisa_scores.metrics["cIoU"].value, ciou)
    return [
        faster(f"{pairs}, against decode + numpy as ReLA", ours, rela, 10),
        faster(f"{pairs} by protocol `lisa`, against decode + numpy as LISA", lisa_ours, lisa, 10),
    ]


def pairs_table(pairs: int, repeats: int) -> None:
    references, predictions = make_rows(pairs)
    print(f"{pairs:,} pairs at {WIDTH}x{HEIGHT}, CPU seconds{'':<28} {'ours':>8} {'peer':>9} {'ratio':>9}")
    part = slice(0, max(1, pairs // 5))
    scale = pairs / len(references[part])
    as_published = compared_rows(references, predictions, repeats)
    rela = as_published[0].peer
    for row, title in zip(as_published, (" | decode + numpy as ReLA", ", lisa | decode + numpy as LISA"), strict=True):
        line(f"all metrics and intervals{title}", row.ours, row.peer)
    for side, protocol in ((480, "rela"), (224, "official")):
        resized, _ = cpu(lambda protocol=protocol: score_masks(references, predictions, [protocol]), 1)
        peer, ciou = cpu(lambda side=side: resized_as_rela(references[part], predictions[part], side), 1)
        of_part = score_masks(references[part], predictions[part], [protocol], resampler=Resampler(0))
        # ReLA leaves a denied target's mask in the union and has no mask for it here, so the sums agree.
        check(f"cIoU at {side}", of_part.metrics["cIoU"].value, ciou)
        line(f"all metrics and intervals, {protocol} ({side}) | decode, Pillow, numpy", resized, peer * scale)
    with_boundary, _ = cpu(lambda: score_masks(references, predictions, metrics=NAMES), 1)
    few = slice(0, max(1, pairs // 50))
    peer, mean = cpu(lambda: boundary_as_published(references[few], predictions[few]), 1)
    of_few = score_masks(references[few], predictions[few], metrics=["boundary_IoU"], resampler=Resampler(0))
    check("boundary IoU", of_few.metrics["boundary_IoU"].value, mean)
    line("with boundary IoU | decode, 3 x 3 erosions (scipy)", with_boundary, peer * pairs / len(references[few]))
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("references.jsonl", "predictions.jsonl")]
        for file, rows in zip(files, (references, predictions), strict=True):
            file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        seconds, _ = cpu(lambda: score_mask_files(*files, ["mmud"]), repeats)
        line("all metrics and intervals, JSON lines read | as ReLA, in memory", seconds, rela)
        arguments = ["--references", str(files[0]), "--predictions", str(files[1])]
        whole, _ = cpu(lambda: mmud("metric", "masks", *arguments, "--json"), repeats)
        line("the whole command `mmud metric masks` | as ReLA, in memory", whole, rela)


def full_row(samples: int = 1403, objects: int = 4, words: int = 94, dimensions: int = 512) -> TableRow:
    """One evaluation of all four tasks, features given, from the command line: the least of two runs."""
    from mmud.baselines.floors.perturbed import Perturbed
    from mmud.baselines.predicting import write_predictions
    from mmud.dataset.writer import write_dataset
    from mmud.records import MaskedObject, Sample, Segmentation, Task

    generator = np.random.default_rng(1)
    masks = iter(row["segmentation"] for row in make_rows(2 * samples * objects, seed=2)[0] if row["segmentation"])
    lexicon = [f"word{number}" for number in range(3000)]

    def text(count: int) -> str:
        return " ".join(lexicon[min(int(generator.pareto(0.8) * 20), 2999)] for _ in range(count))

    def sample(number: int) -> Sample:
        labels = [Segmentation(**next(masks)) for _ in range(objects)]
        tags = " ".join(f"{text(8)} <LCL-{index + 1}>" for index in range(objects))
        return Sample(
            sample_id=f"s{number:05d}",
            width=WIDTH,
            height=HEIGHT,
            source="made",
            source_image_id=str(number),
            caption=text(words),
            question=text(12),
            answer=tags,
            objects=tuple(MaskedObject(phrases=(text(3),), segmentation=label, category="x") for label in labels),
        )

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = write_dataset(folder / "d", {"test": (sample(number) for number in range(samples))}, images="link")
        tasks = [task for task in Task if task is not Task.GENERATION]
        write_predictions(folder / "p", dataset, Perturbed({"strength": 0.1}, 0), tasks=tasks)
        ids = [one.sample_id for one in dataset.samples("test")]
        truth = generator.normal(size=(samples, dimensions)).astype(np.float32)
        np.savez(folder / "reference.npz", sample_ids=np.array(ids), features=truth)
        with open(folder / "p" / "generation.jsonl", "w") as stream:
            for one, vector in zip(ids, truth + generator.normal(0, 0.5, truth.shape), strict=True):
                stream.write(json.dumps({"sample_id": one, "feature": vector.astype(np.float32).tolist()}) + "\n")
        arguments = [str(folder / "p"), "--data", str(folder / "d"), "-o", str(folder / "out"), "--json"]
        seconds, peak = cpu(
            lambda: mmud("evaluate", *arguments, "--force", "--reference-features", str(folder / "reference.npz")), 2
        )
    title = f"`mmud evaluate`, {samples:,} samples, 4 tasks, {objects} objects, {words} words, features given"
    return TableRow(
        title, seconds, None, "under 10 CPU s, under 500 MB", seconds < 10 and peak < 500, f"{peak} MB at most"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--full", action="store_true")
    arguments = parser.parse_args()
    pairs_table(arguments.pairs, arguments.repeats)
    if arguments.full:
        row = full_row()
        print(f"\n{row.work}: {row.ours:.2f} CPU s, {row.note}")


if __name__ == "__main__":
    main()
