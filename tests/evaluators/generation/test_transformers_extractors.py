"""CLIP and other image models of transformers, tiny and random, saved and loaded here."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from mmud.errors import MmudError
from mmud.evaluators.generation.extractors import Extractor, ExtractorOptions, ImageSource, open_extractor

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TOWER = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXTS = ["a cat", "a dog on a red mat", "cat"]


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    letters = [*"abcdefghijklmnopqrstuvwxyz", *(f"{letter}</w>" for letter in "abcdefghijklmnopqrstuvwxyz")]
    vocabulary = {token: index for index, token in enumerate([*letters, "<|startoftext|>", "<|endoftext|>"])}
    (root / "vocab.json").write_text(json.dumps(vocabulary))
    (root / "merges.txt").write_text("#version: 0.2\n")
    transformers.CLIPTokenizer(str(root / "vocab.json"), str(root / "merges.txt")).save_pretrained(root)
    start, end = vocabulary["<|startoftext|>"], vocabulary["<|endoftext|>"]
    text = {"vocab_size": len(vocabulary), "max_position_embeddings": 20, "bos_token_id": start, "eos_token_id": end}
    config = transformers.CLIPConfig(
        text_config={**TOWER, **text, "pad_token_id": end},
        vision_config={**TOWER, "image_size": 24, "patch_size": 8, "projection_dim": 12},
        projection_dim=12,
    )
    transformers.CLIPModel(config).save_pretrained(root)
    size = {"shortest_edge": 24}
    transformers.CLIPImageProcessor(size=size, crop_size={"height": 24, "width": 24}).save_pretrained(root)
    return root


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(1)
    made = []
    for index, shape in enumerate([(30, 50, 3), (24, 24, 3), (60, 31, 3)]):
        path = root / f"{index}.png"
        Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8)).save(path)
        made.append(ImageSource(path.name, path))
    return made


def by_hand(sources) -> torch.Tensor:
    """CLIP's published preparation: shortest side to 24 by bicubic, centre crop, CLIP's mean and deviation."""
    mean = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
    deviation = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)
    batch = []
    for source in sources:
        image = Image.open(source.path)
        scale = 24 / min(image.size)
        width, height = (int(side * scale) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
        left, top = (width - 24) // 2, (height - 24) // 2
        pixels = np.asarray(image.crop((left, top, left + 24, top + 24)), dtype=np.float32) / 255
        batch.append(((pixels - mean) / deviation).transpose(2, 0, 1))
    return torch.from_numpy(np.stack(batch))


def test_clip_image_embedding(clip_folder, sources):
    """The visual projection of the class token, computed from the model's parts."""
    extractor = open_extractor("clip", ExtractorOptions(weights=clip_folder, batch_size=2))
    assert isinstance(extractor, Extractor)
    got = extractor.extract(sources)
    model = transformers.CLIPModel.from_pretrained(clip_folder).eval()
    with torch.inference_mode():
        expected = model.visual_projection(model.vision_model(by_hand(sources)).pooler_output).numpy()
    assert got.shape == (3, 12)
    assert got.dtype == np.float32
    assert got == pytest.approx(expected, abs=1e-4)


def test_clip_text_embedding(clip_folder):
    extractor = open_extractor("clip", ExtractorOptions(weights=clip_folder, batch_size=2))
    got, findings = extractor.embed_texts(TEXTS, prompt="")
    model = transformers.CLIPModel.from_pretrained(clip_folder).eval()
    tokenizer = transformers.CLIPTokenizer.from_pretrained(clip_folder)
    with torch.inference_mode():
        for row, text in zip(got, TEXTS, strict=True):
            tokens = tokenizer(text, return_tensors="pt")
            expected = model.text_projection(model.text_model(**tokens).pooler_output).numpy()[0]
            assert row == pytest.approx(expected, abs=1e-5)
    assert findings == []


def test_same_bits_in_any_order_and_shard(clip_folder, sources):
    extractor = open_extractor("clip", ExtractorOptions(weights=clip_folder))
    whole, texts = extractor.extract(sources), extractor.embed_texts(TEXTS)[0]
    assert np.array_equal(extractor.extract(sources[::-1]), whole[::-1])
    assert np.array_equal(np.concatenate([extractor.extract(sources[:1]), extractor.extract(sources[1:])]), whole)
    assert np.array_equal(extractor.embed_texts(TEXTS[::-1])[0], texts[::-1])


def test_the_prompt_stands_before_the_caption(clip_folder):
    extractor = open_extractor("clip", ExtractorOptions(weights=clip_folder))
    prompted, _ = extractor.embed_texts(["cat"], prompt="a ")
    plain, _ = extractor.embed_texts(["a cat"], prompt="")
    assert prompted == pytest.approx(plain, abs=1e-6)


def test_long_texts_are_cut_and_reported(clip_folder):
    extractor = open_extractor("clip", ExtractorOptions(weights=clip_folder))
    got, findings = extractor.embed_texts(["cat " * 50, "cat"])
    assert got.shape == (2, 12)
    assert [finding.code.id for finding in findings] == ["MM874"]
    assert "1 of 2 texts have more than 20 tokens" in findings[0].message


