"""Every text is true of its scene: read back by an independent reader (scenes_reader.py, scenes_questions.py)."""

from __future__ import annotations

import re
from collections import Counter

import pytest
import scenes_questions as questions
import scenes_reader as reader
from scenes_reader import Reading

from mmud.dataset.sources.scenes.config import ScenesConfig, preset
from mmud.dataset.sources.scenes.facts import Fact
from mmud.dataset.sources.scenes.language.questions import MAKERS
from mmud.dataset.sources.scenes.language.statements import statement
from mmud.dataset.sources.scenes.language.wording import Wording
from mmud.dataset.sources.scenes.stream import Stream
from mmud.dataset.sources.scenes.vocabulary import FAMILIES
from mmud.dataset.sources.scenes.world import Scene, generate

CONFIGS = {
    "easy": preset("easy", seed=11),
    "normal": ScenesConfig(seed=12),
    "hard": preset("hard", seed=13),
    "wide": ScenesConfig(seed=14, width=200, height=80, synonyms=0.5, min_objects=3),
}
COUNT = 80


@pytest.fixture(scope="module", params=sorted(CONFIGS))
def scenes(request: pytest.FixtureRequest) -> list[tuple[Scene, Reading]]:
    made = [generate(CONFIGS[request.param], index) for index in range(COUNT)]
    return [(scene, reader.read_scene(scene)) for scene in made]


def test_every_phrase_singles_out_its_object(scenes: list[tuple[Scene, Reading]]) -> None:
    for scene, view in scenes:
        assert len(scene.phrases) == len(scene.objects)
        for index, phrases in enumerate(scene.phrases, start=1):
            for phrase in phrases:
                assert reader.find(view, phrase) == {index}, (scene.sample_id, phrase)


def test_phrases_of_an_object_differ_and_keep_to_their_number(scenes: list[tuple[Scene, Reading]]) -> None:
    for scene, _ in scenes:
        for phrases in scene.phrases:
            assert scene.config.min_phrases <= len(phrases) <= scene.config.max_phrases
            assert len(set(phrases)) == len(phrases)
        flat = [phrase for phrases in scene.phrases for phrase in phrases]
        assert len(set(flat)) == len(flat), "a phrase that two objects share cannot single out either"


def test_phrases_hold_no_mark_that_the_official_loader_drops_a_sample_for(scenes: list[tuple[Scene, Reading]]) -> None:
    # The list is the official training code's (method.md, section 2).
    for scene, _ in scenes:
        for phrases in scene.phrases:
            assert not set("".join(phrases)) & set(",.:?!\"'#@$%/\\&^*")


def check_answer(scene: Scene, view: Reading, family: str, text: str, answer: str, targets: tuple[int, ...]) -> None:
    wanted = questions.expected(view, family, text)
    said = reader.tags(answer)
    place = (scene.sample_id, family, text, answer)
    assert set(said) == wanted.objects, place
    assert tuple(said) == targets
    assert len(said) == len(set(said))
    assert 1 <= len(said) <= scene.config.max_targets
    for name, index in reader.named(answer):
        assert reader.find(view, name) == {index}, place
    rest = re.sub(r" <LCL-\d+>", "", answer).lower()
    if wanted.word is not None:
        kind, _, value = wanted.word.partition("=")
        lead = rest.split(":")[0] if ":" in rest else rest
        if kind == "count":
            # The number comes after the objects; what is said before it must not hold one.
            names, _, end = answer.lower().rpartition("<lcl-")
            number = f" {list(reader.NUMBERS)[int(value)]}"
            assert re.search(rf"{number}\b", end), place
            assert not re.search(rf"{number}\b", names), place
        elif kind == "size":
            assert any(re.search(rf"\b{word}\b", lead) for word in questions.SIZE_WORDS[int(value)]), place
        else:
            known = questions.KNOWN[kind]
            assert any(re.search(rf"\b{word}\b", lead) for word in known if known[word] == value), place


