"""MM474: answers that need no image: asked of a text-only model, or told from their words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

from pydantic import Field

from mmud.annotations import tags, wording
from mmud.annotations.filters import codes
from mmud.annotations.filters.base import Asker, Filter, FilterSettings, Label, Reason, quoted
from mmud.annotations.filters.subject import Subject

PROMPT_NAME = "blind-1"
"""The version of `PROMPT`; answers that are kept between runs are kept under it."""

PROMPT = """\
Somebody asks a question about a photograph that you have not seen and will not see.
If the question alone gives the answer away (by common knowledge, or because it names the answer), reply with that answer in one
short sentence. If a person would have to look at the photograph, reply with the single word UNKNOWN. Do not guess.

Question: {question}
Answer:"""

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_DECISIVE = frozenset([*_NUMBERS, "yes", "no", "none", "both", "neither"])


class BlindSettings(FilterSettings):
    """When an answer counts as known without the image.

    Attributes:
        agreement: least agreement (F1 of the words that answer) of a model's blind answer with the true one.
        heuristic: where no model is asked, go by the words of the pair.
        connections: requests at a time.
    """

    agreement: float = Field(0.6, gt=0, le=1)
    heuristic: bool = True
    connections: int = Field(8, ge=1, le=256)


def answering_words(question: str, answer: str) -> set[str]:
    """The words of an answer that answer: content words, numbers, yes and no; without those that the question offers."""
    said = wording.content_words(answer)
    for word in wording.words(answer):
        if word.isdigit() and len(word) < 3 and int(word) < len(_NUMBERS):
            said = (said - {word}) | {_NUMBERS[int(word)]}
        elif word in _DECISIVE:
            said.add(word)
    return said - (wording.content_words(question) - _DECISIVE)


def agreement(question: str, answer: str, guess: str) -> float:
    """F1 of the words that answer, of a guess and the true answer; 0 where either has none, or the guess declines."""
    if not guess.strip() or "UNKNOWN" in guess or wording.refusal(guess) is not None:
        return 0.0
    true, guessed = answering_words(question, answer), answering_words(question, guess)
    shared = len(true & guessed)
    return 2 * shared / (len(true) + len(guessed)) if shared else 0.0


class BlindFilter(Filter[BlindSettings]):
    """Asks a model that sees the question alone; without one, applies the rule of the validator's MM410."""

    name = "blind"
    codes = (codes.IMAGE_NOT_USED,)
    settings_type: ClassVar[type[FilterSettings]] = BlindSettings

    def look_at(self, subjects: Sequence[Subject]) -> list[list[Reason]]:
        asker = self.tools.asker
        if asker is None:
            return [list(self.look(subject)) for subject in subjects]
        asked = [subject for subject in subjects if subject.sample.question.strip() and subject.sample.answer.strip()]
        with ThreadPoolExecutor(min(self.settings.connections, max(len(asked), 1))) as pool:
            guesses = dict(zip(map(id, asked), pool.map(lambda subject: _guess(asker, subject), asked), strict=True))
        return [list(self._judged(subject, guesses.get(id(subject)))) for subject in subjects]

    def _judged(self, subject: Subject, guess: str | None) -> Iterator[Reason]:
        if guess is None:
            return
        sample = subject.sample
        found = agreement(sample.question, sample.answer, guess)
        if found >= self.settings.agreement:
            message = f"a model that saw no image answered {quoted(guess)!r}, agreement {found:.2f}"
            yield Reason(codes.IMAGE_NOT_USED, Label.PAIR, message)

    def look(self, subject: Subject) -> Iterator[Reason]:
        question, answer = subject.sample.question, subject.sample.answer
        if not self.settings.heuristic or not question.strip() or not answer.strip():
            return
        if wording.answer_repeats_question(question, answer):
            yield Reason(codes.IMAGE_NOT_USED, Label.PAIR, "the answer has no content word that the question lacks")
        elif wording.speaks_of_nothing_here(question, answer, subject.said_of_it):
            yield Reason(codes.IMAGE_NOT_USED, Label.PAIR, "question and answer speak of nothing in this sample")


def _guess(asker: Asker, subject: Subject) -> str:
    return asker.ask(PROMPT.format(question=tags.remove(subject.sample.question)))
