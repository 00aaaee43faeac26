"""RePaint: noise a step up again and repeat it, so that given and new frames find together (Lugmayr et al., 2022)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..diffusion.samplers import Callback, Denoiser


def resample(
    model: Denoiser, x: Tensor, sigmas: Tensor, generator: torch.Generator, *, repeats: int = 4,
    callback: Callback | None = None,
) -> Tensor:  # fmt: skip
    """Euler steps, each taken `repeats` times with fresh noise in between; costs as many times the evaluations.

    For models with one noise level for all frames, where a plain mask leaves a jump at the border.
    Raises ValueError for no repeats.
    """
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; it must be at least 1")
    for i in range(len(sigmas) - 1):
        high, low = sigmas[i].to(x), sigmas[i + 1].to(x)
        for repeat in range(repeats):
            here, denoised = x, model(x, high.expand(x.shape[0]))
            x = denoised + (here - denoised) * (low / high)
            if repeat < repeats - 1 and low > 0 and high < 1:
                x = renoise(x, low, high, generator)
            else:
                break
        if callback is not None:
            callback({"step": i, "steps": len(sigmas) - 1, "sigma": float(high), "x": here, "denoised": denoised})
    return x


def renoise(x: Tensor, low: Tensor, high: Tensor, generator: torch.Generator) -> Tensor:
    """Take a latent on the straight path from noise level `low` back up to `high`.

    x_high has (1 - high) of the clean latent and a noise of standard deviation `high`, of which the scaled x_low
    brings (1 - high) / (1 - low) * low.
    """
    keep = (1 - high) / (1 - low)
    fresh = (high.square() - (keep * low).square()).clamp(min=0).sqrt()
    noise = torch.randn(x.shape, generator=generator, dtype=torch.float32)
    return keep * x + fresh * noise.to(x)
