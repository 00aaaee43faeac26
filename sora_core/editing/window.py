"""Videos longer than a model was made for: overlapping windows in time, denoised apart and blended."""

from __future__ import annotations

import torch
from torch import Tensor

from ..diffusion.samplers import Denoiser


def window_starts(latent_frames: int, window: int, overlap: int, *, circular: bool = False) -> list[int]:
    """Where windows begin; the last one ends with the video, or wraps around in a loop.

    Raises ValueError when the overlap is not shorter than the window.
    """
    if not 0 <= overlap < window:
        raise ValueError(
            f"the overlap is {overlap} latent frames; it must be at least 0 and below the window's {window}"
        )
    if latent_frames <= window:
        return [0]
    stride = window - overlap
    if circular:
        return list(range(0, latent_frames, stride))
    return [*range(0, latent_frames - window, stride), latent_frames - window]


def windowed(model: Denoiser, window: int, overlap: int, *, circular: bool = False) -> Denoiser:
    """A denoiser that sees `window` latent frames at a time; predictions blend with triangular weights.

    Each window's own first frame counts least (Bar-Tal et al., MultiDiffusion, 2023, along time).
    """

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        t = x.shape[2]
        starts = window_starts(t, window, overlap, circular=circular)
        if len(starts) == 1:
            return model(x, sigma)
        centred = torch.arange(window, dtype=torch.float32) - (window - 1) / 2
        weight = ((window + 1) / 2 - centred.abs()).to(x)[:, None, None]
        total, weights = torch.zeros_like(x), x.new_zeros(t, 1, 1)
        for start in starts:
            index = torch.arange(start, start + window, device=x.device) % t
            total[:, :, index] += weight * model(x[:, :, index], sigma)
            weights[index] += weight
        return total / weights

    return denoise
