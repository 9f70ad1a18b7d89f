"""What a source says of itself for the manifest and the card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmud.dataset.source_facts import facts_of
from mmud.files import sha256_of


def description(name: str, title: str, files: Iterable[Path], base: Path | None = None, **more: Any) -> dict[str, Any]:
    """Name, title, licence, homepage, citation and the files with their SHA-256.

    Where the source is a public one, its known facts fill these in; the card then cites it by its name, so no citation is
    repeated here.

    Args:
        name: as samples carry it in ``source``.
        title: for a source that is not a public one.
        files: that the labels were read from.
        base: the source's folder; a file in it is called by its path from there.
        more: further entries.
    """
    facts = facts_of(name)
    return {
        "name": name,
        "title": facts.title if facts else title,
        "license": facts.license if facts else "",
        "homepage": facts.homepage if facts else "",
        "citation": "",
        "files": {called: sha256_of(file) for called, file in names_of(files, base).items()},
        **more,
    }


def names_of(files: Iterable[Path], base: Path | None = None) -> dict[str, Path]:
    """A name for each file, none of them twice and none of them saying where the machine keeps it.

    A file inside ``base`` is called by its path from there, any other by its own name; where names meet, by as many of the
    folders above as it takes to tell them apart.
    """
    distinct = list(dict.fromkeys(file.absolute() for file in files))
    root = None if base is None else base.absolute()
    inside = [file.relative_to(root).parts if root and file.is_relative_to(root) else () for file in distinct]
    lengths = [max(1, len(parts)) for parts in inside]
    while True:
        names = ["/".join(file.parts[-length:]) for file, length in zip(distinct, lengths, strict=True)]
        met = Counter(names)
        if max(met.values(), default=1) == 1:
            return dict(zip(names, distinct, strict=True))
        lengths = [length + (met[name] > 1) for name, length in zip(names, lengths, strict=True)]
