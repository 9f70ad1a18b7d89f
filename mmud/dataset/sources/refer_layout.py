"""Where the REFER layout keeps its files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmud.dataset.sources import codes
from mmud.errors import MmudError, Place

USUAL_SPLITTINGS = {
    "refcoco": ("unc", "google"),
    "refcoco+": ("unc",),
    "refcocog": ("umd", "google"),
    "refclef": ("unc", "berkeley"),
}
"""The splittings that are published, the usual one first."""

DEFAULT_SET = "refcoco"
_REFS_NAME = re.compile(r"refs\((?P<split_by>[^()]+)\)\.(?:p|json)")
SUFFIXES = (".p", ".json")


@dataclass(frozen=True, slots=True)
class RefsFile:
    """A file of expressions, and the set and splitting that it is of, where its entries do not say."""

    path: Path
    dataset: str
    split_by: str


def find_refs(path: Path, datasets: Sequence[str], split_by: Sequence[str]) -> tuple[RefsFile, ...]:
    """The files of expressions.

    Args:
        path: ``DIR`` with ``DIR/DATASET/refs(SPLIT_BY).p`` or ``.json``; or that inner folder; or one such file.
        datasets: the sets that were asked for; one file may hold several that its entries name.
        split_by: none, one for all, or one for each set.

    Raises:
        MmudError: MM760 when a set has no file, or several of which none was asked for.
    """
    names = list(datasets) or [path.name if path.name in USUAL_SPLITTINGS else DEFAULT_SET]
    if path.is_file():
        match = _REFS_NAME.fullmatch(path.name)
        default = match["split_by"] if match else ""
        parent = path.parent.name
        name = names[0] if datasets or parent not in USUAL_SPLITTINGS else parent
        return (RefsFile(path, name, split_by[0] if split_by else default),)
    wanted = list(split_by) * len(names) if len(split_by) == 1 else list(split_by) or [""] * len(names)
    return tuple(_find_one(path, name, splitting) for name, splitting in zip(names, wanted, strict=True))


def _find_one(path: Path, dataset: str, split_by: str) -> RefsFile:
    folder = path / dataset if (path / dataset).is_dir() else path
    there: dict[str, Path] = {}
    # Where both forms of one splitting are there they are equal; the published one is the pickle.
    for suffix in SUFFIXES[::-1]:
        for file in sorted(folder.glob(f"refs(*){suffix}")):
            if match := _REFS_NAME.fullmatch(file.name):
                there[match["split_by"]] = file
    if split_by:
        chosen = split_by if split_by in there else None
    else:
        usual = [name for name in USUAL_SPLITTINGS.get(dataset, ()) if name in there]
        chosen = usual[0] if usual else next(iter(there)) if len(there) == 1 else None
    if chosen is None:
        wanted = f"refs({split_by or '…'}).p or .json"
        seen = f"it has the splittings {', '.join(there)}" if there else "it has no refs(…) at all"
        raise MmudError(
            codes.LAYOUT_UNKNOWN, f"no {wanted} of {dataset} in the folder; {seen}", Place(file=str(folder))
        )
    return RefsFile(there[chosen], dataset, chosen)


def instances_beside(files: Sequence[RefsFile]) -> tuple[Path, ...]:
    """The instances files that lie beside the expressions: ``instances.json`` of each set's folder, or of the folder above."""
    found: dict[Path, None] = {}
    for file in files:
        inner = file.path.parent
        # Only a set's own folder has one above that belongs to the layout.
        for folder in (inner, inner.parent) if inner.name == file.dataset else (inner,):
            candidate = folder / "instances.json"
            if candidate.is_file():
                found[candidate] = None
                break
    return tuple(found)
