"""A small made dataset with labels for all four tasks, for tests of the harness."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from mmud.annotations.masks import Mask
from mmud.dataset.store import Dataset
from mmud.dataset.writer import write_dataset
from mmud.records import ImageReference, MaskedObject, Sample

NOUNS = ("dog", "cat", "red car", "tall tree", "old man", "green boat")
FILLER = [
    "a",
    "quiet",
    "street",
    "in",
    "the",
    "evening",
    "with",
    "people",
    "walking",
    "under",
    "lamps",
    "near",
    "some",
    "houses",
    "and",
    "shops",
]


def blob(generator: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A filled ellipse, or a box cut by the image's edge."""
    y, x = np.mgrid[:height, :width]
    cy, cx = generator.uniform(0, height), generator.uniform(0, width)
    ry, rx = generator.uniform(4, height / 2), generator.uniform(4, width / 2)
    if generator.random() < 0.5:
        return ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 <= 1
    return (abs(y - cy) < ry / 2) & (abs(x - cx) < rx / 2)


def png(generator: np.random.Generator, height: int, width: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(generator.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def make_samples(count: int, seed: int = 0) -> Iterator[Sample]:
    """Samples with one to four objects; every third one shares its image with the one before."""
    generator = np.random.default_rng(seed)
    height, width, data = 0, 0, b""
    for number in range(count):
        if number % 3 != 2:  # the third of three shows the second one's image
            height, width = (int(value) for value in generator.integers(40, 90, size=2))
            data = png(generator, height, width)
        objects = []
        for index in range(int(generator.integers(1, 5))):
            array = blob(generator, height, width)
            if not array.any():
                array[0, 0] = True
            noun = NOUNS[int(generator.integers(len(NOUNS)))]
            objects.append(
                MaskedObject(
                    phrases=(f"the {noun} number {index}", noun),
                    segmentation=Mask.from_array(array).to_record(),
                    category=noun,
                    area=float(array.sum()),
                )
            )
        tagged = [index for index in range(len(objects)) if index == 0 or generator.random() < 0.7]
        words = generator.choice(FILLER, size=int(generator.integers(5, 30)))
        parts = [f"the {objects[index].category} <LCL-{index + 1}>" for index in tagged]
        yield Sample(
            sample_id=f"made-{number:04d}",
            image=ImageReference(bytes=data, path=f"{number}.png"),
            width=width,
            height=height,
            source="made" if number % 3 else "other",
            source_image_id=str(number - (number % 3 == 2)),
            caption=" ".join(words),
            question="which of them stands out?",
            answer=f"It is {' and '.join(parts)} because of {' '.join(words[:4])}.",
            objects=tuple(objects),
        )


def make_dataset(folder: Path, count: int = 30, seed: int = 0) -> Dataset:
    return write_dataset(folder, {"test": make_samples(count, seed)}, images="embed")
