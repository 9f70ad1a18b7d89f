"""Signatures: one line that says how a figure was made, so that two figures can be told apart or together.

``metric:gIoU|unit:object|empty:1|missing:0|res:original|reduction:mean|n:1403|version:mmud-0.1.0``

Fields are ``key:value``, joined by ``|``, in the order in which they were given; the same figure made the same way has the
same signature on every machine. Characters that would break the form are percent-encoded. The idea is sacreBLEU's (Post,
2018, "A Call for Clarity in Reporting BLEU Scores").
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from mmud import __version__

_RESERVED = {"%": "%25", "|": "%7C", ":": "%3A", "\n": "%0A", "\r": "%0D"}
_TABLE = str.maketrans(_RESERVED)


def version_field() -> str:
    """The value of the field ``version``: package and version."""
    return f"mmud-{__version__}"


def render_value(value: object) -> str:
    """A value as a signature holds it: whole numbers without a decimal point, yes and no, text percent-encoded."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).translate(_TABLE)


def signature(metric: str, fields: Mapping[str, object], n: int) -> str:
    """The signature of a metric.

    Args:
        metric: its name.
        fields: what it was made by, in order; None leaves a field out.
        n: how many units it is over.
    """
    parts: dict[str, object] = {"metric": metric, **fields, "n": n, "version": version_field()}
    return "|".join(f"{render_value(key)}:{render_value(value)}" for key, value in parts.items() if value is not None)


def parse(text: str) -> dict[str, str]:
    """The fields of a signature, in order.

    Raises:
        ValueError: when the text is no signature.
    """
    fields = {}
    for part in text.split("|"):
        key, colon, value = part.partition(":")
        if not colon or not key or unquote(key) in fields:
            raise ValueError(f"not a signature: {text!r}")
        fields[unquote(key)] = unquote(value)
    return fields
