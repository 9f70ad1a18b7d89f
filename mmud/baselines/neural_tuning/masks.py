"""Masks as tensors: targets, losses, and logits back to masks of an image's size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from mmud.annotations.masks import Mask
from mmud.baselines.neural_tuning import codes
from mmud.baselines.neural_tuning.config import LossConfig
from mmud.errors import MmudError, Place
from mmud.records import Sample

_SMOOTH = 1e-5
"""Added to both sides of Dice's fraction, as MONAI's DiceLoss, which the published code calls, does by default."""


def mask_targets(
    sample: Sample, wanted: Sequence[int], size: tuple[int, int], *, nearest: bool = False
) -> torch.Tensor:
    """The masks of a sample's objects at the size that a model works at.

    Args:
        sample: with its labels.
        wanted: which objects, counted from 0.
        size: (height, width).
        nearest: take the nearest pixel, as the published code does; else each pixel holds the share that the object covers.

    Returns:
        Shape (wanted, height, width), from 0 to 1.

    Raises:
        MmudError: MM201, MM202 for a mask that cannot be read, MM913 for an object without one.
    """
    height, width = size
    way = Image.Resampling.NEAREST if nearest else Image.Resampling.BOX
    found = []
    for number in wanted:
        segmentation = sample.objects[number].segmentation
        if segmentation is None:
            place = Place(sample=sample.sample_id, object=number + 1)
            raise MmudError(codes.BATCH_INCOMPLETE, "the object has no mask to train on", place)
        pixels = Mask.of(segmentation, sample.height, sample.width).decode()
        image = Image.fromarray(pixels.astype(np.uint8) * 255).resize((width, height), way)
        found.append(torch.from_numpy(np.asarray(image, dtype=np.float32) / 255))
    return torch.stack(found) if found else torch.empty(0, height, width)


def foreground(logits: torch.Tensor) -> torch.Tensor:
    """The log-odds of the foreground: (n, 2 or 1, height, width) to (n, height, width)."""
    return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits[:, 0]


def binary_masks(logits: torch.Tensor, size: tuple[int, int]) -> list[NDArray[np.bool_]]:
    """Masks of an image's size: the log-odds interpolated, then cut at 0.

    Args:
        logits: (n, 2 or 1, height, width).
        size: (height, width) of the image.
    """
    odds = functional.interpolate(foreground(logits.float())[:, None], size, mode="bilinear", align_corners=False)
    return [one.cpu().numpy() > 0 for one in odds[:, 0]]


def dice_losses(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """1 - Dice of each mask, with squared terms in the denominator, averaged over the classes.

    As MONAI's ``DiceLoss(softmax=True, squared_pred=True)`` of the published code; with one class, over the foreground alone.

    Args:
        logits: (n, 2 or 1, height, width).
        targets: (n, height, width), from 0 to 1.

    Returns:
        Shape (n,).
    """
    if logits.shape[1] == 2:
        predicted = logits.float().softmax(1)
        true = torch.stack([1 - targets, targets], dim=1)
    else:
        predicted, true = logits.float().sigmoid(), targets[:, None]
    both = (predicted * true).sum((2, 3))
    each = predicted.square().sum((2, 3)) + true.square().sum((2, 3))
    return 1 - ((2 * both + _SMOOTH) / (each + _SMOOTH)).mean(1)


def mask_losses(logits: torch.Tensor, targets: torch.Tensor, config: LossConfig) -> torch.Tensor:
    """mask_ce * cross-entropy + mask_dice * Dice, of each mask; shape (n,). Arguments as `dice_losses`."""
    total = config.mask_dice * dice_losses(logits, targets)
    if config.mask_ce:
        odds = foreground(logits.float())
        entropy = functional.binary_cross_entropy_with_logits(odds, targets.float(), reduction="none")
        total = total + config.mask_ce * entropy.mean((1, 2))
    return total
