"""Small models made on the spot: a Llama of three layers, its tokenizer, a CLIP tower of four; and scenes for all four tasks."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from mmud.annotations.instructions import load_templates, task_instances
from mmud.baselines.neural_tuning.config import NeuralTuningConfig
from mmud.baselines.neural_tuning.masks import mask_targets
from mmud.baselines.neural_tuning.model import NeuralTuningModel
from mmud.baselines.neural_tuning.vision import TransformersTower
from mmud.dataset.sources.scenes import ScenesConfig, generate
from mmud.dataset.sources.scenes.source import sample_of
from mmud.images import decode_image
from mmud.records import Sample, Task

WIDTH, LAYERS, TOWER_WIDTH, TOWER_LAYERS, SIDE, PATCH, FEATURE = 32, 3, 24, 4, 64, 8, 16
SCENES = ScenesConfig(seed=3, width=64, height=48, max_objects=4)

CHANGES: dict[str, Any] = {
    "adapter_options": {"dimension": 16, "start_layer": 1, "dropout": 0.0},
    "mask_decoder.width": 16,
    "mask_decoder.mlp": 32,
    "global_decoder.hidden": 16,
    "global_decoder.feature_size": FEATURE,
}
OURS = NeuralTuningConfig.from_preset("default", CHANGES)
PAPER = NeuralTuningConfig.from_preset("paper", {**CHANGES, "mask_decoder.tower_layers": [3, 2, 1]})


@cache
def samples(count: int = 4) -> tuple[Sample, ...]:
    """Scenes as samples, with their labels."""
    return tuple(sample_of(generate(SCENES, number)) for number in range(count))


@cache
def _trained_tokenizer(size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [text for sample in samples() for text in (sample.caption, sample.question, sample.answer)]
    texts += [text for phrasings in load_templates().values() for text in (*phrasings.prompts, *phrasings.answers)]
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def tokenizer(size: int = 512, begin: bool = True) -> Any:
    """A byte-level tokenizer of transformers, with a begin token that it writes if asked to."""
    made = Tokenizer.from_str(_trained_tokenizer(size).to_str())
    if begin:
        from tokenizers.processors import TemplateProcessing

        made.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )


def language_model(rows: int = 512, seed: int = 0, **more: Any) -> Any:
    """A Llama with grouped query attention."""
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=rows,
        hidden_size=WIDTH,
        intermediate_size=64,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        **more,
    )
    return transformers.LlamaForCausalLM(config).eval()


def tower(seed: int = 1) -> TransformersTower:
    """A CLIP vision model of 8 x 8 cells."""
    torch.manual_seed(seed)
    config = transformers.CLIPVisionConfig(
        hidden_size=TOWER_WIDTH,
        intermediate_size=32,
        num_hidden_layers=TOWER_LAYERS,
        num_attention_heads=4,
        image_size=SIDE,
        patch_size=PATCH,
    )
    return TransformersTower(transformers.CLIPVisionModel(config).eval())


def model(config: NeuralTuningConfig = OURS, seed: int = 2, trained: bool = True) -> NeuralTuningModel:
    """The whole; with ``trained`` its zero-initialised parts hold something."""
    text, words, seen = language_model(), tokenizer(), tower()
    torch.manual_seed(seed)
    made = NeuralTuningModel(text, words, seen, config)
    if trained:
        with torch.no_grad():
            for weight in made.parameter_groups().get("adapter", []):
                if not weight.any():
                    torch.nn.init.normal_(weight, std=0.3)
    return made.eval()


def instances(count: int = 4, **settings: Any) -> list[Any]:
    """Instances of all tasks and samples: (instance, sample)."""
    return [
        (instance, sample)
        for sample in samples(count)
        for task in Task
        for instance in task_instances(sample, task, tag_limit=5, **settings)
    ]


def collated(made: NeuralTuningModel, pairs: list[Any], **settings: Any) -> Any:
    """A batch with every target: masks, and features drawn by the sample's name."""
    features, masks, targets = [], [], []
    for instance, sample in pairs:
        image = decode_image(sample.image_bytes())
        features.append(made.image_features([image])[0] if instance.needs_image else None)
        masks.append(mask_targets(sample, instance.wanted, made.mask_size))
        generator = torch.Generator().manual_seed(sum(map(ord, sample.sample_id)))
        targets.append(torch.randn(FEATURE, generator=generator))
    return made.collate([instance for instance, _ in pairs], features, masks, targets, **settings)
