"""A dataset without the training samples that leak; evaluation is never touched."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmud.dataset.leakage.audit import Audit
from mmud.dataset.select import write_selection
from mmud.dataset.store import Dataset
from mmud.errors import Code

LOG_NAME = "removed.jsonl"


def write_clean(
    audit: Audit,
    leaked: Mapping[int, list[Code]],
    output: Path,
    force: bool = False,
    advance: Callable[[int], None] | None = None,
) -> Dataset:
    """Write the audited dataset without some samples; which ones, and why, is kept in the folder as removed.jsonl.

    Args:
        audit: what was found.
        leaked: positions to leave out -> the codes that they leak by; of the audited dataset.
        output: the folder to make.
        force: replace a folder that is there.
        advance: told how many samples were written.

    Raises:
        MmudError: MM003 when the output exists, MM008 when it cannot be written.
    """
    dataset = audit.corpus.datasets[0]
    keep = np.ones(len(dataset), dtype=bool)
    keep[list(leaked)] = False
    splits = {}
    for cell in audit.corpus.cells:
        if cell.dataset == 0:
            splits[cell.split] = np.zeros(len(dataset), dtype=bool)
            splits[cell.split][cell.start : cell.stop] = keep[cell.start : cell.stop]
    lines = (json.dumps(line, ensure_ascii=False) + "\n" for line in log(audit, leaked))
    return write_selection(dataset, splits, output, {LOG_NAME: "".join(lines)}, force, advance)


def log(audit: Audit, leaked: Mapping[int, list[Code]]) -> list[dict[str, Any]]:
    """One entry a sample that is left out: its id, split, the codes, and the samples and evaluations that it leaks from."""
    sources: dict[int, list[tuple[str, int]]] = {}
    for code, match in audit.reported():
        sources.setdefault(match.leaked, []).append((code.id, match.counterpart))
    names = audit.corpus.names(set(leaked) | {other for position in leaked for _, other in sources.get(position, [])})
    lines = []
    for position, found in leaked.items():
        others = [
            {"code": code, "split": audit.corpus.label(audit.corpus.cell(other)), "sample_id": names[other]}
            for code, other in sources.get(position, [])
        ]
        others += [{"code": "MM651", "split": label} for label in audit.listed.get(position, [])]
        line = {"sample_id": names[position], "split": audit.corpus.cell(position).split}
        lines.append({**line, "codes": [code.id for code in found], "leaks_from": others})
    return lines
