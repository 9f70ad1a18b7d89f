"""Decoders from other libraries: SAM and SAM 2 at tiny size with random weights, and image decoders of diffusers."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

from mmud.baselines.neural_tuning.base import ADAPTERS, IMAGE_DECODERS, MASK_DECODERS  # noqa: E402
from mmud.baselines.neural_tuning.image_decoders import KandinskyDecoder, StableUnClipDecoder  # noqa: E402
from mmud.baselines.neural_tuning.model import NeuralTuningModel  # noqa: E402
from mmud.errors import ExitCode, MmudError  # noqa: E402
from mmud.images import decode_image  # noqa: E402
from mmud.plugins import status  # noqa: E402
from mmud.registry import Entry  # noqa: E402
from tests.baselines.neural_tuning import small_models as small  # noqa: E402

# -- SAM -----------------------------------------------------------------------------------------------------------------


def sam() -> Any:
    return transformers.SamModel(
        transformers.SamConfig(
            vision_config={
                "hidden_size": 16, "output_channels": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
                "image_size": 32, "patch_size": 8, "global_attn_indexes": [1], "window_size": 2, "mlp_dim": 16,
                "num_pos_feats": 8,
            },
            prompt_encoder_config={"hidden_size": 16, "image_size": 32, "patch_size": 8, "mask_input_channels": 8},
            mask_decoder_config={
                "hidden_size": 16, "mlp_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                "iou_head_hidden_dim": 16,
            },
        )
    )  # fmt: skip


def sam2() -> Any:
    backbone = transformers.Sam2HieraDetConfig(
        hidden_size=8, num_attention_heads=1, image_size=[64, 64], patch_kernel_size=[7, 7], patch_stride=[4, 4],
        patch_padding=[3, 3], query_stride=[2, 2], window_positional_embedding_background_size=[2, 2],
        blocks_per_stage=[1, 1, 2, 1], embed_dim_per_stage=[8, 16, 32, 64], num_attention_heads_per_stage=[1, 1, 2, 4],
        window_size_per_stage=[4, 4, 4, 4], global_attention_blocks=[3],
    )  # fmt: skip
    vision = transformers.Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=[64, 32, 16, 8], fpn_hidden_size=32,
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
    )  # fmt: skip
    return transformers.Sam2Model(
        transformers.Sam2Config(
            vision_config=vision,
            prompt_encoder_config={"hidden_size": 32, "image_size": 64, "patch_size": 16, "mask_input_channels": 8},
            mask_decoder_config={
                "hidden_size": 32, "mlp_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                "iou_head_hidden_dim": 16,
            },
        )
    )  # fmt: skip


@pytest.fixture(scope="module", params=["sam", "sam2"])
def weights(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(4)
    folder = tmp_path_factory.mktemp(request.param)
    {"sam": sam, "sam2": sam2}[request.param]().save_pretrained(folder)
    return str(folder)


def with_sam(weights: str, **options: Any) -> NeuralTuningModel:
    changes = {"mask_decoder.name": "sam", "mask_decoder.options": {"weights": weights, **options}}
    return small.model(small.OURS.changed(changes), trained=False)


def test_a_tag_prompts_sam_and_its_parts_learn(weights: str) -> None:
    model = with_sam(weights).train()
    pairs = [pair for pair in small.instances(2) if pair[0].wanted]
    batch = small.collated(model, pairs)
    loss = model.loss(batch)
    loss["mask"].backward()
    objects, _ = model.states_for_tags(batch)
    assert model.decode_masks(objects, batch).shape == (len(batch.tag_rows), 1, 64, 64)
    decoder: Any = model.mask_decoder
    assert decoder.prompt[0].weight.grad.abs().sum() > 0
    assert any(one.grad is not None and one.grad.abs().sum() > 0 for one in decoder.sam.mask_decoder.parameters())
    assert all(one.grad is None for one in decoder.sam.vision_encoder.parameters())
    alone = model.eval().losses(small.collated(model, pairs[:1])).mask
    assert torch.allclose(alone, model.losses(batch).mask[: len(alone)], atol=1e-5)
    assert model.report()["frozen"]["mask_decoder"] > 0


def test_sam_is_prompted_as_a_click_would_be(weights: str) -> None:
    """The same numbers as transformers' own forward, whose click is replaced by ours."""
    decoder: Any = with_sam(weights).mask_decoder
    image = decode_image(small.samples()[0].image_bytes())
    features = decoder.image_features([image])
    width = decoder.sam.config.prompt_encoder_config.hidden_size
    click = torch.randn(1, 1, 1, width, generator=torch.Generator().manual_seed(0))
    decoder.reader, decoder.prompt, decoder.mix = None, torch.nn.Identity(), _Given(click[:, 0, 0])
    got = decoder(_OneTag(), features)
    from mmud.baselines.neural_tuning.sam import MEAN, STD
    from mmud.baselines.neural_tuning.vision import stretched

    none = decoder.sam.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
    decoder.sam.prompt_encoder.forward = lambda *_, **__: (click, none.expand(1, width, 4, 4))
    with torch.no_grad():
        output = decoder.sam(
            pixel_values=stretched([image], decoder.input_size, MEAN, STD),
            input_points=torch.zeros(1, 1, 1, 2),
            multimask_output=False,
        )
    expected = torch.nn.functional.interpolate(output.pred_masks[:, 0], (64, 64), mode="bilinear", align_corners=False)
    assert torch.allclose(got, expected, atol=1e-5)


