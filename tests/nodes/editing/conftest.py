"""Sora nano and tiny random members of ComfyUI's own families of video models, each with a VAE of its geometry."""

import math
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import nn


def fill(network: nn.Module, seed: int = 0, gain: float = 1.0) -> nn.Module:
    """Weights that make outputs of about unit size and depend only on the seed."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1:
            fan_in = parameter[0].numel()
            parameter.data.copy_(gain * fan_in**-0.5 * torch.randn(parameter.shape, generator=generator))
        else:
            parameter.data.fill_(1.0 if "norm" in name and "bias" not in name else 0.0)
    return network.eval().requires_grad_(False)


class CellVAE(nn.Module):
    """The smallest causal video VAE of a given geometry: every cell is a linear map of its frames and the last ones."""

    def __init__(self, channels: int, time: int, space: int):
        super().__init__()
        self.time, self.space = time, space
        self.down = nn.Linear(3 * time * 4, channels)
        self.past = nn.Linear(3 * time * 4, channels)
        self.up = nn.Linear(channels, 3 * time)

    def encode(self, video: torch.Tensor) -> torch.Tensor:
        video = torch.cat([video[:, :, :1]] * (self.time - 1) + [video], 2)
        b, _, t, h, w = video.shape
        small = nn.functional.adaptive_avg_pool3d(video, (t, 2 * h // self.space, 2 * w // self.space))
        cells = small.reshape(b, 3, t // self.time, self.time, h // self.space, 2, w // self.space, 2)
        cells = cells.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4)
        before = torch.cat([cells[:, :1], cells[:, :-1]], 1)
        return (self.down(cells) + 0.1 * self.past(before)).movedim(-1, 1)

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        b, _, t, h, w = latent.shape
        cells = self.up(latent.movedim(1, -1)).reshape(b, t, h, w, 3, self.time).permute(0, 4, 1, 5, 2, 3)
        video = cells.reshape(b, 3, t * self.time, h, w)[:, :, self.time - 1 :]
        return nn.functional.interpolate(video, scale_factor=(1, self.space, self.space))


def cell_vae(channels: int, time: int, space: int, *, not_video: bool = False) -> Any:
    """A `CellVAE` as ComfyUI's VAE, with the ratios as Wan, LTX-Video, Mochi and Cosmos give them."""
    import comfy.model_patcher
    import comfy.sd

    vae = comfy.sd.VAE(sd={"pixel_space_vae": torch.tensor(1.0)})
    vae.first_stage_model = fill(CellVAE(channels, time, space))
    vae.patcher = comfy.model_patcher.ModelPatcher(vae.first_stage_model, torch.device("cpu"), torch.device("cpu"))
    vae.latent_channels, vae.latent_dim, vae.output_channels, vae.not_video = channels, 3, 3, not_video
    vae.upscale_ratio = (lambda k: max(0, k * time - time + 1), space, space)
    vae.downscale_ratio = (lambda n: max(0, math.floor((n + time - 1) / time)), space, space)
    vae.process_input = vae.process_output = lambda image: image
    vae.working_dtypes, vae.vae_dtype, vae.disable_offload = [torch.float32], torch.float32, False
    vae.memory_used_encode = vae.memory_used_decode = lambda shape, dtype: 1000
    vae.size = None
    return vae


def wan_vae() -> Any:
    """A real Wan 2.1 VAE of width 8, through ComfyUI's own detection."""
    import comfy.ldm.wan.vae
    import comfy.sd

    network = comfy.ldm.wan.vae.WanVAE(
        dim=8, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=2, attn_scales=[],
        temperal_downsample=[False, True, True], dropout=0.0,
    )  # fmt: skip
    return comfy.sd.VAE(sd=fill(network).state_dict(), dtype=torch.float32)


@dataclass
class Native:
    """A loaded family member and what a prompt looks like to it."""

    name: str
    model: Any
    vae: Any
    text_width: int
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def step(self) -> int:
        """Pixels of a latent cell."""
        return self.vae.spacial_compression_decode()

    def prompt(self, seed: int = 0) -> list:
        states = torch.randn(1, 6, self.text_width, generator=torch.Generator().manual_seed(seed))
        return [[states, dict(self.options)]]

    def grid(self, run: Any, num_frames: int = 17, batch: int = 1) -> dict:
        """A noise grid of 4 x 4 latent cells at 8 fps."""
        size = 4 * self.step
        return run(
            "SoraNoiseGrid", vae=self.vae, width=size, height=size, seconds=num_frames / 8, fps=8.0, batch=batch
        )[0]

    def clip(self, num_frames: int, seed: int = 0) -> torch.Tensor:
        """A smooth moving IMAGE batch `t h w 3`."""
        size = 4 * self.step
        t = torch.arange(num_frames).float()[:, None, None, None]
        y, x = torch.arange(size).float()[:, None, None] / size, torch.arange(size).float()[:, None] / size
        phase = 6 * torch.rand(3, generator=torch.Generator().manual_seed(seed))
        return 0.5 + 0.5 * torch.sin(6 * x + 9 * y + 0.3 * t + phase)


