"""Image decoders with the real pipelines of diffusers at tiny size with random weights, where diffusers is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")
diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed")

from mmud.baselines.neural_tuning.image_decoders import KandinskyDecoder, StableUnClipDecoder  # noqa: E402


def kandinsky() -> Any:
    unet = diffusers.UNet2DConditionModel(
        in_channels=4, out_channels=8, addition_embed_type="image", block_out_channels=(32, 64), layers_per_block=1,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn", encoder_hid_dim=16, encoder_hid_dim_type="image_proj",
        cross_attention_dim=16, attention_head_dim=4, resnet_time_scale_shift="scale_shift",
    )  # fmt: skip
    movq = diffusers.VQModel(
        block_out_channels=[32, 64], down_block_types=["DownEncoderBlock2D", "AttnDownEncoderBlock2D"],
        up_block_types=["AttnUpDecoderBlock2D", "UpDecoderBlock2D"], in_channels=3, out_channels=3, latent_channels=4,
        layers_per_block=1, norm_num_groups=8, norm_type="spatial", num_vq_embeddings=12, vq_embed_dim=4,
    )  # fmt: skip
    scheduler = diffusers.DDIMScheduler(num_train_timesteps=100, clip_sample=False, set_alpha_to_one=False)
    return diffusers.KandinskyV22Pipeline(unet=unet, scheduler=scheduler, movq=movq)


def unclip(folder: Path) -> Any:
    width = 32
    words = ["<|startoftext|>", "<|endoftext|>", "a", "a</w>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    normaliser = diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer.StableUnCLIPImageNormalizer
    pipeline = diffusers.StableUnCLIPImg2ImgPipeline(
        feature_extractor=None,
        image_encoder=transformers.CLIPVisionModelWithProjection(
            transformers.CLIPVisionConfig(
                hidden_size=width, projection_dim=width, num_hidden_layers=1, num_attention_heads=4, image_size=32,
                intermediate_size=32, patch_size=16,
            )
        ),
        image_normalizer=normaliser(embedding_dim=width),
        image_noising_scheduler=diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        tokenizer=transformers.CLIPTokenizer(
            str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16
        ),
        text_encoder=transformers.CLIPTextModel(
            transformers.CLIPTextConfig(
                vocab_size=8, hidden_size=width, projection_dim=width, intermediate_size=32, num_hidden_layers=1,
                num_attention_heads=4, max_position_embeddings=16, bos_token_id=0, eos_token_id=1, pad_token_id=1,
            )
        ),
        unet=diffusers.UNet2DConditionModel(
            sample_size=16, in_channels=4, out_channels=4, block_out_channels=(32, 64), attention_head_dim=(2, 4),
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), layers_per_block=1,
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), class_embed_type="projection",
            projection_class_embeddings_input_dim=2 * width, cross_attention_dim=width, use_linear_projection=True,
        ),
        scheduler=diffusers.DDIMScheduler(set_alpha_to_one=False, steps_offset=1),
        vae=diffusers.AutoencoderKL(
            block_out_channels=[32], down_block_types=["DownEncoderBlock2D"], up_block_types=["UpDecoderBlock2D"],
            latent_channels=4,
        ),
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def drawn_alone_and_together(decoder: Any, size: int, side: int) -> None:
    assert decoder.feature_size == size
    features = torch.randn(3, size, generator=torch.Generator().manual_seed(0))
    images = decoder.decode(features, [1, 2, 3])
    assert [image.shape for image in images] == [(side, side, 3)] * 3
    for number in range(3):
        (alone,) = decoder.decode(features[number : number + 1], [number + 1])
        assert np.abs(alone.astype(int) - images[number]).max() <= 1


@pytest.mark.parametrize("guidance", [None, 3.0])
def test_kandinsky_draws(guidance: float | None, tmp_path: Path) -> None:
    torch.manual_seed(0)
    kandinsky().save_pretrained(tmp_path)
    options = {"steps": 2, "height": 64, "width": 64, "batch": 2, "guidance": guidance}
    drawn_alone_and_together(KandinskyDecoder(str(tmp_path), "cpu", options), 16, 64)


def test_stable_unclip_draws(tmp_path: Path) -> None:
    torch.manual_seed(0)
    decoder = StableUnClipDecoder("", "cpu", {"steps": 2, "batch": 2}, unclip(tmp_path))
    drawn_alone_and_together(decoder, 32, 16)
