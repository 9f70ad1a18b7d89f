"""The tag grammar, on the forms that the official release, the paper's figures and language models write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmud.annotations import tags

WORDS = st.text(st.sampled_from("abc XY09 é\t"), max_size=12)
TEXTS = st.lists(st.tuples(WORDS, st.integers(1, 12)), max_size=6)


def joined(parts: list[tuple[str, int]]) -> str:
    return "".join(f"{words} {tags.render(index)}" for words, index in parts)


def test_reads_both_forms_in_order() -> None:
    text = "The man <LCL-2> hands <OBJ-1> to the boy <LCL-10>; <LCL-2> smiles."
    assert [tag.index for tag in tags.parse(text)] == [2, 1, 10, 2]
    assert tags.indices(text) == [2, 1, 10]
    assert [text[tag.start : tag.end] for tag in tags.parse(text)] == ["<LCL-2>", "<OBJ-1>", "<LCL-10>", "<LCL-2>"]
    assert tags.normalise(text) == text.replace("OBJ", "LCL")


@given(TEXTS)
def test_parse_reads_what_was_rendered(parts: list[tuple[str, int]]) -> None:
    assert [tag.index for tag in tags.parse(joined(parts))] == [index for _, index in parts]
    assert not tags.problems(joined(parts), objects=12)


@given(TEXTS)
def test_renumbering_counts_from_one_and_can_be_undone(parts: list[tuple[str, int]]) -> None:
    text = joined(parts)
    renumbered = tags.renumber(text)
    order = tags.indices(text)
    assert tags.indices(renumbered) == list(range(1, len(order) + 1))
    assert tags.renumber(renumbered, dict(enumerate(order, start=1))) == text


@given(TEXTS)
def test_stripping_leaves_the_words(parts: list[tuple[str, int]]) -> None:
    stripped = tags.remove(joined(parts))
    assert not tags.parse(stripped)
    assert stripped.split() == " ".join(words for words, _ in parts).split()


def test_stripping_takes_the_space_before() -> None:
    assert tags.remove("the dog <LCL-1>, and a cat <LCL-2>.") == "the dog, and a cat."
    assert tags.remove("the dog <LCL-1> <LCL-2>runs") == "the dog runs"


@pytest.mark.parametrize(
    "text", ["<LCL 2>", "<LCL->", "<lcl-2>", "<LCL-2", "<LCL-x>", "< LCL-2 >", "[LCL-2]", "<LCL2>", "</LCL-2>"]
)
def test_lookalikes_are_malformed(text: str) -> None:
    found = tags.problems(f"the man {text}", objects=3)
    assert [(problem.kind, problem.start) for problem in found] == [("malformed", 8)]


@pytest.mark.parametrize("text", ["<LCL-0>", "<LCL-4>", "<OBJ-99>"])
def test_numbers_without_object_dangle(text: str) -> None:
    assert [problem.kind for problem in tags.problems(text, objects=3)] == ["dangling"]


@pytest.mark.parametrize("text", ["a < b", "<b>bold</b>", "x <object> y", "<LCLs", "the LCL-2 ship", "2<3 and 4>1"])
def test_other_text_is_no_tag(text: str) -> None:
    assert tags.problems(text, objects=3) == []
