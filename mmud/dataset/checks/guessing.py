"""What code was meant by something that is none."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LOOKALIKES = str.maketrans("OIL", "011")


def near_codes(text: str, ids: Iterable[str], most: int = 3) -> list[str]:
    """The ids that look most like ``text``: letters typed for digits first, then single wrong, missing or extra characters."""
    typed = text.strip().upper()
    known = list(ids)
    meant = typed[:2] + typed[2:].translate(_LOOKALIKES)
    if meant in known:
        return [meant]

    def likeness(id: str) -> tuple[int, float]:
        same = sum(a == b for a, b in zip(meant, id, strict=False))
        return same, difflib.SequenceMatcher(None, meant, id).ratio()

    near = [id for id in known if likeness(id)[1] >= 0.6]
    return sorted(near, key=lambda id: (*(-part for part in likeness(id)), id))[:most]
