"""Neural tuning, whole, on small models made on the spot."""

from __future__ import annotations

import re
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from mmud.annotations import tags  # noqa: E402
from mmud.baselines.neural_tuning.config import NeuralTuningConfig  # noqa: E402
from mmud.baselines.neural_tuning.masks import binary_masks, mask_targets  # noqa: E402
from mmud.baselines.neural_tuning.model import NeuralTuningModel  # noqa: E402
from mmud.errors import MmudError  # noqa: E402
from mmud.images import decode_image  # noqa: E402
from mmud.records import Task  # noqa: E402
from tests.baselines.neural_tuning import small_models as small  # noqa: E402

BOTH = pytest.mark.parametrize("config", [small.OURS, small.PAPER], ids=["ours", "paper"])


# -- collation -----------------------------------------------------------------------------------------------------------


def joined(text: str) -> str:
    """A text as its tokens give it back: a tag takes the space before it."""
    return re.sub(r" (?=<LCL-|<GLB>)", "", text)


@BOTH
def test_a_batch_says_what_its_instances_say(config: NeuralTuningConfig) -> None:
    model = small.model(config)
    pairs = small.instances(naming=config.text.naming, places=config.text.tags)
    batch = small.collated(model, pairs)
    begin = [1]
    for row, (instance, _) in enumerate(pairs):
        kept = batch.attention_mask[row].bool()
        image = batch.image_slots[row]
        assert int(image.sum()) == (model.vision.tokens if instance.needs_image else 0)
        words = batch.input_ids[row][kept & ~image].tolist()
        said = model.tokenizer.decode(words, skip_special_tokens=True)
        assert said == joined(f"{instance.prompt}\n{instance.answer}")
        assert words[0] == begin[0]
        # The begin stands before the image in ours, after it in the paper's.
        first = batch.input_ids[row, 0]
        assert (first == 1) == (not instance.needs_image or config.text.begin == "before_image")
        answer = [token for token in batch.labels[row].tolist() if token != -100]
        assert model.tokenizer.decode(answer, skip_special_tokens=True) == joined(instance.answer)
        assert answer[-1] == model.tokenizer.eos_token_id
        assert batch.position_ids[row][kept].tolist() == list(range(int(kept.sum())))


def test_each_distinct_tag_is_one_mask_at_its_first_mention() -> None:
    model = small.model()
    instance, sample = next(pair for pair in small.instances() if len(pair[0].wanted) >= 2)
    two = instance.wanted[:2]
    repeated = type(instance)(
        sample.sample_id, Task.REASONING_SEGMENTATION, "Which?", "a <LCL-2>, b <LCL-1>, again <LCL-2><LCL-1>.", two
    )
    batch = small.collated(model, [(repeated, sample)])
    assert batch.tag_numbers.tolist() == [1, 2]
    labels = batch.labels[0].tolist()
    for number, position in zip([1, 2], batch.tag_positions.tolist(), strict=True):
        token = model.tags.first + number - 1
        # The state at a position predicts the next token; it is the first of its kind.
        assert labels[position + 1] == token
        assert labels.index(token) == position + 1
    truth = mask_targets(sample, two, model.mask_size)
    assert torch.equal(batch.masks, truth)


def test_the_words_that_lead_to_a_tag() -> None:
    model = small.model()
    _, sample = small.instances()[0]
    made = small.instances()[0][0]
    instance = type(made)(
        sample.sample_id, Task.REFERRING_SEGMENTATION, "Find.", "the red star <LCL-1>, a ring <LCL-2><LCL-3>", (0, 1, 2)
    )
    batch = small.collated(model, [(instance, sample)])
    spans = [
        model.tokenizer.decode(batch.input_ids[0][span[mask]].tolist())
        for span, mask in zip(batch.tag_spans, batch.tag_span_mask, strict=True)
    ]
    assert spans == ["the red star", ", a ring", "<LCL-2>"]
    bare = type(made)(sample.sample_id, Task.REFERRING_SEGMENTATION, "Find.", "<LCL-1>", (0,))
    batch = small.collated(model, [(bare, sample)])
    assert batch.tag_spans[0][batch.tag_span_mask[0]].tolist() == [int(batch.tag_positions[0])]