class _Given(torch.nn.Module):
    def __init__(self, states: Any) -> None:
        super().__init__()
        self.states = states

    def forward(self, layer: Any) -> Any:
        return self.states


class _OneTag:
    at = None

    def __len__(self) -> int:
        return 1


def test_sam_s_decoder_may_stay_frozen_and_its_state_comes_back(weights: str) -> None:
    frozen = with_sam(weights, train_decoder=False)
    assert all(name.startswith(("mix", "reader", "prompt")) for name in frozen.mask_decoder.trained())
    trained = with_sam(weights)
    state = trained.trainable_state()
    assert any(name.startswith("mask_decoder.sam.mask_decoder") for name in state)
    assert not any("vision_encoder" in name for name in state)
    other = with_sam(weights)
    other.load_trainable_state(state)


def test_what_is_no_sam_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MmudError, match=r"MM905.*weights"):
        small.model(small.OURS.changed({"mask_decoder.name": "sam"}))
    with pytest.raises(MmudError, match="MM007"):
        with_sam(str(tmp_path / "nowhere"))
    small.language_model().save_pretrained(tmp_path)
    with pytest.raises(MmudError, match=r"MM915.*llama"):
        with_sam(str(tmp_path))


# -- images --------------------------------------------------------------------------------------------------------------


class Pipeline:
    """What diffusers' pipelines are called with, noted down; the image's colour is the feature's first three numbers."""

    def __init__(self, **parts: Any) -> None:
        self.calls: list[dict[str, Any]] = []
        self.__dict__.update(parts)

    def __call__(self, **arguments: Any) -> Any:
        self.calls.append(arguments)
        colours = arguments["image_embeds"][:, :3].float().numpy()
        noise = np.array([torch.rand(1, generator=one).item() for one in arguments["generator"]])
        images = np.broadcast_to(colours[:, None, None], (len(colours), 4, 6, 3)) + 0.2 * noise[:, None, None, None]
        return SimpleNamespace(images=images)


def unclip() -> Pipeline:
    return Pipeline(image_normalizer=SimpleNamespace(mean=torch.zeros(1, 8)))


def kandinsky() -> Pipeline:
    return Pipeline(unet=SimpleNamespace(config=SimpleNamespace(encoder_hid_dim=8)))


@pytest.mark.parametrize(("kind", "pipeline"), [(StableUnClipDecoder, unclip), (KandinskyDecoder, kandinsky)])
def test_features_become_images_by_their_own_seeds(kind: Any, pipeline: Any) -> None:
    stand_in = pipeline()
    decoder = kind("", "cpu", {"batch": 2, "steps": 7, "height": 64}, stand_in)
    features = torch.rand(5, 8, generator=torch.Generator().manual_seed(0)) * 1.2
    images = decoder.decode(features, [1, 2, 3, 4, 5])
    assert [image.shape for image in images] == [(4, 6, 3)] * 5
    assert all(image.dtype == np.uint8 for image in images)
    assert [len(call["image_embeds"]) for call in stand_in.calls] == [2, 2, 1]
    assert {(call["num_inference_steps"], call["height"], "width" in call) for call in stand_in.calls} == {
        (7, 64, False)
    }
    (again,) = decoder.decode(features[3:4], [4])
    assert np.array_equal(again, images[3])
    (other,) = decoder.decode(features[3:4], [9])
    assert not np.array_equal(other, again)
    assert decoder.decode(features[:0], []) == []
    for wrong, seeds in ((torch.rand(2, 9), [1, 2]), (features, [1]), (features[0], [1])):
        with pytest.raises(MmudError, match="MM916"):
            decoder.decode(wrong, seeds)


