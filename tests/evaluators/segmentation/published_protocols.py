"""The arithmetic of the published evaluation codes on decoded arrays, written down from their formulas in plain numpy.

Each function takes cases and returns figures; nothing of `mmud` is used here, so that tests compare two independent things.
Sources: LISA ``train_ds.py`` (validate), ``utils/utils.py``; ReLA ``gres_model/evaluation/refer_evaluation.py``, its mapper;
GSVA ``solver.py`` (eval_gres), ``data/dataset.py``; Sa2VA ``evaluation/dataset/RES.py``; SEEM
``datasets/evaluation/grounding_evaluation.py``; NeuralTuning ``Codes/Utils.py``, ``Codes/Solver.py``, ``Codes/Dataset.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

Figures = dict[str, float]
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass
class MaskCase:
    """One expression: the parts of its true mask (none for no-target), the predicted mask, and whether it was rejected."""

    size: tuple[int, int]
    parts: list[np.ndarray]
    predicted: np.ndarray | None
    rejected: bool = False
    ignore: np.ndarray | None = None
    grefcoco: bool = False

    def summed(self) -> np.ndarray:
        """Parts added up, as loaders that never join them do: 2 where two parts overlap."""
        total = np.zeros(self.size, dtype=np.uint8)
        for part in self.parts:
            total = total + part.astype(np.uint8)
        return total

    def joined(self) -> np.ndarray:
        return self.summed() > 0

    def drawn(self) -> np.ndarray:
        return np.zeros(self.size, dtype=bool) if self.predicted is None else self.predicted


def two_class_counts(output: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intersection and union of background and foreground; values other than 0 and 1 are in neither histogram."""
    output, target = output.astype(int).ravel().copy(), target.astype(int).ravel()
    output[target == 255] = 255
    shared = output[output == target]
    histogram = lambda values: np.array([(values == 0).sum(), (values == 1).sum()], dtype=float)  # noqa: E731
    intersection = histogram(shared)
    return intersection, histogram(output) + histogram(target) - intersection


def lisa(cases: Sequence[MaskCase]) -> Figures:
    """Running sums over images of one expression each; the last average divides by the count plus 1e-5."""
    intersections, unions, ious, count = np.zeros(2), np.zeros(2), np.zeros(2), 0
    for case in cases:
        target = case.summed()
        if case.ignore is not None:
            target[case.ignore] = 255
        i, u = two_class_counts(case.drawn(), target)
        iou = i / (u + 1e-5)
        iou[u == 0] += 1.0
        intersections += i
        unions += u
        ious += iou
        count += 1
    return {"gIoU": ious[1] / (count + 1e-5), "cIoU": (intersections / (unions + 1e-10))[1]}


def rela(cases: Sequence[MaskCase]) -> Figures:
    """Everything at 480 by 480; a rejected target keeps its union, a rejected no-target counts 1 and adds nothing."""
    total_i = total_u = 0
    ious: list[float] = []
    targeted: list[float] = []
    tp = tn = fp = fn = 0
    for case in cases:
        predicted, truth = at(case.drawn(), 480), at(case.joined(), 480)
        i, u = int((predicted & truth).sum()), int((predicted | truth).sum())
        if not case.joined().any():
            if case.rejected:
                tp += 1
                ious.append(1.0)
            else:
                fn += 1
                ious.append(0.0)
                total_u += u
            continue
        if case.rejected:
            fp += 1
            i = 0
        else:
            tn += 1
        ious.append(0.0 if u == 0 else i / u)
        targeted.append(ious[-1])
        total_i += i
        total_u += u
    figures = {"gIoU": sum(ious) / len(ious), "cIoU": total_i / total_u}
    figures |= {f"precision@{t}": sum(iou >= t for iou in targeted) / len(targeted) for t in THRESHOLDS}
    return figures | {"N-acc": tp / (tp + fn), "T-acc": tn / (tn + fp)}


