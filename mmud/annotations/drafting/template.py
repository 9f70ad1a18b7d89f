"""Captions and simple relational questions by rule, from objects, boxes and categories. No model and no network.

What is said follows from the labels alone, and everything that is too close to call is left out. The same sample gives the same
texts on every machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import ClassVar

from mmud.annotations.drafting import codes, english
from mmud.annotations.drafting.base import Annotator, Draft, DraftTask, LeftOut
from mmud.annotations.drafting.budget import Meter
from mmud.annotations.drafting.captions import write_caption
from mmud.annotations.drafting.geometry import (
    RATIO,
    Placed,
    cell_words,
    distance,
    gap,
    larger,
    left_of,
    place_all,
    share_words,
)
from mmud.annotations.drafting.naming import names, noun_of
from mmud.annotations.tags import render
from mmud.errors import Place
from mmud.records import Sample

MOST_NAMED = 5
"""Objects that a question and its answer name at most."""

Pair = tuple[str, str]


class TemplateAnnotator(Annotator):
    """Fills templates."""

    name: ClassVar[str] = "template"
    title: ClassVar[str] = "captions and relational questions by rule, from objects, boxes and categories"
    version: ClassVar[str] = "2"
    reads_images: ClassVar[bool] = False

    def draft(self, sample: Sample, task: DraftTask, meter: Meter) -> Draft:
        place = Place(sample=sample.sample_id)
        placed = place_all(sample)
        if task is DraftTask.CAPTION:
            if not placed:
                raise LeftOut(codes.NOTHING_TO_SAY, "the sample has no object with a box to describe", place)
            return Draft({"caption": write_caption(sample, placed)})
        ground = _Ground(sample, placed)
        found = draw(sample, [pair for make in FAMILIES for pair in make(ground)])
        if found is None:
            message = "no object with a mask can be told apart from the others"
            raise LeftOut(codes.NOTHING_TO_SAY, message, place)
        return Draft({"question": found[0], "answer": found[1]})


class _Ground:
    """What questions are made from: the objects that have a mask and a name of their own, largest first."""

    def __init__(self, sample: Sample, placed: list[Placed]) -> None:
        self.sample = sample
        called = names(sample, placed)
        self._names = {number: f"the {name}" for number, name in called.items()}
        usable = [
            item
            for item in placed
            if item.number in called and sample.objects[item.number - 1].segmentation is not None
        ]
        self.objects = sorted(usable, key=lambda item: (-item.area, item.number))[:MOST_NAMED]

    def name(self, item: Placed) -> str:
        return self._names[item.number]

    def tagged(self, item: Placed) -> str:
        return f"{self._names[item.number]} {render(item.number)}"

    def verb(self, item: Placed, one: str, many: str) -> str:
        return many if english.is_plural(noun_of(self.sample.objects[item.number - 1])) else one

    def named(self, items: list[Placed], joint: str = "and") -> str:
        """Their names in the order of their numbers, which gives nothing away."""
        return english.listing([self.name(item) for item in sorted(items, key=lambda item: item.number)], joint)


def draw(sample: Sample, pairs: list[Pair]) -> Pair | None:
    """One of the pairs, by the sample's id: those with the most tags are drawn from, so that many objects are needed."""
    if not pairs:
        return None
    most = max(answer.count("<LCL-") for _, answer in pairs)
    best = [pair for pair in pairs if pair[1].count("<LCL-") == most]
    return best[int.from_bytes(hashlib.blake2b(sample.sample_id.encode(), digest_size=8).digest()) % len(best)]


def _row(ground: _Ground) -> Iterator[Pair]:
    """The order of three or more objects from left to right."""
    row: list[Placed] = []
    for item in ground.objects:
        if all(left_of(item, other) is not None for other in row):
            row.append(item)
    if len(row) < 3:
        return
    ordered = sorted(row, key=lambda item: item.x)
    question = f"In which order do {ground.named(row)} follow each other from left to right?"
    middle = [ground.tagged(item) for item in ordered[1:-1]]
    first, last = ground.tagged(ordered[0]), ground.tagged(ordered[-1])
    yield question, english.sentence(f"{first} comes first, then {', then '.join(middle)}, and finally {last}")


def _sides(ground: _Ground) -> Iterator[Pair]:
    """Which of several objects lie to one side of another."""
    for anchor in ground.objects:
        others = [item for item in ground.objects if item is not anchor]
        clear = [item for item in others if left_of(item, anchor) is not None]
        for side, wanted in (("left", True), ("right", False)):
            there = [item for item in clear if left_of(item, anchor) is wanted]
            # Where all of them are there, the question gives its answer away.
            if not 0 < len(there) < len(clear):
                continue
            question = f"Which of {ground.named(clear)} can be found to the {side} of {ground.name(anchor)}?"
            listed = english.listing([ground.tagged(item) for item in sorted(there, key=lambda item: item.x)])
            verb = "are" if len(there) > 1 else ground.verb(there[0], "is", "are")
            yield question, english.sentence(f"{listed} {verb} to the {side} of {ground.tagged(anchor)}")


def _nearest(ground: _Ground) -> Iterator[Pair]:
    """Which of two objects is nearer to a third."""
    for anchor in ground.objects:
        others = sorted(
            (item for item in ground.objects if item is not anchor),
            key=lambda item: distance(item, anchor, ground.sample),
        )
        for near, far in pairwise(others):
            if not _clearly_nearer(near, far, anchor, ground.sample):
                continue
            question = f"Which is nearer to {ground.name(anchor)} in this image, {ground.named([near, far], 'or')}?"
            words = f"{ground.tagged(near)} {ground.verb(near, 'is', 'are')} nearer to {ground.tagged(anchor)}"
            yield question, english.sentence(f"{words} than {ground.tagged(far)} {ground.verb(far, 'is', 'are')}")


def _clearly_nearer(near: Placed, far: Placed, anchor: Placed, sample: Sample) -> bool:
    """By centres and by the boxes' edges alike: of a large thing the centre may be far and the edge near."""
    if gap(near, anchor, sample) >= gap(far, anchor, sample):
        return False
    return distance(far, anchor, sample) >= RATIO * distance(near, anchor, sample) > 0


def _sizes(ground: _Ground) -> Iterator[Pair]:
    """Which of two objects takes up more of the image."""
    for position, first in enumerate(ground.objects):
        for second in ground.objects[position + 1 :]:
            if larger(first, second):
                question = f"Which takes up more of this image, {ground.named([first, second], 'or')}?"
                answer = f"{ground.tagged(first)} {ground.verb(first, 'takes', 'take')} up more of it: "
                covers = f"{ground.tagged(second)} {ground.verb(second, 'covers', 'cover')}"
                parts = share_words(first.area), share_words(second.area)
                if parts[0] == parts[1]:
                    answer += f"clearly more than {covers}"
                else:
                    answer += f"{parts[0]}, while {covers} {parts[1]}"
                yield question, english.sentence(answer)


def _alone(ground: _Ground) -> Iterator[Pair]:
    """Where one object is."""
    for item in ground.objects[:1]:
        verb = ground.verb(item, "is", "are")
        question = f"In which part of the image {verb} {ground.name(item)}, and how much of it is covered?"
        covers = ground.verb(item, "covers", "cover")
        answer = f"{ground.tagged(item)} {verb} {cell_words(item)} and {covers} {share_words(item.area)} of it"
        yield question, english.sentence(answer)


FAMILIES: tuple[Callable[[_Ground], Iterator[Pair]], ...] = (_row, _sides, _nearest, _sizes, _alone)
"""Kinds of questions; each gives every question of its kind that the sample allows."""
