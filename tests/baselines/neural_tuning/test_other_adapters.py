"""LoRA through peft and full training, beside the sparse task network: the same places, the base untouched until trained."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")
from torch import nn  # noqa: E402

from mmud.baselines.neural_tuning.adapters import StnAdapter  # noqa: E402
from mmud.baselines.neural_tuning.base import ADAPTERS  # noqa: E402
from mmud.baselines.neural_tuning.full import FullAdapter  # noqa: E402
from mmud.baselines.neural_tuning.lora import LoraAdapter  # noqa: E402
from mmud.errors import MmudError  # noqa: E402

needs_peft = pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="peft is not installed")
SMALL = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 4, "pad_token_id": 0}
FAMILIES: dict[str, Any] = {
    "llama": lambda: transformers.LlamaForCausalLM(
        transformers.LlamaConfig(**SMALL, num_attention_heads=4, num_key_value_heads=2)
    ),
    "gpt2": lambda: transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=50, n_embd=16, n_layer=4, n_head=2, n_positions=64)
    ),
    "phi3": lambda: transformers.Phi3ForCausalLM(
        transformers.Phi3Config(**SMALL, num_attention_heads=4, num_key_value_heads=2)
    ),
    "opt": lambda: transformers.OPTForCausalLM(
        transformers.OPTConfig(
            vocab_size=50, hidden_size=16, ffn_dim=24, num_hidden_layers=4, num_attention_heads=2,
            word_embed_proj_dim=16, max_position_embeddings=64,
        )
    ),
}  # fmt: skip
IDS = torch.arange(1, 13).view(2, 6)


def build(family: str) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = FAMILIES[family]().eval().requires_grad_(False)
    return model


@needs_peft
@pytest.mark.parametrize("family", FAMILIES)
def test_lora_starts_as_the_base_learns_and_comes_off(family: str) -> None:
    model = build(family)
    before = model(IDS).logits
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    adapter = LoraAdapter(model, {"rank": 4})
    assert torch.equal(model(IDS).logits, before)
    trained = adapter.trained()
    assert trained
    assert all(weight.requires_grad for weight in trained.values())
    assert sum(weight.requires_grad for weight in model.parameters()) == len(trained)
    # The upper half of the layers, as the sparse task network.
    assert {int(part) for name in trained for part in name.split(".") if part.isdigit()} == {2, 3}

    optimiser = torch.optim.SGD(trained.values(), lr=1.0)
    for _ in range(2):
        model(IDS, labels=IDS).loss.backward()
        optimiser.step()
    assert not torch.equal(model(IDS).logits, before)
    with adapter.switched_off():
        assert torch.equal(model(IDS).logits, before)
    adapter.detach_from_model()
    assert torch.equal(model(IDS).logits, before)
    after = model.state_dict()
    assert after.keys() == state.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in state.items())


@needs_peft
def test_lora_equals_its_equation() -> None:
    """W x + (alpha / rank) B A x, section 4.1 of arXiv 2106.09685."""
    model = build("llama")
    adapter = LoraAdapter(model, {"rank": 3, "alpha": 5.0, "start_layer": 3, "projections": "kv"})
    trained = adapter.trained()
    assert sorted(name.rsplit(".", 3)[1] for name in trained) == ["k_proj", "k_proj", "v_proj", "v_proj"]
    for weight in trained.values():
        nn.init.normal_(weight)
    projection: Any = model.get_submodule("model.layers.3.self_attn.v_proj")
    inputs = torch.randn(5, 16)
    prefix = "model.layers.3.self_attn.v_proj.lora_"
    expected = (
        projection.base_layer(inputs) + 5 / 3 * inputs @ trained[prefix + "A.weight"].T @ trained[prefix + "B.weight"].T
    )
    torch.testing.assert_close(projection(inputs), expected)


@needs_peft
def test_a_budget_chooses_the_rank_that_comes_nearest() -> None:
    target = sum(weight.numel() for weight in StnAdapter(build("llama"), {"dimension": 8}).trained().values())
    sizes = {}
    for rank in (1, 2, 3, 4, 5, 6, 7, 8):
        adapter = LoraAdapter(build("llama"), {"rank": rank})
        sizes[rank] = sum(weight.numel() for weight in adapter.trained().values())
    chosen = LoraAdapter(build("llama"), {"parameters": target}).rank
    assert LoraAdapter(build("llama"), {"network": {"dimension": 8}}).rank == chosen
    assert chosen == min(sizes, key=lambda rank: abs(sizes[rank] - target))


@needs_peft
@pytest.mark.parametrize(
    "options",
    [
        {"rank": 0},
        {"rank": 4, "dropout": 1.0},
        {"ranks": 4},
        {"projections": "qx"},
        {"start_layer": 4},
        {"alpha": 0},
        {"network": {"width": 3}},
    ],
)
def test_lora_refuses_what_it_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(MmudError, match="MM905"):
        LoraAdapter(build("llama"), options)


def test_lora_says_how_to_get_peft(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MmudError, match="MM007") as raised:
        LoraAdapter(build("llama"), {})
    assert raised.value.exit_code == 4
    assert "mmud[peft]" in raised.value.hint


@pytest.mark.parametrize("family", FAMILIES)
def test_full_trains_all_but_embedding_and_head(family: str) -> None:
    model: Any = build(family)
    trained = FullAdapter(model, {}).trained()
    apart = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}
    every = {name for name, weight in model.named_parameters() if id(weight) not in apart}
    assert trained.keys() == every
    assert all(weight.requires_grad for weight in trained.values())
    assert not model.get_input_embeddings().weight.requires_grad
    with pytest.raises(MmudError, match="MM905"):
        FullAdapter(model, {"rank": 1})


def test_they_are_found_by_name() -> None:
    assert ADAPTERS.get("full") is FullAdapter
    assert ADAPTERS.get("lora") is LoraAdapter
