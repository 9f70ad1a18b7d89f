"""The sparse task network on tiny models of many families, against its equations written out and against properties."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

from mmud.baselines.neural_tuning.sparse_task_network import SparseTaskConfig, SparseTaskNetwork  # noqa: E402
from mmud.errors import MmudError  # noqa: E402

VOCABULARY = 40


def shape(**more: Any) -> dict[str, Any]:
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "max_position_embeddings": 64,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        **more,
    }


FAMILIES: dict[str, dict[str, Any]] = {
    "Llama": shape(num_key_value_heads=4),
    "Llama-gqa": shape(num_key_value_heads=2),
    "Mistral": shape(num_key_value_heads=2, sliding_window=None),
    "Qwen2": shape(num_key_value_heads=2),
    "Qwen3": shape(num_key_value_heads=2, head_dim=8),
    "Gemma2": shape(num_key_value_heads=2, head_dim=8, sliding_window=32, query_pre_attn_scalar=8),
    "Gemma3": shape(num_key_value_heads=2, head_dim=8, sliding_window=32, query_pre_attn_scalar=8),
    "SmolLM3": shape(num_key_value_heads=2),
    "Olmo2": shape(num_key_value_heads=2),
    "OPT": {**shape(ffn_dim=48, word_embed_proj_dim=32, dropout=0.0), "do_layer_norm_before": True},
    "Phi3": shape(num_key_value_heads=2),
    "GPTNeoX": shape(hidden_dropout=0.0, attention_dropout=0.0),
    "Bloom": {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "n_layer": 4,
        "n_head": 4,
        "hidden_dropout": 0.0,
        "attention_dropout": 0.0,
    },
    "GPT2": {
        "vocab_size": VOCABULARY,
        "n_embd": 32,
        "n_layer": 4,
        "n_head": 4,
        "n_positions": 64,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    },
}
CONFIG = SparseTaskConfig(dimension=16, start_layer=1, dropout=0.0)


def make_model(family: str, attention: str = "eager") -> Any:
    name = {"Gemma3": "Gemma3Text"}.get(family.partition("-")[0], family.partition("-")[0])
    config = getattr(transformers, f"{name}Config")(**FAMILIES[family])
    config._attn_implementation = attention
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    return model.eval().requires_grad_(False)


def attach(model: Any, config: SparseTaskConfig = CONFIG, trained: bool = True) -> SparseTaskNetwork:
    torch.manual_seed(1)
    network = SparseTaskNetwork(model, config)
    if trained:
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return network.eval()


def tokens(batch: int = 2, length: int = 9) -> Any:
    return torch.randint(3, VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(5))


def logits(model: Any, ids: Any) -> Any:
    with torch.no_grad():
        return model(input_ids=ids).logits


@pytest.mark.parametrize("family", FAMILIES)
def test_untrained_equals_the_base_to_the_bit_and_off_restores_it(family: str) -> None:
    model = make_model(family)
    base, names = logits(model, tokens()), set(model.state_dict())
    fresh = attach(model, trained=False)
    assert torch.equal(logits(model, tokens()), base)
    assert set(model.state_dict()) == names
    fresh.detach()
    network = attach(model)
    tuned = logits(model, tokens())
    assert not torch.allclose(tuned, base)
    with network.switched_off():
        assert torch.equal(logits(model, tokens()), base)
    assert torch.equal(logits(model, tokens()), tuned)
    network.detach()
    assert torch.equal(logits(model, tokens()), base)


@pytest.mark.parametrize("family", FAMILIES)
def test_cached_generation_equals_uncached(family: str) -> None:
    model = make_model(family)
    network = attach(model)
    settings = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    with torch.no_grad():
        cached = model.generate(tokens(), use_cache=True, **settings)
        plain = model.generate(tokens(), use_cache=False, **settings)
    assert torch.equal(cached, plain)
    assert network.switched_on


# transformers has no sdpa for these two.
@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - {"Gemma2", "Bloom"}))
def test_sdpa_equals_eager(family: str) -> None:
    outcomes = []
    for attention in ("eager", "sdpa"):
        model = make_model(family, attention)
        network = attach(model)
        outcomes.append(logits(model, tokens()))
        network.detach()
    assert torch.allclose(*outcomes, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_under_checkpointing_are_exact(family: str) -> None:
    gradients = []
    for checkpointing in (False, True):
        model = make_model(family)
        network = attach(model, SparseTaskConfig(dimension=16, start_layer=1, dropout=0.2)).train()
        model.train()
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        torch.manual_seed(3)
        embeddings = model.get_input_embeddings()(tokens()).requires_grad_(True)
        model(inputs_embeds=embeddings, labels=tokens(), use_cache=False).loss.backward()
        gradients.append([parameter.grad.clone() for parameter in network.parameters()] + [embeddings.grad.clone()])
    for plain, recomputed in zip(*gradients, strict=True):
        assert torch.allclose(plain, recomputed, atol=1e-6)
        assert plain.abs().sum() > 0


def test_under_autocast_the_norm_is_computed_in_the_precision_of_its_weight() -> None:
    """torch warns where types are mixed, since it cannot fuse the norm then; the state that goes up stays in fp32."""
    network = SparseTaskNetwork(make_model("Llama"), CONFIG)
    layer = network._task_layers()[0]
    hidden = torch.randn(2, 5, 32, dtype=torch.bfloat16)
    always = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with torch.autocast("cpu", dtype=torch.bfloat16):
                below = layer.state(hidden, None)
                state = layer.state(hidden, below)
    finally:
        torch.set_warn_always(always)
    assert below.dtype == state.dtype == torch.float32
    exact = layer.state(hidden.float(), layer.state(hidden.float(), None))
    # bf16 has eight bits of precision; the reading projection alone is rounded to it.
    assert torch.allclose(state, exact, atol=0.05)


def test_reentrant_checkpointing_is_refused() -> None:
    model = make_model("Llama")
    network = attach(model).train()
    model.train()
    model.gradient_checkpointing_enable({"use_reentrant": True})
    with pytest.raises(MmudError, match="MM902"):
        model(input_ids=tokens(), labels=tokens())
    with network.switched_off():
        assert model(input_ids=tokens()).logits.isfinite().all()


@pytest.mark.parametrize("family", ["Llama-gqa", "GPTNeoX", "Phi3"])
@pytest.mark.parametrize("projections", ["qv", "kv", "qkv"])
def test_save_and_load_round_trip(family: str, projections: Any, tmp_path: Path) -> None:
    model = make_model(family)
    network = attach(model, SparseTaskConfig(dimension=8, start_layer=2, projections=projections))
    expected = logits(model, tokens())
    network.save(tmp_path / "adapter")
    network.detach()
    loaded = SparseTaskNetwork.load(model, tmp_path / "adapter").eval()
    assert loaded.config == network.config
    assert torch.equal(logits(model, tokens()), expected)
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == ["config.json", "model.safetensors"]


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    attach(make_model("Llama")).save(tmp_path)
    with pytest.raises(MmudError, match="MM903"):
        SparseTaskNetwork.load(make_model("Llama-gqa"), tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x80\x04broken")
    with pytest.raises(MmudError, match="MM904"):
        SparseTaskNetwork.load(make_model("Llama"), tmp_path)
    with pytest.raises(MmudError, match="MM904"):
        SparseTaskNetwork.load(make_model("Llama"), tmp_path / "nowhere")


def test_several_networks_on_one_model() -> None:
    model = make_model("Llama")
    base = logits(model, tokens())
    first = attach(model)
    alone = logits(model, tokens())
    torch.manual_seed(9)
    second = SparseTaskNetwork(model, CONFIG).eval()
    for parameter in second.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    both = logits(model, tokens())
    assert not torch.allclose(both, alone)
    with second.switched_off():
        assert torch.equal(logits(model, tokens()), alone)
        with first.switched_off():
            assert torch.equal(logits(model, tokens()), base)


def written_out(model: Any, network: SparseTaskNetwork, ids: Any) -> Any:
    """Llama without attention heads' sharing, with the equations of the sparse task network written out step by step."""
    config, llama = model.config, model.model
    heads, width = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    hidden = llama.embed_tokens(ids)
    length = ids.shape[1]
    cosine, sine = llama.rotary_emb(hidden, torch.arange(length)[None])
    mask = torch.full((length, length), -math.inf).triu(1)

    def turned(vectors: Any) -> Any:
        half = width // 2
        return vectors * cosine[:, None] + torch.cat((-vectors[..., half:], vectors[..., :half]), -1) * sine[:, None]

    below = None
    for number, layer in enumerate(llama.layers):
        normed = layer.input_layernorm(hidden)
        # The weights, not the modules: those have the network's hooks on them.
        query, key, value = (
            normed @ getattr(layer.self_attn, name).weight.T for name in ("q_proj", "k_proj", "v_proj")
        )
        if number >= network.config.start_layer:
            part: Any = network.layers[number - network.config.start_layer]
            state = normed @ part.read.weight.T
            if below is not None:
                state = 0.8 * state + 0.2 * below
            state = state / (state.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * part.norm.weight
            below = state
            kept = round(0.4 * network.config.dimension)
            threshold = state.sort(-1, descending=True).values[..., kept : kept + 1]
            sparse = (state - threshold).clamp(min=0)
            query = query + sparse @ part.write["q"].weight.T
            value = value + sparse @ part.write["v"].weight.T
        query, key, value = (x.view(*x.shape[:2], heads, width).transpose(1, 2) for x in (query, key, value))
        weights = (turned(query) @ turned(key).transpose(2, 3) / math.sqrt(width) + mask).softmax(-1)
        attended = (weights @ value).transpose(1, 2).reshape(hidden.shape)
        hidden = hidden + layer.self_attn.o_proj(attended)
        hidden = hidden + layer.mlp(layer.post_attention_layernorm(hidden))
    return model.lm_head(llama.norm(hidden))


def test_equals_its_equations_written_out() -> None:
    model = make_model("Llama")
    network = attach(model)
    with torch.no_grad():
        assert torch.allclose(logits(model, tokens()), written_out(model, network, tokens()), atol=1e-5)


def test_a_share_of_the_neurons_is_active() -> None:
    model = make_model("Llama")
    network = attach(model, SparseTaskConfig(dimension=50, start_layer=0, dropout=0.0))
    state = torch.randn(3, 7, 50)
    layer: Any = network.layers[0]
    for rate in (0.02, 0.4, 0.9, 1.0):
        active = (layer.active(state, rate) > 0).sum(-1)
        assert (active == min(round(rate * 50), 49)).all()


def test_the_rate_is_jittered_in_training_and_fixed_in_evaluation() -> None:
    model = make_model("Llama")
    network = attach(model, SparseTaskConfig(dimension=16, start_layer=1, dropout=0.0, active_rate_jitter=0.1))
    assert torch.equal(logits(model, tokens()), logits(model, tokens()))
    network.train()
    seen = set()
    for seed in range(20):
        torch.manual_seed(seed)
        logits(model, tokens())
        seen.add(network._rate)
    assert len(seen) == 20
    assert 0.3 < sum(seen) / 20 < 0.5


def test_the_paper_s_size() -> None:
    # arXiv 2408.03001 on LLaMA-2-7B: 16 layers of 4096 x 128 and 128 x 8192, and the norms: 25 M parameters.
    config = transformers.LlamaConfig(
        hidden_size=4096, num_hidden_layers=32, num_attention_heads=32, intermediate_size=11008
    )
    with torch.device("meta"):
        model = transformers.LlamaForCausalLM(config)
        network = SparseTaskNetwork(model)
    report = network.parameter_report()
    assert report["read"] == 16 * 4096 * 128
    assert report["write"] == 16 * 128 * 2 * 4096
    assert report["norm"] == 16 * 128
    assert report["network"] == 25_167_872
    assert report["base_model"] == 6_738_415_616


@pytest.mark.parametrize(
    "wrong",
    [
        {"dimension": 0},
        {"active_rate": 0},
        {"active_rate": 1.5},
        {"ema": 1},
        {"dropout": 1},
        {"start_layer": -1},
        {"projections": "q"},
    ],
)
def test_unusable_configurations_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(MmudError, match="MM905"):
        SparseTaskConfig(**wrong)


def test_unknown_layouts_are_refused() -> None:
    config = transformers.FalconConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4
    )
    with pytest.raises(MmudError, match="MM901"):
        SparseTaskNetwork(transformers.AutoModelForCausalLM.from_config(config), SparseTaskConfig(start_layer=0))
    with pytest.raises(MmudError, match="MM905"):
        SparseTaskNetwork(make_model("Llama"), SparseTaskConfig(start_layer=4))
    with pytest.raises(MmudError, match="MM901"):
        SparseTaskNetwork(torch.nn.Linear(2, 2))
