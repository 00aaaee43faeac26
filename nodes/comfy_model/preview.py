"""What a sampler shows while it works: all frames of the clip side by side, in the colours of their latents."""

from __future__ import annotations

import math
from collections.abc import Mapping

import comfy.latent_formats
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sora_core.checkpoint import PREFIXES
from sora_core.config import SoraConfig
from sora_core.vae import VideoVAE

MOST_FRAMES = 36
"""Longer clips show this many of their latent frames, evenly spread."""
LEAST_SIZE = 384
"""Pixels of the longer side that a small sheet is enlarged to."""


class SoraLatentFormat(comfy.latent_formats.LatentFormat):
    """Latents with one global scale that is already in the weights."""

    latent_dimensions = 3
    scale_factor = 1.0

    def __init__(self, config: SoraConfig | None = None, colours: tuple[Tensor, Tensor] | None = None):
        config = config or SoraConfig()
        self.latent_channels = config.vae.channels
        self.spacial_downscale_ratio = config.vae.compression.space
        self.temporal_downscale_ratio = config.vae.compression.time
        if colours is not None:
            factors, bias = colours
            self.latent_rgb_factors = factors.tolist()
            self.latent_rgb_factors_bias = bias.tolist()
            self.latent_rgb_factors_reshape = contact_sheet


def contact_sheet(latent: Tensor) -> Tensor:
    """All latent frames of the first video in one picture, read like text: `b c t h w` -> `1 c rows*h columns*w`."""
    frames = latent[0].movedim(1, 0)  # t c h w
    if len(frames) > MOST_FRAMES:
        frames = frames[torch.linspace(0, len(frames) - 1, MOST_FRAMES).round().long()]
    count, channels, height, width = frames.shape
    columns = min(count, max(1, round(math.sqrt(count * height / width))))
    rows = math.ceil(count / columns)
    frames = torch.cat([frames, frames.new_zeros(rows * columns - count, channels, height, width)])
    sheet = frames.unflatten(0, (rows, columns)).permute(2, 0, 3, 1, 4)  # c rows h columns w
    sheet = sheet.reshape(1, channels, rows * height, columns * width)
    scale = LEAST_SIZE // max(sheet.shape[2:])
    return F.interpolate(sheet.float(), scale_factor=scale, mode="bilinear").to(latent) if scale > 1 else sheet


def latent_colours(config: SoraConfig, tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor] | None:
    """How latents turn into colours, `c 3` and `3`, or None for a file without its VAE's decoder."""
    prefix = PREFIXES["vae"] + "decoder.shortcut.conv."
    if prefix + "weight" not in tensors or prefix + "bias" not in tensors:
        return None
    vae = VideoVAE(config.vae, device="meta")
    conv = vae.decoder.shortcut.conv
    conv.weight = nn.Parameter(tensors[prefix + "weight"].detach().cpu(), requires_grad=False)
    conv.bias = nn.Parameter(tensors[prefix + "bias"].detach().cpu(), requires_grad=False)
    return vae.latent_rgb()
