"""Image ids of evaluation splits, from the files that people have: lists of ids, refs files, COCO files."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmud.dataset.image_groups import image_number
from mmud.dataset.leakage import codes
from mmud.errors import MmudError, Place
from mmud.files import require

FAMILIES = {
    "coco": "coco",
    "refcoco-family": "coco",
    "saiapr": "saiapr",
    "refclef": "saiapr",
}
"""What may stand before ``=FILE`` -> the family whose numbers the file holds; COCO's where nothing stands there."""

_TRAINING = re.compile(r"(?:^|[/_.-])train\w*$")
_SPLIT_BY = re.compile(r"\(([^()]+)\)")
_REFS_FILES = ("refs*.p", "refs*.pkl", "refs*.json")
_PICKLES = (".p", ".pkl", ".pickle")


@dataclass
class EvaluationList:
    """Images of evaluation splits.

    Attributes:
        family: whose numbers these are.
        labels: split, as in "refcoco/unc/testA" -> the images' numbers, as `image_number` writes them.
        training: entries of training splits, which are left out.
    """

    family: str
    labels: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    training: int = 0

    @property
    def keys(self) -> set[str]:
        """Every image, as in "coco:573125"."""
        return {f"{self.family}:{number}" for numbers in self.labels.values() for number in numbers}

    def add(self, label: str, image: Any) -> None:
        if _TRAINING.search(label):
            self.training += 1
        else:
            self.labels[label].add(image_number(self.family, str(image)))


def read_evaluation_list(argument: str) -> EvaluationList:
    """Read what was given with ``--against``: ``FILE``, ``FAMILY=FILE``, or a folder of refs files.

    Known are: a JSON list of image ids; a JSON or pickled list of refs (each with ``image_id`` and ``split``; training splits are
    left out); an object of such lists, one a split; COCO's instances or captions; a text file with an id a line. Pickles are read
    by the reader that runs nothing.

    Raises:
        MmudError: MM002 when there is no such file, MM665 when it holds no image ids, MM70x for a pickle that is refused.
    """
    family, path = _parse(argument)
    found = EvaluationList(family)
    require(path)
    if path.is_dir():
        files = sorted({file for pattern in _REFS_FILES for file in path.rglob(pattern)})
        if not files:
            raise MmudError(codes.LIST_UNREADABLE, f"no refs files in {path}", Place(file=str(path)))
        # The same refs often lie there twice, as JSON and as a pickle: the first of them is read.
        stems: dict[Path, Path] = {}
        for file in files:
            stems.setdefault(file.with_suffix(""), file)
        for file in stems.values():
            _read_file(file, found)
    else:
        _read_file(path, found)
    if not found.labels:
        seen = f"{found.training} entries of training splits and" if found.training else "It has"
        raise MmudError(
            codes.LIST_UNREADABLE, f"no evaluation image in {path.name}. {seen} no other", Place(file=str(path))
        )
    return found


def _parse(argument: str) -> tuple[str, Path]:
    name, equals, rest = argument.partition("=")
    if equals and name in FAMILIES and not Path(argument).exists():
        return FAMILIES[name], Path(rest)
    return "coco", Path(argument)


def _read_file(path: Path, found: EvaluationList) -> None:
    place = Place(file=str(path))
    if path.suffix in _PICKLES:
        from mmud.dataset.sources import safe_pickle

        data = safe_pickle.load(path)
    else:
        try:
            text = path.read_text("utf-8-sig")
            data = json.loads(text) if text.lstrip()[:1] in ("[", "{") else text.split()
        except (OSError, ValueError, RecursionError) as error:
            raise MmudError(codes.LIST_UNREADABLE, f"cannot read {path.name}: {error}", place) from error
    for label, image in _entries(data, path, place):
        found.add(label, image)


def _entries(data: Any, path: Path, place: Place) -> Iterator[tuple[str, Any]]:
    if isinstance(data, dict) and isinstance(data.get("images"), list):
        yield from _of_list(data["images"], path, place, path.stem)
    elif isinstance(data, dict):
        tables = data.get("splits", data)
        lists = (
            {name: value for name, value in tables.items() if isinstance(value, list)}
            if isinstance(tables, dict)
            else {}
        )
        if not lists:
            raise MmudError(codes.LIST_UNREADABLE, f"{path.name} is an object without lists", place)
        for name, value in lists.items():
            yield from _of_list(value, path, place, str(name))
    elif isinstance(data, list):
        yield from _of_list(data, path, place, path.stem)
    else:
        raise MmudError(codes.LIST_UNREADABLE, f"{path.name} holds {type(data).__name__}, not a list", place)


def _of_list(entries: Iterable[Any], path: Path, place: Place, label: str) -> Iterator[tuple[str, Any]]:
    for number, entry in enumerate(entries):
        image: Any = entry
        own = label
        if isinstance(entry, dict):
            image = entry.get("image_id", entry.get("id"))
            if "split" in entry:
                own = _label(entry, path)
        if isinstance(image, bool) or not isinstance(image, int | str) or image == "":
            raise MmudError(codes.LIST_UNREADABLE, f"entry {number} of {path.name} has no image id", place)
        yield own, image


def _label(ref: dict[str, Any], path: Path) -> str:
    """A ref's split as in "refcoco/unc/testA"; what the ref does not say, its file's name does."""
    by_name = _SPLIT_BY.search(path.name)
    dataset = ref.get("dataset") or path.parent.name
    split_by = ref.get("split_by") or (by_name[1] if by_name else "")
    return "/".join(str(part) for part in (dataset, split_by, ref["split"]) if part)
