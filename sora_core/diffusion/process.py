"""The straight path between a clean latent and noise: x = (1 - sigma) clean + sigma noise (Liu et al., 2022)."""

from __future__ import annotations

import torch
from torch import Tensor

LOWEST_SIGMA = 0.05
"""Sampling takes the clean prediction from here, unless a model's `DiTConfig.lowest_sigma` says otherwise: below it
nothing but noise in the prediction would change."""
WEIGHT_FROM = 0.3
"""The loss weight 1 / sigma^2 grows no further below this noise level."""
FINE_SHARE = 0.15
"""How much of training is spent on purpose in the lower half of the levels that sampling visits: fine detail."""
COARSE, COARSE_SHARE = 0.85, 0.35
"""Noise levels above which it is decided what is shown and where it goes, half of a sampler's steps, and how much of
training is spent there on purpose."""


def per_cell(sigma: Tensor, x: Tensor) -> Tensor:
    """Noise levels `b`, or already broadcastable, shaped to multiply `b c t h w`."""
    return sigma.reshape(-1, *[1] * (x.ndim - 1)) if sigma.ndim == 1 else sigma


def add_noise(clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """The noisy latent at `sigma` (`b`, or one level per cell `b 1 t h w`)."""
    sigma = per_cell(sigma, clean)
    return (1 - sigma) * clean + sigma * noise


def to_velocity(x: Tensor, denoised: Tensor, sigma: Tensor) -> Tensor:
    """The velocity dx/dsigma that a clean prediction stands for."""
    return (x - denoised) / per_cell(sigma, x)


def loss_weight(sigma: Tensor) -> Tensor:
    """Weight of the squared error of the clean prediction: the velocity loss, capped at low noise."""
    return 1 / sigma.clamp(min=WEIGHT_FROM).square()


def shift(sigma: Tensor, factor: float) -> Tensor:
    """Move noise levels towards noise; `factor` 1 changes nothing (Esser et al., 2024, section 5.3.2)."""
    return factor * sigma / (1 + (factor - 1) * sigma)


def shift_for_tokens(tokens: int) -> float:
    """The shift for a grid of that many patches: larger grids stay recognisable under more noise.

    Even the smallest need one: the leading components of a latent of unit scale are several times stronger than noise,
    and what a clip shows is decided while they are still covered.
    """
    return min(12.0, (max(64, tokens) / 6.4) ** 0.5)


def draw_sigma(count: int, tokens: int, generator: torch.Generator, lowest: float = LOWEST_SIGMA) -> Tensor:
    """Training noise levels, float32 in (0, 1): logit-normal, shifted by the number of patches, with heavier tails.

    The shifted levels alone hardly reach those where sampling begins, where only the text tells which way things go,
    nor the low ones, where the components weaker than noise are decided: edges, and motion within a latent frame. So
    a share of levels is even above `COARSE`, and another in the lower half of those from `lowest`, where sampling ends.
    """
    shifted = shift(torch.randn(count, generator=generator).sigmoid(), shift_for_tokens(tokens))
    kind, even = torch.rand(2, count, generator=generator)
    levels = torch.where(kind < FINE_SHARE, lowest + (1 - lowest) / 2 * even, shifted)
    levels = torch.where(kind > 1 - COARSE_SHARE, COARSE + (1 - COARSE) * even, levels)
    return levels.clamp(1e-3, 1.0)
