"""What a build is made of: which split each item goes to, and which items make a shard."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mmud.dataset import codes
from mmud.dataset.recipe import Recipe
from mmud.dataset.sources.base import Item, Source
from mmud.dataset.writer import SHARD_ROWS, SPLIT_ORDER
from mmud.errors import Finding, MmudError, Place

Numbered = tuple[int, Item]
"""The number of a source, and one of its items."""

DEFAULT_SPLIT = "train"


class SplitPlan:
    """Which split each item goes to.

    New splits are made by image: the images, in the order of a seeded hash, are dealt to the splits in the shares asked for.
    Where sources with splits of their own are merged, an image that two of them place differently goes where evaluation is
    strictest.
    """

    def __init__(self, recipe: Recipe, sources: list[Source]) -> None:
        self._recipe = recipe
        self._sources = sources
        self.findings: list[dict[str, Any]] = []
        self._assigned: dict[str, str] = {}
        if recipe.split is not None:
            self._deal(recipe.split)
        elif len(sources) > 1:
            self._reconcile()

    def _listed(self) -> Iterator[Numbered]:
        for number, source in enumerate(self._sources):
            for count, item in enumerate(source.items()):
                if self._recipe.limit is not None and count >= self._recipe.limit:
                    break
                yield number, item

    def _deal(self, shares: Mapping[str, float]) -> None:
        sizes = Counter(item.group for _, item in self._listed())
        seed = self._recipe.seed
        order = sorted(sizes, key=lambda group: hashlib.blake2b(f"{seed}:{group}".encode(), digest_size=16).digest())
        total = sum(sizes.values())
        names = list(shares)
        taken, current, bound = 0, 0, shares[names[0]] * total
        for group in order:
            # A group goes to the next split when less than half of it fits the present one.
            while current < len(names) - 1 and taken + sizes[group] / 2 > bound:
                current += 1
                bound += shares[names[current]] * total
            self._assigned[group] = names[current]
            taken += sizes[group]

    def _reconcile(self) -> None:
        for _, item in self._listed():
            split = item.split or DEFAULT_SPLIT
            before = self._assigned.setdefault(item.group, split)
            if before != split:
                strictest = max(before, split, key=_strictness)
                self._assigned[item.group] = strictest
                message = f"image {item.group} is in {before} and in {split}: it goes to {strictest}"
                self.findings.append(Finding(codes.BUILD_SPLIT_CONFLICT, Place(sample=item.key), message).to_dict())

    def assigned(self) -> Iterator[tuple[str, Numbered]]:
        """Each item with its split, in the fixed order.

        Raises:
            MmudError: MM751 when two items have one id.
        """
        seen: set[bytes] = set()
        for number, item in self._listed():
            key = hashlib.blake2b(item.key.encode(), digest_size=12).digest()
            if key in seen:
                source = self._sources[number].name
                raise MmudError(
                    codes.BUILD_ID_REPEATED, f"{item.key!r} comes twice, last from {source}", Place(sample=item.key)
                )
            seen.add(key)
            yield self._assigned.get(item.group) or item.split or DEFAULT_SPLIT, (number, item)


def _strictness(split: str) -> tuple[int, str]:
    return (SPLIT_ORDER.index(split) if split in SPLIT_ORDER else len(SPLIT_ORDER), split)


@dataclass(frozen=True, slots=True)
class Task:
    split: str
    index: int
    items: list[Numbered]


def tasks(recipe: Recipe, plan: SplitPlan) -> Iterator[Task]:
    size = recipe.shard_rows or SHARD_ROWS[recipe.images]
    waiting: dict[str, list[Numbered]] = {}
    cut: Counter[str] = Counter()
    for split, numbered in plan.assigned():
        queue = waiting.setdefault(split, [])
        queue.append(numbered)
        if len(queue) == size:
            yield Task(split, cut[split], queue)
            cut[split] += 1
            waiting[split] = []
    for split, queue in waiting.items():
        if queue or not cut[split]:
            yield Task(split, cut[split], queue)
