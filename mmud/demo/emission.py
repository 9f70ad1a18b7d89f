"""How often a system says the tags that are wanted: without a tag there is no mask, without ``<GLB>`` no image of its own.

=====================  ===============================================  =============================================
task                   a case that wants a tag                          it is said when
=====================  ===============================================  =============================================
referring              each object that is asked for                    its mask is there
reasoning              each answer that names an object with a tag      the predicted answer has a tag with a mask
generation             each image                                       the answer held ``<GLB>`` (the system says so)
=====================  ===============================================  =============================================
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from mmud.annotations.asking import asked_objects
from mmud.dataset.store import Dataset
from mmud.evaluators.base import Numbers, Sums
from mmud.evaluators.predictions import PredictionFolder, task_file
from mmud.evaluators.statistics.bootstrap import CONFIDENCE, Resampler
from mmud.evaluators.statistics.sums import group_sums
from mmud.records import Prediction, Sample, Task


@dataclass(frozen=True, slots=True)
class Share:
    """A share with its 95 % interval; ``n`` cases. Without cases there is no value."""

    value: float | None
    low: float | None
    high: float | None
    n: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def tags_said(predictions: Path, dataset: Dataset, split: str = "test", seed: int = 0) -> dict[str, Share]:
    """Task -> the share of cases in which the tag was said; tasks without predictions are left out.

    Args:
        predictions: a folder of predictions.
        dataset: with the labels.
        split: that was predicted.
        seed: of the intervals.
    """
    folder = PredictionFolder(predictions)
    samples = {sample.sample_id: sample for sample in dataset.samples(split)}
    found = {}
    for task in (Task.REFERRING_SEGMENTATION, Task.REASONING_SEGMENTATION):
        if (predictions / task_file(task)).exists():
            rows = (
                counted(samples[row.sample_id], row)
                for row in folder.read(task, lambda finding: None)
                if row.sample_id in samples
            )
            found[task.value] = share_of(rows, seed)
    said = _of_images(folder)
    if said is not None:
        found[Task.GENERATION.value] = said
    return found


def counted(sample: Sample, prediction: Prediction) -> tuple[int, int]:
    """How many cases of a sample want a tag, and in how many it was said."""
    asked = asked_objects(sample, prediction.task)
    said = [index for index, mask in enumerate(prediction.masks) if mask.segmentation is not None]
    if prediction.task is Task.REFERRING_SEGMENTATION:
        return len(asked), len(set(asked) & set(said))
    return int(bool(asked)), int(bool(asked and said))


def share_of(rows: Iterable[tuple[int, int]], seed: int) -> Share:
    """The share over all cases, with a bootstrap interval over samples."""
    pairs = np.array(list(rows), dtype=np.int64).reshape(-1, 2)
    wanted = int(pairs[:, 0].sum())
    if not wanted:
        return Share(None, None, None, 0)
    columns = {"wanted": pairs[:, 0], "said": pairs[:, 1]}
    sums = group_sums(columns, np.arange(len(pairs)), len(pairs))
    interval = Resampler(seed=seed).intervals(sums, _ratio).get("share")
    low, high = interval if interval is not None else (None, None)
    return Share(float(pairs[:, 1].sum()) / wanted, low, high, wanted)


def _ratio(sums: Sums) -> dict[str, Numbers]:
    wanted = np.where(sums["wanted"] > 0, sums["wanted"], np.nan)
    return {"share": sums["said"] / wanted}


def _of_images(folder: PredictionFolder) -> Share | None:
    """What the system itself counted: an image is drawn in any case, so the file does not tell."""
    info = folder.submission
    said: Any = None if info is None else (info.system.model_extra or {}).get("tags_emitted")
    counts = said.get(Task.GENERATION.value) if isinstance(said, dict) else None
    if not counts or not counts["wanted"]:
        return None
    low, high = wilson(counts["emitted"], counts["wanted"])
    return Share(counts["emitted"] / counts["wanted"], low, high, counts["wanted"])


def wilson(right: int, cases: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The score interval of a share (Wilson 1927): right where all or none of the cases are."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = right / cases
    middle = (share + z * z / (2 * cases)) / (1 + z * z / cases)
    half = z / (1 + z * z / cases) * math.sqrt(share * (1 - share) / cases + z * z / (4 * cases * cases))
    return max(0.0, middle - half), min(1.0, middle + half)