def test_one_position_for_the_image_leaves_the_text_where_it_was() -> None:
    model = small.model(small.OURS.changed({"text.image_positions": "one"}))
    pairs = small.instances(1)
    batch = small.collated(model, pairs)
    for row, (instance, _) in enumerate(pairs):
        kept = batch.attention_mask[row].bool()
        text = batch.position_ids[row][kept & ~batch.image_slots[row]].tolist()
        image = batch.position_ids[row][batch.image_slots[row]].tolist()
        assert set(image) == ({1} if instance.needs_image else set())
        assert text == [0, *range(1 + bool(image), len(text) + bool(image))]


def test_a_long_answer_is_cut_and_a_long_prompt_is_refused() -> None:
    model = small.model(small.OURS.changed({"text.max_length": 40}))
    pairs = [pair for pair in small.instances() if pair[0].task is Task.CAPTIONING]
    batch = small.collated(model, pairs)
    text = batch.attention_mask.bool() & ~batch.image_slots
    assert text.sum(1).tolist() == [40] * len(pairs)
    long = next(pair for pair in small.instances() if pair[0].task is Task.GENERATION)
    assert model.wording.lengths(long[0])[0] > 40
    with pytest.raises(MmudError, match="MM912"):
        small.collated(model, [long])


def test_what_an_instance_lacks_is_said() -> None:
    model = small.model()
    (instance, sample) = next(pair for pair in small.instances() if pair[0].wanted)
    feature = model.image_features([decode_image(sample.image_bytes())])
    masks = mask_targets(sample, instance.wanted, model.mask_size)
    with pytest.raises(MmudError, match=r"MM913.*features"):
        model.collate([instance], [None], [masks])
    with pytest.raises(MmudError, match=r"MM913.*masks"):
        model.collate([instance], feature, [masks[:0]])
    with pytest.raises(MmudError, match=r"MM913"):
        model.collate([instance], feature, [masks, masks])
    with pytest.raises(MmudError, match=r"MM913"):
        model.collate([], [])
    drawn = next(one for one, _ in small.instances() if one.task is Task.GENERATION)
    with pytest.raises(MmudError, match=r"MM913.*feature"):
        model.collate([drawn], [None], None, [None])


def test_prompts_alone_are_padded_on_the_left() -> None:
    model = small.model()
    batch = small.collated(model, small.instances(), for_generation=True)
    assert batch.attention_mask[:, -1].all()
    assert (batch.labels == -100).all()
    assert not len(batch.tag_rows)
    assert not len(batch.image_rows)


# -- independence --------------------------------------------------------------------------------------------------------


def alone_and_together(model: NeuralTuningModel, pairs: list[Any]) -> None:
    together = model.losses(small.collated(model, pairs))
    mask, feature = 0, 0
    for row, pair in enumerate(pairs):
        own = model.losses(small.collated(model, [pair]))
        assert torch.allclose(own.text[0], together.text[row], rtol=1e-4, atol=1e-4)
        assert own.tokens[0] == together.tokens[row]
        assert torch.allclose(own.mask, together.mask[mask : mask + len(own.mask)], atol=1e-5)
        assert torch.allclose(own.feature, together.feature[feature : feature + len(own.feature)], atol=1e-5)
        mask, feature = mask + len(own.mask), feature + len(own.feature)
    assert (mask, feature) == (len(together.mask), len(together.feature))


MODELS = {"ours": small.model(small.OURS), "paper": small.model(small.PAPER)}


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_neither_padding_nor_company_changes_a_sequence_s_loss(name: str, data: st.DataObject) -> None:
    pairs = small.instances()
    chosen = data.draw(st.lists(st.sampled_from(range(len(pairs))), min_size=1, max_size=6))
    with torch.no_grad():
        alone_and_together(MODELS[name], [pairs[number] for number in chosen])


