"""The feature of the small image decoder. Expectations come from the world: its masks, its predicates, its pixels."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from mmud.baselines.backbones import scene_code  # noqa: E402
from mmud.baselines.backbones.image_scores import agreement, spoilt  # noqa: E402
from mmud.baselines.backbones.world import held_out, tiny_world  # noqa: E402
from mmud.dataset.sources.scenes.drawing import paint  # noqa: E402
from mmud.dataset.sources.scenes.vocabulary import CELLS  # noqa: E402

SIZES = scene_code.sizes_of(tiny_world())


@pytest.fixture(scope="module")
def scenes():
    return list(held_out(120))


@pytest.fixture(scope="module")
def content(scenes):
    return scene_code.content_of(scenes)


def test_a_slot_lies_in_the_cell_that_captions_name_and_its_centre_is_the_masks(scenes, content):
    centres = scene_code.centres(content)
    for row, scene in enumerate(scenes):
        found = {}
        for slot in content.present[row].nonzero()[:, 0].tolist():
            number = int(content.numbers[row, slot])
            thing = scene.objects[number - 1]
            assert scene.view.cell(number) == CELLS[slot % 9]
            ys, xs = np.nonzero(scene.mask(number))
            middle = centres[row, slot].numpy() * 128
            np.testing.assert_allclose(middle, [xs.mean() + 0.5, ys.mean() + 0.5], atol=1 / 16)
            words = dict(zip(scene_code.WORDS, content.words[row, slot].tolist(), strict=True))
            assert scene.config.colors[words["color"]] == thing.color
            assert scene.config.shapes[words["shape"]] == thing.shape
            assert scene.config.textures[words["texture"]] == thing.texture
            assert scene.config.sizes[words["size"]] == thing.size
            found[number] = slot
        crowded = [sum(scene.view.cell(other) == cell for other in scene.view.all) for cell in CELLS]
        if max(crowded) <= 2:
            assert len(found) == len(scene.objects) or len(
                {(o.color, o.shape, o.texture, o.size) for o in scene.objects}
            ) < len(scene.objects)


def test_what_is_encoded_is_decoded(content):
    code = scene_code.encode(content, SIZES)
    assert code.shape == (120, SIZES.total)
    found = scene_code.decode(code, SIZES)
    assert torch.equal(found.words, content.words)
    assert torch.equal(found.background, content.background)
    assert torch.equal(found.turns, content.turns)
    assert torch.equal(found.background_turns, content.background_turns)
    torch.testing.assert_close(found.offsets, content.offsets)
    torch.testing.assert_close(found.starts, content.starts, atol=1e-6, rtol=0)


def test_patterns_that_start_alike_are_alike(scenes, content):
    """Two backgrounds of one pattern, tint, turn and start have the same pixels, whatever their 64-bit phases."""
    seen: dict[tuple[object, ...], np.ndarray] = {}
    compared = 0
    for row, scene in enumerate(scenes):
        bare = paint(type(scene.layout)((), scene.layout.owner), scene.background, scene.config)
        key = (
            *content.background[row].tolist(),
            float(content.background_turns[row]),
            *content.starts[row].round(decimals=4).tolist(),
        )
        if key in seen:
            np.testing.assert_array_equal(seen[key], bare)
            compared += 1
        seen[key] = bare
    assert compared > 20


def test_noise_to_a_cosine_of_nine_tenths_leaves_the_words(content):
    code = scene_code.encode(content, SIZES)
    mean = code.mean(0)
    features = code - mean
    changed = spoilt(features, 0.9)
    cosines = torch.nn.functional.cosine_similarity(features, changed, dim=-1)
    torch.testing.assert_close(cosines, torch.full((120,), 0.9))
    scores = agreement(scene_code.decode(changed + mean, SIZES), content)
    assert scores["all words"] > 0.99
    assert scores["not there"] < 0.01
    assert scores["pattern"] == scores["tint"] == 1


def test_a_second_object_with_the_same_words_is_a_doubt_about_the_first(content):
    code = scene_code.encode(content, SIZES)
    slots = code[:, : scene_code.SLOTS * SIZES.slot].reshape(120, scene_code.SLOTS, SIZES.slot)
    alone = content.present[:, :9] & ~content.present[:, 9:]
    slots[:, 9:][alone] = slots[:, :9][alone]
    found = scene_code.decode(code, SIZES)
    assert torch.equal(found.words, content.words)


def test_agreement_counts_objects_words_and_what_is_not_there(content):
    assert set(agreement(content, content).values()) == {0.0, 1.0}
    changed = scene_code.decode(scene_code.encode(content, SIZES), SIZES)
    count = int(content.present.sum())
    first = content.present.nonzero()[0]
    changed.words[first[0], first[1], 1] = (changed.words[first[0], first[1], 1] + 1) % 8
    empty = (~content.present).nonzero()[0]
    changed.words[empty[0], empty[1]] = 0
    scores = agreement(changed, content)
    assert scores["found"] == scores["color"] == 1
    assert scores["shape"] == scores["all words"] == pytest.approx(1 - 1 / count)
    assert scores["not there"] == pytest.approx(1 / count)
