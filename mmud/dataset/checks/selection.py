"""Which codes are looked for: prefixes such as MM2 or MM204, with a guess for what is none."""

from __future__ import annotations

from collections.abc import Iterable

from mmud import codes as common
from mmud.dataset import codes as dataset_codes
from mmud.dataset.checks.base import CHECKS, Check
from mmud.dataset.checks.codes import structure
from mmud.dataset.checks.guessing import near_codes
from mmud.errors import Code, MmudError

FOLDER_CODES = (
    dataset_codes.NOT_A_DATASET,
    dataset_codes.MANIFEST_INVALID,
    dataset_codes.SHARD_MISSING,
    dataset_codes.SHARD_CHECKSUM,
    dataset_codes.SHARD_UNREADABLE,
    dataset_codes.SHARD_SCHEMA,
    structure.ROW_COUNT,
    structure.FINGERPRINT_DIFFERS,
    structure.FILE_STRAY,
)
"""What validation itself reports, before and after the rows are looked at."""


def load_checks() -> list[type[Check]]:
    """Every check, built in and installed, in a fixed order.

    Raises:
        MmudError: MM005 or MM006 for a plug-in that cannot be loaded or whose name is taken.
    """
    return [CHECKS.get(name) for name in dict.fromkeys(entry.name for entry in CHECKS.entries)]


def reported_codes(checks: Iterable[type[Check]]) -> dict[str, Code]:
    """Every code that validation reports with these checks, by id."""
    found = {code.id: code for code in FOLDER_CODES}
    for check in checks:
        found |= {code.id: code for code in check.codes}
    return dict(sorted(found.items()))


def selected_codes(known: Iterable[str], select: Iterable[str] = (), ignore: Iterable[str] = ()) -> frozenset[str]:
    """The ids that were asked for.

    Args:
        known: every id that is reported.
        select: prefixes to keep; all when there is none.
        ignore: prefixes to leave out; it wins over ``select``.

    Raises:
        MmudError: MM001 for a prefix that no id has.
    """
    ids = list(known)
    kept = _expanded(ids, select) or set(ids)
    return frozenset(kept - _expanded(ids, ignore))


def _expanded(ids: list[str], prefixes: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for text in prefixes:
        for prefix in filter(None, (part.strip().upper() for part in text.split(","))):
            members = {id for id in ids if id.startswith(prefix)} if prefix.startswith("MM") else set()
            if not members:
                raise MmudError(common.USAGE, f"no check reports {prefix!r}", hint=_guess(prefix, ids))
            found |= members
    return found


def _guess(prefix: str, ids: list[str]) -> str:
    near = near_codes(prefix, ids)
    families = sorted({id[:3] for id in ids})
    guess = f"Did you mean {' or '.join(near)}? " if near else ""
    return f"{guess}Give codes or families such as {', '.join(families)}; `mmud explain` lists all codes."
