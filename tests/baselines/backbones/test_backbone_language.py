"""Documents, their embeddings and the gate. Expectations come from the world's own predicates, from transformers' greedy
decoding, and from properties: padding, order and interruption change nothing."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from mmud.baselines.backbones import language  # noqa: E402
from mmud.baselines.backbones.documents import GRID, Mixture, Writer, grid_shares  # noqa: E402
from mmud.baselines.backbones.optimisers import hidden_and_rest, make_muon  # noqa: E402
from mmud.baselines.backbones.tokenizer import build_tokenizer  # noqa: E402
from mmud.baselines.backbones.turns import PLACES, drill_turn, place_of  # noqa: E402
from mmud.baselines.backbones.world import held_out, tiny_world  # noqa: E402
from mmud.baselines.training.schedule import Budget  # noqa: E402
from mmud.baselines.training.trainer import Trainer, TrainingConfig  # noqa: E402
from mmud.dataset.sources.scenes.stream import Stream  # noqa: E402
from mmud.dataset.sources.scenes.world import generate  # noqa: E402


@pytest.fixture(scope="module")
def writer():
    return Writer(build_tokenizer())


@pytest.fixture
def model(writer):
    torch.manual_seed(0)
    return language.build_language_model(writer.tokenizer, num_hidden_layers=2)


def documents(writer, count=6):
    mixture = Mixture((1, 1, 1), 0.5, 0.3, 128)
    return [
        writer.write(scene, mixture, Stream("test", scene.index), ("records", "bags", "grid")[scene.index % 3])
        for scene in held_out(count)
    ]


def test_drills_name_what_the_scene_holds():
    """Every object that an answer names exists, and an attribute that is asked for is the object's own."""
    for scene in held_out(20):
        shapes = {thing.shape for thing in scene.objects}
        for number in range(12):
            turn = drill_turn(scene, Stream("drill", scene.index, number))
            if turn is None or "?" not in turn.question:
                continue
            words = {word.strip(".,").rstrip("s") for word in turn.answer.lower().split()}
            named = words & {"circle", "square", "triangle", "star", "heart", "ring", "cross", "crescent"}
            assert named <= {shape.rstrip("s") for shape in shapes} | shapes, (turn, shapes)


def test_a_grid_is_made_of_what_is_seen_there():
    """Shares against a count of pixels, cell by cell."""
    scene = generate(tiny_world(), 3)
    shares = grid_shares(scene)
    height, width = scene.owner.shape
    for row in range(GRID):
        for column in range(GRID):
            cell = scene.owner[
                row * height // GRID : (row + 1) * height // GRID, column * width // GRID : (column + 1) * width // GRID
            ]
            expected = [np.mean(cell == index) for index in range(len(scene.objects) + 1)]
            assert np.allclose(shares[row * GRID + column], expected, atol=1e-6)


def test_places_lie_where_the_mask_is():
    scene = generate(tiny_world(), 5)
    for index in range(1, len(scene.objects) + 1):
        rows, columns = np.nonzero(scene.mask(index))
        column, row = place_of(scene, index)
        assert abs(column - columns.mean() * PLACES / scene.owner.shape[1]) <= 1
        assert abs(row - rows.mean() * PLACES / scene.owner.shape[0]) <= 1


def states(model, found, writer):
    return language.hidden_states(model, language.embed(model, language.collate(found, writer.pad)))


def test_company_and_padding_change_no_state(writer, model):
    found = documents(writer)
    together = states(model, found, writer)
    for row, document in enumerate(found):
        alone = states(model, [document], writer)
        assert torch.allclose(together[row, : len(document.ids)], alone[0], atol=2e-5)


def test_batches_depend_on_step_and_seed_alone(writer):
    one, two = language.LanguageBatches(writer), language.LanguageBatches(writer)
    two.batch(1)
    assert torch.equal(one.batch(700).ids, two.batch(700).ids)
    assert not torch.equal(one.batch(700).ids, language.LanguageBatches(writer, 1).batch(700).ids)


def test_the_gate_counts_what_greedy_decoding_gets_right(writer, model):
    """Against transformers' generate, on a model that was taught a few answers by heart."""
    scenes = list(held_out(3))
    taught = []
    for scene in scenes:
        for family, turn in language.gate_questions(scene).items():
            document = writer.context(scene, "records", Stream("gate context", scene.index, family))
            writer.ask(document, turn.question)
            begun = list(document.ids)
            writer.answer(document, turn)
            taught.append((family, begun, document))
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(12):
        batch = language.collate([each for _, _, each in taught[:12]], writer.pad)
        loss = language.weighted_loss(model, batch, language.embed(model, batch))
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    found = language.exact_answers(model, writer, scenes, "records", batch_size=5)
    right = 0
    for _, begun, document in taught:
        output = model.generate(
            torch.tensor([begun]), max_new_tokens=60, do_sample=False, eos_token_id=writer.end, pad_token_id=writer.pad
        )
        right += output[0].tolist() == document.ids
    assert sum(count for count, _ in found.values()) == right
    assert sum(asked for _, asked in found.values()) == len(taught)


def test_muon_goes_on_where_it_was_interrupted(writer, tmp_path):
    """Six steps in one go and in two runs end in the same weights, to the bit."""

    class Small:
        def __init__(self):
            torch.manual_seed(1)
            self.module = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
            self.groups = hidden_and_rest(self.module, [self.module[0].weight])

        def loss(self, batch):
            return {"total": self.module(batch).square().mean()}

        def parameter_groups(self):
            return self.groups

        def trainable_state(self):
            return {name: value.detach().clone() for name, value in self.module.named_parameters()}

        def load_trainable_state(self, state):
            self.module.load_state_dict(state)

        def train(self, mode=True):
            return self.module.train(mode)

        def micro_batches(self, step):
            yield torch.randn(4, 6, generator=torch.Generator().manual_seed(step)), 1.0

    def run(folder, stop=None):
        small = Small()
        config = TrainingConfig(
            Budget(steps=6), {"rest": 1e-2, "hidden": 1e-2}, weight_decay=0.01, warmup=2, schedule="tail", save_every=1
        )
        trainer = Trainer(small, small, config, folder, make_optimiser=make_muon)
        if stop is not None:

            class Stopped(Exception):
                pass

            original = small.loss
            calls = [0]

            def loss(batch):
                calls[0] += 1
                if calls[0] > stop:
                    raise Stopped
                return original(batch)

            small.loss = loss
            with pytest.raises(Stopped):
                trainer.run()
            return None
        trainer.run()
        return small.trainable_state()

    straight = run(tmp_path / "a")
    run(tmp_path / "b", stop=3)
    resumed = run(tmp_path / "b")
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
