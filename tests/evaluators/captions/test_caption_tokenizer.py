"""The tokenizer against the Stanford tokenizer as pycocoevalcap calls it: stored answers, and live where Java is."""

from __future__ import annotations

import importlib.util
import json
import random
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmud.evaluators.captions import characters, tokenizer
from mmud.evaluators.captions.inputs import LONGEST_CAPTION
from mmud.evaluators.captions.score import score_tokens
from mmud.evaluators.captions.tokenizer import tokenize, tokenize_all

HERE = Path(__file__).parent
CASES = [json.loads(line) for line in (HERE / "tokenizer_cases.jsonl").read_text(encoding="utf-8").splitlines()]
LINE_SEPARATORS = "\n\r\x0b\x0c\x85\u2028\u2029"


def _maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_tokenizer_data", HERE / "make_tokenizer_data.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


MAKER = _maker()

# Pieces that touch every rule; put together at random they make text much harder than captions are.
PIECES = (  # noqa: SIM905
    "a A the The dog DOG cannot Cannot can't don't won't n't 'n' 'twas 'tis 'em 'till o'clock O'Brien l'eau y'all c'mon "
    "gonna it's It's they're we'll 's cats' ol' Cap'n Mr Mr. St. Ave. Ph.D. e.g. U.S. U.S u.s. a.m. B. vs. etc. Inc. Co. Ltd. "
    "Pty. PTY. pte. Mass. mass. MASS. Miss. No. no. fig. Jan. Ed.D. Canada-U.S. U.S.-U.K. 1 12 123 1234 1.5 1,000 -5 .5 3/4 "
    "1/2 1/2/2004 5:30 10am 90s '90s '90 555-1234 (555) 555.123.4567 +44 50% $5 US$ #1 #tag @user @ 2x4 6'2\" t-shirt co-ed "
    "x-ray 10-year-old pro- anti-war foo_bar and/or 24/7 w/ AT&T S&P-500 C++ c# http://www.x.com/a?b=c, www.foo.com foo.com "
    "Foo.com me@x.com <me@x.com> a.jpg f.tar.gz <LCL-1> <SEP> </b> <br/> <a href='x y'> < > << <3 -> <!-- x --> :) :-( :D ;) "
    "^_^ -_- (^_^) ( ) [ ] { } -LRB- \" ' `` '' ` “x” ‘x’ ’s don’t «x» . .. ... .... , ; : ! ? !! ?! … - -- --- ----- – — * ** "
    "/ \\ | ~ ^ % & &amp; &lt; &quot; &apos; &nbsp; caf&eacute; = + _ __ é café Zürich £5 €10 50¢ ½ ⅓ x² ™ 30° × • → ★ 😀 x😀y "
    "日本 мир العربية １２ ﬁ \u00ad soft\u00adhyphen \u200b x\xa0y 、 。 ¿que? İ ı"
).split(" ")
JOINTS = (" ", " ", " ", "", "", ".", ". ", ", ", "  ", "-", "'", "/", "\t")
LETTERS = "abcdABCDntsmoNT019'.,-/:;!?&@#$%()<>\"_`*=+^~      "


def hard_text(seed: int, lines: int) -> list[str]:
    """Lines of pieces, and lines of letters and signs, at random."""
    draw = random.Random(seed)
    text = []
    for index in range(lines):
        if index % 2:
            text.append("".join(draw.choice(PIECES) + draw.choice(JOINTS) for _ in range(draw.randint(1, 8))))
        else:
            text.append("".join(draw.choice(LETTERS) for _ in range(draw.randint(1, 14))))
    return text


def test_tokens_are_those_that_the_java_tool_gave() -> None:
    """``make_tokenizer_data.py cases`` stored them; the captions are our own."""
    assert len(CASES) > 300
    assert [case for case in CASES if tokenize(case["caption"]) != case["tokens"]] == []


@pytest.mark.java
def test_stored_answers_are_what_the_java_tool_gives_today(java: str) -> None:
    assert MAKER.alone([case["caption"] for case in CASES]) == [case["tokens"] for case in CASES]


@pytest.mark.java
def test_hard_text_agrees_with_java(java: str) -> None:
    text = hard_text(seed=20, lines=20_000)
    expected = MAKER.alone(text)
    different = [(line, tokens) for line, tokens in zip(text, expected, strict=True) if tokenize(line) != tokens]
    assert different == []


@pytest.mark.java
def test_the_last_sigma_of_a_hyphenated_part_is_the_one_known_difference(java: str) -> None:
    """Java and Python do not agree on where a word ends when they lower a capital sigma; docs/metrics/captions.md lists it."""
    assert MAKER.alone(["ΣΑΣ-x", "ΣΑΣ"]) == [["σασ-x"], ["σας"]]
    assert tokenize_all(["ΣΑΣ-x", "ΣΑΣ"]) == [["σας-x"], ["σας"]]


