"""The catalogue of codes as people and machines read it."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from mmud import codes
from mmud.dataset.checks.guessing import near_codes
from mmud.errors import Code, MmudError, catalogue

FAMILIES = {
    "MM0": "use of the tool",
    "MM1": "structure, manifest and files",
    "MM2": "masks, boxes and polygons",
    "MM3": "tags",
    "MM4": "text",
    "MM5": "images",
    "MM6": "ids, splits and leakage",
    "MM7": "sources and builds",
    "MM8": "predictions and metrics",
    "MM9": "baselines, annotators and services",
}


def all_codes() -> dict[str, Code]:
    """Every code by id, those that installed checks declare among them.

    Raises:
        MmudError: MM005 for an installed check that cannot be imported.
    """
    if metadata.entry_points(group="mmud.checks"):
        from mmud.dataset.checks.selection import load_checks

        load_checks()
    return catalogue()


def known_codes(text: str | None) -> dict[str, Code]:
    """The code of this id, or the codes of this family, or all.

    Raises:
        MmudError: MM001 for what is neither, with the nearest codes.
    """
    known = all_codes()
    if text is None:
        return known
    prefix = text.strip().upper()
    found = {id: code for id, code in known.items() if id.startswith(prefix)} if prefix.startswith("MM") else {}
    if not found:
        near = near_codes(prefix, known) or _by_title(text, known)
        guess = f"Did you mean {' or '.join(near)}? " if near else ""
        raise MmudError(codes.USAGE, f"no code is {text!r}", hint=f"{guess}`mmud explain` lists all codes.")
    return found


def _by_title(text: str, known: dict[str, Code]) -> list[str]:
    """Codes whose title has the words that were given instead of a code."""
    words = text.casefold().split()
    return [id for id, code in known.items() if words and all(word in code.title.casefold() for word in words)][:3]


def explained(code: Code) -> dict[str, Any]:
    """Everything about a code, JSON-compatible."""
    return {
        "code": code.id,
        "title": code.title,
        "severity": code.severity.label,
        "family": FAMILIES[code.id[:3]],
        "fixable": code.fixable,
        "exit_code": int(code.exit_code),
        "explanation": code.explanation,
        "remedy": code.remedy,
    }


def listing(chosen: dict[str, Code]) -> str:
    """Codes by family: id, severity, title, and whether they can be mended."""
    lines: list[str] = []
    for family, name in FAMILIES.items():
        members = [code for id, code in chosen.items() if id.startswith(family)]
        if members:
            lines += ["", f"{family}xx {name}"] if lines else [f"{family}xx {name}"]
            lines += [
                f"  {code.id}  {code.severity.label:7}  {code.title}{'  (fixable)' * code.fixable}" for code in members
            ]
    return "\n".join(lines)


def reference() -> str:
    """The page docs/codes.md: built-in codes only, so that it does not depend on what is installed."""
    lines = [
        "# Codes",
        "",
        "Everything that can be wrong has a code. `mmud explain --markdown -o docs/codes.md` writes this page; a test compares",
        "the two.",
        "`mmud validate` reports the codes of MM1xx to MM6xx; other commands stop with the code of what kept them from going on.",
        "",
    ]
    for family, name in FAMILIES.items():
        members = [code for id, code in catalogue().items() if id.startswith(family)]
        if not members:
            continue
        lines += [f"## {family}xx: {name}", ""]
        for code in members:
            kind = f"{code.severity.label}, fixable" if code.fixable else code.severity.label
            lines += [
                f"### {code.id} {code.title}",
                "",
                f"*{kind}*. {code.explanation}",
                "",
                f"**Remedy.** {code.remedy}",
                "",
            ]
    return "\n".join(lines).rstrip("\n") + "\n"
