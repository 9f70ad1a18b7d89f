"""The published architectures that the paper builds on, on torch's meta device: sizes without weights, to be counted."""

from __future__ import annotations

from typing import Any

import torch

from mmud.baselines.neural_tuning.config import NeuralTuningConfig
from mmud.baselines.neural_tuning.model import NeuralTuningModel
from mmud.baselines.neural_tuning.vision import TransformersTower

LANGUAGE_MODELS: dict[str, dict[str, Any]] = {
    "meta-llama/Llama-2-7b-hf": {
        "vocab_size": 32000,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "max_position_embeddings": 4096,
    }
}
VISION_TOWERS: dict[str, dict[str, Any]] = {
    "openai/clip-vit-large-patch14": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "image_size": 224,
        "patch_size": 14,
    }
}


def is_published(config: NeuralTuningConfig) -> bool:
    """Whether the sizes of both backbones are known without their files."""
    return config.backbones.language_model in LANGUAGE_MODELS and config.backbones.vision_tower in VISION_TOWERS


def published_model(config: NeuralTuningConfig) -> NeuralTuningModel:
    """A model of the published sizes without any weights: it can be counted, and nothing else."""
    import transformers

    language = LANGUAGE_MODELS[config.backbones.language_model]
    vision = VISION_TOWERS[config.backbones.vision_tower]
    with torch.device("meta"):
        language_model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**language))
        tower = TransformersTower(transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**vision)))
        return NeuralTuningModel(language_model, _tokenizer(language["vocab_size"]), tower, config)


def _tokenizer(size: int) -> Any:
    """A stand-in with as many tokens as the published one: the count of rows is all that matters here."""
    import transformers
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    words = {"<unk>": 0, "<s>": 1, "</s>": 2, **{f"word{number}": number for number in range(3, size)}}
    tokenizer = Tokenizer(WordLevel(words, unk_token="<unk>"))
    make: Any = transformers.PreTrainedTokenizerFast
    return make(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")
