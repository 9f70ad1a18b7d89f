"""What is asked of references and candidates before anything is scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from mmud.errors import MmudError, Place
from mmud.evaluators.captions import codes

#: The longest caption that is tokenised, in characters.
LONGEST_CAPTION = 20_000
# How many ids a message names.
_NAMED = 5

Missing = Literal["refuse", "empty"]
Extra = Literal["refuse", "ignore"]


def some_ids(names: Sequence[object]) -> str:
    """The first few ids, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(str(name) for name in names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def check_ids(
    references: Mapping[str, Sequence[object]],
    candidates: Mapping[str, object],
    missing: Missing = "refuse",
    extra: Extra = "refuse",
) -> tuple[str, ...]:
    """See that every image has references and a candidate, and every candidate an image.

    Returns:
        The images without a candidate, where these are allowed.

    Raises:
        MmudError: MM850 for missing candidates, MM851 for extra ones, MM853 where a string stands for a list of references,
            MM854 for images without references.
    """
    if not references:
        raise MmudError(codes.REFERENCES_UNUSABLE, "there is no image to score")
    for name, captions in references.items():
        if isinstance(captions, str):
            message = "the references of an image must be a list of captions, not one string"
            raise MmudError(codes.CAPTION_MALFORMED, message, Place(sample=str(name)))
    bare = [name for name, captions in references.items() if not len(captions)]
    if bare:
        raise MmudError(codes.REFERENCES_UNUSABLE, f"{len(bare)} images have no reference: {some_ids(bare)}")
    absent = [name for name in references if name not in candidates]
    if absent and missing == "refuse":
        message = f"{len(absent)} of {len(references)} images have no caption: {some_ids(absent)}"
        raise MmudError(codes.CAPTION_MISSING, message)
    unknown = [name for name in candidates if name not in references]
    if unknown and extra == "refuse":
        message = f"{len(unknown)} captions are of images without references: {some_ids(unknown)}"
        raise MmudError(codes.CAPTION_EXTRA, message)
    return tuple(absent)


def check_text(caption: object, image: str, what: str) -> str:
    """``caption``, which must be a string of bounded length.

    Raises:
        MmudError: MM853 when it is not.
    """
    if not isinstance(caption, str):
        message = f"a {what} must be a string, not {type(caption).__name__}: {caption!r:.80}"
        raise MmudError(codes.CAPTION_MALFORMED, message, Place(sample=str(image)))
    if len(caption) > LONGEST_CAPTION:
        message = f"a {what} of {len(caption)} characters; the most is {LONGEST_CAPTION}"
        raise MmudError(codes.CAPTION_MALFORMED, message, Place(sample=str(image)))
    return caption
