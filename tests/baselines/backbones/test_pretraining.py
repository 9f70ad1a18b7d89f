"""All four stages for a few steps: the parts load again as the backbone that neural tuning asks for."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from safetensors.torch import load_file, save_file  # noqa: E402

from mmud.baselines.backbones import pretraining, scenes_tiny  # noqa: E402
from mmud.baselines.backbones.world import tiny_world  # noqa: E402
from mmud.baselines.neural_tuning.backbones import load_parts  # noqa: E402
from mmud.baselines.neural_tuning.config import NeuralTuningConfig  # noqa: E402
from mmud.baselines.neural_tuning.model import NeuralTuningModel  # noqa: E402
from mmud.baselines.training.tensor_files import write_tensors  # noqa: E402
from mmud.cli import app  # noqa: E402
from mmud.dataset.sources.scenes.world import generate  # noqa: E402
from mmud.errors import MmudError  # noqa: E402
from mmud.evaluators.generation.extractors import ExtractorOptions, ImageSource, open_extractor  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("pretraining") / "parts"
    patch = pytest.MonkeyPatch()
    patch.setattr(pretraining, "GATE_SCENES", 20)
    patch.setattr(pretraining, "MEAN_SCENES", 20)
    with patch.context():
        result = CliRunner().invoke(app, ["pretrain", "scenes-tiny", "-o", str(made), "--steps", "2", "--json"])
    assert result.exit_code == 0, result.output
    return made


def test_the_report_tells_what_each_stage_reached(folder):
    report = json.loads((folder / scenes_tiny.REPORT_NAME).read_text())
    assert list(report) == list(pretraining.STAGES)
    assert all(stage["steps"] == 2 for stage in report.values())
    assert 0 <= report["language_model"]["scores"]["records"] <= 1
    assert 0 < report["vision_tower"]["scores"]["color"] < 1
    drawing = report["image_decoder"]["scores"]
    for way in ("true images", "drawn", "drawn, cosine 0.9"):
        assert all(0 <= drawing[f"{way}: {what}"] <= 1 for what in ("found", "shape", "all words", "pattern"))
    assert drawing["drawn: frechet"] >= 0
    assert 0 < drawing["mean image: pixel error"] < 1


def test_neural_tuning_is_built_on_the_parts_and_starts_from_their_map(folder, monkeypatch):
    monkeypatch.setenv(scenes_tiny.FOLDER_VARIABLE, str(folder))
    config = NeuralTuningConfig.from_preset("scenes-tiny")
    parts = load_parts(config.backbones, dtype=torch.float32)
    config = config.changed({"global_decoder.feature_size": parts.feature.size})
    model = NeuralTuningModel(parts.language_model, parts.tokenizer, parts.tower, config)
    state = model.trainable_state()
    assert set(parts.start) <= set(state)
    assert all(state[name].shape == value.shape for name, value in parts.start.items())
    image = generate(tiny_world(), 0).image
    feature = parts.feature.encode([image])
    # 18 slots of 8 + 8 + 4 + 3 words, offset and turn; 3 patterns, 4 tints, turn and start.
    assert feature.shape == (1, 18 * (23 + 3) + 3 + 4 + 3)
    drawn = scenes_tiny.ScenesTiny().image_decoder("cpu").decode(feature, [0])
    assert drawn[0].shape == (128, 128, 3)
    assert drawn[0].dtype == np.uint8


def test_features_of_other_weights_are_told_apart(folder):
    """Features are cached under what `describe` says."""
    tower = scenes_tiny.ScenesTiny().vision_tower
    one, other = scenes_tiny.load_autoencoder(folder), scenes_tiny.load_autoencoder(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(scenes_tiny.FOLDER_VARIABLE, str(folder))
        described = scenes_tiny.SceneFeature(tower(), one).describe()
        assert scenes_tiny.SceneFeature(tower(), other).describe() == described
        other.mean += 1
        assert scenes_tiny.SceneFeature(tower(), other).describe() != described


def test_a_stage_that_comes_too_early_is_refused(tmp_path):
    with pytest.raises(MmudError) as caught:
        pretraining.pretrain(tmp_path, ["image_decoder"], steps={"image_decoder": 1})
    assert caught.value.code.id == "MM930"


def test_a_stage_is_begun_anew_where_its_seed_or_its_frozen_parts_are_others(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(pretraining, "GATE_SCENES", 20)
    parts = tmp_path / "parts"
    shutil.copytree(folder, parts)
    said = []

    def again(seed=0):
        said.clear()
        pretraining.pretrain(parts, ["vision_map"], steps={"vision_map": 2}, seed=seed, note=said.append)
        return (parts / scenes_tiny.VISION_MAP / scenes_tiny.WEIGHTS_NAME).read_bytes()

    kept = again()
    assert not any("begun anew" in text for text in said)
    assert again(seed=1) != kept
    assert any("begun anew" in text for text in said)
    assert again() == kept
    language = parts / scenes_tiny.LANGUAGE_MODEL / scenes_tiny.WEIGHTS_NAME
    tensors = load_file(language)
    tensors["model.norm.weight"] += 0.5
    save_file(tensors, language, {"format": "pt"})
    assert again() != kept
    assert any("begun anew" in text for text in said)


def test_weights_of_another_image_decoder_are_refused(tmp_path):
    path = tmp_path / scenes_tiny.IMAGE_DECODER / scenes_tiny.WEIGHTS_NAME
    write_tensors(path, {"head.norm.weight": torch.zeros(96)})
    with pytest.raises(MmudError) as caught:
        scenes_tiny.load_autoencoder(tmp_path)
    assert caught.value.code.id == "MM931"


def test_without_weights_the_remedy_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv(scenes_tiny.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(MmudError) as caught:
        scenes_tiny.weights_folder()
    assert caught.value.code.id == "MM931"
    assert "pretrain" in caught.value.code.remedy


def test_the_extractor_gives_what_the_decoder_draws_from(folder, monkeypatch, tmp_path):
    """Equal to the backbone's own feature of the same pixels, in any order and any batch; other weights are refused."""
    monkeypatch.setenv(scenes_tiny.FOLDER_VARIABLE, str(folder))
    images = [generate(tiny_world(), index).image for index in range(5)]
    sources = []
    for number, image in enumerate(images):
        path = tmp_path / f"{number}.png"
        Image.fromarray(image).save(path)
        sources.append(ImageSource(str(number), path))
    extractor = open_extractor("scenes-tiny", ExtractorOptions(batch_size=2))
    found = extractor.extract(sources)
    wanted = load_parts(NeuralTuningConfig.from_preset("scenes-tiny").backbones, dtype=torch.float32).feature.encode(
        images
    )
    assert found.shape == wanted.shape
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)
    np.testing.assert_array_equal(extractor.extract(sources[::-1])[::-1], found)
    assert extractor.extract([]).shape == (0, wanted.shape[1])
    assert len(extractor.identity.weights) == 64
    assert not extractor.identity.inception
    with pytest.raises(MmudError) as caught:
        open_extractor("scenes-tiny", ExtractorOptions(weights="other"))
    assert caught.value.code.id == "MM872"
    monkeypatch.setenv(scenes_tiny.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(MmudError) as caught:
        open_extractor("scenes-tiny")
    assert caught.value.code.id == "MM931"
