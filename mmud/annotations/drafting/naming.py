"""Names of objects that single them out among the objects of their sample."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable

from mmud.annotations.drafting.geometry import Placed, above, larger, left_of, place_all
from mmud.annotations.provenance import with_origin
from mmud.records import MaskedObject, Sample

_PLAIN = re.compile(r"[^\W\d_][\w' /-]*")
_UNKNOWN = "object"
_ORIGIN = {"annotator": "names", "version": "1"}
_SPELLINGS = {"tv": "television"}


def noun_of(item: MaskedObject) -> str:
    """What an object is: its category, as a word of a sentence."""
    category = " ".join(item.category.replace("_", " ").replace("-", " ").lower().split())
    category = _SPELLINGS.get(category, category)
    return category if _PLAIN.fullmatch(category) else _UNKNOWN


def names(sample: Sample, placed: list[Placed]) -> dict[int, str]:
    """Number -> name, as in "dog", "left dog", "largest person"; objects that cannot be told apart have none.

    Names go without an article. Crowds have none: they are no single object; and no object of a category that also has a crowd.
    """
    groups: dict[str, list[Placed]] = defaultdict(list)
    for item in placed:
        groups[noun_of(sample.objects[item.number - 1])].append(item)
    found: dict[int, str] = {}
    for noun, group in groups.items():
        if any(sample.objects[item.number - 1].iscrowd for item in group):
            continue
        # A category of which some objects have no box cannot be told apart for sure.
        if len(group) != sum(noun_of(item) == noun for item in sample.objects):
            continue
        if len(group) == 1:
            found[group[0].number] = noun
        else:
            found |= _told_apart(noun, group)
    return dict(sorted(found.items()))


Before = Callable[[Placed, Placed], bool | None]


def _told_apart(noun: str, group: list[Placed]) -> dict[int, str]:
    pair = len(group) == 2
    ways: tuple[tuple[Before, str, str], ...] = (
        (left_of, "left" if pair else "leftmost", "right" if pair else "rightmost"),
        (above, "upper" if pair else "topmost", "lower" if pair else "lowest"),
        (larger, "larger" if pair else "largest", "smaller" if pair else "smallest"),
    )
    found: dict[int, str] = {}
    for before, first, last in ways:
        for item in group:
            others = [other for other in group if other is not item]
            if item.number not in found and all(before(item, other) is True for other in others):
                found[item.number] = f"{first} {noun}"
            elif item.number not in found and all(before(item, other) is False for other in others):
                found[item.number] = f"{last} {noun}"
        if pair and found:
            break
    return found


def with_names(sample: Sample) -> Sample:
    """The sample with a phrase for each object that has none and can be told apart; the provenance says where they come from."""
    called = names(sample, place_all(sample))
    objects = tuple(
        item.model_copy(update={"phrases": (called[number],)}) if number in called and not item.phrases else item
        for number, item in enumerate(sample.objects, start=1)
    )
    if objects == sample.objects:
        return sample
    provenance = with_origin(sample.provenance, ("phrases",), _ORIGIN)
    return sample.model_copy(update={"objects": objects, "provenance": provenance})
