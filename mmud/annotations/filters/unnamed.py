"""MM475: texts that name none of the sample's objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from mmud.annotations.filters import codes
from mmud.annotations.filters.base import Action, Filter, FilterSettings, Label, Reason, quoted, texts
from mmud.annotations.filters.subject import Subject


class UnnamedSettings(FilterSettings):
    """What becomes of a label that names no object.

    Attributes:
        caption_action: of a caption; reported by default, as people also describe a picture by its place ("a clean kitchen").
    """

    caption_action: Action = Action.REPORT

    def action_on(self, label: Label) -> Action:
        if self.action is Action.REFUSE and label is Label.CAPTION:
            return self.caption_action
        return self.action


class UnnamedFilter(Filter[UnnamedSettings]):
    """Looks for a noun that may name one of the objects; samples without objects are passed by."""

    name = "unnamed"
    codes = (codes.NAMES_NO_OBJECT,)
    settings_type: ClassVar[type[FilterSettings]] = UnnamedSettings

    def look(self, subject: Subject) -> Iterator[Reason]:
        if not any(profile.names for profile in subject.known.profiles):
            return
        for label in Label:
            if label is Label.PAIR and (subject.tagged or not subject.sample.answer.strip()):
                continue
            if texts(subject, label).strip() and not any(names_an_object(subject, field) for field in label.fields):
                known = sorted(set().union(*(profile.names for profile in subject.known.profiles)))
                shown = quoted(", ".join(name.removeprefix("=") for name in known))
                yield Reason(codes.NAMES_NO_OBJECT, label, f"none of {shown} in: {quoted(texts(subject, label))}")


def names_an_object(subject: Subject, field: str) -> bool:
    """Whether a noun of a field may name an object of the sample, or its words hold a whole referring phrase."""
    for phrase in subject.phrases(field):
        categories = phrase.noun.categories if phrase.noun is not None else frozenset()
        if categories and any(profile.fits_name(categories) for profile in subject.known.profiles):
            return True
    said = f" {' '.join(subject.words(field))} "
    return any(f" {text} " in said for profile in subject.known.profiles for text in profile.texts)