def test_vision_only_checkpoint(clip_folder, sources, tmp_path):
    vision = transformers.CLIPVisionModelWithProjection.from_pretrained(clip_folder)
    vision.save_pretrained(tmp_path)
    shutil.copy(clip_folder / "preprocessor_config.json", tmp_path)
    extractor = open_extractor("clip", ExtractorOptions(weights=tmp_path))
    whole = open_extractor("clip", ExtractorOptions(weights=clip_folder))
    assert extractor.extract(sources) == pytest.approx(whole.extract(sources), abs=1e-5)
    assert extractor.identity.weights != whole.identity.weights
    with pytest.raises(MmudError, match="no text side") as caught:
        extractor.embed_texts(["cat"])
    assert caught.value.code.id == "MM872"


def test_identity_follows_weights_and_preparation(clip_folder, tmp_path):
    first = open_extractor("clip", ExtractorOptions(weights=clip_folder)).identity
    assert first.name == "clip"
    assert first.model == clip_folder.name
    assert first.mode == "processor"
    assert not first.inception
    copy = tmp_path / "copy"
    shutil.copytree(clip_folder, copy)
    assert open_extractor("clip", ExtractorOptions(weights=copy)).identity.weights == first.weights
    settings = json.loads((copy / "preprocessor_config.json").read_text())
    settings["image_mean"] = [0.5, 0.5, 0.5]
    (copy / "preprocessor_config.json").write_text(json.dumps(settings))
    assert open_extractor("clip", ExtractorOptions(weights=copy)).identity.weights != first.weights


@pytest.mark.parametrize("kind", ["vit", "resnet", "clip"])
def test_any_image_model(clip_folder, sources, tmp_path, kind):
    torch.manual_seed(0)
    if kind == "vit":
        model = transformers.ViTModel(
            transformers.ViTConfig(**TOWER, image_size=24, patch_size=8), add_pooling_layer=False
        )
        processor = transformers.ViTImageProcessor(size={"height": 24, "width": 24})
    elif kind == "resnet":
        config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1])
        model = transformers.ResNetModel(config)
        processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
    else:
        tmp_path = clip_folder
    if kind != "clip":
        model.eval().save_pretrained(tmp_path)
        processor.save_pretrained(tmp_path)
    got = open_extractor("transformers", ExtractorOptions(weights=tmp_path)).extract(sources)
    if kind == "clip":
        expected = open_extractor("clip", ExtractorOptions(weights=tmp_path)).extract(sources)
    else:
        loaded = transformers.AutoModel.from_pretrained(tmp_path).eval()
        inputs = processor(images=[Image.open(source.path) for source in sources], return_tensors="pt")
        with torch.inference_mode():
            output = loaded(**inputs)
            pooled = output.pooler_output
            # a ViT saved without its pooling layer gets a random one when loaded: then the figure would change each time
            expected = pooled.mean((2, 3)).numpy() if kind == "resnet" else output.last_hidden_state.mean(1).numpy()
    assert got == pytest.approx(expected, abs=1e-5)


def test_folders_that_hold_no_model(tmp_path, clip_folder):
    with pytest.raises(MmudError, match="safetensors") as caught:
        open_extractor("clip", ExtractorOptions(weights=tmp_path))
    assert caught.value.code.id == "MM877"
    broken = tmp_path / "broken"
    shutil.copytree(clip_folder, broken)
    (broken / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(MmudError) as caught:
        open_extractor("clip", ExtractorOptions(weights=broken))
    assert caught.value.code.id == "MM877"
    pickled = tmp_path / "pickled"
    shutil.copytree(clip_folder, pickled)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(MmudError, match="safetensors"):
        open_extractor("clip", ExtractorOptions(weights=pickled))


def test_a_model_without_image_embedding_is_no_clip(tmp_path):
    torch.manual_seed(0)
    transformers.ViTModel(transformers.ViTConfig(**TOWER, image_size=24, patch_size=8)).save_pretrained(tmp_path)
    transformers.ViTImageProcessor(size={"height": 24, "width": 24}).save_pretrained(tmp_path)
    with pytest.raises(MmudError, match="use `transformers`") as caught:
        open_extractor("clip", ExtractorOptions(weights=tmp_path))
    assert caught.value.code.id == "MM877"


def test_weights_that_would_be_random_are_refused(clip_folder, tmp_path):
    """transformers fills missing tensors and tensors of another size at random; such features mean nothing."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(clip_folder / "model.safetensors")
    for name, change in {
        "missing": {key: value for key, value in tensors.items() if key != "visual_projection.weight"},
        "resized": {**tensors, "visual_projection.weight": torch.zeros(9, 16)},
    }.items():
        folder = tmp_path / name
        shutil.copytree(clip_folder, folder)
        save_file(change, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(MmudError) as caught:
            open_extractor("clip", ExtractorOptions(weights=folder))
        assert caught.value.code.id == "MM877"
