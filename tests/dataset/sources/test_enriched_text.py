"""Enriched texts: the pieces always make the text again; the forms are those that the release's pages show."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmud.dataset.sources.enriched_text import USUAL_FRAME, split_enriched_text

FORMS = [
    # method.md, section 2.
    ("##Question: Who leads? \n##Answer: <SEP> The man <LCL-1>.", "Who leads?", "The man <LCL-1>.", True),
    # The example of the repository's page.
    (
        "##Question: How would one? ##Answer <SEP>To use it <LCL-1> well.",
        "How would one?",
        "To use it <LCL-1> well.",
        True,
    ),
    ("## question : Who? \n\n## ANSWER: <sep>\tHe.  ", "Who?", "He.", True),
    ("##Question: Who?\n##Answer: He <LCL-1>.", "Who?", "He <LCL-1>.", False),
    ("Question: Who?\nAnswer: He.", "Who?", "He.", False),
    ("Who? <SEP> He.", "Who?", "He.", False),
    ("##Question: Who? <SEP> He.", "Who?", "He.", False),
    ("He stands there.", "", "He stands there.", False),
    ("  He stands there.\n", "", "He stands there.", False),
    ("", "", "", False),
    ("##Question: Who? \n##Answer: <SEP> One. <SEP> Two.", "Who?", "One. <SEP> Two.", False),
]


@pytest.mark.parametrize(("text", "question", "answer", "usual"), FORMS)
def test_forms(text: str, question: str, answer: str, usual: bool) -> None:
    pieces = split_enriched_text(text)
    assert (pieces.question, pieces.answer, pieces.usual) == (question, answer, usual)
    assert pieces.join() == text


def test_the_usual_frame() -> None:
    assert split_enriched_text(FORMS[0][0]).frame == USUAL_FRAME


PIECES = st.sampled_from(
    ["##Question", "##Answer", ":", " ", "\n", "<SEP>", "<LCL-1>", "Who?", "##", "question", "Answer:", "é"]
)


@given(st.lists(PIECES, max_size=14).map("".join) | st.text(max_size=60))
def test_the_pieces_make_the_text(text: str) -> None:
    pieces = split_enriched_text(text)
    assert pieces.join() == text
    assert pieces.question == pieces.question.strip()
    assert pieces.answer == pieces.answer.strip()


HOSTILE = [
    "##Question",
    " ",
    "##",
    "##Question: " + " " * 50_000 + "##Answer",
    "##Answer: ",
    "##Answer" + " " * 50_000,
    "Answer ",
    "<SEP",
]


@pytest.mark.parametrize("piece", HOSTILE, ids=lambda piece: piece[:16])
def test_a_hostile_text_takes_a_walk_along_it(piece: str) -> None:
    text = piece * (300_000 // len(piece))
    start = time.process_time()
    assert split_enriched_text(text).join() == text
    # Anything worse than linear would take minutes.
    assert time.process_time() - start < 2
