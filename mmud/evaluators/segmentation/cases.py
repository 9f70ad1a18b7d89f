"""From a sample and its prediction to the pairs of masks that are measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mmud.annotations import codes, tags
from mmud.annotations.asking import asked_objects, expression_of
from mmud.annotations.masks import Mask, areas
from mmud.errors import MmudError, Place
from mmud.evaluators.base import Case
from mmud.evaluators.checking import check_segmentations, trusted
from mmud.evaluators.segmentation.labels import Label
from mmud.evaluators.segmentation.matching import Candidates, Pair
from mmud.evaluators.segmentation.plan import PlannedUnit
from mmud.evaluators.segmentation.units import ABSENT
from mmud.records import PredictedMask, Task

GREFCOCO = "grefcoco"
MIXED = "mixed"


@dataclass(frozen=True, slots=True)
class ScoredObject:
    """A true object: its number from 1, what it covers, its area in pixels, its category, the words of its expression."""

    number: int
    label: Label
    pixels: int
    category: str
    words: int


@dataclass(frozen=True, slots=True)
class CaseMasks:
    """The masks of one case.

    Attributes:
        row: its number in the batch.
        objects: the true objects that the task asks for.
        count: how many objects the sample has in all; referring predictions have one mask for each.
        predicted: the predicted masks, checked; None where there is none.
        given: the prediction's masks as they were given.
        bare: tags that the answer mentions and that have no mask.
        grefcoco: whether the sample comes from gRefCOCO.
    """

    row: int
    objects: Sequence[ScoredObject]
    count: int
    predicted: Sequence[Mask | None]
    given: Sequence[PredictedMask]
    bare: Sequence[int]
    grefcoco: bool

    def candidates(self) -> Candidates:
        """What is to be matched; only masks that are there."""
        present = self._present()
        return Candidates(
            [item.number for item in self.objects],
            [item.label.mask for item in self.objects],
            [self.given[index].tag for index in present],
            [mask for index in present if (mask := self.predicted[index]) is not None],
        )

    def _present(self) -> list[int]:
        return [index for index, mask in enumerate(self.predicted) if mask is not None]

    def matched(self, pairs: Iterable[Pair]) -> list[PlannedUnit]:
        """Units of reasoning: pairs of objects and masks, then tags that were only mentioned."""
        present = self._present()
        units = [
            self._unit(
                None if first is None else self.objects[first],
                None if second is None else present[second],
                tagged=True,
            )
            for first, second in pairs
        ]
        units += [
            PlannedUnit(self.row, None, (), True, tag=tag, tagged=True, grefcoco=self.grefcoco) for tag in self.bare
        ]
        return units

    def in_order(self) -> list[PlannedUnit]:
        """Units of referring: each object with the mask at its position, then masks that no object takes."""
        units = [
            self._unit(item, item.number - 1 if item.number <= len(self.predicted) else None) for item in self.objects
        ]
        extra = range(self.count, len(self.predicted))
        return units + [self._unit(None, index) for index in extra if self.predicted[index] is not None]

    def _unit(self, item: ScoredObject | None, index: int | None, tagged: bool = False) -> PlannedUnit:
        mask = None if index is None else self.predicted[index]
        return PlannedUnit(
            row=self.row,
            labels=None if item is None else (item.label,),
            predicted=() if mask is None else (mask,),
            no_target=index is None or self.given[index].no_target,
            number=None if item is None else item.number,
            tag=None if index is None else self.given[index].tag,
            category="" if item is None else item.category,
            pixels=ABSENT if item is None else item.pixels,
            tagged=tagged,
            grefcoco=self.grefcoco,
            words=ABSENT if item is None else item.words,
        )

    def expression(self) -> PlannedUnit:
        """The question as one expression: all tagged objects against all predicted masks."""
        present = self._present()
        categories = {item.category for item in self.objects}
        return PlannedUnit(
            row=self.row,
            labels=tuple(item.label for item in self.objects),
            predicted=tuple(mask for mask in self.predicted if mask is not None),
            no_target=all(self.given[index].no_target for index in present),
            category=categories.pop() if len(categories) == 1 else MIXED,
            pixels=Mask.union([item.label.mask for item in self.objects]).area,
            grefcoco=self.grefcoco,
        )


def case_masks(cases: Sequence[Case], by_category: bool = False) -> list[CaseMasks]:
    """The masks of each case, labels checked all at once.

    Raises:
        MmudError: MM201 or MM202 when a label is no valid mask of the image's size.
    """
    wanted = [asked_objects(case.sample, case.prediction.task, by_category) for case in cases]
    labels = _labels(cases, wanted)
    pixels = iter(areas([label.mask for of_case in labels for label in of_case.values()]).tolist())
    found = []
    for row, (case, of_case) in enumerate(zip(cases, labels, strict=True)):
        sample, prediction = case.sample, case.prediction
        objects = [
            ScoredObject(index + 1, label, next(pixels), sample.objects[index].category, words)
            for index, label in of_case.items()
            for words in [_words(case, index)]
        ]
        with_mask = {mask.tag for mask in prediction.masks if mask.segmentation is not None}
        bare = dict.fromkeys([*tags.indices(prediction.answer), *(mask.tag for mask in prediction.masks if mask.tag)])
        found.append(
            CaseMasks(
                row=row,
                objects=objects,
                count=len(sample.objects),
                predicted=[
                    None if mask.segmentation is None else trusted(mask.segmentation) for mask in prediction.masks
                ],
                given=prediction.masks,
                bare=[tag for tag in bare if tag not in with_mask],
                grefcoco=sample.source == GREFCOCO,
            )
        )
    return found


def _words(case: Case, index: int) -> int:
    """Words of what referring asks for an object by; ABSENT in reasoning."""
    if case.prediction.task is not Task.REFERRING_SEGMENTATION:
        return ABSENT
    return len(expression_of(case.sample.objects[index]).split())


def _labels(cases: Sequence[Case], wanted: Sequence[Sequence[int]]) -> list[Mapping[int, Label]]:
    places = [(row, index) for row, positions in enumerate(wanted) for index in positions]
    masks = check_segmentations([cases[row].sample.objects[index].segmentation for row, index in places])
    found: list[dict[int, Label]] = [{} for _ in cases]
    for (row, index), mask in zip(places, masks, strict=True):
        sample = cases[row].sample
        place = Place(sample=sample.sample_id, object=index + 1)
        if isinstance(mask, MmudError):
            raise MmudError(mask.code, mask.message, place, mask.hint)
        assert mask is not None
        if mask.size != (sample.height, sample.width):
            message = f"the label is {mask.height} x {mask.width}, the image {sample.height} x {sample.width}"
            raise MmudError(codes.MASK_SIZE, message, place)
        found[row][index] = Label(mask, sample.objects[index].polygons)
    return list(found)
