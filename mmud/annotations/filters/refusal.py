"""MM473: words about the task in place of a label."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from mmud.annotations import wording
from mmud.annotations.filters import codes
from mmud.annotations.filters.base import Filter, FilterSettings, Label, Reason, quoted
from mmud.annotations.filters.subject import Subject

_TALK = re.compile(
    r"\A\W*(?:sure|certainly|of course|absolutely|okay|ok|great question)\b\W*(?:[!,:]|here\b)"
    r"|\bhere(?:['’]s| is| are) (?:a|an|the|your|my|one|some|two) (?:\w+ ){0,3}"
    r"(?:caption|description|question|answer|response|example)s?\b"
    r"|\b(?:let me know|feel free to (?:ask|reach)|hope (?:this|that) helps|happy to help)\b"
    r"|\b(?:as requested|per your (?:request|instructions?)|the (?:prompt|instructions?) (?:asks?|says?|requires?))\b"
    r"|\b(?:the|this) (?:image|picture|photo) (?:is|was) not (?:provided|visible|available|attached)\b"
    r"|\b(?:not enough|insufficient) (?:information|context|details?) (?:to|in|for|about|provided)\b"
    r"|\b(?:cannot|can['’]t|can not|could not|unable to) (?:be )?(?:determined?|answer(?:ed)?|tell|say) "
    r"(?:from|based on|with(?:out)?|for sure|this|that|the question)\b"
    r"|\A\W*(?:n/?a|none|null|unknown|todo|tbd|undefined)\W*\Z",
    re.IGNORECASE,
)


class RefusalSettings(FilterSettings):
    """What else counts.

    Attributes:
        phrases: further texts, in any case, that no label may hold.
    """

    phrases: tuple[str, ...] = ()


def talk(text: str) -> str | None:
    """The first words that speak of the task and not of the image."""
    found = _TALK.search(text)
    return None if found is None else found[0].strip()


class RefusalFilter(Filter[RefusalSettings]):
    """Looks for refusals, markers of prompts, and talk around a label."""

    name = "refusal"
    codes = (codes.NOT_A_LABEL,)
    settings_type: ClassVar[type[FilterSettings]] = RefusalSettings

    def look(self, subject: Subject) -> Iterator[Reason]:
        for label in Label:
            for field in label.fields:
                text = subject.text(field)
                found = wording.refusal(text) or wording.template_marker(text) or talk(text) or self._listed(text)
                if found is not None:
                    yield Reason(codes.NOT_A_LABEL, label, f"the {field} holds {quoted(found)!r}")
                    break

    def _listed(self, text: str) -> str | None:
        folded = wording.fold(text) if self.settings.phrases else ""
        return next((phrase for phrase in self.settings.phrases if wording.fold(phrase) in folded), None)
