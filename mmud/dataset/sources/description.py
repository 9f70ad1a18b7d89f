"""What a source says of itself for the manifest and the card."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmud.dataset.source_facts import facts_of
from mmud.files import sha256_of


def description(name: str, title: str, files: Iterable[Path], **more: Any) -> dict[str, Any]:
    """Name, title, licence, homepage, citation and the files with their SHA-256.

    Where the source is a public one, its known facts fill these in; the card then cites it by its name, so no citation is
    repeated here.

    Args:
        name: as samples carry it in ``source``.
        title: for a source that is not a public one.
        files: that the labels were read from.
        more: further entries.
    """
    facts = facts_of(name)
    return {
        "name": name,
        "title": facts.title if facts else title,
        "license": facts.license if facts else "",
        "homepage": facts.homepage if facts else "",
        "citation": "",
        "files": {file.name: sha256_of(file) for file in files},
        **more,
    }
