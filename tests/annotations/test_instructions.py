"""Task instances and their phrasings, on scenes and on the odd samples that real sources hold."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmud.annotations import tags
from mmud.annotations.instructions import InstanceReport, load_templates, task_instances
from mmud.annotations.instructions.templates import SLOTS
from mmud.annotations.masks import Mask
from mmud.dataset.sources.scenes import ScenesConfig, generate
from mmud.dataset.sources.scenes.source import sample_of
from mmud.records import MaskedObject, Sample, Task

MASK = Mask.full(4, 5).to_record()


def item(*phrases: str, masked: bool = True, category: str = "") -> MaskedObject:
    return MaskedObject(phrases=phrases, segmentation=MASK if masked else None, category=category)


def sample(objects: tuple[MaskedObject, ...] = (), **texts: str) -> Sample:
    return Sample(sample_id="one", width=5, height=4, source="test", objects=objects, **texts)


def many(count: int) -> tuple[MaskedObject, ...]:
    return tuple(item(f"thing {number}") for number in range(1, count + 1))


# -- phrasings -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", Task)
def test_phrasings_are_many_and_never_shared(task: Task) -> None:
    templates = load_templates()
    train, test = templates[task, "train"], templates[task, "test"]
    prompt_slot, answer_slot = SLOTS[task]
    assert len(set(train.prompts)) == len(train.prompts) >= 20
    assert len(test.prompts) >= 5
    assert not set(train.prompts) & set(test.prompts)
    own_answers = task in (Task.REFERRING_SEGMENTATION, Task.GENERATION)
    if own_answers:
        assert len(set(train.answers)) == len(train.answers) >= 20
        assert not set(train.answers) & set(test.answers)
    for phrasings in (train, test):
        for prompt in phrasings.prompts:
            assert prompt.count("{") == (0 if prompt_slot is None else prompt.count(prompt_slot)) <= 1
            assert prompt_slot is None or prompt.count(prompt_slot) == 1
        for answer in phrasings.answers:
            assert answer.count(answer_slot) == 1
            assert own_answers or answer == answer_slot


# -- the tasks -----------------------------------------------------------------------------------------------------------


def one(made: list[Any]) -> Any:
    (instance,) = made
    return instance


def test_referring_names_each_phrase_before_its_tag() -> None:
    asked = sample((item("the red star", "star"), item("a ring")))
    named = one(task_instances(asked, Task.REFERRING_SEGMENTATION, tag_limit=5))
    assert named.prompt == "Find these in the image: the red star, a ring."
    assert named.answer == "the red star <LCL-1>, a ring <LCL-2>."
    assert named.wanted == (0, 1)
    bare = one(task_instances(asked, Task.REFERRING_SEGMENTATION, tag_limit=5, naming="none"))
    assert bare.answer == "<LCL-1>, <LCL-2>."
    several = sample((item("the red star", "the largest thing"),))
    for seed in range(8):
        called = one(
            task_instances(several, Task.REFERRING_SEGMENTATION, tag_limit=5, naming="first", rng=random.Random(seed))
        )
        assert "the red star <LCL-1>" in called.answer
    unknown = one(task_instances(asked, Task.REFERRING_SEGMENTATION, tag_limit=5, with_answer=False))
    assert (unknown.prompt, unknown.answer, unknown.wanted) == (named.prompt, None, (0, 1))


def test_reasoning_renumbers_and_keeps_or_appends() -> None:
    asked = sample(
        many(4),
        question="What rolls?",
        answer="The ball <OBJ-4> rolls, as does the ring <LCL-2>. The ball <LCL-4> is red.",
    )
    kept = one(task_instances(asked, Task.REASONING_SEGMENTATION, tag_limit=5))
    assert kept.prompt == "What rolls?"
    assert kept.answer == "The ball <LCL-1> rolls, as does the ring <LCL-2>. The ball <LCL-1> is red."
    assert kept.wanted == (3, 1)
    appended = one(task_instances(asked, Task.REASONING_SEGMENTATION, tag_limit=5, places="appended"))
    assert appended.answer == "The ball rolls, as does the ring. The ball is red. <LCL-1> <LCL-2>"
    assert appended.wanted == (3, 1)


def test_captioning_and_generation() -> None:
    asked = sample(caption="A  star <LCL-1>\nshines. <GLB>")
    caption = one(task_instances(asked, Task.CAPTIONING, tag_limit=5))
    assert (caption.prompt, caption.answer, caption.needs_image) == ("Describe the image.", "A star shines.", True)
    drawn = one(task_instances(asked, Task.GENERATION, tag_limit=5))
    assert (drawn.prompt, drawn.answer, drawn.needs_image) == ("Draw this: A star shines.", "<GLB>", False)


def test_more_objects_than_tags_make_several_instances() -> None:
    report = InstanceReport()
    parts = task_instances(sample(many(6)), Task.REFERRING_SEGMENTATION, tag_limit=5, report=report)
    assert [part.wanted for part in parts] == [(0, 1, 2), (3, 4, 5)]
    assert [(part.part, part.parts) for part in parts] == [(0, 2), (1, 2)]
    assert parts[1].answer == "thing 4 <LCL-1>, thing 5 <LCL-2>, thing 6 <LCL-3>."
    asked = sample(many(3), question="Which?", answer="One <LCL-3>, two <LCL-1>, three <LCL-2>x.")
    reasoned = task_instances(asked, Task.REASONING_SEGMENTATION, tag_limit=2, report=report)
    assert [part.wanted for part in reasoned] == [(2,), (0, 1)]
    assert [part.answer for part in reasoned] == ["One <LCL-1>, two, three x.", "One, two <LCL-1>, three <LCL-2>x."]
    assert report.split == {"referring_segmentation": 1, "reasoning_segmentation": 1}


def test_what_cannot_be_asked_is_counted() -> None:
    report = InstanceReport()
    settings: dict[str, Any] = {"tag_limit": 5, "report": report}
    objects = (item("a", masked=False), item(), item(category="dog"), item(" , "))
    made = one(task_instances(sample(objects), Task.REFERRING_SEGMENTATION, **settings))
    assert (made.wanted, made.answer) == ((2,), "dog <LCL-1>.")
    for task in Task:
        assert task_instances(sample(), task, **settings) == []
    assert task_instances(sample(question="Q?", answer=" <LCL-1> "), Task.REASONING_SEGMENTATION, **settings) == []
    odd = sample((item("a", masked=False),), question="Q?", answer="An a <LCL-1> and b <LCL-2>, <LCL-0>.")
    plain = one(task_instances(odd, Task.REASONING_SEGMENTATION, **settings))
    assert (plain.wanted, plain.answer) == ((), "An a and b,.")
    assert report.to_dict()["left_out"] == {
        "captioning: samples without a caption": 1,
        "generation: samples without a caption": 1,
        "reasoning_segmentation: samples without a question": 1,
        "reasoning_segmentation: samples without an answer": 1,
        "reasoning_segmentation: tags of no object": 2,
        "reasoning_segmentation: tags of objects without a mask": 1,
        "referring_segmentation: objects without a mask": 1,
        "referring_segmentation: objects without a phrase": 2,
        "referring_segmentation: samples without objects": 1,
    }
    # Where the answer is to be predicted no label is there to be missed.
    asked = one(
        task_instances(sample((item("a", masked=False),)), Task.REFERRING_SEGMENTATION, tag_limit=5, with_answer=False)
    )
    assert asked.wanted == (0,)
    assert one(task_instances(sample(), Task.CAPTIONING, tag_limit=5, with_answer=False)).answer is None
    with pytest.raises(ValueError):
        task_instances(sample(), Task.CAPTIONING, tag_limit=0)


def test_commas_and_tags_inside_a_phrase_do_not_part_it() -> None:
    made = one(task_instances(sample((item("man, <LCL-3> left."),)), Task.REFERRING_SEGMENTATION, tag_limit=5))
    assert made.answer == "man left <LCL-1>."


# -- properties ----------------------------------------------------------------------------------------------------------

TEXT = st.lists(
    st.sampled_from(["the dog", "a ring", ",", ".", "runs", "x"]) | st.integers(0, 9).map(lambda n: f"<LCL-{n}>"),
    max_size=14,
).map(" ".join)


@settings(deadline=None)
@given(
    answer=TEXT, objects=st.integers(0, 8), limit=st.integers(1, 5), places=st.sampled_from(["in_place", "appended"])
)
def test_tags_and_wanted_objects_go_together(answer: str, objects: int, limit: int, places: Any) -> None:
    asked = sample(many(objects), question="Which?", answer=answer)
    made = task_instances(asked, Task.REASONING_SEGMENTATION, tag_limit=limit, places=places)
    wanted = []
    for instance in made:
        assert instance.answer is not None
        assert tags.indices(instance.answer) == list(range(1, len(instance.wanted) + 1))
        assert len(instance.wanted) <= limit
        assert tags.remove(instance.answer).split() == tags.remove(answer).split()
        wanted += instance.wanted
    if tags.remove(answer).strip():
        assert wanted == [number - 1 for number in tags.indices(answer) if 1 <= number <= objects]


def test_scenes_give_all_tasks_and_draws_repeat() -> None:
    scenes = [sample_of(generate(ScenesConfig(seed=1, width=64, height=64), number)) for number in range(6)]

    def drawn(seed: int) -> list[Any]:
        rng = random.Random(seed)
        return [made for scene in scenes for task in Task for made in task_instances(scene, task, tag_limit=5, rng=rng)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert set(Counter(made.task for made in drawn(3))) == set(Task)
    for scene in scenes:
        parts = task_instances(scene, Task.REFERRING_SEGMENTATION, tag_limit=3, rng=random.Random(0))
        assert sorted(number for part in parts for number in part.wanted) == list(range(len(scene.objects)))
        for part in parts:
            phrases = [phrase.strip(" .") for phrase in tags.remove(part.answer or "").split(",")]
            for number, phrase in zip(part.wanted, phrases, strict=True):
                assert any(phrase.endswith(own) for own in scene.objects[number].phrases)
