"""Test sets drawn from populations whose true figure is known, shaped like real results."""

from __future__ import annotations

import numpy as np

IMAGE_PIXELS = 640 * 480


def population(kind: str, images: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Numerator and denominator of a figure, image by image, shaped like the real thing.

    gIoU and cIoU: one to five expressions an image, IoUs that lean to 0 and 1, share a difficulty of the image and, for cIoU,
    grow with the area; areas are log-normal as COCO's, cut at the image. CIDEr: skewed, many zeros, one caption an image.
    """
    if kind == "CIDEr":
        score = np.minimum(generator.gamma(0.9, 1.1, images), 10.0)
        score[generator.random(images) < 0.1] = 0.0
        return score, np.ones(images)
    count = generator.integers(1, 6, images)
    image = np.repeat(np.arange(images), count)
    area = np.minimum(np.exp(generator.normal(8.7, 1.4, len(image))), IMAGE_PIXELS)
    skill = 1.5 * (generator.normal(size=images)[image] * 0.7 + generator.normal(size=len(image))) + 0.8
    iou = 1 / (1 + np.exp(-skill - 0.2 * np.log(area / 6000)))
    iou[generator.random(len(image)) < 0.12] = 0.0
    if kind == "gIoU":
        return np.bincount(image, iou, images), count.astype(float)
    union = area * (2 - iou)
    return np.bincount(image, iou * union, images), np.bincount(image, union, images)
