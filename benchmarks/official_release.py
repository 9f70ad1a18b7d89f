"""Make a release of the official MMUD shape and size, for timings: pickled 12-tuples, made up, streamed, seeded.

    python benchmarks/official_release.py -o DIR [--samples 36489] [--seed 0] [--no-images]

The files are what ``pickle.dump`` writes (protocol 4: frames, memo, batches of 1,000), written record by record so that a release
of any size needs little memory. Polygons, texts and sizes are invented; their lengths follow COCO's and the release's.
"""

from __future__ import annotations

import argparse
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image
from pycocotools import mask as coco

SPLIT_SHARES = {"train": 33_682, "valid": 1_404, "test": 1_403}
TOTAL = sum(SPLIT_SHARES.values())
COCO_SIZES = ((480, 640), (427, 640), (640, 480), (640, 427), (500, 375), (612, 612))
CLEF_SIZES = ((360, 480), (480, 360))
CLEF_SHARE = 0.12
FRAME_BYTES = 64 * 1024
BATCH = 1000

CATEGORIES = {1: "person", 3: "car", 17: "cat", 18: "dog", 44: "bottle", 62: "chair", 67: "dining table", 72: "tv"}
_WORD_TEXT = """
the wooden bright table man woman left right window standing near behind holding small large red
blue green street kitchen dog cat chair bottle car person sits looks with and on under beside
several people light open white black corner foreground background wall floor plate glass bag hat
shirt road tree building sky grass water boat
"""
WORDS = _WORD_TEXT.split()


def _sentence(rng: np.random.Generator, words: int) -> str:
    chosen = [WORDS[i] for i in rng.integers(0, len(WORDS), words)]
    return " ".join(chosen).capitalize() + "."


class Pools:
    """Shapes, sentences and phrases to draw records from; drawing from pools is what makes 36,489 records a matter of seconds."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.sentences = [_sentence(rng, int(n)) for n in rng.integers(9, 17, 2000)]
        self.phrases = [_sentence(rng, int(n))[:-1].lower() for n in rng.integers(1, 7, 4000)]
        points = np.clip(rng.lognormal(np.log(22), 0.75, 1500), 4, 220).astype(int)
        self.shapes = [_outline(rng, int(n)) for n in points]
        self.rles = {size: [_region(rng, size) for _ in range(100)] for size in CLEF_SIZES}


def _outline(rng: np.random.Generator, points: int) -> np.ndarray:
    """A closed wobbly outline within the unit square, shape (points, 2)."""
    angle = np.sort(rng.uniform(0, 2 * np.pi, points))
    radius = 1 + 0.25 * np.sin(3 * angle + rng.uniform(0, 6)) + rng.uniform(-0.08, 0.08, points)
    outline = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    outline -= outline.min(axis=0)
    unit: np.ndarray = outline / np.maximum(outline.max(axis=0), 1e-9)
    return unit


def _region(rng: np.random.Generator, size: tuple[int, int]) -> tuple[dict[str, Any], list[int]]:
    """A region as the release keeps RefCLEF's: a compressed run-length encoding and its box."""
    height, width = size
    x, y = int(rng.integers(0, width - 60)), int(rng.integers(0, height - 60))
    w, h = int(rng.integers(20, width - x)), int(rng.integers(20, height - y))
    outline = (_outline(rng, 40) * (w, h) + (x, y)).ravel().tolist()
    rle = coco.frPyObjects([outline], height, width)[0]
    return rle, [x, y, w, h]


def records(split: str, samples: int, seed: int) -> Iterator[tuple[Any, ...]]:
    """The 12-tuples of a split, always the same for a split, number and seed."""
    rng = np.random.default_rng([seed, sorted(SPLIT_SHARES).index(split)])
    pools = Pools(np.random.default_rng(seed))
    first = {"train": 1, "valid": 10_000_001, "test": 20_000_001}[split]
    for index in range(samples):
        yield _record(rng, pools, first + index)


def _record(rng: np.random.Generator, pools: Pools, number: int) -> tuple[Any, ...]:
    clef = rng.random() < CLEF_SHARE
    sizes = CLEF_SIZES if clef else COCO_SIZES
    height, width = sizes[int(rng.integers(len(sizes)))]
    count = int(rng.choice([1, 2, 3, 4, 5, 6, 8], p=[0.12, 0.28, 0.27, 0.16, 0.1, 0.05, 0.02]))
    masks: list[Any] = []
    boxes: list[list[float]] = []
    for _ in range(count):
        if clef:
            rle, box = pools.rles[height, width][int(rng.integers(100))]
            masks.append([rle])
            boxes.append([float(value) for value in box])
        else:
            mask, found = _placed(rng, pools.shapes[int(rng.integers(len(pools.shapes)))], height, width)
            masks.append(mask)
            boxes.append(found)
    texts = [[pools.phrases[int(i)] for i in rng.integers(0, 4000, rng.integers(1, 5))] for _ in range(count)]
    ids = [int(i) for i in rng.choice(list(CATEGORIES), count)]
    sentences = [pools.sentences[int(i)] for i in rng.integers(0, 2000, 12)]
    tagged = " ".join(f"{texts[i][0]} <LCL-{i + 1}> {sentences[6 + i % 6]}" for i in range(count))
    # A copy of each text: the release's strings were read from many files, not shared between records.
    caption = " ".join(sentences[:6])
    enriched = f"##Question: {sentences[6]} \n##Answer: <SEP> {tagged}"
    name = f"{number}.jpg" if clef else f"COCO_train2014_{number:012d}.jpg"
    path = f"D:\\MMUD\\images\\{name}" if rng.random() < 0.02 else name
    lengths = len(caption) // 5, len(enriched) // 5
    names = [CATEGORIES[i] for i in ids]
    return (path, caption, enriched, texts, masks, boxes, height, width, ids, names, *lengths)


