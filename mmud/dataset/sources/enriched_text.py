"""The release's enriched text: a question and an answer in one string, taken apart so that it can be put together again."""

from __future__ import annotations

import re
from dataclasses import dataclass

USUAL_FRAME = ("##Question: ", " \n##Answer: <SEP> ", "")
"""What stands before the question, between question and answer, and after the answer in most records."""

# All quantifiers are possessive, so that no text, however made, takes more than a walk along it.
_HEAD = re.compile(r"\s*+##\s*+Question\s*+:?+", re.IGNORECASE)
_BARE_HEAD = re.compile(r"\s*+Question\s*+:", re.IGNORECASE)
_MIDDLE = re.compile(r"##\s*+Answer\s*+:?+\s*+<SEP>", re.IGNORECASE)
_ANSWER_ALONE = re.compile(r"(?:##\s*+)?+Answer\s*+:", re.IGNORECASE)
_SEPARATOR_ALONE = re.compile("<SEP>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class EnrichedText:
    """An enriched text in pieces: ``frame[0] + question + frame[1] + answer + frame[2]`` is the text.

    Attributes:
        question, answer: without white space around them.
        frame: what stands around them.
        usual: whether the text has the release's form, give or take white space and colons.
    """

    question: str
    answer: str
    frame: tuple[str, str, str]
    usual: bool

    def join(self) -> str:
        return self.frame[0] + self.question + self.frame[1] + self.answer + self.frame[2]


def usual_pieces(text: str) -> tuple[str, str] | None:
    """Question and answer of a text in exactly the usual form, found without a regular expression; None for any other."""
    head, middle, _ = USUAL_FRAME
    if not text.startswith(head):
        return None
    question, found, answer = text[len(head) :].partition(middle)
    if not found or "##" in question or "<SEP>" in answer or question != question.strip() or answer != answer.strip():
        return None
    return question, answer


def split_enriched_text(text: str) -> EnrichedText:
    """Take an enriched text apart; what cannot be told apart is the answer as a whole."""
    if (usual_ones := usual_pieces(text)) is not None:
        return EnrichedText(*usual_ones, USUAL_FRAME, usual=True)
    start = _HEAD.match(text) or _BARE_HEAD.match(text)
    after = start.end() if start else 0
    between = _MIDDLE.search(text, after)
    usual = between is not None and start is not None and "#" in start[0]
    if between is None and start is not None:
        between = _ANSWER_ALONE.search(text, after)
    between = between or _SEPARATOR_ALONE.search(text, after)
    if between is None:
        return _pieces(text, 0, 0, 0, usual=False)
    again = _SEPARATOR_ALONE.search(text, between.end()) or _MIDDLE.search(text, between.end())
    return _pieces(text, after, between.start(), between.end(), usual and again is None)


def _pieces(text: str, question_from: int, question_to: int, answer_from: int, usual: bool) -> EnrichedText:
    question, answer = text[question_from:question_to], text[answer_from:]
    # White space around both belongs to the frame.
    question_from += len(question) - len(question.lstrip())
    answer_from += len(answer) - len(answer.lstrip())
    question, answer = question.strip(), answer.strip()
    question_end, answer_end = question_from + len(question), answer_from + len(answer)
    return EnrichedText(
        question, answer, (text[:question_from], text[question_end:answer_from], text[answer_end:]), usual
    )
