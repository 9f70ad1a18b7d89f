"""Reading what a model wrote: whatever JSON holds comes back; whatever else it writes is a violation and nothing worse."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmud.annotations import tags
from mmud.annotations.drafting.base import DraftTask
from mmud.annotations.drafting.parsing import Violation, clean, read_labels

QUESTION = {"question": "What stands on the table?", "answer": "The cup <LCL-2> and the jug <LCL-1> do."}
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="<>[]()"), min_size=1)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(QUESTION),
        f"```json\n{json.dumps(QUESTION, indent=2)}\n```",
        f"Here is what you asked for:\n{json.dumps(QUESTION)}\nI hope that helps {{really}}.",
        f"<think>{{not this}} {{}}</think>{json.dumps(QUESTION)}",
        f"[{json.dumps(QUESTION)}]",
        json.dumps(QUESTION)[:-1] + ",}",
        json.dumps({"Question": QUESTION["question"], " ANSWER": QUESTION["answer"]}),
        json.dumps(QUESTION).replace("What stands", "What\nstands"),
        f"**Question:** {QUESTION['question']}\n\n**Answer:** {QUESTION['answer']}",
        json.dumps({**QUESTION, "answer": "The cup<LCL-2> and  the jug [LCL 1] do."}),
        json.dumps({**QUESTION, "answer": "The cup (OBJ_2) and the jug <lcl-1> do."}),
        json.dumps({**QUESTION, "question": "What stands on the table <LCL-2>?"}),
    ],
)
def test_the_form_is_read_with_patience(text: str) -> None:
    assert read_labels(text, DraftTask.QUESTION, [1, 2]) == QUESTION


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not one JSON object"),
        ("A plain caption.", "not one JSON object"),
        ("[1, 2]", "not one JSON object"),
        ("{" * 3000, "not one JSON object"),
        ('{"caption": "x"}', 'no text under "question"'),
        ('{"question": 3, "answer": "x"}', 'no text under "question"'),
        ('{"question": "  …  ", "answer": "x"}', 'the text under "question" is empty'),
        ('{"question": "What?", "answer": "<LCL-1>"}', 'the text under "answer" is empty'),
        ('{"question": "What?", "answer": "The cup."}', "no tag"),
        ('{"question": "What?", "answer": "The cup <LCL-3>."}', "<LCL-3>"),
        ('{"question": "What?", "answer": "The cup <LCL-0>."}', "<LCL-0>"),
        ('{"question": "What?", "answer": "The cup <LCL-1, LCL-2>."}', "<LCL-1, LCL-2>"),
    ],
)
def test_what_is_wrong_is_said(text: str, why: str) -> None:
    with pytest.raises(Violation) as caught:
        read_labels(text, DraftTask.QUESTION, [1, 2])
    assert why in str(caught.value)


def test_a_tag_of_an_object_that_was_not_listed_is_unknown() -> None:
    with pytest.raises(Violation, match="<LCL-2>"):
        read_labels(json.dumps(QUESTION), DraftTask.QUESTION, [1, 3])


@settings(deadline=None)
@given(WORDS, st.sampled_from(["{}", "```json\n{}\n```", "So: {} Done."]))
def test_any_text_in_json_comes_back_clean(words: str, around: str) -> None:
    text = around.replace("{}", json.dumps({"caption": words}))
    try:
        found = read_labels(text, DraftTask.CAPTION, [])["caption"]
    except Violation:
        assert not any(map(str.isalnum, clean(words)))
        return
    assert found == clean(words) == clean(found)
    assert found == " ".join(found.split())


@settings(deadline=None)
@given(st.text(st.sampled_from('{}[]<>",:\\\n LCLOBJ-12captionquestionanswer')))
def test_nothing_that_a_model_writes_is_a_crash(text: str) -> None:
    for task in DraftTask:
        try:
            labels = read_labels(text, task, [1, 2])
        except Violation:
            continue
        assert set(labels) == set(task.fields)
        assert not tags.problems(labels.get("answer", ""), 2)