def gsva(cases: Sequence[MaskCase]) -> Figures:
    """A rejected target is still compared; empty labels reach the union only in gRefCOCO and only when not rejected."""
    total_i = total_u = total = 0.0
    tp = tn = fp = fn = 0
    for case in cases:
        target = case.summed()
        i, u = (pair[1] for pair in two_class_counts(case.drawn(), target))
        if target.sum() < 1:
            if case.rejected:
                tp += 1
                total += 1.0
            else:
                fn += 1
                if case.grefcoco:
                    total_u += u
            continue
        if case.rejected:
            fp += 1
        else:
            tn += 1
        total += i / (u + 1e-8)
        total_i += i
        total_u += u
    return {
        "gIoU": total / (len(cases) + 1e-5),
        "cIoU": total_i / (total_u + 1e-10),
        "N-acc": tp / (tp + fn),
        "T-acc": tn / (tn + fp),
    }


def sa2va(cases: Sequence[MaskCase]) -> Figures:
    """Labels pass through a run-length encoding of the summed parts; an absent prediction is skipped but divided by."""
    total_i = total_u = total = 0.0
    for case in cases:
        if case.predicted is None:
            continue
        encoded = coco_mask.encode(np.asfortranarray(case.summed()))
        i, u = (pair[1] for pair in two_class_counts(case.predicted, coco_mask.decode(encoded)))
        total += i / (u + 1e-5) + (u == 0)
        total_i += i
        total_u += u
    return {"gIoU": total / len(cases), "cIoU": total_i / (total_u + 1e-10)}


def seem(cases: Sequence[MaskCase]) -> Figures:
    total_i = total_u = 0
    ious = []
    for case in cases:
        truth, predicted = case.joined(), case.drawn()
        i, u = int((truth & predicted).sum()), int((truth | predicted).sum())
        ious.append(i / (u + 1e-6))
        total_i += i
        total_u += u
    figures = {"gIoU": sum(ious) / len(ious), "cIoU": total_i / total_u}
    return figures | {f"precision@{t}": sum(iou >= t for iou in ious) / len(ious) for t in THRESHOLDS}


def official(cases: Sequence[MaskCase]) -> Figures:
    """224 by 224; pixels of exactly one part; 0/0 becomes 0; Dice from IoU."""
    ious, total_i, total_u = [], 0, 0
    for case in cases:
        truth, predicted = at(case.summed() == 1, 224).astype(int), at(case.drawn(), 224).astype(int)
        i = int((truth * predicted).sum())
        u = int((truth + predicted).sum()) - i
        ious.append(i / u if u else 0.0)
        total_i += i
        total_u += u
    values = np.array(ious)
    figures = {
        "gIoU": float(values.mean()),
        "cIoU": total_i / total_u,
        "mean_Dice": float((2 * values / (1 + values)).mean()),
    }
    return figures | {f"precision@{t}": float((values >= t).mean()) for t in THRESHOLDS}


def mmud(cases: Sequence[MaskCase]) -> Figures:
    """The strict rule, in words of the specification: nothing predicted for nothing is right; a denied target is missed."""
    ious, dices, total_i, total_u = [], [], 0, 0
    nothing_right = nothing = target_right = target = 0
    for case in cases:
        truth = case.joined()
        predicted = np.zeros(case.size, dtype=bool) if case.rejected else case.drawn()
        if case.ignore is not None:
            truth, predicted = truth & ~case.ignore, predicted & ~case.ignore
        i, u = int((truth & predicted).sum()), int((truth | predicted).sum())
        ious.append(1.0 if u == 0 else i / u)
        dices.append(1.0 if u == 0 else 2 * i / (truth.sum() + predicted.sum()))
        total_i += i
        total_u += u
        if truth.any():
            target += 1
            target_right += predicted.any()
        else:
            nothing += 1
            nothing_right += not predicted.any()
    figures = {
        "gIoU": float(np.mean(ious)),
        "cIoU": total_i / total_u,
        "mean_Dice": float(np.mean(dices)),
        "N-acc": nothing_right / nothing,
        "T-acc": target_right / target,
    }
    return figures | {f"precision@{t}": float(np.mean([iou >= t for iou in ious])) for t in THRESHOLDS}


def at(mask: np.ndarray, side: int) -> np.ndarray:
    """Nearest-neighbour resizing by Pillow, as torchvision and detectron2 use it for masks."""
    return np.asarray(Image.fromarray(mask.astype(np.uint8)).resize((side, side), Image.Resampling.NEAREST)) > 0


PUBLISHED = {"mmud": mmud, "lisa": lisa, "rela": rela, "gsva": gsva, "sa2va": sa2va, "seem": seem, "official": official}
