"""The labels spoilt at random, but the same way for the same sample and seed: something between ceiling and floor."""

from __future__ import annotations

import hashlib
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mmud.annotations import tags
from mmud.annotations.masks import Mask
from mmud.baselines.base import Baseline, Options, Output
from mmud.baselines.floors.labels import from_labels
from mmud.records import Sample, Segmentation, Task


class PerturbedOptions(Options):
    """
    Attributes:
        strength: from 0 (the oracle) to 1; about the share of words dropped and, of an object's size, of pixels moved.
    """

    strength: float = Field(default=0.1, ge=0.0, le=1.0, allow_inf_nan=False)


class Perturbed(Baseline):
    """Each mask is shifted, then eroded or dilated by a few pixels, or now and then denied; words are dropped, tags stay.

    Images of the generation task are the real ones. It reads the labels.
    """

    name: ClassVar[str] = "perturbed"
    title: ClassVar[str] = "the labels, spoilt at random; reads the labels"
    reads_labels: ClassVar[bool] = True
    options_class: ClassVar[type[Options]] = PerturbedOptions
    options: PerturbedOptions

    def answer(self, sample: Sample, task: Task) -> Output:
        generator = _generator(self.seed, sample.sample_id, task)
        strength = self.options.strength

        def spoil(segmentation: Segmentation) -> Segmentation | None:
            return _spoilt_mask(Mask.of(segmentation), generator, strength)

        return from_labels(sample, task, spoil, lambda text: _spoilt_text(text, generator, strength))


def _generator(seed: int, *names: str) -> np.random.Generator:
    digest = hashlib.sha256("\0".join(names).encode("utf-8")).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, dtype=np.uint32).tolist()])


def _spoilt_mask(mask: Mask, generator: np.random.Generator, strength: float) -> Segmentation | None:
    draw = generator.random()
    _, _, width, height = mask.bbox
    reach = strength * np.sqrt(width * height)
    rows, columns = (round(value) for value in generator.normal(0.0, reach / 2 + 1e-12, size=2))
    thickness = round(float(generator.normal(0.0, reach / 4 + 1e-12)))
    if draw < strength / 4:
        return None
    array = _moved(mask.decode().astype(bool), rows, columns)
    return Mask.from_array(_thickened(array, thickness)).to_record()


def _moved(array: NDArray[np.bool_], rows: int, columns: int) -> NDArray[np.bool_]:
    """The mask shifted, what leaves the image lost."""
    moved = np.zeros_like(array)
    height, width = array.shape
    rows, columns = int(np.clip(rows, -height, height)), int(np.clip(columns, -width, width))
    moved[max(0, rows) : height + min(0, rows), max(0, columns) : width + min(0, columns)] = array[
        max(0, -rows) : height - max(0, rows), max(0, -columns) : width - max(0, columns)
    ]
    return moved


def _thickened(array: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """Dilated by a square of so many pixels to each side, or eroded where the number is negative."""
    grown = ~array if pixels < 0 else array
    for _ in range(abs(pixels)):
        for axis in (0, 1):
            before, after = np.roll(grown, 1, axis), np.roll(grown, -1, axis)
            first = (slice(0, 1), slice(None)) if axis == 0 else (slice(None), slice(0, 1))
            last = (slice(-1, None), slice(None)) if axis == 0 else (slice(None), slice(-1, None))
            before[first], after[last] = grown[first], grown[last]
            grown = grown | before | after
    return ~grown if pixels < 0 else grown


def _spoilt_text(text: str, generator: np.random.Generator, strength: float) -> str:
    """The text with words dropped; a word with a tag stays, and so does one word at least."""
    words = text.split()
    kept = [word for word in words if generator.random() >= strength or tags.parse(word)]
    return " ".join(kept or words[:1])
