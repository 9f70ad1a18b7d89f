"""Each filter alone: a label that it must refuse, one beside it that it must let pass, and any text at all.

What is right is what the rule of docs/filters.md says; foreign sentences are article 1 of the Universal Declaration of Human
Rights in the United Nations' translations; false alarms are counted on captions that people wrote for COCO.
"""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmud.annotations.filters.base import FILTERS, Action, Filter, FilterSettings, Label, Reason, Tools
from mmud.annotations.filters.blind import agreement, answering_words
from mmud.annotations.filters.codes import NOT_ENGLISH, TOO_SHORT
from mmud.annotations.filters.repetition import repeated_share
from mmud.annotations.filters.screening import Screening, Verdict, labels_of, without
from mmud.annotations.filters.settings import make_plan
from mmud.annotations.filters.subject import Subject
from mmud.dataset.filtered import filter_codes
from mmud.errors import MmudError
from mmud.records import MaskedObject, Sample
from mmud.registry import Entry

CAPTION = "A black dog lies on a green couch beside a woman who reads a newspaper in the evening light."
QUESTION = "Which animal could guard the house while the woman reads?"
ANSWER = "The black dog <LCL-1> could guard it."


def thing(category: str, *phrases: str, crowd: bool = False) -> MaskedObject:
    return MaskedObject(category=category, phrases=phrases, bbox=(0, 0, 10, 10), area=100, iscrowd=crowd)


OBJECTS = (thing("dog", "black dog"), thing("couch", "green couch"), thing("person", "woman with a newspaper"))


def sample(
    caption: str = CAPTION,
    question: str = QUESTION,
    answer: str = ANSWER,
    objects: Sequence[MaskedObject] = OBJECTS,
    sample_id: str = "s",
) -> Sample:
    return Sample(
        sample_id=sample_id,
        width=100,
        height=100,
        source="test",
        caption=caption,
        question=question,
        answer=answer,
        objects=tuple(objects),
    )


def screen(samples: Sequence[Sample], table: dict[str, Any] | None = None, tools: Tools = Tools()) -> list[Verdict]:  # noqa: B008
    """The verdicts of all filters, all of which refuse unless the table says otherwise."""
    plan = make_plan(table or {})
    chosen = {
        name: values
        if table and name in table
        else values.model_copy(
            update={key: Action.REFUSE for key in ("action", "caption_action") if hasattr(values, key)}
        )
        for name, values in plan.settings.items()
    }
    with Screening(chosen, frozenset(filter_codes()), tools) as screening:
        screening.survey(samples)
        return [verdict for _, verdict in screening.verdicts(samples)]


def codes_of(verdict: Verdict) -> set[tuple[str, str]]:
    return {(reason.code.id, reason.label.value) for _, reason in (*verdict.refused, *verdict.reported)}


VOCABULARY = sample("", "", "", (thing("cat"), thing("pizza"), thing("bicycle")), sample_id="other")
LONG = (
    "The dog likes a red couch, the dog sees a green couch, the dog smells a blue couch, the dog guards a gray couch,"
)
LOOP = "the dog sits on the couch and " * 12

CASES: list[tuple[str, dict[str, Any], set[tuple[str, str]]]] = [
    ("clean", {}, set()),
    ("empty labels are never spoken against", {"caption": "", "question": "", "answer": " "}, set()),
    ("short caption", {"caption": "A dog on a couch."}, {("MM470", "caption")}),
    ("short answer", {"answer": "Dog <LCL-1>"}, {("MM470", "pair")}),
    ("no content", {"caption": "There is the one that is there, and dog it is."}, {("MM471", "caption")}),
    (
        "not letters",
        {"caption": "dog couch 1234 5678 9012 3456 7890 -- !! ?? 0000 the of a is"},
        {("MM471", "caption")},
    ),
    ("in a row", {"caption": "A black dog dog dog dog dog lies on the green couch."}, {("MM472", "caption")}),
    ("loop", {"caption": LOOP}, {("MM472", "caption"), ("MM471", "caption")}),
    (
        "long and varied",
        {"caption": LONG + " then it sleeps beside the old couch for many hours in the quiet evening."},
        set(),
    ),
    ("refusal", {"answer": "I cannot see the image, but a dog <LCL-1> may guard it."}, {("MM473", "pair")}),
    ("talk", {"caption": "Sure! Here is a caption: a black dog lies on a green couch."}, {("MM473", "caption")}),
    ("marker", {"caption": "##Answer: a black dog lies on a green couch there."}, {("MM473", "caption")}),
    (
        "the answer is in the question",
        {"question": "Which dog is black?", "answer": "The black dog is.", "objects": ()},
        {("MM474", "pair")},
    ),
    (
        "about nothing here",
        {"question": "What is the capital of France?", "answer": "Paris is the capital city."},
        {("MM474", "pair"), ("MM475", "pair")},
    ),
    (
        "names nothing",
        {"caption": "An empty kitchen with clean white cabinets and a large window."},
        {("MM475", "caption")},
    ),
    (
        "names what is absent",
        {"caption": "A black dog lies on a couch and a kitten sleeps beside it there."},
        {("MM476", "caption")},
    ),
    ("denies what is absent", {"caption": "A black dog lies on a couch, and there is no kitten to be seen."}, set()),
    ("untagged", {"answer": "The dog <LCL-1> could guard it from the couch."}, {("MM477", "pair")}),
    ("tag behind another word", {"answer": "The dog <LCL-2> could guard it."}, {("MM478", "pair")}),
    ("number of tags", {"answer": "Three dogs <LCL-1> <LCL-2> could guard it."}, {("MM479", "pair")}),
    ("number of objects", {"caption": "Two black dogs lie on a green couch beside a woman."}, {("MM479", "caption")}),
    (
        "a crowd has any number",
        {
            "caption": "Five people sit with a black dog on a couch.",
            "objects": (*OBJECTS[:2], thing("person", crowd=True)),
        },
        set(),
    ),
    ("malformed tag", {"answer": "The dog <LCL-1> could guard <LCL 2> it."}, {("MM301", "pair")}),
    ("dangling tag", {"answer": "The dog <LCL-1> could guard it <LCL-9>."}, {("MM302", "pair")}),
]


