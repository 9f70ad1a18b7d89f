"""MM4xx: what captions, questions, answers and phrases say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmud.annotations import tags
from mmud.annotations.wording import (
    answer_repeats_question,
    content_words,
    fold,
    refusal,
    speaks_of_nothing_here,
    template_marker,
    words,
)
from mmud.dataset.checks.base import Check, Row, printable
from mmud.dataset.checks.batch import SampleContext, objects_of
from mmud.dataset.checks.characters import TEXT_FIELDS
from mmud.dataset.checks.codes import text as codes
from mmud.errors import Code, Finding

CAPTION_WORDS = 5
"""A caption of fewer words is too short."""

QUESTION_WORDS = 3
"""A question of fewer words is too short."""


def leftovers(text: str) -> Iterator[tuple[Code, str]]:
    """Markers of templates and a language model's words about itself: each code once, with what was found."""
    for code, found in ((codes.TEMPLATE_LEFTOVER, template_marker(text)), (codes.REFUSAL, refusal(text))):
        if found is not None:
            yield code, found


class TextCheck(Check):
    """Texts: there, long enough, about this image, and not each other's copy."""

    codes = (
        codes.CAPTION_EMPTY,
        codes.QUESTION_MISSING,
        codes.ANSWER_EMPTY,
        codes.ANSWER_ALONE,
        codes.PHRASE_EMPTY,
        codes.PHRASES_MISSING,
        codes.CAPTION_SHORT,
        codes.QUESTION_SHORT,
        codes.ANSWER_SHORT,
        codes.IMAGE_NOT_NEEDED,
        codes.CAPTION_IS_PHRASE,
        codes.ANSWER_IS_QUESTION,
        codes.TEMPLATE_LEFTOVER,
        codes.REFUSAL,
        codes.PHRASE_REPEATED,
        codes.PHRASE_SHARED,
    )

    def check(self, row: Row, context: SampleContext) -> Iterator[Finding]:
        for code, field, message in _caption_problems(row):
            yield Finding(code, context.place(field=field), message)
        for code, field, message in _pair_problems(row, context):
            yield Finding(code, context.place(field=field), message)
        for field in TEXT_FIELDS:
            for code, found in leftovers(row[field] or ""):
                yield Finding(code, context.place(field=field), f"the {field} holds {printable(found)!r}")
        yield from _phrase_findings(row, context)


Problem = tuple[Code, str, str]
"""Code, field, message."""


def _phrases(item: dict[str, Any] | None) -> list[str]:
    """An object's phrases that are there."""
    return [phrase for phrase in (item and item["phrases"]) or () if phrase is not None]


def _caption_problems(row: Row) -> Iterator[Problem]:
    caption = row["caption"]
    if caption is None:
        return
    folded = fold(caption)
    if not folded:
        yield codes.CAPTION_EMPTY, "caption", "the caption is empty"
        return
    if folded.count(" ") + 1 < CAPTION_WORDS:
        yield codes.CAPTION_SHORT, "caption", f"the caption has {folded.count(' ') + 1} words: {printable(caption)}"
    for number, item in enumerate(objects_of(row), start=1):
        # Folding shortens a text, or makes it at most three times as long.
        if any(3 * len(phrase) >= len(folded) and fold(phrase) == folded for phrase in _phrases(item)):
            yield codes.CAPTION_IS_PHRASE, "caption", f"the caption is a phrase of object {number}"
            return


def _pair_problems(row: Row, context: SampleContext) -> Iterator[Problem]:
    question, answer = row["question"], row["answer"]
    if question is None or answer is None:
        return
    asked, said = fold(question), fold(tags.remove(answer))
    if not asked and not answer.strip():
        yield codes.QUESTION_MISSING, "question", "there is no question and no answer"
        return
    if not asked:
        yield codes.ANSWER_ALONE, "answer", "there is an answer and no question"
    elif asked.count(" ") + 1 < QUESTION_WORDS:
        yield codes.QUESTION_SHORT, "question", f"the question has {asked.count(' ') + 1} words: {printable(question)}"
    if not answer.strip():
        yield codes.ANSWER_EMPTY, "answer", "there is a question and no answer"
    elif not words(answer):
        yield codes.ANSWER_SHORT, "answer", f"the answer has no word: {printable(answer)}"
    elif asked and said == asked:
        yield codes.ANSWER_IS_QUESTION, "answer", "the answer is the question"
    elif asked and context.wants(codes.IMAGE_NOT_NEEDED):
        if answer_repeats_question(question, answer):
            yield codes.IMAGE_NOT_NEEDED, "answer", "the answer has no content word that the question lacks"
        elif not tags.parse(answer) and speaks_of_nothing_here(question, answer, _known_words(row)):
            yield codes.IMAGE_NOT_NEEDED, "question", "question and answer speak of nothing in this sample"


def _known_words(row: Row) -> set[str]:
    texts = [row["caption"] or ""]
    for item in objects_of(row):
        texts += _phrases(item)
        texts.append((item and item["category"]) or "")
    return content_words(" ".join(texts))


def _phrase_findings(row: Row, context: SampleContext) -> Iterator[Finding]:
    owners: dict[str, int] = {}
    for number, item in enumerate(objects_of(row), start=1):
        if item is None or item["phrases"] is None:
            continue
        phrases = _phrases(item)
        if not item["phrases"]:
            yield Finding(codes.PHRASES_MISSING, context.place(number, "phrases"), "the object has no phrase")
        seen: set[str] = set()
        for phrase in phrases:
            folded = fold(phrase)
            if not folded:
                yield Finding(codes.PHRASE_EMPTY, context.place(number, "phrases"), "a phrase is empty")
            elif phrase in seen:
                message = f"the phrase {printable(phrase)!r} comes twice"
                yield Finding(codes.PHRASE_REPEATED, context.place(number, "phrases"), message)
            elif owners.setdefault(folded, number) != number:
                message = f"objects {owners[folded]} and {number} share the phrase {printable(phrase)!r}"
                yield Finding(codes.PHRASE_SHARED, context.place(number, "phrases"), message)
            seen.add(phrase)
