"""The samples of one or several datasets under one numbering, and which of two splits a shared image leaks from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmud.dataset.store import Dataset
from mmud.errors import Place

TRAINING, SELECTION, EVALUATION = 0, 1, 2
_SELECTION_NAMES = ("valid", "val", "dev")

Positions = NDArray[np.int64]
Digests = NDArray[np.uint64]
"""Shape (n, 2): 128 bits each."""


def rank_of(split: str) -> int:
    """What a split is for, by its name: training, selecting a model, or evaluation."""
    name = split.lower()
    if name.startswith("train"):
        return TRAINING
    return SELECTION if name.startswith(_SELECTION_NAMES) else EVALUATION


@dataclass(frozen=True, slots=True)
class Cell:
    """One split of one dataset: positions ``start`` to ``stop``."""

    dataset: int
    split: str
    start: int
    stop: int

    @property
    def rank(self) -> int:
        return rank_of(self.split)


@dataclass(frozen=True, slots=True)
class Match:
    """Two samples that share something.

    Attributes:
        leaked: the position of the sample that should not have it: training before selection before evaluation.
        counterpart: the position of the one that it leaks from.
        score: how alike they are, up to 1.
    """

    leaked: int
    counterpart: int
    score: float = 1.0


class Corpus:
    """Samples numbered dataset by dataset, split by split.

    Args:
        datasets: the first one is the one that is audited; the others it is compared with.
    """

    def __init__(self, datasets: Sequence[Dataset]) -> None:
        self.datasets = list(datasets)
        self.cells: list[Cell] = []
        for number, dataset in enumerate(self.datasets):
            for split in dataset.splits:
                start = self.cells[-1].stop if self.cells else 0
                self.cells.append(Cell(number, split, start, start + dataset.length(split)))
        sizes = [cell.stop - cell.start for cell in self.cells]
        self.cell_of = np.repeat(np.arange(len(self.cells), dtype=np.int16), sizes)
        self.leaks_to = np.array([[_leaks(a, b) for b in self.cells] for a in self.cells], dtype=bool)
        """Whether what cells a and b share leaks from b to a; shape (cells, cells)."""

    def __len__(self) -> int:
        return len(self.cell_of)

    def cell(self, position: int) -> Cell:
        return self.cells[int(self.cell_of[position])]

    def cell_pairs(self) -> Iterator[tuple[Cell, Cell]]:
        """Every pair (leaked side, other side)."""
        for a, b in zip(*np.nonzero(self.leaks_to), strict=True):
            yield self.cells[int(a)], self.cells[int(b)]

    def names(self, positions: Iterable[int]) -> dict[int, str]:
        """The sample ids at some positions."""
        wanted = np.unique(np.fromiter(positions, dtype=np.int64))
        found: dict[int, str] = {}
        start = 0
        for dataset in self.datasets:
            for batch in dataset.batches(None, ("sample_id",), rows=4096):
                stop = start + batch.table.num_rows
                inside = wanted[np.searchsorted(wanted, start) : np.searchsorted(wanted, stop)]
                found |= {position: batch.table.column(0)[position - start].as_py() for position in inside.tolist()}
                start = stop
        return found

    def place(self, position: int, sample: str) -> Place:
        """Where a sample is; the folder is named where there are several datasets."""
        cell = self.cell(position)
        file = str(self.datasets[cell.dataset].path) if len(self.datasets) > 1 else None
        return Place(sample=sample, split=cell.split, file=file)

    def label(self, cell: Cell) -> str:
        """A split as a person names it."""
        return cell.split if len(self.datasets) == 1 else f"{self.datasets[cell.dataset].name}/{cell.split}"


def _leaks(a: Cell, b: Cell) -> bool:
    """Whether a sample of ``a`` should not share an image with one of ``b``.

    Within a dataset: whatever two splits share, the one nearer to training is the leaked side; of two evaluation splits the
    first. Across datasets: only training that meets selection or evaluation; that two datasets evaluate on one image harms
    nobody.
    """
    if a.dataset != b.dataset:
        return a.rank == TRAINING and b.rank != TRAINING
    if a.split == b.split or a.rank > b.rank:
        return False
    return a.rank < b.rank or (a.rank != TRAINING and a.start < b.start)


def digests_of(content: Iterable[bytes]) -> Digests:
    """Digests of 16 bytes as an array that can be sorted."""
    return np.frombuffer(b"".join(content), dtype=np.uint64).reshape(-1, 2)


def exact_matches(corpus: Corpus, positions: Positions, digests: Digests) -> list[Match]:
    """Samples whose digests are equal and whose splits should not share them: each leaked sample once.

    Args:
        corpus: the samples.
        positions: n positions; a position may come several times.
        digests: of what is compared, shape (n, 2).
    """
    if not len(positions):
        return []
    order = np.lexsort((positions, digests[:, 1], digests[:, 0]))
    positions, digests = positions[order], digests[order]
    starts = np.flatnonzero(np.concatenate([[True], (digests[1:] != digests[:-1]).any(axis=1)]))
    cells = corpus.cell_of[positions]
    mixed = np.minimum.reduceat(cells, starts) != np.maximum.reduceat(cells, starts)
    stops = np.append(starts[1:], len(positions))
    found: dict[int, Match] = {}
    for start, stop in zip(starts[mixed].tolist(), stops[mixed].tolist(), strict=True):
        first: dict[int, int] = {}
        for position, cell in zip(positions[start:stop].tolist(), cells[start:stop].tolist(), strict=True):
            first.setdefault(cell, position)
        for position, cell in zip(positions[start:stop].tolist(), cells[start:stop].tolist(), strict=True):
            others = [other for other in first if corpus.leaks_to[cell, other]]
            if others:
                strictest = max(others, key=lambda other: (corpus.cells[other].rank, -other))
                found.setdefault(position, Match(position, first[strictest]))
    return [found[position] for position in sorted(found)]
