"""MM477: answers that name an object and do not tag it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from mmud.annotations import tags
from mmud.annotations.filters import codes
from mmud.annotations.filters.base import Action, Filter, FilterSettings, Label, Reason, quoted
from mmud.annotations.filters.subject import Subject
from mmud.annotations.linking.linker import propose_tags


class UntaggedSettings(FilterSettings):
    """How sure a mention must be.

    Attributes:
        action: report by default: `mmud link` mends it.
        score: least score of the linker's proposal.
    """

    action: Action = Action.REPORT
    score: float = Field(0.9, ge=0, le=1)


class UntaggedFilter(Filter[UntaggedSettings]):
    """Asks the linker for tags that are missing."""

    name = "untagged"
    codes = (codes.NAMED_WITHOUT_TAG,)
    settings_type: ClassVar[type[FilterSettings]] = UntaggedSettings

    def look(self, subject: Subject) -> Iterator[Reason]:
        sample = subject.sample
        if not sample.answer.strip() or len(subject.tagged) == len(sample.objects):
            return
        found = {
            proposal.index: proposal
            for proposal in propose_tags(sample.answer, sample.objects, sample.width, sample.height, subject.vocabulary)
            if proposal.score >= self.settings.score and proposal.index not in subject.tagged
        }
        if found:
            shown = ", ".join(
                f"{quoted(sample.answer[proposal.start : proposal.end], 40)} {tags.render(index)}"
                for index, proposal in sorted(found.items())[:5]
            )
            yield Reason(codes.NAMED_WITHOUT_TAG, Label.PAIR, shown)