def built(family: str, unet: dict[str, Any]) -> Any:
    """A model of one of ComfyUI's families from its configuration class, with random weights."""
    import comfy.model_patcher
    import comfy.supported_models

    config = getattr(comfy.supported_models, family)(unet)
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({}, "", device=torch.device("cpu"))
    fill(model.diffusion_model)
    return comfy.model_patcher.ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))


WAN = {"image_model": "wan2.1", "dim": 128, "ffn_dim": 128, "num_heads": 2, "num_layers": 1, "text_dim": 32,
       "freq_dim": 32, "text_len": 8}  # fmt: skip
HUNYUAN = {
    "image_model": "hunyuan_video", "in_channels": 16, "out_channels": 16, "vec_in_dim": 16, "context_in_dim": 32,
    "hidden_size": 128, "mlp_ratio": 1.0, "num_heads": 1, "depth": 1, "depth_single_blocks": 1,
    "axes_dim": [16, 56, 56], "theta": 256, "patch_size": [1, 2, 2], "qkv_bias": True, "guidance_embed": False,
    "byt5": False, "meanflow": False, "use_cond_type_embedding": False, "vision_in_dim": None,
}  # fmt: skip
COSMOS = {
    "max_img_h": 16, "max_img_w": 16, "max_frames": 32, "in_channels": 16, "out_channels": 16, "patch_temporal": 1,
    "patch_spatial": 2, "model_channels": 128, "num_blocks": 1, "num_heads": 2, "crossattn_emb_channels": 32,
    "concat_padding_mask": True, "pos_emb_cls": "rope3d", "pos_emb_learnable": False,
    "pos_emb_interpolation": "crop", "use_adaln_lora": True, "adaln_lora_dim": 16,
}  # fmt: skip


def wan21() -> Native:
    return Native("wan21", built("WAN21_T2V", {**WAN, "model_type": "t2v", "in_dim": 16, "out_dim": 16}), wan_vae(), 32)


def wan21_i2v() -> Native:
    unet = {**WAN, "model_type": "i2v", "in_dim": 36, "out_dim": 16}
    return Native("wan21_i2v", built("WAN21_I2V", unet), cell_vae(16, 4, 8), 32)


def vace() -> Native:
    unet = {**WAN, "model_type": "vace", "in_dim": 16, "out_dim": 16, "vace_layers": 1, "vace_in_dim": 96}
    return Native("vace", built("WAN21_Vace", unet), cell_vae(16, 4, 8), 32)


def wan21_reference() -> Native:
    """Wan's Fun models, which put the tokens of a picture before those of the video."""
    unet = {**WAN, "model_type": "t2v", "in_dim": 16, "out_dim": 16, "in_dim_ref_conv": 16}
    return Native("wan21_reference", built("WAN21_T2V", unet), cell_vae(16, 4, 8), 32)


def wan22() -> Native:
    unet = {**WAN, "model_type": "t2v", "in_dim": 48, "out_dim": 48}
    return Native("wan22", built("WAN22_T2V", unet), cell_vae(48, 4, 16), 32)


def ltx() -> Native:
    unet = {"image_model": "ltxv", "in_channels": 128, "cross_attention_dim": 128, "attention_head_dim": 64,
            "num_attention_heads": 2, "caption_channels": 32, "num_layers": 1}  # fmt: skip
    return Native(
        "ltx", built("LTXV", unet), cell_vae(128, 8, 32), 32, {"attention_mask": torch.ones(1, 6, dtype=torch.long)}
    )


def hunyuan_unet(**changes: Any) -> dict[str, Any]:
    """The tiny HunyuanVideo, with the field that newer versions of ComfyUI ask for besides."""
    from comfy.ldm.hunyuan_video.model import HunyuanVideoParams

    newer = {"meanflow_sum": False} if "meanflow_sum" in HunyuanVideoParams.__annotations__ else {}
    return {**HUNYUAN, **newer, **changes}


