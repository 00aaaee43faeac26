"""The held-out loss: how well clean latents of unseen clips are predicted at fixed levels of noise."""

from __future__ import annotations

import torch

from ..diffusion.noise import draw_noise
from ..diffusion.process import add_noise, loss_weight
from ..pipeline import Sora
from ..shapes import VideoShape
from ..training.precision import mixed
from .fidelity import rendered
from .prompts import Prompt

LEVELS = (0.2, 0.4, 0.6, 0.8, 0.95)
"""Noise levels at which the prediction is measured."""


@torch.inference_mode()
def denoising_loss(model: Sora, prompts: list[Prompt], shape: VideoShape, batch: int = 8) -> dict[str, float]:
    """Mean squared error of the clean prediction per noise level, and `weighted` as in training, meaned over levels."""
    videos = list(rendered(prompts, shape))
    latent_shape = model.latent_shape(shape)
    errors = torch.zeros(len(LEVELS), dtype=torch.float64)
    for start in range(0, len(videos), batch):
        part = prompts[start : start + batch]
        with mixed(model.device):
            clean = model.encode(torch.cat(videos[start : start + batch]))
            denoise = model.denoiser([p.text for p in part], fps=shape.fps)
            noise = draw_noise(latent_shape, [p.seed for p in part])
            for i, level in enumerate(LEVELS):
                sigma = torch.full((len(part),), level)
                error = denoise(add_noise(clean, noise, sigma), sigma) - clean
                errors[i] += error.square().mean((1, 2, 3, 4)).sum()
    means = (errors / len(videos)).float()
    weighted = (means * loss_weight(torch.tensor(LEVELS))).mean()
    return {f"sigma_{level}": round(float(v), 5) for level, v in zip(LEVELS, means, strict=True)} | {
        "weighted": round(float(weighted), 5)
    }