@pytest.mark.parametrize("name", MODELS)
def test_states_of_generated_tokens_equal_those_of_the_answer(name: str) -> None:
    model, pairs = MODELS[name], small.instances()
    taught = small.collated(model, pairs)
    answers = [[token for token in row.tolist() if token != -100] for row in taught.labels]
    said = small.collated(model, pairs, answers=answers)
    with torch.no_grad():
        for first, second in zip(model.states_for_tags(taught), model.states_for_tags(said), strict=True):
            assert torch.equal(first.at(), second.at())
        objects, images = model.states_for_tags(taught)
        logits = model.decode_masks(objects, taught)
        assert logits.shape == (len(taught.tag_rows), 2, 64, 64)
        assert model.decode_feature(images).shape == (4, small.FEATURE)
        assert [mask.shape for mask in binary_masks(logits[:2], (48, 64))] == [(48, 64)] * 2


def test_generation_goes_on_from_a_left_padded_batch_as_from_each_alone() -> None:
    model = MODELS["ours"]
    pairs = [pair for pair in small.instances() if pair[0].needs_image][:5]
    length = 8

    def generated(chosen: list[Any]) -> Any:
        batch = small.collated(model, chosen, for_generation=True)
        return model.language_model.generate(
            inputs_embeds=model.embed(batch),
            attention_mask=batch.attention_mask,
            position_ids=batch.position_ids,
            max_new_tokens=length,
            min_new_tokens=length,
            do_sample=False,
            pad_token_id=0,
        )

    with torch.no_grad():
        together = generated(pairs)
        for row, pair in enumerate(pairs):
            assert torch.equal(generated([pair])[0], together[row])


# -- training ------------------------------------------------------------------------------------------------------------


@BOTH
def test_gradients_reach_each_trained_part_and_nothing_frozen(config: NeuralTuningConfig) -> None:
    model = small.model(config, trained=False).train()
    pairs = small.instances()
    # Twice: what is zero at first lets no gradient through to what stands before it.
    optimiser = torch.optim.SGD([one for group in model.parameter_groups().values() for one in group], lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        model.loss(small.collated(model, pairs))["total"].backward()
        optimiser.step()
    trained = {id(one) for group in model.parameter_groups().values() for one in group}
    assert set(model.parameter_groups()) == {"vision", "adapter", "mask_decoder", "global_decoder", "tokens"}
    for part, group in model.parameter_groups().items():
        for weight in group:
            assert weight.grad is not None, part
            # A shift of all keys moves no softmax; everything else is to move.
            assert weight.grad.abs().sum() > 0 or weight.ndim == 1, (part, weight.shape)
    for name, weight in model.named_parameters():
        if id(weight) not in trained:
            assert weight.grad is None, name
            assert not weight.requires_grad, name


@BOTH
def test_one_batch_can_be_learned_by_heart(config: NeuralTuningConfig) -> None:
    # The language model is random, and a frozen random head can say nothing for sure.
    config = config.changed({"tokens": "whole", "adapter_options.dimension": 32})
    model = small.model(config, trained=False).train()
    pairs = small.instances(4, naming=config.text.naming, places=config.text.tags)
    pairs = [pair for pair in pairs if pair[0].task is not Task.CAPTIONING]
    batch = small.collated(model, pairs)
    parameters = [one for group in model.parameter_groups().values() for one in group]
    optimiser = torch.optim.Adam(parameters, lr=1e-2)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 0.1, 1.0, 20)
    with torch.no_grad():
        first = {name: float(value) for name, value in model.loss(batch).items()}
    for _ in range(60):
        optimiser.zero_grad()
        model.loss(batch)["total"].backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
    model.eval()
    with torch.no_grad():
        last = {name: float(value) for name, value in model.loss(batch).items()}
    assert last["text"] < first["text"] / 2, (first, last)
    assert last["mask"] < first["mask"] - 0.15, (first, last)
    assert last["feature"] < first["feature"] / 4, (first, last)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"adapter": "none", "adapter_options": {}},
        {"tokens": "whole"},
        {"vision.projection": "linear", "mask_decoder.film": "every", "mask_decoder.classes": 1, "loss.mask_ce": 0.5},
        {"global_decoder.head": "mlp", "global_decoder.normalise": True, "vision.unshuffle": 1},
    ],
    ids=["stn", "none", "whole", "every-film", "mlp"],
)
def test_what_was_trained_comes_back(changes: dict[str, Any]) -> None:
    config = small.OURS.changed(changes)
    model = small.model(config)
    pairs = small.instances(2)
    with torch.no_grad():
        for group in model.parameter_groups().values():
            for weight in group:
                weight.add_(torch.randn_like(weight) * 0.05)
        expected = model.loss(small.collated(model, pairs))
        state = model.trainable_state()
        other = small.model(config, seed=9)
        assert float(other.loss(small.collated(other, pairs))["total"]) != float(expected["total"])
        other.load_trainable_state(state)
        got = other.loss(small.collated(other, pairs))
    assert all(torch.equal(got[name], expected[name]) for name in expected)
    assert sum(tensor.numel() for tensor in state.values()) == model.report()["trainable_total"]
    with pytest.raises(MmudError, match=r"MM903.*lacks"):
        other.load_trainable_state({name: state[name] for name in list(state)[1:]})
    with pytest.raises(MmudError, match=r"MM903.*shape"):
        other.load_trainable_state({**state, next(iter(state)): torch.zeros(1)})
    with pytest.raises(MmudError, match=r"MM903.*besides"):
        other.load_trainable_state({**state, "more": torch.zeros(1)})


