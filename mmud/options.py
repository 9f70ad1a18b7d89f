"""Settings that a person gives as ``--set NAME=VALUE``, checked and converted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from mmud.errors import Code, MmudError


class Options(BaseModel):
    """A part's settings. Subclass it to have some; unknown names are refused.

    Attributes:
        passing: names of settings that cannot change an output, such as a number of connections. They may differ when
            something interrupted is gone on with, and are not kept with the results.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    passing: ClassVar[frozenset[str]] = frozenset()

    def lasting(self) -> dict[str, Any]:
        """The settings that can change an output, JSON-compatible."""
        return self.model_dump(mode="json", exclude=set(self.passing))


Chosen = TypeVar("Chosen", bound=Options)


def read_options(kind: type[Chosen], given: Mapping[str, Any] | None, name: str, code: Code) -> Chosen:
    """The settings of the part called ``name``; strings, as the command line has them, are converted.

    Raises:
        MmudError: of this code, for an option that is unknown, missing or out of bounds.
    """
    try:
        return kind.model_validate(dict(given or {}))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        option = ".".join(str(part) for part in first["loc"])
        known = ", ".join(kind.model_fields) or "none"
        said = "must be given" if first["type"] == "missing" else first["msg"]
        raise MmudError(code, f"{name}: {option}: {said}", hint=f"Options of {name}: {known}.") from error
