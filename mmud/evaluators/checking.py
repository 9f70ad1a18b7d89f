"""Checking predictions: ids known and each once, masks valid and at the image's size. Every problem is a finding.

Masks are checked a batch at a time, and nothing unchecked reaches compiled code.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from mmud.annotations import codes as mask_codes
from mmud.annotations import tags
from mmud.annotations.masks import Mask
from mmud.errors import Code, Finding, MmudError, Place, Severity
from mmud.evaluators import codes
from mmud.records import PredictedMask, Prediction, Segmentation, Task

BATCH_LINES = 512


@dataclass(frozen=True, slots=True)
class Expected:
    """What is known of a sample before its prediction is read: the image's size, and how many masks referring asks for."""

    height: int
    width: int
    objects: int = 0


@dataclass
class FindingLog:
    """Findings as they come: all are counted, the first of each code are kept.

    Attributes:
        most: how many findings of one code are kept.
    """

    most: int = 10_000
    kept: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    errors: int = 0

    def __call__(self, finding: Finding) -> None:
        self.counts[finding.code.id] += 1
        self.errors += finding.severity >= Severity.ERROR
        if self.counts[finding.code.id] <= self.most:
            self.kept.append(finding)


Report = Callable[[Finding], None]


class RefusedPredictions(MmudError):
    """Predictions that cannot be scored; says how many findings there are and carries the first of each code.

    Attributes:
        findings: the errors, in the order in which they were met.
    """

    def __init__(self, findings: Sequence[Finding], counts: Mapping[str, int]) -> None:
        self.findings = tuple(findings)
        self.counts = dict(counts)
        first = self.findings[0]
        others = [f"{count} x {code}" for code, count in sorted(self.counts.items())]
        message = f"{first.message} ({', '.join(others)})" if sum(self.counts.values()) > 1 else first.message
        super().__init__(first.code, message, first.place)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.findings, self.counts))

    def to_dict(self) -> dict[str, Any]:
        return {
            **super().to_dict(),
            "counts": self.counts,
            "findings": [finding.to_dict() for finding in self.findings],
        }


def place_of(file: str | None, line: int | None, sample: str | None = None, name: str | None = None) -> Place:
    return Place(sample=sample, file=file, line=line, field=name)


def checked(
    predictions: Iterable[tuple[int | None, Prediction]],
    task: Task,
    report: Report,
    expected: Mapping[str, Expected] | None = None,
    required: Set[str] | None = None,
    file: str | None = None,
) -> Iterator[Prediction]:
    """The usable ones of a task's predictions: masks valid and at the image's size, ids known and each once.

    Args:
        predictions: each with its line, or None where they come from no file.
        task: theirs.
        report: called with each finding (MM801 to MM803, MM806 to MM811).
        expected, required: as for `PredictionFolder.read`.
        file: named in findings.
    """
    seen: set[str] = set()
    iterator = iter(predictions)
    while batch := list(itertools.islice(iterator, BATCH_LINES)):
        known = [item for item in batch if _id_is_good(item, seen, expected, report, file)]
        yield from _good_masks(known, task, report, expected, file)
    if expected is not None:
        for sample in sorted((expected.keys() if required is None else required) - seen):
            report(Finding(codes.MISSING_IDS, place_of(file, None, sample), "no prediction"))


def _id_is_good(
    item: tuple[int | None, Prediction],
    seen: set[str],
    expected: Mapping[str, Expected] | None,
    report: Report,
    file: str | None,
) -> bool:
    line, prediction = item
    place = place_of(file, line, prediction.sample_id)
    if expected is not None and prediction.sample_id not in expected:
        report(Finding(codes.UNKNOWN_ID, place, f"the split asks for no prediction of {prediction.sample_id!r}"))
        return False
    if prediction.sample_id in seen:
        report(Finding(codes.REPEATED_ID, place, f"{prediction.sample_id!r} has a line already"))
        return False
    seen.add(prediction.sample_id)
    return True


