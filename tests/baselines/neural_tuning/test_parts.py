"""The parts of neural tuning one by one: tokens, towers, projection, decoders, losses. Expected values are written out by hand,
or come from torch and transformers by another way.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

from PIL import Image  # noqa: E402

from mmud.annotations.masks import Mask  # noqa: E402
from mmud.baselines.backbones.tokenizer import build_tokenizer  # noqa: E402
from mmud.baselines.neural_tuning.config import GlobalDecoderConfig, LossConfig, MaskDecoderConfig, VisionConfig  # noqa: E402
from mmud.baselines.neural_tuning.global_decoder import GlobalDecoder  # noqa: E402
from mmud.baselines.neural_tuning.interfaces import Sizes, TagStates  # noqa: E402
from mmud.baselines.neural_tuning.mask_decoder import FilmMaskDecoder, PreNormLayer, chosen_layers  # noqa: E402
from mmud.baselines.neural_tuning.masks import binary_masks, dice_losses, mask_losses, mask_targets  # noqa: E402
from mmud.baselines.neural_tuning.projection import ImageProjection, unshuffled  # noqa: E402
from mmud.baselines.neural_tuning.state_readers import LayerMix, PhraseReader  # noqa: E402
from mmud.baselines.neural_tuning.tokens import TokenRows, WholeEmbeddings, with_tags  # noqa: E402
from mmud.baselines.neural_tuning.vision import CLIP_MEAN, CLIP_STD, FeatureMapTower, TransformersTower  # noqa: E402
from mmud.errors import MmudError  # noqa: E402
from mmud.records import MaskedObject, Sample  # noqa: E402
from tests.baselines.neural_tuning import small_models as small  # noqa: E402

# -- tokens --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [512, 514, 530])
def test_tags_are_tokens_whether_or_not_the_table_has_spare_rows(rows: int) -> None:
    model = small.language_model(rows)
    words, ids = with_tags(small.tokenizer(), 5, rows)
    spelt = words("a<LCL-1>b <GLB><LCL-5>", add_special_tokens=False)["input_ids"]
    assert [number for number in map(ids.number, spelt) if number is not None] == [1, 0, 5]
    assert words.decode(spelt) == "a<LCL-1>b<GLB><LCL-5>"
    known = torch.arange(3, 40)[None]
    with torch.no_grad():
        before = model(input_ids=known).logits
        rows_made = TokenRows(model, ids)
        mixed = torch.tensor([[5, ids.first, 7, ids.image]])
        embedded = model.get_input_embeddings()(mixed)
        assert torch.equal(embedded[0, 1], rows_made.embedding[0])
        assert torch.equal(embedded[0, 3], rows_made.embedding[5])
        assert torch.equal(embedded[0, 0], model.get_input_embeddings().weight[5])
        after = model(input_ids=known).logits
    end = ids.first + ids.count
    assert after.shape[-1] == max(rows, end)
    kept = [column for column in range(rows) if not ids.first <= column < end]
    assert torch.equal(after[..., kept], before[..., kept])
    hidden = model.model(input_ids=known).last_hidden_state
    assert torch.allclose(after[..., ids.first : end], hidden @ rows_made.head.T, atol=1e-5)
    rows_made.detach_from_model()
    assert torch.equal(model(input_ids=known).logits, before)


@pytest.mark.parametrize("tied", [False, True])
def test_the_paper_s_way_trains_embedding_and_head_whole(tied: bool) -> None:
    model = small.language_model(tie_word_embeddings=tied).requires_grad_(False)
    _, ids = with_tags(small.tokenizer(), 5, 512)
    old = model.get_input_embeddings().weight[:512].clone()
    whole = WholeEmbeddings(model, ids)
    assert set(whole.trained()) == ({"embedding"} if tied else {"embedding", "head"})
    assert all(weight.shape == (518, small.WIDTH) and weight.requires_grad for weight in whole.trained().values())
    assert torch.equal(model.get_input_embeddings().weight[:512], old)
    assert model(input_ids=torch.tensor([[ids.image]])).logits.shape == (1, 1, 518)


def test_embeddings_that_are_scaled_inside_their_module_are_seen_as_the_first_layer_does() -> None:
    torch.manual_seed(0)
    model = transformers.Gemma3ForCausalLM(
        transformers.Gemma3TextConfig(
            vocab_size=512, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=1, head_dim=16,
        )
    )  # fmt: skip
    length = model.get_input_embeddings()(torch.arange(512)).norm(dim=-1).mean()
    plain = model.get_input_embeddings().weight.norm(dim=-1).mean()
    assert length > 4 * plain
    _, ids = with_tags(small.tokenizer(), 5, 512)
    rows = TokenRows(model, ids)
    assert 0.1 * length < rows.embedding.norm(dim=-1).mean() < length


def test_tokenizers_that_cannot_have_tags_are_refused() -> None:
    with pytest.raises(MmudError, match=r"MM910.*512 tokens.*500"):
        with_tags(small.tokenizer(), 5, 500)
    taken = small.tokenizer()
    taken.add_tokens(["<LCL-2>"])
    with pytest.raises(MmudError, match=r"MM911.*<LCL-2>"):
        with_tags(taken, 5, 600)
    with_tags(taken, 1, 600)
    endless = small.tokenizer()
    endless.eos_token = None
    with pytest.raises(MmudError, match=r"MM910.*ends"):
        with_tags(endless, 5, 512)


@pytest.mark.parametrize("make", [small.tokenizer, build_tokenizer], ids=["bytes", "words"])
def test_a_tag_takes_the_space_before_it(make: Callable[[], Any]) -> None:
    """No token stands between a word and its tag: what a language model never says itself, it would have to learn."""
    tokenizer = make()
    enlarged, ids = with_tags(tokenizer, 3, len(tokenizer))
    plain = tokenizer("the red star", add_special_tokens=False)["input_ids"]
    tagged = enlarged("the red star <LCL-2>, the ring <LCL-3>.", add_special_tokens=False)["input_ids"]
    assert tagged[: len(plain) + 1] == [*plain, ids.first + 1]
    assert tagged[-2] == ids.first + 2


# -- towers and projection -----------------------------------------------------------------------------------------------


def test_a_clip_tower_gives_the_layers_states() -> None:
    tower = small.tower()
    pixels = tower.prepare([np.zeros((30, 50, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)])
    assert pixels.shape == (2, 3, 64, 64)
    assert torch.allclose(pixels[0, :, 5, 5], -torch.tensor(CLIP_MEAN) / torch.tensor(CLIP_STD))
    assert torch.allclose(pixels[1, :, 5, 5], (1 - torch.tensor(CLIP_MEAN)) / torch.tensor(CLIP_STD))
    states = tower.hidden_states(pixels)
    assert [tuple(one.shape) for one in states] == [(2, 65, small.TOWER_WIDTH)] * small.TOWER_LAYERS
    assert torch.equal(states[-1], tower.network(pixel_values=pixels).last_hidden_state)
    assert not any(weight.requires_grad for weight in tower.parameters())


@pytest.mark.parametrize("size", [(64, 64), (100, 41)])
def test_preparing_equals_the_processor_of_transformers_without_its_crop(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    processor = transformers.AutoImageProcessor
    made = transformers.models.clip.image_processing_pil_clip.CLIPImageProcessorPil(
        size={"height": 64, "width": 64}, do_center_crop=False
    )
    expected = made(images=Image.fromarray(image), return_tensors="pt")["pixel_values"]
    assert processor is not None
    assert torch.allclose(small.tower().prepare([image]), expected, atol=1e-5)


def test_a_siglip_tower_has_the_mean_in_the_class_state_s_place() -> None:
    torch.manual_seed(0)
    config = transformers.SiglipVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8
    )
    tower = TransformersTower(transformers.SiglipVisionModel(config), (0.5,) * 3, (0.5,) * 3)
    states = tower.hidden_states(torch.randn(2, 3, 32, 32))
    assert states[1].shape == (2, 17, 16)
    assert torch.allclose(states[1][:, 0], states[1][:, 1:].mean(1), atol=1e-6)


def test_a_folder_s_tower_is_the_one_that_was_saved(tmp_path: Path) -> None:
    tower = small.tower()
    tower.network.save_pretrained(tmp_path / "clip")
    (tmp_path / "clip" / "preprocessor_config.json").write_text(
        '{"image_mean": [0.5, 0.4, 0.3], "image_std": [1, 1, 2]}'
    )
    loaded = TransformersTower.from_pretrained(str(tmp_path / "clip"))
    assert (loaded.mean, loaded.std) == ((0.5, 0.4, 0.3), (1.0, 1.0, 2.0))
    pixels = torch.randn(1, 3, 64, 64)
    assert torch.equal(loaded.hidden_states(pixels)[2], tower.hidden_states(pixels)[2])
    assert loaded.describe()["weights"] == tower.describe()["weights"] != small.tower(seed=5).describe()["weights"]
    with pytest.raises(MmudError, match="MM007"):
        TransformersTower.from_pretrained(str(tmp_path / "nowhere"))
    small.language_model().save_pretrained(tmp_path / "text")
    with pytest.raises(MmudError, match=r"MM914.*llama"):
        TransformersTower.from_pretrained(str(tmp_path / "text"))
    (tmp_path / "clip" / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(MmudError, match="MM914"):
        TransformersTower.from_pretrained(str(tmp_path / "clip"))


def test_a_convolutional_tower_reads_named_modules_on_one_grid() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3, 4, 1), torch.nn.ReLU(), torch.nn.Conv2d(6, 10, 3, 2, 1), torch.nn.Conv2d(10, 4, 3, 4, 1),
        torch.nn.Flatten(), torch.nn.Linear(16, 2),
    )  # fmt: skip
    tower = FeatureMapTower(network, ["1", "2", "3"], (64, 64), (8, 8))
    assert tower.widths == (6, 10, 4)
    pixels = torch.randn(2, 3, 64, 64)
    fine, own, coarse = tower.hidden_states(pixels)
    assert {tuple(one.shape[:2]) for one in (fine, own, coarse)} == {(2, 65)}
    with torch.no_grad():
        first = network[1](network[0](pixels))
        expected = network[2](first)
    assert torch.allclose(own[:, 1:], expected.flatten(2).transpose(1, 2))
    assert torch.allclose(fine[:, 1], first[:, :, :2, :2].mean((2, 3)))
    for modules in (["nothing"], ["5"], []):
        with pytest.raises(MmudError, match="MM914"):
            FeatureMapTower(network, modules, (64, 64), (8, 8))


def test_unshuffling_joins_each_two_by_two_of_the_grid() -> None:
    rows, columns, width = 4, 6, 3
    states = torch.randn(2, 1 + rows * columns, width)
    joined = unshuffled(states, (rows, columns))
    assert joined.shape == (2, 6, 12)
    grid = states[:, 1:].view(2, rows, columns, width)
    for row in range(2):
        for column in range(3):
            cells = [grid[:, 2 * row + down, 2 * column + right] for down in (0, 1) for right in (0, 1)]
            assert torch.equal(joined[:, 3 * row + column], torch.cat(cells, -1))


def test_the_projection_in_the_paper_s_form_and_in_ours() -> None:
    paper = ImageProjection(VisionConfig(unshuffle=1, projection="linear", normalise=False), 24, (8, 8), 32, 1.0)
    states = torch.randn(2, 65, 24)
    assert paper.tokens == 65
    assert torch.equal(paper(states), states @ paper.map.weight.T)
    ours = ImageProjection(VisionConfig(), 24, (8, 8), 32, 7.5)
    made = ours(states * 100 + 30)
    assert made.shape == (2, ours.tokens, 32) == (2, 16, 32)
    # They start at the length of the language model's own embeddings, whatever the tower's scale.
    assert torch.allclose(made.norm(dim=-1), torch.tensor(7.5), rtol=1e-3)
    with pytest.raises(MmudError, match="MM914"):
        ImageProjection(VisionConfig(), 24, (7, 8), 32, 1.0)


# -- decoders ------------------------------------------------------------------------------------------------------------

SIZES = Sizes(width=32, layers=4, tower_widths=(24,) * 24, grid=(16, 16), image_size=(224, 224))


def tag_states(count: int = 3, sizes: Sizes = SIZES, length: int = 12) -> TagStates:
    generator = torch.Generator().manual_seed(3)
    hidden = tuple(torch.randn(2, length, sizes.width, generator=generator) for _ in range(sizes.layers))
    spans = torch.arange(4).expand(count, 4).clone()
    mask = torch.ones(count, 4, dtype=torch.bool)
    mask[0, 2:] = False
    return TagStates(hidden, torch.arange(count) % 2, torch.arange(count) + 3, torch.arange(count) + 1, spans, mask)


@pytest.mark.parametrize("film", ["first", "every"])
@pytest.mark.parametrize("phrases", [False, True])
def test_the_film_decoder_s_shapes_are_the_paper_s(film: Any, phrases: bool) -> None:
    decoder = FilmMaskDecoder(SIZES, MaskDecoderConfig(film=film, phrase_reader=phrases))
    assert decoder.tower_layers == (23, 17, 14)
    seen: list[tuple[int, ...]] = []
    for module in (*decoder.layers, *decoder.upscale):
        module.register_forward_hook(lambda _, __, output: seen.append(tuple(output.shape)))
    features = [torch.randn(3, 257, 24) for _ in range(3)]
    logits = decoder(tag_states(), features)
    assert logits.shape == (3, 2, 224, 224)
    # 257 states of width 64; 16 x 16; twice three times as large (patch 14): 48, 144.
    assert seen[:3] == [(3, 257, 64)] * 3
    assert [seen[place] for place in (3, 5, 7)] == [(3, 64, 16, 16), (3, 32, 48, 48), (3, 2, 144, 144)]


def test_the_film_decoder_equals_its_equations_written_out() -> None:
    torch.manual_seed(0)
    config = MaskDecoderConfig(state="last", phrase_reader=False, tower_layers=(3, 2, 1), width=8, heads=2, mlp=12)
    sizes = Sizes(32, 4, (24,) * 4, (4, 4), (32, 32))
    decoder = FilmMaskDecoder(sizes, config)
    states, features = tag_states(sizes=sizes), [torch.randn(3, 17, 24) for _ in range(3)]

    def affine(layer: Any, x: Any) -> Any:
        return x @ layer.weight.T + layer.bias

    def norm(layer: Any, x: Any) -> Any:
        centred = x - x.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt() * layer.weight + layer.bias

    token = states.hidden_states[-1][states.rows, states.positions]
    x = affine(decoder.reduce[0], features[0])
    x = affine(decoder.scale[0], token)[:, None] * x + affine(decoder.shift[0], token)[:, None]
    for number, layer in enumerate(decoder.layers):
        if number:
            x = x + affine(decoder.reduce[number], features[number])
        own, normed = layer.attention, norm(layer.norm_1, x)
        heads = []
        for head in range(2):
            part = slice(4 * head, 4 * head + 4)
            query, key, value = (affine(one, normed)[..., part] for one in (own.query, own.key, own.value))
            heads.append((query @ key.transpose(1, 2) / math.sqrt(4)).softmax(-1) @ value)
        x = x + affine(own.out, torch.cat(heads, -1))
        x = x + affine(layer.mlp[3], affine(layer.mlp[0], norm(layer.norm_2, x)).relu())
    grid = x[:, 1:].transpose(1, 2).reshape(3, 8, 4, 4)
    logits = torch.nn.functional.interpolate(decoder.upscale(grid), (32, 32), mode="bilinear", align_corners=True)
    assert torch.allclose(decoder(states, features), logits, atol=1e-5)


def test_padding_of_spans_is_not_read() -> None:
    torch.manual_seed(0)
    states = tag_states()
    other = TagStates(
        states.hidden_states, states.rows, states.positions, states.numbers,
        torch.where(states.span_mask, states.spans, 9), states.span_mask,
    )  # fmt: skip
    decoder = FilmMaskDecoder(SIZES, MaskDecoderConfig())
    assert torch.allclose(decoder.condition(states), decoder.condition(other))
    for name in ("queries", "words"):
        head = GlobalDecoder(SIZES, GlobalDecoderConfig(head=name, hidden=16, feature_size=5, slots=2)).eval()
        assert torch.allclose(head(states), head(other), atol=1e-6)
    reader = PhraseReader(32, 4, 6)
    spans = torch.randn(2, 5, 32)
    mask = torch.tensor([[True, True, False, False, False], [True] * 5])
    alone = reader(spans[:1, :2], mask[:1, :2])
    assert torch.allclose(reader(spans, mask)[:1], alone, atol=1e-6)


def test_a_mix_of_layers_starts_as_their_mean_and_the_last_as_it_is() -> None:
    states = tag_states()
    normed = [
        (one - one.mean(-1, keepdim=True)) / one.std(-1, correction=0, keepdim=True)
        for one in (states.at(layer) for layer in range(4))
    ]
    assert torch.allclose(LayerMix(4, "mix")(states.at), sum(normed) / 4, atol=1e-4)
    assert torch.equal(LayerMix(4, "last")(states.at), states.at(3))
    assert not list(LayerMix(4, "last").parameters())


def test_the_global_decoder_s_heads() -> None:
    states = tag_states()
    mlp = GlobalDecoder(SIZES, GlobalDecoderConfig(head="mlp", hidden=10, feature_size=7))
    widths = [layer.weight.shape for layer in mlp.head.layers if hasattr(layer, "weight")]
    assert widths == [(10, 32), (30, 10), (10, 30), (7, 10)]
    assert mlp(states).shape == (3, 7)
    unit = GlobalDecoder(SIZES, GlobalDecoderConfig(hidden=8, feature_size=7, normalise=True))
    assert torch.allclose(unit(states).norm(dim=-1), torch.ones(3))
    assert torch.allclose(unit.target(torch.full((2, 4), 3.0)), torch.full((2, 4), 0.5))
    with pytest.raises(MmudError, match="MM905"):
        GlobalDecoder(SIZES, GlobalDecoderConfig(hidden=9))


def test_parts_are_the_mean_of_the_words_that_they_look_for() -> None:
    """By hand: a part that finds every word alike holds the value that all of them have, one that finds none holds zeros."""
    states = tag_states()
    decoder = GlobalDecoder(SIZES, GlobalDecoderConfig(head="words", hidden=8, feature_size=11, slots=3))
    head = decoder.head
    with torch.no_grad():
        for layer in (head.score, head.value):
            layer.weight.zero_()
        head.score.bias.copy_(torch.tensor([-100.0, 100.0, -100.0, 100.0]))
        head.value.bias.copy_(torch.arange(5.0))
    # Three parts of three numbers, and two that are left.
    expected = torch.tensor([[0, 0, 0, 0, 1, 2, 0, 0, 0, 3, 4]]).expand(len(states), -1)
    assert torch.allclose(decoder(states), expected.float())
    with torch.no_grad():
        # As likely as "none": n of n + 1 shares are the words'.
        head.score.bias[1] = head.none[1]
    words = states.span_mask.sum(1, keepdim=True)
    assert torch.allclose(decoder(states)[:, 3:6], torch.arange(3.0) * words / (words + 1))
    for wrong in ({"window": 4}, {"slots": 12}):
        with pytest.raises(MmudError, match="MM905"):
            GlobalDecoder(SIZES, GlobalDecoderConfig(head="words", hidden=8, feature_size=11, **wrong))


def test_layers_of_the_tower_by_wish_and_by_default() -> None:
    assert chosen_layers((), 24) == (23, 17, 14)
    assert chosen_layers((), 4) == (3, 2, 2)
    assert chosen_layers((-1, 0), 6) == (5, 0)
    with pytest.raises(MmudError, match="MM914"):
        chosen_layers((6,), 6)
    with pytest.raises(MmudError, match="MM905"):
        PreNormLayer(10, 4, 8, 0.0)


# -- masks ---------------------------------------------------------------------------------------------------------------


def test_dice_of_certain_masks_is_dice() -> None:
    rng = np.random.default_rng(0)
    predicted, true = rng.random((4, 10, 12)) < 0.4, rng.random((4, 10, 12)) < 0.5

    def dice(first: Any, second: Any) -> Any:
        return 2 * (first & second).sum((1, 2)) / (first.sum((1, 2)) + second.sum((1, 2)))

    odds = torch.from_numpy(np.where(predicted, 40.0, -40.0))[:, None]
    target = torch.from_numpy(true).float()
    one = dice_losses(odds, target)
    assert torch.allclose(one, torch.from_numpy(1 - dice(predicted, true)).float(), atol=1e-5)
    two = dice_losses(torch.cat([-odds, odds], 1), target)
    both = (dice(predicted, true) + dice(~predicted, ~true)) / 2
    assert torch.allclose(two, torch.from_numpy(1 - both).float(), atol=1e-5)
    # An empty mask that is predicted empty costs nothing.
    assert dice_losses(torch.full((1, 1, 3, 3), -60.0), torch.zeros(1, 3, 3)) < 1e-4


def test_cross_entropy_joins_by_its_weight() -> None:
    logits = torch.randn(3, 2, 5, 6, generator=torch.Generator().manual_seed(1))
    target = (torch.rand(3, 5, 6, generator=torch.Generator().manual_seed(2)) < 0.5).float()
    expected = torch.nn.functional.cross_entropy(logits, target.long(), reduction="none").mean((1, 2))
    joined = mask_losses(logits, target, LossConfig(mask_ce=0.5, mask_dice=2.0))
    assert torch.allclose(joined, 0.5 * expected + 2 * dice_losses(logits, target), atol=1e-6)


def test_targets_hold_shares_or_nearest_pixels() -> None:
    pixels = np.zeros((4, 8), np.uint8)
    pixels[0, 0] = pixels[2:, 4:] = 1
    sample = Sample(
        sample_id="s", width=8, height=4, source="t",
        objects=(MaskedObject(segmentation=Mask.from_array(pixels).to_record()), MaskedObject()),
    )  # fmt: skip
    (share,) = mask_targets(sample, [0], (2, 4))
    assert torch.allclose(share, torch.tensor([[0.25, 0, 0, 0], [0, 0, 1, 1]]), atol=1 / 255)
    assert set(mask_targets(sample, [0], (3, 5), nearest=True).unique().tolist()) <= {0.0, 1.0}
    assert mask_targets(sample, [], (2, 4)).shape == (0, 2, 4)
    with pytest.raises(MmudError, match=r"MM913.*sample s, object 2"):
        mask_targets(sample, [1], (2, 4))


@pytest.mark.parametrize("classes", [1, 2])
def test_masks_come_back_at_the_image_s_size(classes: int) -> None:
    truth = np.zeros((32, 32), bool)
    # A band: where a corner is interpolated, no pixel is surely in or out.
    truth[:, 4:28] = True
    odds = torch.from_numpy(np.where(truth, 5.0, -5.0)).float()[None, None]
    logits = odds if classes == 1 else torch.cat([-odds / 2, odds / 2], 1)
    (same,) = binary_masks(logits, (32, 32))
    assert np.array_equal(same, truth)
    (large,) = binary_masks(logits, (64, 96))
    assert large.shape == (64, 96)
    assert np.array_equal(large, np.repeat(np.repeat(truth, 2, 0), 3, 1))


def test_parts_learn_to_look_for_their_words_at_a_high_rate() -> None:
    """Sentences of 100 words: "place colour shape" for some of four places, among words that say nothing.

    The feature lists colour and shape of each place, so that what is to be learnt is known. A sum of sigmoids over words, as the
    head once was, learns this at .002 and stays at the mean feature at .01: its sigmoids close in the first steps, for good.
    """
    generator = torch.Generator().manual_seed(5)
    places, colours, shapes, width, length, size = 4, 5, 5, 32, 100, 64
    embedding = torch.randn(places + colours + shapes + 20, width, generator=generator)
    ids = torch.randint(places + colours + shapes, len(embedding), (size, length), generator=generator)
    target = torch.zeros(size, places, colours + shapes)
    for row in range(size):
        for place in range(places):
            if torch.rand(1, generator=generator) < 0.7:
                colour, shape = torch.randint(colours, (2,), generator=generator)
                start = 25 * place + int(torch.randint(20, (1,), generator=generator))
                ids[row, start : start + 3] = torch.tensor([place, places + colour, places + colours + shape])
                target[row, place, colour] = target[row, place, colours + shape] = 1.0
    feature = target.flatten(1) - target.flatten(1).mean(0)
    torch.manual_seed(0)
    config = GlobalDecoderConfig(head="words", hidden=48, feature_size=feature.shape[1], slots=places)
    decoder = GlobalDecoder(Sizes(width, 2, (24,), (8, 8), (64, 64)), config)
    optimiser = torch.optim.AdamW(decoder.parameters(), lr=0.01)
    spans, mask = torch.arange(length).expand(16, -1), torch.ones(16, length, dtype=torch.bool)
    rows = torch.arange(16)
    for step in range(160):
        chosen = torch.arange(16 * step, 16 * (step + 1)) % size
        states = embedding[ids[chosen]]
        found = decoder(TagStates((states, states), rows, rows, rows, spans, mask))
        loss = (found - feature[chosen]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.3 * feature.var().item()
