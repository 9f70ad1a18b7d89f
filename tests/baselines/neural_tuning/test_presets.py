"""Settings and presets. The paper's sizes are computed here by hand from arXiv 2408.03001's numbers, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

from mmud.baselines.neural_tuning.config import PRESETS, NeuralTuningConfig
from mmud.baselines.neural_tuning.options import Arm, NeuralTuningOptions, settings_of
from mmud.baselines.neural_tuning.presets import describe_preset
from mmud.errors import MmudError

HIDDEN, CLIP, FILM, TAGS = 4096, 1024, 64, 5


def linear(inputs: int, outputs: int, bias: bool = True) -> int:
    return inputs * outputs + outputs * bias


def test_the_paper_s_parts_have_the_paper_s_sizes() -> None:
    described = describe_preset("paper")
    trained = described["report"]["trainable"]
    assert trained["vision"] == linear(CLIP, HIDDEN, bias=False) == 4_194_304
    # 16 layers: 4096 x 128 in, a norm of 128, 128 x (4096 + 4096) out.
    assert trained["adapter"] == 16 * (HIDDEN * 128 + 128 + 128 * 2 * HIDDEN) == 25_167_872
    attention = 4 * linear(FILM, FILM)
    layer = attention + 2 * 2 * FILM + linear(FILM, 128) + linear(128, FILM)
    # Patch 14: two transposed convolutions of 14 // 4 = 3.
    convolutions = (FILM * FILM * 9 + FILM) + (FILM * 32 * 9 + 32) + (32 * 2 * 9 + 2)
    decoder = 2 * linear(HIDDEN, FILM) + 3 * linear(CLIP, FILM) + 3 * layer + convolutions
    assert trained["mask_decoder"] == decoder == 877_602
    head = linear(HIDDEN, 1024) + linear(1024, 3072) + linear(3072, 1024) + linear(1024, 512)
    assert trained["global_decoder"] == head == 11_015_680
    # Embedding and head, whole, with <LCL-1> to <LCL-5> and <GLB>.
    assert trained["tokens"] == 2 * (32_000 + TAGS + 1) * HIDDEN == 262_193_152
    report = described["report"]
    assert report["trainable_total"] == sum(trained.values()) == 303_448_610
    assert report["trainable_without_embeddings"] == 41_255_458
    # LLaMA-2-7B has 6,738,415,616 parameters, of which embedding and head are trained here.
    assert report["frozen"]["language_model"] == 6_738_415_616 - 2 * 32_000 * HIDDEN
    # CLIP ViT-L/14's vision model, as published: 303,179,776.
    assert report["frozen"]["vision_tower"] == 303_179_776
    assert ["trained", "adapter", 25_167_872] in described["rows"]


def test_ours_trains_rows_instead_of_the_whole_embedding() -> None:
    trained = describe_preset("default")["report"]["trainable"]
    assert trained["tokens"] == 2 * (TAGS + 1) * HIDDEN
    # Without a start layer the upper half is tuned, which in LLaMA-2-7B are the paper's 16 layers.
    assert trained["adapter"] == 25_167_872


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("text.tag_limit", 5),
        ("text.max_length", 300),
        ("text.tags", "appended"),
        ("vision.projection", "linear"),
        ("vision.unshuffle", 1),
        ("adapter", "stn"),
        ("adapter_options.start_layer", 16),
        ("adapter_options.dimension", 128),
        ("adapter_options.active_rate", 0.4),
        ("adapter_options.active_rate_jitter", 0.04),
        ("adapter_options.ema", 0.2),
        ("adapter_options.projections", "qv"),
        ("tokens", "whole"),
        ("mask_decoder.tower_layers", [23, 17, 14]),
        ("mask_decoder.width", 64),
        ("mask_decoder.heads", 4),
        ("mask_decoder.mlp", 128),
        ("mask_decoder.classes", 2),
        ("mask_decoder.film", "first"),
        ("mask_decoder.state", "last"),
        ("mask_decoder.phrase_reader", False),
        ("global_decoder.head", "mlp"),
        ("global_decoder.hidden", 1024),
        ("global_decoder.feature_size", 512),
        ("loss.text", 1.0),
        ("loss.feature", 10.0),
        ("loss.mask", 1.0),
        ("loss.mask_ce", 0.0),
        ("loss.mask_dice", 1.0),
        ("training.optimiser", "adam"),
        ("training.learning_rate", 1e-4),
        ("training.betas", [0.9, 0.95]),
        ("training.weight_decay", 0.1),
        ("training.warmup_steps", 200),
        ("training.schedule", "cosine"),
        ("training.gradient_clip", 1.0),
        ("training.batch_size", 8),
        ("training.devices", 4),
        ("training.epochs", 50),
        ("training.precision", "fp16"),
        ("training.task_shares", [0.25, 0.25, 0.25, 0.25]),
    ],
)
def test_the_paper_s_settings(name: str, value: Any) -> None:
    found: Any = NeuralTuningConfig.from_preset("paper").model_dump(mode="json")
    for part in name.split("."):
        found = found[part]
    assert found == value


@pytest.mark.parametrize("name", PRESETS)
def test_settings_come_back_from_their_file(name: str, tmp_path: Path) -> None:
    config = NeuralTuningConfig.from_preset(name, {"mask_decoder.width": 32})
    config.save(tmp_path / "config.json")
    assert NeuralTuningConfig.load(tmp_path / "config.json") == config
    assert config.preset == name


def test_wrong_settings_are_named(tmp_path: Path) -> None:
    for changes, said in (
        ({"mask_decoder.widht": 3}, "mask_decoder.widht"),
        ({"adapter.x": 3}, "adapter"),
        ({"text.prompt_format": "no place"}, "prompt"),
        ({"training.betas": [0.9, 1.0]}, "training.betas"),
        ({"vision.unshuffle": 3}, "vision.unshuffle"),
        ({"loss.text": float("nan")}, "loss.text"),
    ):
        with pytest.raises(MmudError, match=rf"MM905.*{said}"):
            NeuralTuningConfig.from_preset("paper", changes)
    with pytest.raises(MmudError, match=r"MM905.*papyrus"):
        NeuralTuningConfig.from_preset("papyrus")
    for name in ("scenes-tiny", "smollm2"):
        with pytest.raises(MmudError, match=rf"MM905.*{name}"):
            describe_preset(name)
    path = tmp_path / "config.json"
    for content in (b"", b"[1]", b"\xff"):
        path.write_bytes(content)
        with pytest.raises(MmudError, match="MM904"):
            NeuralTuningConfig.load(path)
    with pytest.raises(MmudError, match="MM904"):
        NeuralTuningConfig.load(tmp_path / "nothing.json")


def test_rates_of_parts_are_laid_over_the_presets(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"adapter": 0.01, "vision": 0.002}
    monkeypatch.setitem(PRESETS, "rated", lambda: {"training": {"learning_rates": own}})

    def rates(arm: Arm, **options: Any) -> Mapping[str, float]:
        return settings_of(NeuralTuningOptions(preset="rated", **options), arm).training.learning_rates

    assert rates("stn") == own
    assert rates("stn", learning_rates={"tokens": 0.5}) == {**own, "tokens": 0.5}
    assert rates("stn", learning_rates={"adapter": 0.5}) == {**own, "adapter": 0.5}
    # The network's rate says nothing about another adapter; that of the vision map is the same for all.
    assert rates("lora") == rates("none") == {"vision": own["vision"]}
    assert rates("lora", learning_rates={"adapter": 0.5}) == {"adapter": 0.5, "vision": own["vision"]}
    assert rates("stn", changes={"adapter": "none", "adapter_options": {}}) == {"vision": own["vision"]}
    assert rates("stn", changes={"adapter": "stn"}) == own
