"""MM6xx: ids, splits, and what two splits share.

Each row leaves digests of 16 bytes and a hash of 8: at ten times the official release's size, all of them take 30 MB.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mmud.annotations.wording import fold
from mmud.dataset.checks.base import Check, Row, Scope, ShardFacts, sample_place
from mmud.dataset.checks.batch import SampleContext, objects_of
from mmud.dataset.checks.codes import identity as codes
from mmud.dataset.checks.repeats import Repeat, near_repeats, repeats
from mmud.dataset.checks.text import CAPTION_WORDS
from mmud.dataset.image_groups import image_key
from mmud.dataset.manifest import MANIFEST_NAME
from mmud.dataset.store import ShardFile, open_shard
from mmud.errors import Code, Finding, Place

_ABSENT = bytes(16)
TRAIN = "train"

_WITHIN: dict[str, Code | None] = {
    "id": codes.ID_REPEATED,
    "source image": codes.SOURCE_IMAGE_REPEATED,
    "image": codes.IMAGE_REPEATED,
    "caption": None,
}
_ACROSS: dict[str, Code] = {
    "id": codes.ID_IN_TWO_SPLITS,
    "source image": codes.SOURCE_IMAGE_IN_TWO_SPLITS,
    "image": codes.IMAGE_IN_TWO_SPLITS,
    "caption": codes.CAPTION_IN_TWO_SPLITS,
}
KINDS = tuple(_ACROSS)


@dataclass(frozen=True, slots=True)
class ShardKeys:
    """What the rows of one shard are recognised by.

    Attributes:
        digests: kind -> shape (n, 2): 16 bytes a row; zero where the row has none.
        hashes: shape (n,): the perceptual hash; meaningless where ``hashed`` is off.
        hashed: shape (n,): whether a row has a hash.
    """

    digests: dict[str, NDArray[np.uint64]]
    hashes: NDArray[np.uint64]
    hashed: NDArray[np.bool_]


class IdentityCheck(Check):
    """Ids that repeat, and samples, images and captions that two splits share."""

    codes = (
        codes.ID_REPEATED,
        codes.ID_IN_TWO_SPLITS,
        codes.SPLIT_EMPTY,
        codes.SPLIT_SIZES,
        codes.SOURCE_IMAGE_IN_TWO_SPLITS,
        codes.IMAGE_IN_TWO_SPLITS,
        codes.NEAR_DUPLICATE,
        codes.CAPTION_IN_TWO_SPLITS,
        codes.IMAGE_REPEATED,
        codes.SOURCE_IMAGE_REPEATED,
        codes.ANNOTATION_REPEATED,
    )

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)
        self._digests: dict[str, list[bytes]] = {kind: [] for kind in KINDS}
        self._hashes: list[int | None] = []

    def check(self, row: Row, context: SampleContext) -> Iterator[Finding]:
        key = image_key(row["source"] or "", row["source_image_id"] or "")
        caption = fold(row["caption"] or "")
        self._digests["id"].append(_digest(row["sample_id"]))
        self._digests["source image"].append(_digest(key))
        # Short captions agree by chance.
        self._digests["caption"].append(_digest(caption if caption.count(" ") + 1 >= CAPTION_WORDS else None))
        facts = context.image if self.scope.images else None
        self._digests["image"].append((facts and facts.digest) or _ABSENT)
        self._hashes.append(facts.hash if facts else None)
        owners: dict[int, int] = {}
        for number, item in enumerate(objects_of(row), start=1):
            annotation = item["ann_id"] if item else None
            if annotation is not None and owners.setdefault(annotation, number) != number:
                message = f"objects {owners[annotation]} and {number} are both annotation {annotation}"
                yield Finding(codes.ANNOTATION_REPEATED, context.place(number, "ann_id"), message)

    def facts(self) -> ShardKeys:
        digests = {
            kind: np.frombuffer(b"".join(values), dtype=np.uint64).reshape(-1, 2)
            for kind, values in self._digests.items()
        }
        hashes = np.array([value or 0 for value in self._hashes], dtype=np.uint64)
        return ShardKeys(digests, hashes, np.array([value is not None for value in self._hashes], dtype=bool))

    def finish(self, shards: Sequence[ShardFacts]) -> Iterator[Finding]:
        if self.scope.whole:
            yield from self._split_sizes(shards)
        shards = [part for part in shards if len(part.facts.hashes)]
        if not shards:
            return
        order = list(self.scope.manifest.splits)
        splits = np.concatenate([np.full(len(part.facts.hashes), order.index(part.shard.split)) for part in shards])
        flagged: list[tuple[Code, Repeat]] = []
        for kind in KINDS:
            within, across = _WITHIN[kind], _ACROSS[kind]
            if not self.scope.wants(*filter(None, (within, across))):
                continue
            digests = np.concatenate([part.facts.digests[kind] for part in shards])
            for repeat in repeats(digests, splits):
                code = across if splits[repeat.position] != splits[repeat.earlier] else within
                if code is not None:
                    flagged.append((code, repeat))
        if self.scope.wants(codes.NEAR_DUPLICATE):
            flagged += ((codes.NEAR_DUPLICATE, repeat) for repeat in self._near(shards, splits))
        flagged.sort(key=lambda entry: (entry[1].position, entry[0].id))
        yield from self._named(flagged, shards, splits, order)

    def _near(self, shards: Sequence[ShardFacts], splits: NDArray[np.intp]) -> Iterator[Repeat]:
        hashes = np.concatenate([part.facts.hashes for part in shards])
        usable = np.concatenate([part.facts.hashed for part in shards])
        digests = np.concatenate([part.facts.digests["image"] for part in shards])
        return near_repeats(hashes, usable, digests, splits)

    def _split_sizes(self, shards: Sequence[ShardFacts]) -> Iterator[Finding]:
        sizes = dict.fromkeys(self.scope.manifest.splits, 0)
        for part in shards:
            sizes[part.shard.split] += len(part.facts.hashes)
        for split, size in sizes.items():
            place = Place(split=split, file=MANIFEST_NAME)
            if size == 0:
                yield Finding(codes.SPLIT_EMPTY, place, f"split {split} has no sample")
            elif size > sizes.get(TRAIN, size):
                message = f"split {split} has {size} samples, {TRAIN} has {sizes[TRAIN]}"
                yield Finding(codes.SPLIT_SIZES, place, message)

    def _named(
        self,
        flagged: list[tuple[Code, Repeat]],
        shards: Sequence[ShardFacts],
        splits: NDArray[np.intp],
        order: list[str],
    ) -> Iterator[Finding]:
        """The findings, with the samples' ids: read again, since the digests do not hold them."""
        at: dict[int, list[tuple[Code, Repeat]]] = {}
        for code, repeat in flagged:
            at.setdefault(repeat.position, []).append((code, repeat))
        earlier = {repeat.earlier for _, repeat in flagged}
        needed = np.unique(np.array([*at, *earlier], dtype=np.int64))
        names: dict[int, str] = {}
        start = 0
        for part in shards:
            stop = start + len(part.facts.hashes)
            if np.searchsorted(needed, start) < np.searchsorted(needed, stop):
                for position, place in enumerate(_places(part.shard, stop - start), start):
                    if position in earlier:
                        names[position] = place.sample or "without an id"
                    for code, repeat in at.get(position, ()):
                        message = _message(code, repeat, names[repeat.earlier], order[splits[repeat.earlier]])
                        yield Finding(code, place, message)
            start = stop