def test_every_answer_is_true_and_complete(scenes: list[tuple[Scene, Reading]]) -> None:
    for scene, view in scenes:
        asked = [scene.question, *scene.more_questions(6)]
        for question in asked:
            check_answer(scene, view, question.family, question.text, question.answer, question.targets)


def test_rewording_changes_texts_and_keeps_them_true(scenes: list[tuple[Scene, Reading]]) -> None:
    changed = 0
    for scene, view in scenes[:40]:
        other = scene.reworded(1)
        changed += other.caption != scene.caption
        assert (other.owner == scene.owner).all()
        assert scene.reworded(0).caption == scene.caption
        question = other.question
        check_answer(scene, view, question.family, question.text, question.answer, question.targets)
        for index, phrases in enumerate(other.phrases, start=1):
            assert all(reader.find(view, phrase) == {index} for phrase in phrases)
    assert changed > 30


def test_every_family_is_asked_in_several_ways_and_each_way_is_read() -> None:
    config = ScenesConfig(seed=21, synonyms=0.3)
    seen: dict[str, set[str]] = {family: set() for family in FAMILIES}
    for index in range(60):
        scene = generate(config, index)
        view = reader.read_scene(scene)
        for question in scene.more_questions(40):
            check_answer(scene, view, question.family, question.text, question.answer, question.targets)
            for family, pattern, _ in questions._RULES:
                text = question.text[0].lower() + question.text[1:]
                if family == question.family and pattern.fullmatch(text):
                    seen[family].add(pattern.pattern)
                    break
    assert len(FAMILIES) >= 12
    assert set(MAKERS) == set(FAMILIES)
    assert {family: len(ways) for family, ways in seen.items() if len(ways) < 3} == {}


_CELL = r"in the (top left|top centre|top right|middle left|centre|middle right|bottom left|bottom centre|bottom right)"


def exact_cell(view: Reading, index: int) -> str:
    column = ["left", "centre", "right"][min(2, int(3 * view.x[index - 1] / view.width))]
    row = ["top", "middle", "bottom"][min(2, int(3 * view.y[index - 1] / view.height))]
    return "centre" if (row, column) == ("middle", "centre") else f"{row} {column}"


def near_cell_edge(view: Reading, index: int) -> bool:
    """Within the world's sixteenths of a pixel of a cell's edge, where floating point may round to the other side."""
    return any(
        abs(value - side * third / 3) < 0.1
        for value, side in ((view.x[index - 1], view.width), (view.y[index - 1], view.height))
        for third in (1, 2)
    )


def check_described(view: Reading, described: list[tuple[str, str]]) -> None:
    """Each object is described once, with all four attributes, in its own cell."""
    seen = set()
    for thing, cell in described:
        words = re.sub(r"^an? ", "", thing)
        wanted, rest = reader._head(words)
        assert set(wanted) == {"size", "color", "texture", "shape"}, thing
        assert rest == ""
        (index,) = reader.fitting(view, wanted)
        assert exact_cell(view, index) == cell or near_cell_edge(view, index)
        seen.add(index)
    assert seen == view.everything
    assert len(described) == len(view.everything)


def check_claim(view: Reading, words: str) -> None:
    """ "the X is left of the Y", "the X is the leftmost object", "three of the objects are red"."""
    group = re.fullmatch(r"(\w+) of the objects are (\S.*)", words)
    if group:
        value = group[2]
        found = reader.kind(view, value) if value in reader.NOUNS else reader.kind(view, f"{value} objects")
        assert len(found) == reader.NUMBERS[group[1]], words
        return
    subject, _, claim = words.partition(" is ")
    index = reader.only(view, subject)
    if claim.startswith("the "):
        assert index in reader.find(view, claim), words
        return
    assert index in reader.narrowed(view, {index}, claim), words


