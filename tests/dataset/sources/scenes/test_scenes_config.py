"""Settings: presets, validation with codes, round trips; and properties of scenes over many settings."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import scenes_questions as questions
import scenes_reader as reader
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmud.dataset.sources.scenes import codes, generate, preset
from mmud.dataset.sources.scenes.config import PRESETS, ScenesConfig, config_from
from mmud.dataset.sources.scenes.vocabulary import COLORS, FAMILIES, SHAPES, SIZES, TEXTURES
from mmud.errors import Code, ExitCode, MmudError

BAD: list[tuple[dict[str, Any], Code]] = [
    ({"preset": "impossible"}, codes.UNKNOWN_SETTING),
    ({"colour": ("red",)}, codes.UNKNOWN_SETTING),
    ({"shapes": ("circle", "blob")}, codes.UNKNOWN_SETTING),
    ({"families": ("riddles",)}, codes.UNKNOWN_SETTING),
    ({"shapes": "circle,blob"}, codes.UNKNOWN_SETTING),
    ({"shapes": ()}, codes.SETTING_RANGE),
    ({"shapes": 3}, codes.SETTING_RANGE),
    ({"colors": [["red"]]}, codes.UNKNOWN_SETTING),
    ({"width": 8}, codes.SETTING_RANGE),
    ({"width": 5000}, codes.SETTING_RANGE),
    ({"height": 128.5}, codes.SETTING_RANGE),
    ({"height": True}, codes.SETTING_RANGE),
    ({"seed": -1}, codes.SETTING_RANGE),
    ({"seed": "one"}, codes.SETTING_RANGE),
    ({"overlap": 1.5}, codes.SETTING_RANGE),
    ({"overlap": float("nan")}, codes.SETTING_RANGE),
    ({"min_visible": 0.0}, codes.SETTING_RANGE),
    ({"antialias": 1}, codes.SETTING_RANGE),
    ({"min_objects": 6, "max_objects": 4}, codes.SETTING_RANGE),
    ({"min_objects": 1}, codes.SETTING_RANGE),
    ({"max_objects": 13}, codes.SETTING_RANGE),
    ({"min_phrases": 5}, codes.SETTING_RANGE),
    ({"valid_share": 0.7, "test_share": 0.6}, codes.SETTING_RANGE),
    (
        {"shapes": ("circle",), "colors": ("red", "blue"), "textures": ("plain",), "sizes": ("small",)},
        codes.VOCABULARY_TOO_SMALL,
    ),
    ({"sizes": ("large",), "max_objects": 12, "object_scale": 1.5}, codes.SCENE_TOO_CROWDED),
]


@pytest.mark.parametrize(("wrong", "code"), BAD, ids=[json.dumps(wrong, default=str) for wrong, _ in BAD])
def test_bad_settings_are_refused_with_their_code(wrong: dict[str, Any], code: Code) -> None:
    with pytest.raises(MmudError) as caught:
        config_from(wrong)
    assert caught.value.code is code
    assert caught.value.exit_code is ExitCode.USAGE
    assert caught.value.where.field is not None


def test_no_setting_escapes_validation() -> None:
    """Every setting refuses a value of the wrong type."""
    for name in (field.name for field in fields(ScenesConfig)):
        with pytest.raises(MmudError):
            ScenesConfig(**{name: {"not": "a value"}})


@pytest.mark.parametrize("index", [-1, 1.0, True, "0", None])
def test_scenes_are_counted_from_zero(index: Any) -> None:
    with pytest.raises(MmudError) as caught:
        generate(ScenesConfig(), index)
    assert caught.value.code is codes.NO_SUCH_SCENE


def test_families_that_nothing_fits_are_reported() -> None:
    # With two objects nothing can be between them.
    config = ScenesConfig(min_objects=2, max_objects=2, families=("between",))
    with pytest.raises(MmudError) as caught:
        generate(config, 0)
    assert caught.value.code is codes.NO_QUESTION
    assert caught.value.where.sample == "scenes-0-000000"


def test_presets_grow_harder() -> None:
    easy, normal, hard = (preset(name) for name in ("easy", "normal", "hard"))
    for name in ("max_objects", "overlap", "confusability", "clutter", "synonyms"):
        values = [getattr(config, name) for config in (easy, normal, hard)]
        assert values == sorted(values)
        assert values[0] < values[2]
    assert easy.min_visible > normal.min_visible > hard.min_visible
    assert normal == ScenesConfig()
    # What makes a phrase hard is measured too: how many other objects share two of an object's attributes.
    shared = [np.mean([_confusers(generate(config, index)) for index in range(60)]) for config in (easy, normal, hard)]
    assert shared[0] < shared[1] < shared[2]


def _confusers(scene: Any) -> float:
    names = ("color", "texture", "shape")
    pairs = [
        sum(getattr(one, name) == getattr(other, name) for name in names) >= 2
        for one in scene.objects
        for other in scene.objects
        if one.index < other.index
    ]
    return float(np.mean(pairs))


def test_settings_survive_a_round_trip_through_json() -> None:
    for name in PRESETS:
        config = preset(name, seed=7, width=90)
        assert config_from(json.loads(json.dumps(config.to_dict()))) == config


def test_a_list_of_words_may_be_one_text_and_in_any_order() -> None:
    config = config_from({"colors": "blue, red", "shapes": ["star", "circle"], "textures": ("dotted", "plain")})
    assert config.colors == ("red", "blue")
    assert config.shapes == ("circle", "star")
    assert config == config_from({"colors": ["red", "blue"], "shapes": "circle,star", "textures": ["plain", "dotted"]})


def test_only_allowed_words_appear() -> None:
    config = ScenesConfig(
        colors=("red", "blue"), shapes=("circle", "star", "ring"), textures=("plain", "striped"), synonyms=0.0
    )
    for index in range(40):
        scene = generate(config, index)
        assert {thing.color for thing in scene.objects} <= {"red", "blue"}
        text = " ".join([scene.caption, scene.question.answer, *(p for ps in scene.phrases for p in ps)])
        words = set(text.replace(".", " ").replace(",", " ").lower().split())
        assert not words & (set(COLORS) - {"red", "blue"} - {scene.background.tint})
        assert not words & {"square", "hexagon", "squares", "hexagons"}


words = lambda options, least: st.lists(st.sampled_from(options), min_size=least, unique=True).map(tuple)  # noqa: E731


@st.composite
def configs(draw: st.DrawFn) -> ScenesConfig:
    least = draw(st.integers(2, 6))
    return ScenesConfig(
        seed=draw(st.integers(0, 2**63 - 1)),
        width=draw(st.integers(48, 200)),
        height=draw(st.integers(48, 200)),
        min_objects=least,
        max_objects=draw(st.integers(least, 7)),
        overlap=draw(st.floats(0, 1)),
        min_visible=draw(st.floats(0.2, 1)),
        confusability=draw(st.floats(0, 1)),
        object_scale=draw(st.floats(0.6, 1.0)),
        max_tilt=draw(st.integers(0, 12)),
        clutter=draw(st.floats(0, 1)),
        antialias=draw(st.booleans()),
        synonyms=draw(st.floats(0, 1)),
        caption_words=draw(st.integers(20, 160)),
        max_targets=draw(st.integers(1, 6)),
        shapes=draw(words(SHAPES, 2)),
        colors=draw(words(tuple(COLORS), 4)),
        textures=draw(words(TEXTURES, 1)),
        sizes=draw(words(SIZES, 1).map(lambda sizes: ("small", *sizes))),
        families=draw(words(FAMILIES, 8)),
    )


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.data(), st.integers(0, 10**9))
def test_any_settings_give_true_scenes(data: st.DataObject, index: int) -> None:
    try:
        config = data.draw(configs())
    except MmudError as error:
        assert error.code in (codes.VOCABULARY_TOO_SMALL, codes.SCENE_TOO_CROWDED)
        return
    scene = generate(config, index)
    view = reader.read_scene(scene)
    assert config.min_objects <= len(scene.objects) <= config.max_objects
    assert scene.image.shape == (config.height, config.width, 3)
    for thing, phrases in zip(scene.objects, scene.phrases, strict=True):
        assert thing.area == scene.mask(thing.index).sum() >= config.min_visible * thing.full_area
        assert len(phrases) >= 2
        for phrase in phrases:
            assert reader.find(view, phrase) == {thing.index}, phrase
    question = scene.question
    assert question.family in config.families
    assert set(reader.tags(question.answer)) == questions.expected(view, question.family, question.text).objects
    assert len(question.targets) <= config.max_targets