def test_what_each_pipeline_is_conditioned_on() -> None:
    first, second = unclip(), kandinsky()
    features = torch.rand(2, 8)
    StableUnClipDecoder("", "cpu", {}, first).decode(features, [0, 1])
    assert first.calls[0]["prompt"] == ["", ""]
    assert first.calls[0]["guidance_scale"] == 10
    KandinskyDecoder("", "cpu", {"guidance": 2.0}, second).decode(features, [0, 1])
    assert torch.equal(second.calls[0]["negative_image_embeds"], torch.zeros(2, 8))
    assert second.calls[0]["guidance_scale"] == 2


def test_kandinsky_is_led_away_from_the_feature_of_a_black_image(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=16, patch_size=8,
        projection_dim=8,
    )  # fmt: skip
    encoder = transformers.CLIPVisionModelWithProjection(config).eval()
    encoder.save_pretrained(tmp_path)
    pipeline = kandinsky()
    KandinskyDecoder("", "cpu", {"image_encoder": str(tmp_path)}, pipeline).decode(torch.rand(2, 8), [0, 1])
    blank = encoder(pixel_values=torch.zeros(1, 3, 16, 16)).image_embeds
    assert torch.allclose(pipeline.calls[0]["negative_image_embeds"], blank.expand(2, -1), atol=1e-6)
    assert pipeline.calls[0]["guidance_scale"] == 4


def test_without_diffusers_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MmudError, match=r"MM007.*diffusers") as caught:
        IMAGE_DECODERS.get("stable-unclip")("", "cpu", {})
    assert caught.value.exit_code == ExitCode.MISSING_DEPENDENCY
    assert "mmud[diffusion]" in caught.value.hint
    with pytest.raises(MmudError, match=r"MM905.*speed"):
        StableUnClipDecoder("", "cpu", {"speed": 3}, unclip())


def test_weights_that_are_missing_or_damaged_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        error: Exception = OSError("no such repository\nmore")

        @classmethod
        def from_pretrained(cls, weights: str, **settings: Any) -> Any:
            assert settings["use_safetensors"]
            assert settings["local_files_only"]
            raise cls.error

    monkeypatch.setitem(sys.modules, "diffusers", SimpleNamespace(KandinskyV22Pipeline=Broken))
    with pytest.raises(MmudError, match=r"MM007.*no such repository"):
        KandinskyDecoder("somewhere", "cpu", {})
    Broken.error = ValueError("shapes differ")
    with pytest.raises(MmudError, match=r"MM916.*shapes differ"):
        KandinskyDecoder("somewhere", "cpu", {})


# -- registries ----------------------------------------------------------------------------------------------------------


def test_every_part_is_listed_and_can_be_loaded() -> None:
    rows = {(row["kind"], row["name"]): row["state"] for row in status()}
    for registry in (ADAPTERS, MASK_DECODERS, IMAGE_DECODERS):
        for name in registry.names():
            assert rows[registry.kind, name] == "ok"
    with pytest.raises(MmudError, match="MM004"):
        small.model(small.OURS.changed({"mask_decoder.name": "flim"}))


def test_the_page_s_own_mask_decoder_is_found_and_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[3] / "docs" / "neural-tuning.md").read_text("utf-8")
    (code,) = [block.partition("```")[0] for block in page.split("```python\n") if "class BoxDecoder" in block]
    module = ModuleType("my_package")
    exec(code, module.__dict__)
    monkeypatch.setitem(sys.modules, "my_package", module)
    claims = [*MASK_DECODERS.entries, Entry("box", "my_package:BoxDecoder", "my-package")]
    monkeypatch.setitem(MASK_DECODERS.__dict__, "entries", claims)
    model = small.model(small.OURS.changed({"mask_decoder.name": "box", "mask_decoder.options": {"sharpness": 30}}))
    pairs = [pair for pair in small.instances(2) if pair[0].wanted]
    batch = small.collated(model, pairs)
    optimiser = torch.optim.Adam(model.parameter_groups()["mask_decoder"], lr=0.05)
    losses = []
    for _ in range(15):
        optimiser.zero_grad()
        loss = model.loss(batch)["mask"]
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.02
    assert any(name.startswith("mask_decoder.box") for name in model.trainable_state())
