"""Head, painters and their losses: properties of what is drawn, and that a few steps of learning draw a scene again."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from mmud.baselines.backbones import images  # noqa: E402
from mmud.baselines.backbones.image_scores import drawing_scores  # noqa: E402
from mmud.baselines.backbones.optimisers import make_muon  # noqa: E402
from mmud.baselines.backbones.painters import REACH, BackgroundPainter  # noqa: E402
from mmud.baselines.backbones.scene_code import IGNORED, centres, content_of, encode, sizes_of  # noqa: E402
from mmud.baselines.backbones.vision import build_vision_model, pixel_values  # noqa: E402
from mmud.baselines.backbones.world import held_out, tiny_world  # noqa: E402
from mmud.baselines.training.schedule import Budget  # noqa: E402
from mmud.baselines.training.trainer import TrainingConfig  # noqa: E402


@pytest.fixture(scope="module")
def scenes():
    return list(held_out(4))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return images.ImageAutoencoder().eval()


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return build_vision_model().eval().requires_grad_(False)


def test_an_object_changes_nothing_beyond_its_reach(model, scenes):
    content = content_of(scenes)
    whole = model.draw_content(content)
    row, slot = content.present.nonzero()[0].tolist()
    reach = REACH * float(model.diameters[content.words[row, slot, 3]]) * 128
    middle = centres(content)[row, slot] * 128
    content.words[row, slot] = IGNORED
    changed = (model.draw_content(content) != whole).any(-1)
    assert not changed[[other for other in range(4) if other != row]].any()
    ys, xs = changed[row].nonzero(as_tuple=True)
    assert len(xs)
    assert float((xs + 0.5 - middle[0]).abs().max()) <= reach + 1
    assert float((ys + 0.5 - middle[1]).abs().max()) <= reach + 1


def test_an_image_depends_on_its_own_feature_alone(model, scenes):
    features = encode(content_of(scenes), model.sizes)
    together = model.draw(features)
    assert together.shape == (4, 128, 128, 3)
    assert together.dtype == torch.uint8
    for row in range(4):
        assert torch.equal(model.draw(features[row : row + 1])[0], together[row])


def test_backgrounds_come_again_after_two_checks(scenes):
    torch.manual_seed(0)
    painter = BackgroundPainter(sizes_of(tiny_world()))
    torch.nn.init.normal_(painter.palette)
    content = content_of(scenes)
    given = (content.background, content.background_turns, content.starts)
    points = torch.rand(4, 50, 2)
    colors = painter(*given, points)
    assert colors.std() > 0.01
    torch.testing.assert_close(painter(*given, points + torch.tensor([0.25, 0.0])), colors, atol=1e-4, rtol=0)
    torch.testing.assert_close(painter(*given, points - torch.tensor([0.0, 0.25])), colors, atol=1e-4, rtol=0)


def test_the_losses_of_a_step_are_a_function_of_it(model, encoder, scenes):
    first = images.image_losses(model, encoder, scenes, 3)
    again = images.image_losses(model, encoder, scenes, 3)
    other = images.image_losses(model, encoder, scenes, 4)
    assert first["total"] == again["total"]
    assert first["reading"] == other["reading"]
    assert first["painting"] != other["painting"]


def test_states_are_those_of_the_first_layer_and_the_last(encoder, scenes):
    pixels = pixel_values([scene.image for scene in scenes])
    seen = []
    handles = [
        layer.register_forward_hook(lambda _, __, output: seen.append(output)) for layer in encoder_layers(encoder)
    ]
    first, last = images.patch_states(encoder, pixels)
    for handle in handles:
        handle.remove()
    outputs = [output[0] if isinstance(output, tuple) else output for output in seen]
    torch.testing.assert_close(first, outputs[0][:, 1:])
    torch.testing.assert_close(last, outputs[-1][:, 1:])


def encoder_layers(encoder):
    return next(module for name, module in encoder.named_modules() if name.endswith("layers"))


def test_a_scene_is_learnt_by_heart(encoder, scenes):
    """Both losses fall to a fraction, and the scene drawn from its feature is nearer to the image than a mean colour is."""
    torch.manual_seed(0)
    model = images.ImageAutoencoder()
    matrices = [weight for name, weight in model.named_parameters() if "layers." in name and weight.ndim == 2]
    chosen = {id(weight) for weight in matrices}
    rest = [weight for weight in model.parameters() if id(weight) not in chosen]
    config = TrainingConfig(Budget(steps=60), {"rest": 5e-3, "hidden": 0.02}, weight_decay=0.0)
    optimiser = make_muon(config, {"rest": rest, "hidden": matrices})
    start = images.image_losses(model, encoder, scenes[:1], 0)
    for step in range(60):
        optimiser.zero_grad()
        losses = images.image_losses(model, encoder, scenes[:1], step)
        losses["total"].backward()
        optimiser.step()
    assert losses["reading"] < 0.1 * start["reading"]
    assert losses["painting"] < 0.4 * start["painting"]
    scores = drawing_scores(model.eval(), encoder, [scenes[0]] * 3)
    assert scores["true images: all words"] == 1
    pixels = torch.from_numpy(scenes[0].image).float() / 255
    plain = float((pixels - pixels.mean((0, 1))).abs().mean())
    assert scores["drawn: pixel error"] < 0.7 * plain
