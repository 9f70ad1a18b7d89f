"""MM470: texts of too few words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from mmud.annotations.filters import codes
from mmud.annotations.filters.base import Filter, FilterSettings, Label, Reason, quoted
from mmud.annotations.filters.subject import Subject


class ShortSettings(FilterSettings):
    """Fewest words, without tags.

    Attributes:
        caption_words: of a caption; COCO asked its annotators for at least eight.
        question_words, answer_words: of a question, and of its answer.
    """

    caption_words: int = Field(8, ge=0)
    question_words: int = Field(3, ge=0)
    answer_words: int = Field(2, ge=0)


class ShortFilter(Filter[ShortSettings]):
    """Counts words."""

    name = "short"
    codes = (codes.TOO_SHORT,)
    settings_type: ClassVar[type[FilterSettings]] = ShortSettings

    def look(self, subject: Subject) -> Iterator[Reason]:
        least = {
            "caption": self.settings.caption_words,
            "question": self.settings.question_words,
            "answer": self.settings.answer_words,
        }
        for label in Label:
            for field in label.fields:
                count = len(subject.words(field))
                if subject.text(field).strip() and count < least[field]:
                    message = f"the {field} has {count} words, not {least[field]}: {quoted(subject.text(field))}"
                    yield Reason(codes.TOO_SHORT, label, message)
                    break