def hunyuan() -> Native:
    options = {"pooled_output": torch.zeros(1, 16)}
    return Native("hunyuan", built("HunyuanVideo", hunyuan_unet()), cell_vae(16, 4, 8), 32, options)


def hunyuan15() -> Native:
    unet = hunyuan_unet(
        in_channels=65, out_channels=32, patch_size=[1, 1, 1], vec_in_dim=None, use_cond_type_embedding=True,
        vision_in_dim=1152,
    )  # fmt: skip
    return Native(
        "hunyuan15",
        built("HunyuanVideo15", unet),
        cell_vae(32, 4, 16, not_video=True),
        32,
        {"pooled_output": torch.zeros(1, 16)},
    )


def mochi() -> Native:
    # Only the width of its middle layers is asserted, so a narrow stream with a high ratio is a real, small Mochi.
    unet = {"image_model": "mochi_preview", "depth": 2, "hidden_size_x": 128, "hidden_size_y": 64, "num_heads": 2,
            "mlp_ratio_x": 96.0, "mlp_ratio_y": 2.0, "in_channels": 12, "learn_sigma": False, "use_t5": True,
            "t5_feat_dim": 32, "t5_token_length": 8, "timestep_scale": 1000.0, "qk_norm": True, "qkv_bias": False,
            "out_bias": True, "attn_drop": 0.0, "posenc_preserve_area": True}  # fmt: skip
    mask = torch.ones(1, 6, dtype=torch.long)
    return Native("mochi", built("GenmoMochi", unet), cell_vae(12, 6, 8), 32, {"attention_mask": mask})


def cosmos() -> Native:
    unet = {**COSMOS, "image_model": "cosmos", "block_config": "FA-CA-MLP", "mlp_ratio": 1.0, "affline_emb_norm": True,
            "block_x_format": "THWBD", "extra_per_block_abs_pos_emb": True,
            "extra_per_block_abs_pos_emb_type": "learnable"}  # fmt: skip
    return Native("cosmos", built("CosmosT2V", unet), cell_vae(16, 8, 8), 32)


def cosmos2() -> Native:
    unet = {**COSMOS, "image_model": "cosmos_predict2", "in_channels": 17, "mlp_ratio": 1.0}
    return Native("cosmos2", built("CosmosI2VPredict2", unet), cell_vae(16, 4, 8), 32)


FAMILIES = {
    make.__name__: make
    for make in (wan21, ltx, hunyuan, wan22, wan21_i2v, hunyuan15, mochi, cosmos, cosmos2)
}  # fmt: skip
GUIDED = {"vace": vace, "wan21_reference": wan21_reference}
"""Members that want more than a prompt, for tests that give it."""


@pytest.fixture(scope="session", params=["nano", *FAMILIES])
def native(request, nano, comfy) -> Native:
    """Every kind of model in turn."""
    if request.param != "nano":
        return {**FAMILIES, **GUIDED}[request.param]()
    model, _, vae = nano
    return Native("nano", model, vae, model.model.diffusion_model.config.text_width)


@pytest.fixture(scope="session")
def stock_sample(comfy):
    """Sampling as stock blocks do it: `stock_sample(model, positive, negative, latent, sigmas=None)` and settings."""
    import comfy.sample
    import comfy.samplers

    def run(model, positive, negative, latent, seed=0, steps=3, sigmas=None, sampler="euler", noise=None):
        samples = latent["samples"]
        if sigmas is None:
            sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "simple", steps)
        if isinstance(sampler, str):
            sampler = comfy.samplers.sampler_object(sampler)
        with torch.inference_mode():
            noise = comfy.sample.prepare_noise(samples, seed) if noise is None else noise
            out = comfy.sample.sample_custom(
                model, noise, 1.5, sampler, sigmas, positive, negative, samples,
                noise_mask=latent.get("noise_mask"), seed=seed, disable_pbar=True,
            )  # fmt: skip
        return {**latent, "samples": out}

    return run


@pytest.fixture(scope="session")
def video(run, nano):
    """A VIDEO of 17 frames of 32x32 at 8 fps."""
    frames = torch.rand(17, 4, 4, 3, generator=torch.Generator().manual_seed(0)).repeat_interleave(8, 1)
    return run("CreateVideo", images=frames.repeat_interleave(8, 2), fps=8.0)[0]


@pytest.fixture(scope="session")
def even_grid(run, nano):
    return run("SoraNoiseGrid", vae=nano[2], width=32, height=32, seconds=2.125, fps=8.0)[0]