def test_every_caption_is_true_and_names_every_object(scenes: list[tuple[Scene, Reading]]) -> None:
    for scene, view in scenes:
        sentences = [text.strip() for text in scene.caption.split(".") if text.strip()]
        opening = sentences[0].lower()
        # No number: a caption shows how many objects there are by naming each.
        assert re.search(r"\bobjects\b", opening)
        assert not re.search(rf"\b({'|'.join(reader.NUMBERS)})\b", opening)
        assert f"{scene.background.pattern} {scene.background.tint} background" in opening
        described, claims = [], []
        for text in sentences[1:]:
            words = text[0].lower() + text[1:]
            thing = r"(an? (?:(?! is | and | in the ).)+)"
            for pattern in (
                rf"there is {thing} {_CELL} and {thing} {_CELL}",
                rf"{thing} is {_CELL} and {thing} is {_CELL}",
                rf"there is {thing} {_CELL}",
                rf"{thing} is {_CELL}",
            ):
                match = re.fullmatch(pattern, words)
                if match:
                    parts = match.groups()
                    described += list(zip(parts[::2], parts[1::2], strict=True))
                    break
            else:
                turned = re.fullmatch(rf"{_CELL} is {thing}", words)
                if turned:
                    described.append((turned[2], turned[1]))
                else:
                    claims.append(words)
        check_described(view, described)
        assert len(claims) >= 2 or len(view.everything) < 3, "relations belong into a caption"
        assert len(set(claims)) == len(claims)
        for claim in claims:
            check_claim(view, claim)


def test_every_fact_is_true(scenes: list[tuple[Scene, Reading]]) -> None:
    for scene, view in scenes[:40]:
        wording = Wording(scene.view, Stream("statements"), 0.3)
        for fact in scene.facts:
            text = statement(fact, wording)
            words = text[0].lower() + text[1:].rstrip(".")
            check_fact(scene, view, fact, words)


def check_fact(scene: Scene, view: Reading, fact: Fact, words: str) -> None:
    subject, predicate, value = fact
    if subject == 0:
        expected = {
            "count": f"there are {list(reader.NUMBERS)[len(scene.objects)]} objects",
            "pattern": f"the background is {scene.background.pattern}",
            "tint": f"the colour of the background is {scene.background.tint}",
        }
        assert words == expected[predicate]
        return
    attribute = re.fullmatch(r"the (colour|pattern|size|shape) of (the .+) is (.+)", words)
    if attribute:
        name = questions.WORD_OF[attribute[1]]
        index = reader.only(view, attribute[2])
        known = reader.SIZES if name == "size" else questions.KNOWN[name]
        assert index == subject
        assert known[attribute[3]] == view.value(index, name)
    elif predicate == "cell":
        assert exact_cell(view, subject) == value or near_cell_edge(view, subject)
        assert words.endswith(f" is in the {value}")
    elif predicate == "nearest":
        name, _, other = words.partition(" is the nearest object to ")
        assert reader.only(view, name) == subject
        assert reader.by_distance(view, reader.only(view, other), view.everything, farthest=False) == {subject}
    else:
        assert reader.only(view, words.partition(" is ")[0]) == subject
        check_claim(view, words)


def test_relations_among_the_facts_are_complete_where_clear() -> None:
    """Whatever differs by much is among the facts: a reader without margins that doubles them finds nothing else."""
    for index in range(30):
        scene = generate(ScenesConfig(seed=31), index)
        view = reader.read_scene(scene)
        facts = set(scene.facts)
        for first in view.everything:
            for second in view.everything - {first}:
                if view.x[second - 1] - view.x[first - 1] > 0.17 * view.width:
                    assert Fact(first, "left", second) in facts
                    assert Fact(second, "right", first) in facts
                if view.covered[first - 1][second - 1] > 0.1:
                    assert Fact(first, "front", second) in facts
                if view.value(first, "size") > view.value(second, "size"):  # type: ignore[operator]
                    assert Fact(first, "larger", second) in facts


def test_attributes_of_objects_differ() -> None:
    for index in range(200):
        scene = generate(preset("hard", seed=5), index)
        looks = Counter((thing.size, thing.color, thing.texture, thing.shape) for thing in scene.objects)
        assert max(looks.values()) == 1
