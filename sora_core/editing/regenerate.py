"""The one way in which Sora carries out every edit: each cell is noised as much as it may change, then all denoised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..diffusion.conditioning import Known, token_sigma
from ..diffusion.guidance import guide
from ..diffusion.noise import draw_noise
from ..diffusion.process import add_noise
from ..diffusion.samplers import SAMPLERS, Callback, Denoiser
from ..pipeline import DEFAULT_GUIDANCE, DEFAULT_STEPS, Sora
from ..shapes import LatentShape
from .sdedit import level


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to walk from noise to video."""

    steps: int = DEFAULT_STEPS
    guidance: float = DEFAULT_GUIDANCE
    negative: str | Denoiser = ""
    rescale: float = 0.0
    interval: tuple[float, float] | None = None
    """Noise levels that guidance acts on; without it those of `Sora.guided_levels`."""
    sampler: str = "dpmpp_2m"
    callback: Callback | None = None


DEFAULT = Sampling()


def with_shares(model: Denoiser, known: Known, patch: tuple[int, int, int]) -> Denoiser:
    """A denoiser for latents in which each cell is at the share `known.mask` of the global noise level.

    Unlike a blend of clean and denoised cells, a partly given cell follows its own path from mask * sigma to 0 and
    ends as one picture, not as two on top of each other. Cells of mask 0 stay exactly as given.
    `model(x, sigma)` must take one level per patch, `b n`.
    """

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        mask, clean = known.mask.to(x), known.clean.to(x)
        free = mask > 0
        return torch.where(free, model(torch.where(free, x, clean), token_sigma(sigma, mask, patch)), clean)

    return denoise


def conditional(sora: Sora, prompt: str | Denoiser, count: int, fps: float, *, circular: bool = False) -> Denoiser:
    """Sora's denoiser for `count` videos of one prompt; a ready denoiser, such as one of many prompts, is itself."""
    return sora.denoiser([prompt] * count, fps=fps, circular=circular) if isinstance(prompt, str) else prompt


def guided(sora: Sora, prompt: str | Denoiser, count: int, fps: float, sampling: Sampling, *, circular: bool = False,
           known: Known | None = None) -> Denoiser:  # fmt: skip
    """Sora's denoiser under guidance for `count` videos of one prompt (or of a ready conditional denoiser)."""
    positive, negative = (
        conditional(sora, text, count, fps, circular=circular) for text in (prompt, sampling.negative)
    )
    interval = sampling.interval or (0.0, 1.0)
    model = guide(positive, negative, sampling.guidance, interval=interval, rescale=sampling.rescale)
    return model if known is None else with_shares(model, known, sora.config.dit.patch)


def then(model: Denoiser, change: Callable[[Tensor], Tensor]) -> Denoiser:
    """A denoiser whose predictions are changed before the sampler sees them."""
    return lambda x, sigma: change(model(x, sigma))


@torch.inference_mode()
def regenerate(
    sora: Sora, known: Known, prompt: str | Denoiser, fps: float, seed: int, sampling: Sampling = DEFAULT,
    *, circular: bool = False, noise: Tensor | None = None, lead: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:  # fmt: skip
    """Sample a latent `b c t h w` that keeps the cells of mask 0, changes those between, and invents those of mask 1.

    The mask holds strengths (see `level`); the highest is where sampling starts: 0 everywhere returns the clean latent,
    1 everywhere is text to video bit for bit. `noise` replaces the noise of `seed`. `lead` may change
    each guided clean prediction.
    Raises ValueError for an unknown sampler or no steps, and what `guide` raises.
    """
    if sampling.sampler not in SAMPLERS:
        raise ValueError(f"there is no sampler {sampling.sampler!r}; choose {', '.join(SAMPLERS)}")
    levels = level(known.mask)
    highest = float(levels.max())
    if highest == 0:
        return known.clean.clone()
    b, c, t, h, w = known.clean.shape
    shape = LatentShape(channels=c, frames=t, height=h, width=w)
    if noise is None:
        noise = draw_noise(shape, [seed + i for i in range(b)])
    share = Known(known.clean, levels / highest)
    grid = shape.grid(sora.config.dit.patch)
    sigmas = sora.schedule(sampling.steps, grid[0] * grid[1] * grid[2], start=highest)
    x = add_noise(known.clean, noise.to(known.clean), sigmas[0].to(known.clean) * share.mask)
    settings = replace(sampling, interval=sampling.interval or sora.guided_levels(highest))
    model = guided(sora, prompt, b, fps, settings, circular=circular, known=share)
    if lead is not None:
        model = then(model, lead)
    return SAMPLERS[sampling.sampler](model, x, sigmas, sampling.callback)