def _message(code: Code, repeat: Repeat, other: str, split: str) -> str:
    what = {
        codes.NEAR_DUPLICATE.id: f"the image's hash differs in {repeat.bits} of 64 bits from that of",
        codes.ID_REPEATED.id: "the id is also that of an earlier sample,",
        codes.ID_IN_TWO_SPLITS.id: "the id is also that of",
        codes.CAPTION_IN_TWO_SPLITS.id: "the caption is also that of",
        codes.IMAGE_IN_TWO_SPLITS.id: "the image file is also that of",
        codes.IMAGE_REPEATED.id: "the image file is also that of",
    }.get(code.id, "the source image is also that of")
    return f"{what} sample {other} in {split}"


def _digest(value: Any) -> bytes:
    """16 bytes that stand for a text; zero for one that is absent or empty."""
    if not value:
        return _ABSENT
    return hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _places(shard: ShardFile, rows: int) -> Iterator[Place]:
    """The place of each of a shard's first rows, read again from its ids alone."""
    with open_shard(shard.path, shard.file) as parquet:
        row = 0
        for table in parquet.iter_batches(4096, columns=["sample_id"], use_threads=False):
            for value in table.column(0).cast(pa.binary()).to_pylist():
                if row == rows:
                    return
                name = None if value is None else value.decode("utf-8", "surrogateescape")
                yield sample_place(Place(split=shard.split, file=shard.file, row=row), name)
                row += 1
