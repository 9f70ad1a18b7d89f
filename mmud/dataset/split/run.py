"""Splitting a dataset: read what samples belong together, decide, write."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmud import codes as usage
from mmud.dataset.image_groups import ImageGroups, image_key, keys_of_row
from mmud.dataset.select import write_selection
from mmud.dataset.split import codes
from mmud.dataset.split.dealing import Group, apportion, deal
from mmud.dataset.store import Dataset
from mmud.dataset.writer import SPLIT_ORDER
from mmud.errors import MmudError, Place

RECORD_NAME = "split.json"
By = Literal["source-image", "image"]


@dataclass(frozen=True)
class SplitRequest:
    """What splits to make.

    Attributes:
        shares: split -> share of the samples that are neither kept nor listed; they add up to 1. Empty: those are left out.
        by: what makes two samples one image: its number in its source, or its bytes ("source-image"), or its bytes alone.
        stratify: deal each source in the same shares.
        seed: of the draw.
        keep: splits whose samples stay where they are, and take with them what shows the same image.
        listed: sample id, or an image as in "coco:573125", -> its split.

    Raises:
        MmudError: MM001 when these contradict each other.
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    by: By = "source-image"
    stratify: bool = False
    seed: int = 0
    keep: tuple[str, ...] = ()
    listed: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.shares and not self.listed:
            raise MmudError(usage.USAGE, "nothing says how to split: give --ratios, --ids, or both")
        if self.shares and abs(sum(self.shares.values()) - 1) > 1e-6:
            raise MmudError(usage.USAGE, f"the ratios add up to {sum(self.shares.values()):g}, not 1")
        for name, share in self.shares.items():
            if not share > 0:
                raise MmudError(usage.USAGE, f"the ratio of {name} is {share:g}: leave the split out instead")
            if name in self.keep:
                raise MmudError(
                    usage.USAGE, f"{name} is kept and has a ratio; ratios are of the samples that are not kept"
                )
        for name in {*self.shares, *self.listed.values()}:
            if not name.isidentifier():
                raise MmudError(usage.USAGE, f"a split's name is made of letters, digits and _, unlike {name!r}")


def parse_shares(text: str) -> dict[str, float]:
    """``train=0.8,valid=0.1,test=0.1`` as split -> share.

    Raises:
        MmudError: MM001 when the text has another form or names a split twice.
    """
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, equals, number = (piece.strip() for piece in part.partition("="))
        try:
            share = float(number)
        except ValueError:
            share = float("nan")
        if not equals or not name or name in shares or not np.isfinite(share):
            raise MmudError(usage.USAGE, f"ratios have the form train=0.8,valid=0.1,test=0.1, unlike {text!r}")
        shares[name] = share
    return shares


@dataclass
class SplitPlan:
    """Where each sample goes.

    Attributes:
        splits: the new splits in order.
        placed: the number of its split for each sample, in the dataset's order; -1 for one that is left out.
        wanted: how many samples each split was to get from dealing, kept and listed ones included.
        sizes: how many it gets.
        sources: (split, source) -> samples.
        images: how many different images there are.
        together: samples in groups of more than one.
        drawn_along: samples that go to a kept or listed split only because they show one of its images.
        left_out: samples that go nowhere.
    """

    splits: list[str]
    placed: np.ndarray[Any, np.dtype[np.int16]]
    wanted: dict[str, int]
    sizes: dict[str, int]
    sources: Counter[tuple[str, str]]
    images: int
    together: int
    drawn_along: int
    left_out: int

    def to_dict(self) -> dict[str, Any]:
        by_split: dict[str, dict[str, int]] = defaultdict(dict)
        for (split, source), count in sorted(self.sources.items()):
            by_split[split][source] = count
        return {
            "splits": {
                name: {"wanted": self.wanted[name], "samples": self.sizes[name], "by_source": by_split[name]}
                for name in self.splits
            },
            "images": self.images,
            "samples_sharing_an_image": self.together,
            "drawn_along": self.drawn_along,
            "left_out": self.left_out,
        }


@dataclass
class _Members:
    """What splitting needs of each sample, in order."""

    ids: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    numbers: list[str | None] = field(default_factory=list)
    groups: ImageGroups = field(default_factory=ImageGroups)


_READ = ("sample_id", "source", "source_image_id", "image")


def _read(dataset: Dataset, by: By, advance: Callable[[int], None]) -> _Members:
    members = _Members()
    for batch in dataset.batches(None, _READ, rows=32):
        for row in batch.table.to_pylist():
            members.ids.append(row["sample_id"])
            members.sources.append(row["source"] or "")
            members.splits.append(batch.split)
            members.numbers.append(image_key(row["source"] or "", row["source_image_id"] or ""))
            members.groups.add(keys_of_row(row, by_number=by == "source-image"))
        advance(batch.table.num_rows)
    return members


