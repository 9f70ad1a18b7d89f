"""Values from strangers as JSON that can be stored: bounded, finite, encodable."""

from __future__ import annotations

import math
from typing import Any

MAX_NODES = 100_000
MAX_DEPTH = 12


def encodable(text: str) -> str:
    """The text with halves of surrogate pairs, which no encoding can store, replaced by U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def shown(value: Any, longest: int = 60) -> str:
    """A value as a message may show it: short, whatever it is."""
    if isinstance(value, str | bytes):
        text = ascii(value[: longest + 1])
    elif value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 1 << 64):
        text = repr(value)
    elif isinstance(value, list | tuple | dict):
        return f"a {type(value).__name__} of {len(value)}"
    else:
        return f"a {type(value).__name__}"
    return text if len(text) <= longest else text[:longest] + "…"


def to_json(value: Any) -> Any:
    """The value as JSON-compatible data: bytes as Latin-1 text, numbers that are not finite as text, the rest as it is.

    Beyond 12 levels or 100,000 values a placeholder says what stood there.
    """
    return _convert(value, MAX_DEPTH, [MAX_NODES])


def _convert(value: Any, depth: int, left: list[int]) -> Any:
    left[0] -= 1
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, int):
        return value if abs(value) < 1 << 63 else hex(value)
    if not isinstance(value, list | tuple | dict) or depth == 0 or left[0] < len(value):
        return f"<{shown(value)}>"
    if isinstance(value, dict):
        return {str(_convert(key, 0, left)): _convert(item, depth - 1, left) for key, item in value.items()}
    return [_convert(item, depth - 1, left) for item in value]