@pytest.mark.parametrize(("changes", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_each_filter_alone(changes: dict[str, Any], expected: set[tuple[str, str]]) -> None:
    found = screen([sample(**changes), VOCABULARY])[0]
    assert codes_of(found) == expected


UDHR = {
    "Spanish": "Todos los seres humanos nacen libres e iguales en dignidad y derechos y, dotados como están de razón"
    " y conciencia, deben comportarse fraternalmente los unos con los otros.",
    "French": "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison et"
    " de conscience et doivent agir les uns envers les autres dans un esprit de fraternité.",
    "German": "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen "
    "begabt und sollen einander im Geist der Brüderlichkeit begegnen.",
    "Italian": "Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti. Essi sono dotati di ragione e "
    "di coscienza e devono agire gli uni verso gli altri in spirito di fratellanza.",
    "Portuguese": "Todos os seres humanos nascem livres e iguais em dignidade e em direitos. Dotados de razão e de "
    "consciência, devem agir uns para com os outros em espírito de fraternidade.",
    "Dutch": "Alle mensen worden vrij en gelijk in waardigheid en rechten geboren. Zij zijn begiftigd met verstand"
    " en geweten, en behoren zich jegens elkander in een geest van broederschap te gedragen.",
    "Russian": "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "Chinese": "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。",
    "Arabic": "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق.",
}


@pytest.mark.parametrize("text", UDHR.values(), ids=UDHR)
def test_other_languages(text: str) -> None:
    found = screen([sample(caption=text, question="", answer="", objects=())])[0]
    assert ("MM480", "caption") in codes_of(found)


def test_english_is_english() -> None:
    text = (
        "All human beings are born free and equal in dignity and rights. They are endowed with reason and conscience and should "
        "act towards one another in a spirit of brotherhood."
    )
    assert codes_of(screen([sample(caption=text, question="", answer="", objects=())])[0]) == set()


# -- duplicates -----------------------------------------------------------------------------------------------------------

NEARLY = CAPTION.replace("evening", "morning")


def test_the_first_by_id_keeps_its_label_whatever_the_order() -> None:
    samples = [
        sample(sample_id="b", question="", answer=""),
        sample(sample_id="a", question="", answer=""),
        sample(sample_id="c", caption=CAPTION.upper(), question="", answer=""),
        sample(
            sample_id="d",
            caption="A man in a red coat rides his bicycle through heavy rain.",
            question="",
            answer="",
            objects=(),
        ),
    ]
    expected = {"a": set(), "b": {("MM481", "caption")}, "c": {("MM481", "caption")}, "d": set()}
    for seed in range(4):
        random.Random(seed).shuffle(samples)
        found = {one.sample_id: codes_of(verdict) for one, verdict in zip(samples, screen(samples), strict=True)}
        assert found == expected


def _plain(one: Sample) -> list[str]:
    return one.caption.lower().replace(",", "").replace(".", "").split()


def test_near_duplicates() -> None:
    long = " ".join([CAPTION, "On the wall hangs an old map of a harbour, and a lamp stands near the door."])
    samples = [
        sample(sample_id="a", caption=long, question="", answer=""),
        sample(sample_id="b", caption=long.replace("harbour", "city"), question="", answer=""),
        sample(sample_id="c", caption=CAPTION, question="", answer=""),
    ]
    assert [codes_of(verdict) for verdict in screen(samples)] == [set(), {("MM482", "caption")}, set()]
    runs = [{tuple(words[place : place + 3]) for place in range(len(words) - 2)} for words in map(_plain, samples)]
    index = len(runs[0] & runs[1]) / len(runs[0] | runs[1])
    message = next(reason.message for _, reason in screen(samples)[1].refused)
    assert message == f"shared with sample a, {index:.2f} of their word runs"


@settings(max_examples=25, deadline=None)
@given(
    st.randoms(use_true_random=False), st.lists(st.sampled_from([CAPTION, NEARLY, LONG, LOOP, "A cat."]), max_size=8)
)
def test_the_order_of_samples_changes_nothing(draw: random.Random, captions: list[str]) -> None:
    samples = [sample(caption=text, sample_id=f"s{number}") for number, text in enumerate(captions)]
    before = {one.sample_id: verdict for one, verdict in zip(samples, screen(samples), strict=True)}
    draw.shuffle(samples)
    after = {one.sample_id: verdict for one, verdict in zip(samples, screen(samples), strict=True)}
    assert after == before


# -- answered without the image -------------------------------------------------------------------------------------------


class Parrot:
    """A model that knows the answers to some questions."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers
        self.prompts: list[str] = []

    def ask(self, prompt: str) -> str:
        self.prompts.append(prompt)
        return next((answer for question, answer in self.answers.items() if question in prompt), "UNKNOWN")


def test_a_model_that_answers_without_the_image() -> None:
    known = sample(question="What do dogs like to chew?", answer="They like to chew bones.", sample_id="known")
    seen = sample(sample_id="seen")
    parrot = Parrot({"chew": "Bones.", "guard": "A security guard could."})
    found = screen([known, seen], tools=Tools(parrot))
    assert ("MM474", "pair") in codes_of(found[0])
    assert ("MM474", "pair") not in codes_of(found[1])
    assert len(parrot.prompts) == 2
    assert all(CAPTION not in prompt and "<LCL" not in prompt for prompt in parrot.prompts)


@pytest.mark.parametrize(
    ("question", "answer", "guess", "expected"),
    [
        ("How many dogs are there?", "There are two dogs.", "2", 1.0),
        ("How many dogs are there?", "There are two dogs.", "Three dogs.", 0.0),
        ("Is it safe?", "Yes.", "Yes, it is safe.", 1.0),
        ("Is it safe?", "No.", "Yes.", 0.0),
        ("What is red?", "The red star.", "UNKNOWN", 0.0),
        ("What is red?", "The red star.", "I cannot see the image, perhaps a star.", 0.0),
        # Words that answer: {old, clock} and {clock}: F1 of 1 and 1/2.
        ("What hangs there?", "An old clock.", "A clock.", 2 / 3),
        ("What hangs there?", "An old clock.", "", 0.0),
    ],
)
def test_agreement_is_f1_of_the_words_that_answer(question: str, answer: str, guess: str, expected: float) -> None:
    assert agreement(question, answer, guess) == pytest.approx(expected)


def test_the_words_that_the_question_offers_are_no_answer() -> None:
    assert answering_words("Is the dog or the cat black?", "The dog is black and 3 are not.") == {"three"}


# -- measures, settings, properties ---------------------------------------------------------------------------------------


def test_repeated_share_by_hand() -> None:
    # "a b c d" comes again: 4 of 9 words stand in a run that came before.
    assert repeated_share(["a", "b", "c", "d", "e", "a", "b", "c", "d"], 4) == pytest.approx(4 / 9)
    assert repeated_share(["a", "b", "c", "d"], 4) == 0
    assert repeated_share(["a", "a", "a"], 4) == 0


def test_actions() -> None:
    short = sample(caption="A dog.")
    for action, refused, reported in (("refuse", 1, 0), ("report", 0, 1), ("off", 0, 0)):
        plan = make_plan({"short": {"action": action}})
        chosen = {"short": plan.settings["short"]} if action != "off" else {}
        with Screening(chosen, frozenset(["MM470"])) as screening:
            screening.survey([short])
            ((_, verdict),) = screening.verdicts([short])
        assert (len(verdict.refused), len(verdict.reported)) == (refused, reported)


def test_labels() -> None:
    assert labels_of(sample(caption=" ", answer="")) == (Label.PAIR,)
    emptied = without(sample(), [Label.PAIR])
    assert (emptied.caption, emptied.question, emptied.answer) == (CAPTION, "", "")


words = st.sampled_from(
    [
        "a",
        "the",
        "dog",
        "dogs",
        "two",
        "person",
        "man",
        "<LCL-1>",
        "<LCL-7>",
        "<LCL",
        "x",
        "##Answer:",
        "I",
        "cannot",
        "see",
        "no",
        ".",
        ",",
        "!",
        "é",
        "中",
        "12",
        "yes",
        "couch",
        "black",
        "und",
        "der",
    ]
)
anything = st.one_of(st.text(max_size=200), st.lists(words, max_size=40).map(" ".join))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(anything, anything, anything), min_size=1, max_size=4))
def test_any_text_gets_a_verdict(texts: list[tuple[str, str, str]]) -> None:
    samples = [sample(*fields, sample_id=f"s{number}") for number, fields in enumerate(texts)]
    for one, verdict in zip(samples, screen(samples), strict=True):
        assert verdict.refused_labels <= set(labels_of(one))
        for name, reason in (*verdict.refused, *verdict.reported):
            assert reason.code in FILTERS.get(name).codes
            assert "\n" not in reason.message


# -- people's captions ----------------------------------------------------------------------------------------------------


def human_captions(folder: Path) -> list[Sample]:
    """The captions of coco_mini one by one, each with the objects of its image."""
    instances = json.loads((folder / "mini_refcoco" / "instances.json").read_bytes())
    categories = {entry["id"]: entry["name"] for entry in instances["categories"]}
    samples = []
    for part in ("train2017", "val2017"):
        annotations = folder / "coco_mini" / "annotations"
        objects = defaultdict(list)
        for entry in json.loads((annotations / f"instances_{part}.json").read_bytes())["annotations"]:
            objects[entry["image_id"]].append(thing(categories[entry["category_id"]], crowd=bool(entry["iscrowd"])))
        samples += [
            sample(entry["caption"].strip(), "", "", objects[entry["image_id"]], str(entry["id"]))
            for entry in json.loads((annotations / f"captions_{part}.json").read_bytes())["annotations"]
        ]
    return samples


def test_false_alarms_on_captions_that_people_wrote(shared_data: Path) -> None:
    samples = human_captions(shared_data)
    counts: Counter[str] = Counter()
    for verdict in screen(samples):
        counts.update({code for code, _ in codes_of(verdict)})
    assert len(samples) == 795
    # docs/filters.md has the figures; a filter that refuses by default is wrong on at most 1 % of them.
    most = {"MM475": 0.09, "MM476": 0.04}
    for code in filter_codes():
        assert counts[code] / len(samples) <= most.get(code, 0.01), code


def test_by_default_hardly_any_caption_of_people_is_refused(shared_data: Path) -> None:
    samples = human_captions(shared_data)
    plan = make_plan({})
    with Screening(plan.settings, frozenset(filter_codes())) as screening:
        screening.survey(samples)
        refused = sum(bool(verdict.refused) for _, verdict in screening.verdicts(samples))
    assert refused / len(samples) <= 0.01


def test_degenerate_captions_are_all_refused(shared_data: Path) -> None:
    file = shared_data / "captions" / "captions_val2017_constant_aaa_results.json"
    samples = [
        sample(entry["caption"], "", "", (), str(entry["image_id"])) for entry in json.loads(file.read_bytes())[:300]
    ]
    assert all({("MM470", "caption"), ("MM471", "caption")} <= codes_of(verdict) for verdict in screen(samples))


# -- plug-ins -------------------------------------------------------------------------------------------------------------


class Stranger(Filter[FilterSettings]):
    """A filter of another package that fails, or gives a code that it did not announce."""

    name = "stranger"
    codes = (TOO_SHORT,)
    gives = TOO_SHORT
    fails = False

    def look(self, subject: Subject) -> Iterator[Reason]:
        if self.fails:
            raise KeyError("no such thing")
        yield Reason(self.gives, Label.CAPTION, "I do not like it")


@pytest.mark.parametrize(
    ("change", "said"), [({"fails": True}, "KeyError"), ({"gives": NOT_ENGLISH}, "MM480, which is not among its codes")]
)
def test_a_plugin_that_fails_is_named(monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], said: str) -> None:
    _install(monkeypatch)
    for key, value in change.items():
        monkeypatch.setattr(Stranger, key, value)
    with pytest.raises(MmudError, match=said) as caught:
        screen([sample()])
    assert caught.value.code.id == "MM005"
    assert "'stranger'" in caught.value.message


def test_a_plugin_takes_part(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch)
    (verdict,) = screen([sample()])
    assert [(name, reason.message) for name, reason in verdict.refused] == [("stranger", "I do not like it")]
    assert make_plan({"stranger": {"action": "report"}}).settings["stranger"].action is Action.REPORT


def _install(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Entry("stranger", f"{__name__}:Stranger", "strange-package")
    monkeypatch.setattr(FILTERS, "entries", [*FILTERS.entries, entry])
    monkeypatch.setattr(Entry, "load", _load(Entry.load))


def _load(usual: Callable[[Entry], Any]) -> Callable[[Entry], Any]:
    return lambda entry: Stranger if entry.name == "stranger" else usual(entry)
