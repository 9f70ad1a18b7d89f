"""The release's enriched text: a question and an answer in one string, taken apart so that it can be put together again."""

from __future__ import annotations

import re
from dataclasses import dataclass

USUAL_FRAME = ("##Question: ", " \n##Answer: <SEP> ", "")
"""What stands before the question, between question and answer, and after the answer in most records."""

_WHOLE = re.compile(
    r"(\s*\#\#\s*Question\s*:?\s*)(.*?)(\s*\#\#\s*Answer\s*:?\s*<SEP>\s*)(.*?)(\s*)", re.DOTALL | re.IGNORECASE
)
_WITHOUT_SEPARATOR = re.compile(
    r"(\s*(?:\#\#\s*)?Question\s*:?\s*)(.*?)(\s*(?:\#\#\s*)?Answer\s*:\s*)(.*?)(\s*)", re.DOTALL | re.IGNORECASE
)
_SEPARATOR_ALONE = re.compile(
    r"(\s*(?:\#\#\s*Question\s*:?\s*)?)(.*?)(\s*<SEP>\s*)(.*?)(\s*)", re.DOTALL | re.IGNORECASE
)


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


def split_enriched_text(text: str) -> EnrichedText:
    """Take an enriched text apart; what cannot be told apart is the answer as a whole."""
    head, middle, _ = USUAL_FRAME
    if text.startswith(head):
        # The usual form, without a regular expression: some 36,000 of them are read.
        question, found, answer = text[len(head) :].partition(middle)
        if found and question == question.strip() and answer == answer.strip() and "<SEP>" not in answer:
            return EnrichedText(question, answer, USUAL_FRAME, usual="##" not in question)
    match = _WHOLE.fullmatch(text)
    if match:
        usual = "##" not in match[2] and "<sep>" not in match[4].lower()
        return EnrichedText(match[2], match[4], (match[1], match[3], match[5]), usual)
    match = _WITHOUT_SEPARATOR.fullmatch(text) or _SEPARATOR_ALONE.fullmatch(text)
    if match:
        return EnrichedText(match[2], match[4], (match[1], match[3], match[5]), usual=False)
    answer = text.strip()
    start = len(text) - len(text.lstrip())
    return EnrichedText("", answer, (text[:start], "", text[start + len(answer) :]), usual=False)