def test_state_goes_through_safetensors(tmp_path: Any) -> None:
    from safetensors.torch import load_file, save_file

    model = small.model()
    save_file(model.trainable_state(), tmp_path / "state.safetensors")
    other = small.model(seed=7)
    other.load_trainable_state(load_file(tmp_path / "state.safetensors"))
    assert all(torch.equal(other.trainable_state()[name], one) for name, one in model.trainable_state().items())


def test_the_language_model_is_what_it_was() -> None:
    plain = small.language_model()
    before = {name: one.clone() for name, one in plain.state_dict().items()}
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        expected = plain(input_ids=ids).logits
    words, seen = small.tokenizer(), small.tower()
    count = len(words)
    model = NeuralTuningModel(plain, words, seen, small.OURS)
    assert len(words) == count
    assert set(plain.state_dict()) == set(before)
    assert all(torch.equal(one, before[name]) for name, one in plain.state_dict().items())
    with torch.no_grad():
        # An untrained adapter adds nothing, and new tokens only columns.
        assert torch.equal(plain(input_ids=ids).logits[..., :512], expected)
        with model.switched_off():
            assert torch.equal(plain(input_ids=ids).logits, expected)


def test_features_of_images_of_any_mode_and_size() -> None:
    import io

    from PIL import Image

    model = MODELS["ours"]
    for mode, size in (("L", (5, 90)), ("RGBA", (200, 30)), ("P", (64, 64)), ("CMYK", (3, 3)), ("1", (640, 2))):
        stream = io.BytesIO()
        Image.new(mode, size).save(stream, "JPEG" if mode == "CMYK" else "PNG")
        (features,) = model.image_features([decode_image(stream.getvalue())])
        assert {tuple(one.shape) for one in features} == {(65, small.TOWER_WIDTH)}


def test_reports_and_groups_agree() -> None:
    model = small.model()
    report = model.report()
    sizes = {part: sum(one.numel() for one in group) for part, group in model.parameter_groups().items()}
    assert report["trainable"] == sizes
    assert report["trainable_without_embeddings"] == report["trainable_total"] - 2 * 6 * small.WIDTH
    assert report["frozen"]["language_model"] == sum(one.numel() for one in small.language_model().parameters())
    assert report["frozen"]["vision_tower"] == sum(one.numel() for one in small.tower().parameters())


def test_too_few_positions_are_found_out_at_once() -> None:
    text = small.language_model()
    text.config.max_position_embeddings = 310
    with pytest.raises(MmudError, match="MM912"):
        NeuralTuningModel(text, small.tokenizer(), small.tower(), small.OURS)
    one = small.OURS.changed({"text.image_positions": "one"})
    NeuralTuningModel(text, small.tokenizer(), small.tower(), one)


