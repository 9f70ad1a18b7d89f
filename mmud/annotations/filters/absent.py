"""MM476: texts that name a category of the dataset which none of the sample's objects has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from mmud.annotations.filters import codes
from mmud.annotations.filters.base import Action, Filter, FilterSettings, Label, Reason
from mmud.annotations.filters.subject import Subject
from mmud.annotations.linking.reading import NounPhrase

_NEGATIONS = frozenset(["no", "not", "without", "nor", "neither", "isn't", "aren't", "like", "toy", "stuffed", "fake"])


class AbsentSettings(FilterSettings):
    """What is needed to speak against a text.

    Attributes:
        action: report by default: a sample's objects need not be all that the image shows.
        things: fewest different categories that are named and absent.
    """

    action: Action = Action.REPORT
    things: int = Field(1, ge=1)


class AbsentFilter(Filter[AbsentSettings]):
    """Looks for nouns of the dataset's categories that fit no object; nouns with several meanings are passed by."""

    name = "absent"
    codes = (codes.NAMES_ABSENT_OBJECT,)
    settings_type: ClassVar[type[FilterSettings]] = AbsentSettings

    def look(self, subject: Subject) -> Iterator[Reason]:
        if not subject.sample.objects:
            return
        for label in Label:
            # A question may ask after what is not there.
            fields = label.fields if label is Label.CAPTION else ("answer",)
            found = sorted({name for field in fields for name in absent_names(subject, field)})
            if len(found) >= self.settings.things:
                yield Reason(codes.NAMES_ABSENT_OBJECT, label, f"no object of the sample is a {', '.join(found[:5])}")


def absent_names(subject: Subject, field: str) -> Iterator[str]:
    """Categories of the dataset that a field names and that no object has."""
    words = subject.text(field)
    for phrase in subject.phrases(field):
        if phrase.noun is None or phrase.noun.weak or phrase.tagged is not None or _denied(words, phrase):
            continue
        meant = phrase.noun.categories & subject.vocabulary
        # A noun that means something outside the vocabulary as well may mean that.
        if meant != phrase.noun.categories or not meant:
            continue
        if not any(profile.fits_name(meant) for profile in subject.known.profiles):
            yield " or ".join(sorted(meant))


def _denied(text: str, phrase: NounPhrase) -> bool:
    """Whether the words before a noun say that it is not there, or is not the thing itself."""
    before = text[max(0, phrase.start - 40) : phrase.end].casefold().replace(",", " ").split()
    return not _NEGATIONS.isdisjoint(before[-6:])
