"""How large each part of a preset is: built on the meta device, without weights and without memory for them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from mmud.baselines import codes as baseline_codes
from mmud.baselines.neural_tuning.base import BACKBONES
from mmud.baselines.neural_tuning.config import NeuralTuningConfig
from mmud.baselines.neural_tuning.model import NeuralTuningModel
from mmud.baselines.neural_tuning.vision import TransformersTower
from mmud.errors import MmudError

LLAMA_2_7B: dict[str, Any] = {
    "vocab_size": 32_000,
    "hidden_size": 4096,
    "intermediate_size": 11_008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "max_position_embeddings": 4096,
}
CLIP_VIT_L_14: dict[str, Any] = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 224,
    "patch_size": 14,
}


def describe_preset(name: str, config: NeuralTuningConfig | None = None) -> dict[str, Any]:
    """The settings of a preset and the parameters of each part.

    Presets are sized on LLaMA-2-7B and CLIP ViT-L/14, the paper's. Those with backbones of their own cannot be: their sizes are
    those of what is loaded (`NeuralTuningModel.report`).

    Args:
        name: of the preset.
        config: changed settings of it.

    Returns:
        ``preset``, ``settings`` (JSON-compatible), ``rows``: [part, what, parameters], and ``report`` as the model gives it.

    Raises:
        MmudError: MM905 for an unknown preset, or one that has backbones of its own.
    """
    settings = config or NeuralTuningConfig.from_preset(name)
    if settings.backbones.language_model in BACKBONES:
        message = f"the preset {name} has the sizes of its own backbones, which are known when they are loaded"
        hint = f"mmud train neural-tuning --set preset={name} --data DIR -o RUN --dry-run"
        raise MmudError(baseline_codes.CONFIG_INVALID, message, hint=hint)
    report = _on_meta(settings).report()
    rows: list[list[Any]] = [["trained", part, count] for part, count in report["trainable"].items()]
    rows += [["trained", "all", report["trainable_total"]]]
    rows += [["trained", "all but embeddings and head", report["trainable_without_embeddings"]]]
    rows += [["frozen", part, count] for part, count in report["frozen"].items()]
    return {"preset": name, "settings": settings.model_dump(mode="json"), "rows": rows, "report": report}


def _on_meta(config: NeuralTuningConfig) -> NeuralTuningModel:
    import transformers

    with torch.device("meta"):
        text: nn.Module = transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA_2_7B))
        seen = transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**CLIP_VIT_L_14))
        return NeuralTuningModel(text, numbered_tokenizer(LLAMA_2_7B["vocab_size"]), TransformersTower(seen), config)


def numbered_tokenizer(size: int) -> Any:
    """A tokenizer of as many tokens, whose words are numbers: only their count matters here."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"<unk>": 0, "<s>": 1, "</s>": 2, **{str(number): number for number in range(3, size)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast: Any = transformers.PreTrainedTokenizerFast
    return fast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")
