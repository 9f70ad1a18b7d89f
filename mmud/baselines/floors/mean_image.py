"""The mean of the training images, whatever the caption says."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from mmud.baselines import codes
from mmud.baselines.base import Baseline, Description, FitRun, Options, Output
from mmud.dataset.store import Dataset
from mmud.errors import MmudError, Place
from mmud.files import atomic_write, write_json
from mmud.images import Pixels, decode_image, load_image
from mmud.records import Prediction, Sample, Task

FILE_NAME = "means.json"
COMMON_SIDE = 256
Size = tuple[int, int]


class MeanImageOptions(Options):
    """
    Attributes:
        sizes: how many of the most frequent image sizes have a mean of their own.
    """

    sizes: int = Field(default=8, ge=0, le=64)


class MeanImage(Baseline):
    """Draws the pixel-wise mean of the training images of the wanted size.

    The most frequent sizes have a mean each. Any other size gets the mean of all images, each scaled to a square and the mean
    scaled to the wanted size. A generator whose distance to the real images is not far below this one's has collapsed.
    """

    name: ClassVar[str] = "mean-image"
    title: ClassVar[str] = "the mean training image, whatever the caption says"
    tasks: ClassVar[tuple[Task, ...]] = (Task.GENERATION,)
    needs_fitting: ClassVar[bool] = True
    reads_images: ClassVar[bool] = False
    options_class: ClassVar[type[Options]] = MeanImageOptions
    options: MeanImageOptions

    _means: dict[Size, Pixels]
    _common: Pixels

    def __init__(self, options: Mapping[str, Any] | None = None, seed: int = 0) -> None:
        super().__init__(options, seed)
        # One image is given many times; its encoding is the dear part.
        self._drawn = lru_cache(maxsize=32)(self._draw)

    def fit(self, dataset: Dataset, run: FitRun) -> None:
        sizes = Counter((sample.height, sample.width) for sample in run.samples(dataset))
        own = sorted(sizes, key=lambda size: (-sizes[size], size))[: self.options.sizes]
        # Whole numbers add up to the same sum in any order: the mean is exact.
        sums = {size: np.zeros((*size, 3), dtype=np.int64) for size in own}
        counts: Counter[Size] = Counter()
        common, total = np.zeros((COMMON_SIDE, COMMON_SIDE, 3), dtype=np.int64), 0
        for sample in run.samples(dataset, images=True):
            pixels = decode_image(sample.image_bytes(), place=Place(sample=sample.sample_id))
            size = pixels.shape[0], pixels.shape[1]
            if size in sums:
                sums[size] += pixels
                counts[size] += 1
            common += scaled(pixels, COMMON_SIDE, COMMON_SIDE)
            total += 1
        if not total:
            raise MmudError(codes.NOTHING_TO_FIT, f"{run.split} has no image")
        self._means = {size: _mean(sums[size], counts[size]) for size in own if counts[size]}
        self._common = _mean(common, total)

    def save(self, folder: Path) -> None:
        for name, pixels in self._files().items():
            with atomic_write(folder / name) as stream:
                stream.write(encoded(pixels))
        write_json(folder / FILE_NAME, {"sizes": [list(size) for size in self._means]})

    def _files(self) -> dict[str, Pixels]:
        return {"common.png": self._common} | {f"{h}x{w}.png": pixels for (h, w), pixels in self._means.items()}

    def load(self, folder: Path) -> None:
        place = Place(file=str(folder / FILE_NAME))
        try:
            sizes = [(int(h), int(w)) for h, w in json.loads((folder / FILE_NAME).read_bytes())["sizes"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MmudError(codes.CHECKPOINT_UNREADABLE, f"{FILE_NAME}: {error!r}", place) from error
        try:
            self._common = load_image(folder / "common.png")
            self._means = {(h, w): load_image(folder / f"{h}x{w}.png") for h, w in sizes}
        except MmudError as error:
            raise MmudError(codes.CHECKPOINT_UNREADABLE, error.message, error.where) from error

    def answer(self, sample: Sample, task: Task) -> Output:
        return Output(Prediction(sample_id=sample.sample_id, task=task), self._drawn(sample.height, sample.width))

    def _draw(self, height: int, width: int) -> bytes:
        pixels = self._means.get((height, width))
        return encoded(scaled(self._common, height, width) if pixels is None else pixels)

    def describe(self) -> Description:
        return Description(parameters=sum(pixels.size for pixels in self._files().values()))


def scaled(pixels: Pixels, height: int, width: int) -> Pixels:
    """An image scaled by bilinear filtering; unchanged at its own size."""
    if pixels.shape[:2] == (height, width):
        return pixels
    image = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8)


def _mean(total: NDArray[np.int64], count: int) -> Pixels:
    """Rounded half up."""
    return ((2 * total + count) // (2 * count)).astype(np.uint8)


def encoded(pixels: Pixels) -> bytes:
    """The bytes of a PNG file."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()