def test_answers_read_back_are_tags_in_order() -> None:
    model = small.model()
    for instance, _ in small.instances(naming="none"):
        ids = model.wording.answer(instance)
        numbers = [number for number in map(model.tags.number, ids) if number]
        assert numbers == [tag.index for tag in tags.parse(instance.answer)]


# -- other language models -----------------------------------------------------------------------------------------------

SMALL: dict[str, Any] = {
    "vocab_size": 512, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 1024, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
OTHERS: dict[str, dict[str, Any]] = {
    "Qwen2": SMALL,
    "Gemma2": {**SMALL, "head_dim": 8, "query_pre_attn_scalar": 8},
    "Phi3": SMALL,
    "SmolLM3": SMALL,
    "GPTNeoX": {name: value for name, value in SMALL.items() if name != "num_key_value_heads"},
    "OPT": {**SMALL, "ffn_dim": 48, "word_embed_proj_dim": 32, "dropout": 0.0},
    "GPT2": {"vocab_size": 512, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 1024},
    "Bloom": {"vocab_size": 512, "hidden_size": 32, "n_layer": 3, "n_head": 4},
}


@pytest.mark.parametrize("family", OTHERS)
def test_other_language_models_learn_too_and_do_not_see_the_padding(family: str) -> None:
    import transformers

    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**OTHERS[family])
    text = transformers.AutoModelForCausalLM.from_config(config).eval()
    model = NeuralTuningModel(text, small.tokenizer(), small.tower(), small.OURS).eval()
    pairs = small.instances(1)
    with torch.no_grad():
        alone_and_together(model, pairs)
    model.train()
    model.loss(small.collated(model, pairs))["total"].backward()
    for part, group in model.parameter_groups().items():
        assert any(one.grad is not None and one.grad.abs().sum() > 0 for one in group), part


def test_half_precision_and_checkpointing_give_the_same_gradients() -> None:
    pairs = small.instances(2)
    gradients = []
    for dtype, checkpointing in ((torch.float32, False), (torch.float32, True), (torch.bfloat16, False)):
        config = small.OURS.changed({"adapter_options.active_rate_jitter": 0.0})
        model = small.model(config)
        model.language_model.to(dtype)
        model.train()
        if checkpointing:
            model.language_model.gradient_checkpointing_enable({"use_reentrant": False})
        model.loss(small.collated(model, pairs))["total"].backward()
        gradients.append({name: [one.grad for one in group] for name, group in model.parameter_groups().items()})
    plain, recomputed, half = gradients
    for part, group in plain.items():
        for number, one in enumerate(group):
            assert torch.allclose(one, recomputed[part][number], atol=1e-6), part
            assert half[part][number].isfinite().all()
        joined, other = (torch.cat([one.flatten() for one in parts[part]]) for parts in (plain, half))
        assert torch.nn.functional.cosine_similarity(joined, other, dim=0) > 0.9, part


# -- words ---------------------------------------------------------------------------------------------------------------


def test_a_chat_template_stands_around_the_prompt_and_begins_the_text_itself() -> None:
    words = small.tokenizer()
    words.chat_template = (
        "{{ bos_token }}{% for message in messages %}[{{ message.role }}] {{ message.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}[assistant] {% endif %}"
    )
    config = small.OURS.changed({"text.prompt_format": "chat"})
    model = NeuralTuningModel(small.language_model(), words, small.tower(), config)
    pairs = [pair for pair in small.instances(1) if not pair[0].needs_image]
    batch = small.collated(model, pairs)
    said = model.tokenizer.decode(batch.input_ids[0].tolist())
    assert said == f"<s>[user] {pairs[0][0].prompt}\n[assistant] {pairs[0][0].answer}</s>"


def test_a_tokenizer_that_writes_no_begin_token_gets_none() -> None:
    model = NeuralTuningModel(small.language_model(), small.tokenizer(begin=False), small.tower(), small.OURS)
    pairs = small.instances(1)
    batch = small.collated(model, pairs)
    assert not (batch.input_ids[~batch.image_slots] == 1).any()
    assert batch.image_slots[[pair[0].needs_image for pair in pairs], 0].all()
    alone_and_together(model.eval(), pairs)
