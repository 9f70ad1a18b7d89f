"""Making records whose values are checked already, without checking them again."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)

_set = object.__setattr__


def construct(model: type[M], values: dict[str, Any]) -> M:
    """A record of ``values``, one for each field: equal to the validated one, in a tenth of the time.

    It does what pydantic's ``model_construct`` does for a model without aliases, private attributes and defaults to fill in.

    Args:
        model: a plain record of `mmud.records`.
        values: every field with a value of its final type; the dictionary becomes the record's own.
    """
    made = model.__new__(model)
    _set(made, "__dict__", values)
    _set(made, "__pydantic_fields_set__", set(values))
    _set(made, "__pydantic_extra__", None)
    _set(made, "__pydantic_private__", None)
    return made
