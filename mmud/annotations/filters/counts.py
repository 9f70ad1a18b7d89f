"""MM479: numbers of things that the objects contradict."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from mmud.annotations.filters import codes
from mmud.annotations.filters.base import Action, Filter, FilterSettings, Label, Reason, quoted
from mmud.annotations.filters.subject import Subject
from mmud.annotations.linking.reading import NounPhrase

_TAGS = re.compile(r"(?:[\s,]*(?:and\s+)?<(?:LCL|OBJ)-(\d{1,9})>)+")
_NUMBER = re.compile(r"<(?:LCL|OBJ)-(\d{1,9})>")


class CountSettings(FilterSettings):
    """What counts.

    Attributes:
        action: report by default: a sample's objects need not be all that the image shows.
        most: largest number that is held against the objects; larger ones are rarely exact.
    """

    action: Action = Action.REPORT
    most: int = Field(10, ge=2)


class CountFilter(Filter[CountSettings]):
    """Compares "three dogs" with the objects that are dogs, and with the tags right behind it."""

    name = "counts"
    codes = (codes.COUNT_CONTRADICTED,)
    settings_type: ClassVar[type[FilterSettings]] = CountSettings

    def look(self, subject: Subject) -> Iterator[Reason]:
        for label in Label:
            # A question may suppose a number that the answer denies.
            fields = label.fields if label is Label.CAPTION else ("answer",)
            message = next((found for field in fields for found in self._problems(subject, field)), None)
            if message is not None:
                yield Reason(codes.COUNT_CONTRADICTED, label, message)

    def _problems(self, subject: Subject, field: str) -> Iterator[str]:
        text = subject.text(field)
        for phrase in subject.phrases(field):
            noun, count = phrase.noun, phrase.count
            if (
                noun is None
                or count is None
                or not noun.categories
                or noun.plural is False
                or count > self.settings.most
            ):
                continue
            mention = quoted(text[phrase.start : phrase.end], 40)
            behind = _TAGS.match(text, phrase.end)
            if behind is not None:
                tagged = len(set(_NUMBER.findall(behind[0])))
                if tagged > 1 and tagged != count:
                    yield f"{mention} with {tagged} tags"
                continue
            fits = _fitting(subject, phrase)
            if fits is not None and 0 < fits < count:
                yield f"{mention}, of which the sample has {fits}"


def _fitting(subject: Subject, phrase: NounPhrase) -> int | None:
    """How many objects the phrase may mean; None where nothing can be said: groups, and nouns with several meanings."""
    noun = phrase.noun
    if noun is None or noun.weak:
        return None
    found = [profile for profile in subject.known.profiles if profile.fits_name(noun.categories)]
    return None if any(profile.crowd for profile in found) else len(found)
