"""MM471: texts that say next to nothing."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from mmud.annotations import tags, wording
from mmud.annotations.filters import codes
from mmud.annotations.filters.base import Filter, FilterSettings, Label, Reason, quoted
from mmud.annotations.filters.subject import Subject


class InformationSettings(FilterSettings):
    """How much a text must say.

    Attributes:
        caption_content_words: fewest different content words of a caption.
        pair_content_words: fewest different content words of a question with its answer.
        letters: least share of letters among the characters that are no white space.
        compressed: least length of a text compressed by zlib, as a share of its own; of texts from 300 bytes on. 300 bytes of
            plain English come to about 0.55.
    """

    caption_content_words: int = Field(2, ge=0)
    pair_content_words: int = Field(2, ge=0)
    letters: float = Field(0.6, ge=0, le=1)
    compressed: float = Field(0.25, ge=0, le=1)


_COMPRESSIBLE = 300
"""Bytes below which the overhead of zlib hides what it measures."""


class InformationFilter(Filter[InformationSettings]):
    """Counts different content words, letters, and bytes after compression."""

    name = "information"
    codes = (codes.SAYS_LITTLE,)
    settings_type: ClassVar[type[FilterSettings]] = InformationSettings

    def look(self, subject: Subject) -> Iterator[Reason]:
        least = {Label.CAPTION: self.settings.caption_content_words, Label.PAIR: self.settings.pair_content_words}
        for label in Label:
            text = " ".join(tags.remove(subject.text(field)) for field in label.fields)
            if text.strip():
                message = self._problem(text, least[label])
                if message is not None:
                    yield Reason(codes.SAYS_LITTLE, label, f"{message}: {quoted(text)}")

    def _problem(self, text: str, least: int) -> str | None:
        found = len(wording.content_words(text))
        if found < least:
            return f"{found} different content words, not {least}"
        solid = [character for character in text if not character.isspace()]
        share = sum(map(str.isalpha, solid)) / len(solid)
        if share < self.settings.letters:
            return f"{share:.2f} of its characters are letters, not {self.settings.letters:g}"
        data = text.encode("utf-8", "surrogatepass")
        if len(data) >= _COMPRESSIBLE:
            ratio = len(zlib.compress(data, 9)) / len(data)
            if ratio < self.settings.compressed:
                return f"it compresses to {ratio:.2f} of its length, not {self.settings.compressed:g}"
        return None
