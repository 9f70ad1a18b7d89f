"""Reading a source's options: from a recipe's table or the command line, each checked, none ignored."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmud import codes
from mmud.errors import MmudError
from mmud.files import require

NO_IMAGES = "none"
"""What ``images`` is set to when a source is to be read without its images."""


class Options:
    """The options of one source.

    Args:
        source: the source's name, for messages.
        values: option -> value, as TOML holds them.
        known: every option that the source has.

    Raises:
        MmudError: MM001 for an option that is unknown.
    """

    def __init__(self, source: str, values: Mapping[str, Any], known: Sequence[str]) -> None:
        self._source = source
        self._values = values
        for name in values:
            if name not in known:
                near = difflib.get_close_matches(str(name), known, n=1)
                hint = f"Did you mean {near[0]}?" if near else f"Its options are {', '.join(known)}."
                raise MmudError(codes.USAGE, f"source {source} has no option {name!r}", hint=hint)

    def refuse(self, name: str, wanted: str) -> MmudError:
        """The error of an option with an unusable value."""
        value = self._values.get(name)
        seen = "is missing" if value is None else f"is {wanted}, not {value!r:.80}"
        return MmudError(codes.USAGE, f"option {name} of source {self._source} {seen}", hint=f"Give {name}: {wanted}.")

    def text(self, name: str, default: str | None = None, choices: Sequence[str] = ()) -> str:
        """One text, of a set of choices where there is one.

        Raises:
            MmudError: MM001 when it is missing without a default, or is something else.
        """
        value = self._values.get(name, default)
        wanted = f"one of {', '.join(choices)}" if choices else "a text"
        if not isinstance(value, str) or not value or (choices and value not in choices):
            raise self.refuse(name, wanted)
        return value

    def texts(self, name: str, default: Sequence[str] = ()) -> tuple[str, ...]:
        """One text or a list of them; MM001 when it is something else."""
        value = self._values.get(name, list(default))
        items = [value] if isinstance(value, str) else value
        if (
            not isinstance(items, list | tuple)
            or not items
            or not all(isinstance(item, str) and item for item in items)
        ):
            raise self.refuse(name, "a text or a list of texts")
        return tuple(items)

    def path(self, name: str, what: str) -> Path:
        """A path that exists.

        Raises:
            MmudError: MM001 when it is missing, MM002 when nothing is there.
        """
        found = self.optional_path(name, what)
        if found is None:
            raise self.refuse(name, f"the path of a {what}")
        return found

    def optional_path(self, name: str, what: str) -> Path | None:
        """A path that exists, or None when the option was not given; see `path`."""
        paths = self.paths(name, what)
        if len(paths) > 1:
            raise self.refuse(name, f"the path of one {what}")
        return paths[0] if paths else None

    def paths(self, name: str, what: str) -> tuple[Path, ...]:
        """Paths that exist: none, one, or a list of them; see `path`."""
        if self._values.get(name) is None:
            return ()
        return tuple(self._existing(name, text, what) for text in self.texts(name))

    def _existing(self, name: str, text: str, what: str) -> Path:
        if "\0" in text:
            raise self.refuse(name, f"the path of a {what}")
        path = require(Path(text).absolute(), what)
        if path.is_dir() != (what == "folder"):
            raise self.refuse(name, f"the path of a {what}")
        return path

    def images(self, default: Path | None = None) -> tuple[Path, ...]:
        """The folders of images; none when ``images = "none"``.

        Args:
            default: a folder to take, where it exists, when the option was not given.

        Raises:
            MmudError: MM001 when the option is missing and there is no default.
        """
        value = self._values.get("images")
        if value in (NO_IMAGES, [NO_IMAGES]):
            return ()
        if value is None and default is not None and default.is_dir():
            return (default.absolute(),)
        folders = self.paths("images", "folder")
        if not folders:
            raise MmudError(
                codes.USAGE,
                f"source {self._source} needs to know where its images are",
                hint='Give --images DIR; or --images none (images = "none") to read the labels alone.',
            )
        return folders


def path_options(**paths: Path | Sequence[Path] | None) -> dict[str, Any]:
    """Options that name paths, as a recipe holds them; what is None or empty is left out."""
    found: dict[str, Any] = {}
    for name, value in paths.items():
        if isinstance(value, Path):
            found[name] = str(value)
        elif value:
            found[name] = str(value[0]) if len(value) == 1 else [str(path) for path in value]
    return found


def image_options(folders: Sequence[Path]) -> dict[str, Any]:
    """The option ``images`` that makes these folders again."""
    return path_options(images=folders) or {"images": NO_IMAGES}