def plan_split(dataset: Dataset, request: SplitRequest, advance: Callable[[int], None] | None = None) -> SplitPlan:
    """Decide where each sample goes; nothing is written.

    Raises:
        MmudError: MM108 for a kept split that does not exist, MM630 when one image is asked for in two splits, MM632 when the
            list names what the dataset does not hold.
    """
    for name in request.keep:
        dataset.length(name)
    members = _read(dataset, request.by, advance or (lambda count: None))
    asked = _asked(members, request)
    groups = members.groups.groups()
    fixed: dict[int, str] = {}
    for root, positions in groups.items():
        splits = {asked[position]: position for position in positions if position in asked}
        if len(splits) > 1:
            (first, a), (second, b) = sorted(splits.items())[:2]
            message = f"{members.ids[a]} ({first}) and {members.ids[b]} ({second}) show one image"
            raise MmudError(codes.IMAGE_ASKED_TWICE, message, Place(sample=members.ids[a]))
        if splits:
            fixed[root] = next(iter(splits))
    free = [
        Group(
            min(members.ids[position] for position in positions),
            len(positions),
            "+".join(sorted({members.sources[position] for position in positions})) if request.stratify else "",
        )
        for root, positions in groups.items()
        if root not in fixed
    ]
    dealt = deal(free, request.shares, request.seed) if request.shares else {}
    return _plan(members, request, groups, fixed, dealt, len(asked), sum(group.size for group in free))


def _asked(members: _Members, request: SplitRequest) -> dict[int, str]:
    """Positions whose split is kept or listed; the list goes before keeping."""
    asked = {position: split for position, split in enumerate(members.splits) if split in request.keep}
    unused = set(request.listed)
    for position, (sample, number) in enumerate(zip(members.ids, members.numbers, strict=True)):
        for key in (number, sample):
            if key is not None and key in request.listed:
                unused.discard(key)
                asked[position] = request.listed[key]
    if unused:
        some = ", ".join(sorted(unused)[:5])
        raise MmudError(codes.LISTED_UNKNOWN, f"{len(unused):,} listed ids are not in the dataset: {some}")
    return asked


def _plan(
    members: _Members,
    request: SplitRequest,
    groups: Mapping[int, list[int]],
    fixed: Mapping[int, str],
    dealt: Mapping[str, str],
    asked: int,
    free: int,
) -> SplitPlan:
    names = {*request.shares, *request.keep, *request.listed.values()}
    splits = sorted(
        names, key=lambda name: (SPLIT_ORDER.index(name) if name in SPLIT_ORDER else len(SPLIT_ORDER), name)
    )
    number = {name: position for position, name in enumerate(splits)}
    placed = np.full(len(members.ids), -1, dtype=np.int16)
    wanted: Counter[str] = Counter(apportion(free, request.shares) if request.shares else {})
    for root, positions in groups.items():
        split = fixed.get(root) or dealt.get(min(members.ids[position] for position in positions))
        if split is not None:
            placed[positions] = number[split]
            if root in fixed:
                wanted[split] += len(positions)
    drawn_along = sum(len(groups[root]) for root in fixed) - asked
    sources = Counter(
        (splits[place], source) for place, source in zip(placed, members.sources, strict=True) if place >= 0
    )
    sizes = np.bincount(placed[placed >= 0], minlength=len(splits))
    return SplitPlan(
        splits=splits,
        placed=placed,
        wanted={name: wanted[name] for name in splits},
        sizes={name: int(sizes[number[name]]) for name in splits},
        sources=sources,
        images=len(groups),
        together=sum(len(positions) for positions in groups.values() if len(positions) > 1),
        drawn_along=drawn_along,
        left_out=int((placed < 0).sum()),
    )


def write_split(
    dataset: Dataset,
    plan: SplitPlan,
    request: SplitRequest,
    output: Path,
    force: bool = False,
    advance: Callable[[int], None] | None = None,
) -> Dataset:
    """Write the dataset with its new splits; within a split samples keep their order.

    How it was split is kept in the folder, as split.json.

    Raises:
        MmudError: MM003 when the output exists, MM008 when it cannot be written, and what reading can raise.
    """
    record = {
        "from": {"name": dataset.name, "fingerprint": dataset.fingerprint},
        "ratios": dict(request.shares),
        "by": request.by,
        "stratify": "source" if request.stratify else None,
        "seed": request.seed,
        "keep": list(request.keep),
        "listed": len(request.listed),
        **plan.to_dict(),
    }
    splits = {name: plan.placed == number for number, name in enumerate(plan.splits)}
    files = {RECORD_NAME: json.dumps(record, indent=2, ensure_ascii=False) + "\n"}
    return write_selection(dataset, splits, output, files, force, advance)
