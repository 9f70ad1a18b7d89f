"""What a question is, and what its makers share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from mmud.dataset.sources.scenes.config import ScenesConfig
from mmud.dataset.sources.scenes.language.phrases import Ways, reference, ways_of
from mmud.dataset.sources.scenes.language.wording import Wording, left_to_right, sentence, usual_name
from mmud.dataset.sources.scenes.predicates import View
from mmud.dataset.sources.scenes.stream import Stream


class Template(NamedTuple):
    """A way to ask and the answer that goes with it; the answer follows from the question's form, so that it can be learnt."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a scene.

    Attributes:
        family: One of the families' names.
        form: The template of the question: which way of asking this is.
        text: The question.
        answer: The answer; each mention of an object is followed by its tag.
        targets: Indices of the objects named, in the order of their tags.
        key: The answer in short and in canonical words: the word or number asked for, or the names of the objects.
    """

    family: str
    form: str
    text: str
    answer: str
    targets: tuple[int, ...]
    key: str


@dataclass(frozen=True, slots=True)
class Context:
    """What a maker of questions works with."""

    view: View
    config: ScenesConfig
    stream: Stream
    wording: Wording
    family: str

    def answerable(self, found: Sequence[int] | None) -> bool:
        """Whether some objects, all clear, and not too many fit."""
        return found is not None and 1 <= len(found) <= self.config.max_targets

    def the(self, index: int, avoid: tuple[str, ...] = (), ways: Ways | None = None) -> str | None:
        """Words with "the" that single out an object without the attributes to avoid; None when none is found."""
        query = reference(self.view, index, self.stream, ways or ways_of(self.config.references), avoid)
        return None if query is None else f"the {self.wording.query(query)}"

    def question(
        self, templates: Sequence[Template], targets: Sequence[int], key: str | None = None, **fields: str
    ) -> Question:
        """Fill one of the templates in. Targets are named from left to right, in ``{names}``; ``{be}`` agrees in number."""
        template = self.stream.choice(templates)
        ordered = tuple(left_to_right(self.view, targets))
        names = self.wording.tagged_list(ordered)
        one = len(ordered) == 1
        words = fields | {"names": names, "be": "is" if one else "are"}
        short = key if key is not None else ", ".join(usual_name(self.view, index) for index in ordered)
        return Question(
            family=self.family,
            form=template.question,
            text=sentence(template.question.format(**words)),
            answer=sentence(template.answer.format(**words)),
            targets=ordered,
            key=short,
        )


#: How often a maker draws before it gives up.
DRAWS: Final = 12