@pytest.mark.java
@pytest.mark.slow
def test_every_character_of_the_basic_plane_has_the_class_that_java_gives_it(java: str) -> None:
    for name, found in MAKER.character_classes().items():
        assert MAKER.as_ranges(found).split() == getattr(characters, name).split(), name


@pytest.mark.java
@pytest.mark.data
def test_all_captions_of_val2017_agree_with_pycocoevalcap(java: str, shared_data: Path) -> None:
    content = json.loads((shared_data / "captions" / "captions_val2017.json").read_text())
    captions = [annotation["caption"].replace("\n", " ") for annotation in content["annotations"]]
    assert len(captions) == 25_014
    expected = MAKER.reference_tokens(captions)
    ours = tokenize_all(captions)
    different = [caption for caption, a, b in zip(captions, ours, expected, strict=True) if a != b]
    assert len(different) <= len(captions) // 10_000
    # Whatever differs does so because the Java tool reads on into the next line: told that line, we agree on all of them.
    following = [*captions[1:], ""]
    assert [tokenize(caption, after) for caption, after in zip(captions, following, strict=True)] == expected


@pytest.mark.java
@pytest.mark.data
def test_cider_of_val2017_does_not_move(java: str, shared_data: Path) -> None:
    content = json.loads((shared_data / "captions" / "captions_val2017.json").read_text())
    captions: dict[str, list[str]] = {}
    for annotation in content["annotations"]:
        captions.setdefault(str(annotation["image_id"]), []).append(annotation["caption"].replace("\n", " "))
    flat = [caption for group in captions.values() for caption in group]
    figures = []
    for tokens in (tokenize_all(flat), MAKER.reference_tokens(flat)):
        supply = iter(tokens)
        grouped = {name: [next(supply) for _ in group] for name, group in captions.items()}
        references = {name: group[1:] for name, group in grouped.items()}
        scores = score_tokens(references, {name: group[0] for name, group in grouped.items()})
        figures.append(scores.metrics["cider_d"])
    assert figures[0] == pytest.approx(figures[1], abs=0.0005)


@pytest.mark.parametrize("separator", LINE_SEPARATORS)
def test_a_line_separator_is_a_space(separator: str) -> None:
    assert tokenize(f"A man{separator}rides a horse.{separator}") == ["a", "man", "rides", "a", "horse"]
    assert tokenize_all([f"one{separator}two", "three"]) == [["one", "two"], ["three"]]


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=6), st.sampled_from(LINE_SEPARATORS), st.data())
def test_separators_anywhere_do_what_spaces_do(pieces: list[str], separator: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(pieces)))
    before, after = " ".join(pieces[:place]), " ".join(pieces[place:])
    assert tokenize(before + separator + after) == tokenize(before + " " + after)


def test_remembered_chunks_give_what_reading_the_whole_caption_gives() -> None:
    """Tokens made chunk by chunk, from the cache, are those of one scan over the caption."""
    for line in hard_text(seed=21, lines=20_000):
        assert tokenize(line) == tokenize(line, following="A"), line


def test_a_full_cache_starts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = hard_text(seed=22, lines=500)
    expected = tokenize_all(lines)
    monkeypatch.setattr(tokenizer, "_CACHE_LIMIT", 3)
    monkeypatch.setattr(tokenizer, "_inner_chunks", tokenizer._InnerChunks())
    monkeypatch.setattr(tokenizer, "_last_chunks", tokenizer._LastChunks())
    assert tokenize_all(lines) == expected
    # Between two captions it never holds more than the limit and one caption's chunks.
    assert len(tokenizer._inner_chunks) < 50


def test_brackets_stay_in_their_spelling_as_in_pycocoevalcap() -> None:
    assert tokenize("A cat (black) [x].") == ["a", "cat", "-lrb-", "black", "-rrb-", "-lsb-", "x", "-rsb-"]


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_text_has_tokens_without_line_separators_or_plain_spaces(text: str) -> None:
    for token in tokenize(text):
        assert token
        assert not set(token) & set(" \n\r\t\x0b\x0c\u2028\u2029")


def test_halves_of_a_surrogate_pair_do_not_stop_it() -> None:
    assert tokenize("a \ud83d b") == ["a", "b"]
    assert tokenize("x\U0001f600y z") == ["x", "y", "z"]


@pytest.mark.parametrize(
    "unit", ["a,", "a@", "<!a", "<a x='", "a'", "n't", "&lt;a", "(1", "1 1/2 ", ". ", "B. ", "é,", "a.b-"]
)
def test_no_text_within_the_limit_takes_long(unit: str) -> None:
    """Captions come from strangers: the longest one that is scored must not keep a machine busy."""
    caption = (unit * LONGEST_CAPTION)[:LONGEST_CAPTION]
    before = time.process_time()
    tokenize(caption)
    assert time.process_time() - before < 5