def _placed(rng: np.random.Generator, shape: np.ndarray, height: int, width: int) -> tuple[list[float], list[float]]:
    extent = np.clip(rng.lognormal(np.log(0.28), 0.6, 2), 0.03, 0.95) * (width, height)
    corner = rng.uniform(0, 1, 2) * (np.array([width, height]) - extent)
    polygon = np.round(shape * extent + corner, 2)
    low, high = polygon.min(axis=0), polygon.max(axis=0)
    box = [float(low[0]), float(low[1]), float(round(high[0] - low[0], 2)), float(round(high[1] - low[1], 2))]
    return polygon.ravel().tolist(), box


class PickleStream:
    """Writes a list as ``pickle.dump(…, protocol=4)`` does, one element at a time.

    Strings of ``shared`` are written once and fetched from the memo afterwards, as those are that a program holds once.
    """

    def __init__(self, stream: BinaryIO, shared: frozenset[str] = frozenset(CATEGORIES.values())) -> None:
        self._stream = stream
        self._frame = bytearray(b"]\x94(")
        self._slots = 1
        self._shared = shared
        self._known: dict[str, int] = {}
        self._count = 0
        stream.write(b"\x80\x04")

    def add(self, value: Any) -> None:
        if self._count and self._count % BATCH == 0:
            self._frame += b"e("
        self._count += 1
        self._save(value)

    def close(self) -> None:
        self._frame += b"e."
        self._flush()

    def _flush(self) -> None:
        self._stream.write(b"\x95" + struct.pack("<Q", len(self._frame)) + self._frame)
        self._frame.clear()

    def _memoize(self) -> None:
        self._frame += b"\x94"
        self._slots += 1

    def _save(self, value: Any) -> None:
        out = self._frame
        if isinstance(value, str):
            self._save_text(value)
        elif isinstance(value, bytes):
            out += b"C" + bytes([len(value)]) if len(value) < 256 else b"B" + struct.pack("<I", len(value))
            out += value
            self._memoize()
        elif isinstance(value, int):
            out += b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value)
        elif isinstance(value, float):
            out += b"G" + struct.pack(">d", value)
        elif isinstance(value, list):
            self._save_list(value)
        elif isinstance(value, dict):
            out += b"}"
            self._memoize()
            out += b"("
            for key, item in value.items():
                self._save(key)
                self._save(item)
            out += b"u"
        else:
            out += b"("
            for item in value:
                self._save(item)
            out += b"t"
            self._memoize()
        if len(out) >= FRAME_BYTES:
            self._flush()

    def _save_text(self, value: str) -> None:
        if value in self._known:
            slot = self._known[value]
            self._frame += b"h" + bytes([slot]) if slot < 256 else b"j" + struct.pack("<I", slot)
            return
        data = value.encode()
        self._frame += b"\x8c" + bytes([len(data)]) if len(data) < 256 else b"X" + struct.pack("<I", len(data))
        self._frame += data
        if value in self._shared:
            self._known[value] = self._slots
        self._memoize()

    def _save_list(self, value: list[Any]) -> None:
        self._frame += b"]"
        self._memoize()
        if len(value) < 2:
            for item in value:
                self._save(item)
                self._frame += b"a"
            return
        self._frame += b"("
        if all(type(item) is float for item in value):
            packed = np.empty(len(value), dtype=[("opcode", "u1"), ("value", ">f8")])
            packed["opcode"], packed["value"] = ord("G"), value
            self._frame += packed.tobytes()
        else:
            for item in value:
                self._save(item)
        self._frame += b"e"


def split_sizes(samples: int) -> dict[str, int]:
    """Samples a split, in the release's shares."""
    sizes = {split: samples * share // TOTAL for split, share in SPLIT_SHARES.items()}
    sizes["train"] += samples - sum(sizes.values())
    return sizes


def _photographs(folder: Path) -> dict[tuple[int, int], Path]:
    """One grey JPEG for each image size; every image of the release is a hard link to one of them."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for height, width in COCO_SIZES + CLEF_SIZES:
        found[height, width] = folder / f"grey-{height}x{width}.jpg"
        Image.new("RGB", (width, height), (128, 128, 128)).save(found[height, width])
    return found


def make_release(folder: Path, samples: int = TOTAL, seed: int = 0, images: bool = True) -> dict[str, int]:
    """Write ``{train,valid,test}.pkl`` and, where asked for, ``images/``.

    Args:
        folder: is made.
        samples: of all splits together.
        seed: of everything drawn.
        images: make an image file for every record.

    Returns:
        Split -> samples.
    """
    folder.mkdir(parents=True, exist_ok=True)
    originals = _photographs(folder / "originals") if images else {}
    if images:
        (folder / "images").mkdir(exist_ok=True)
    sizes = split_sizes(samples)
    for split, count in sizes.items():
        with open(folder / f"{split}.pkl", "wb") as stream:
            out = PickleStream(stream)
            for record in records(split, count, seed):
                out.add(record)
                if images:
                    target = folder / "images" / str(record[0]).rpartition("\\")[2]
                    target.unlink(missing_ok=True)
                    os.link(originals[record[6], record[7]], target)
            out.close()
    return sizes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=TOTAL)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-images", action="store_true")
    arguments = parser.parse_args()
    sizes = make_release(arguments.output, arguments.samples, arguments.seed, not arguments.no_images)
    for split, count in sizes.items():
        size = (arguments.output / f"{split}.pkl").stat().st_size
        print(f"{split}: {count:,} records, {size / 1e6:,.1f} MB")


if __name__ == "__main__":
    main()
