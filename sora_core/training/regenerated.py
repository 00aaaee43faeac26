"""Latents as the transformer leaves them, next to the clips they come from: what the decoder meets when it is used."""

from __future__ import annotations

import torch
from torch import Tensor

from ..diffusion.process import add_noise
from ..diffusion.samplers import euler
from ..pipeline import Sora

LEVELS = (0.2, 0.7)
"""Noise levels to which latents are taken: below the first nothing changes, above the second another scene appears."""
STEPS = 4
FPS = 8.0


class Regenerator:
    """Noises latents part of the way and lets a model's transformer denoise them, without words.

    What comes out shows the same scene, with the errors of generated latents: patches and latent frames that disagree.
    """

    def __init__(self, sora: Sora):
        self.sora = sora

    @torch.inference_mode()
    def __call__(self, latent: Tensor, draws: torch.Generator) -> Tensor:
        """The regenerated latents `b c t h w`, whole patches in size."""
        low, high = LEVELS
        level = low + (high - low) * torch.rand((), generator=draws)
        patch = self.sora.config.dit.patch
        tokens = latent[0, 0].numel() // (patch[0] * patch[1] * patch[2])
        noise = torch.randn(latent.shape, generator=draws).to(latent)
        noisy = add_noise(latent, noise, level.to(latent).expand(len(latent)))
        model = self.sora.denoiser([""] * latent.shape[0], fps=FPS)
        return euler(model, noisy, self.sora.schedule(STEPS, tokens, start=float(level)))