def _good_masks(
    batch: Sequence[tuple[int | None, Prediction]],
    task: Task,
    report: Report,
    expected: Mapping[str, Expected] | None,
    file: str | None,
) -> Iterator[Prediction]:
    """The predictions of a batch whose masks are all good, their counts in the one form that `Mask` computes with."""
    owners = [
        (row, position)
        for row, (_, prediction) in enumerate(batch)
        for position, mask in enumerate(prediction.masks)
        if mask.segmentation is not None
    ]
    segmentations = [batch[row][1].masks[position].segmentation for row, position in owners]
    replaced: dict[int, list[PredictedMask]] = {}
    bad: set[int] = set()
    for (row, position), segmentation, mask in zip(
        owners, segmentations, check_segmentations(segmentations), strict=True
    ):
        line, prediction = batch[row]
        assert segmentation is not None
        problem = _mask_problem(segmentation, mask, expected.get(prediction.sample_id) if expected else None)
        if problem is not None:
            place = Place(sample=prediction.sample_id, object=position + 1, file=file, line=line)
            report(Finding(problem[0], place, problem[1]))
            bad.add(row)
        elif isinstance(mask, Mask) and mask.counts != segmentation.counts.encode("ascii"):
            masks = replaced.setdefault(row, list(prediction.masks))
            masks[position] = masks[position].model_copy(update={"segmentation": mask.to_record()})
    for row, (line, prediction) in enumerate(batch):
        if row in replaced:
            prediction = prediction.model_copy(update={"masks": tuple(replaced[row])})
        place = place_of(file, line, prediction.sample_id)
        if not _masks_fit(prediction, task, report, expected, place):
            bad.add(row)
        if row not in bad:
            yield prediction


def check_segmentations(segmentations: Sequence[Segmentation | None]) -> list[Mask | MmudError | None]:
    """Each segmentation as a mask, or the error (MM201, MM202) that says what is wrong with it; None stays None."""
    present = [index for index, value in enumerate(segmentations) if value is not None]
    texts, sizes = [], []
    for index in present:
        segmentation = segmentations[index]
        assert segmentation is not None
        # The bytes of a character beyond ASCII are outside the alphabet of counts, so it is refused with the rest.
        texts.append(segmentation.counts.encode("utf-8", "surrogatepass"))
        sizes.append(segmentation.size)
    found: list[Mask | MmudError | None] = [None] * len(segmentations)
    for index, mask in zip(present, check_counts(texts, sizes), strict=True):
        found[index] = mask
    return found


def check_counts(counts: Sequence[bytes], sizes: Sequence[tuple[int, int]]) -> list[Mask | MmudError]:
    """Compressed counts as masks, or the error that says what is wrong; in batches that stay in the processor's cache."""
    found: list[Mask | MmudError] = []
    for start in range(0, len(counts), BATCH_LINES):
        part = slice(start, start + BATCH_LINES)
        found.extend(Mask.from_many_counts(counts[part], sizes[part]))
    return found


def _mask_problem(
    segmentation: Segmentation, mask: Mask | MmudError | None, expected: Expected | None
) -> tuple[Code, str] | None:
    if isinstance(mask, MmudError):
        code = codes.MASK_OTHER_SIZE if mask.code == mask_codes.MASK_SIZE else codes.MASK_INVALID
        return code, mask.message
    if expected is not None and segmentation.size != (expected.height, expected.width):
        height, width = segmentation.size
        message = f"the mask is {height} x {width}, the image {expected.height} x {expected.width} (height x width)"
        return codes.MASK_OTHER_SIZE, message
    return None


def _masks_fit(
    prediction: Prediction, task: Task, report: Report, expected: Mapping[str, Expected] | None, place: Place
) -> bool:
    """Whether the masks go with the objects, or with the answer's tags; oddities that can be scored are reported only."""
    if task is Task.REFERRING_SEGMENTATION and expected is not None:
        wanted = expected[prediction.sample_id].objects
        if wanted != len(prediction.masks):
            report(Finding(codes.MASK_COUNT, place, f"{len(prediction.masks)} masks, {wanted} objects"))
    if task is Task.REASONING_SEGMENTATION:
        numbers = [mask.tag for mask in prediction.masks]
        repeated = [number for number, count in Counter(numbers).items() if count > 1]
        if repeated:
            report(Finding(codes.TAG_REPEATED, place, f"tag {repeated[0]} has {numbers.count(repeated[0])} masks"))
            return False
        if numbers:
            mentioned = set(tags.indices(prediction.answer))
            for number in numbers:
                if number not in mentioned:
                    report(Finding(codes.TAG_NOT_MENTIONED, place, f"tag {number} has a mask and no mention"))
    return True


def trusted(segmentation: Segmentation) -> Mask:
    """The mask of a segmentation that a reader here has checked."""
    return Mask(*segmentation.size, segmentation.counts.encode("ascii"))
