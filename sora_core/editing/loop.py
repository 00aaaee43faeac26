"""Seamless loops: time is a circle, so the last frame is followed by the first like any other by its next."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..diffusion.samplers import Denoiser
from .geometry import Geometry

CONTEXT = 2
"""Latent frames that are decoded again before a loop's first when nothing better is known about the decoder."""


def check_loop(latent_frames: int) -> None:
    """Raise ValueError for a video that is too short to loop."""
    if latent_frames < 2:
        raise ValueError("a loop of one latent frame is a still image; make the video at least two latent frames long")


def step_of(sigma: float | Tensor, sigmas: Tensor) -> int:
    """Which step of a schedule a noise level belongs to: the nearest."""
    return int((sigmas.float().cpu() - float(sigma)).abs().argmin())


def rolled(model: Denoiser, sigmas: Tensor, stride: int = 1) -> Denoiser:
    """A denoiser that sees the video starting from another frame at each step, so that no place in time is an end.

    Works with any model; the latents stay where they are (rolled latents: Bi et al., Mobius, 2025).
    """

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        check_loop(x.shape[2])
        shift = step_of(sigma.max(), sigmas) * stride % x.shape[2]
        return model(x.roll(-shift, dims=2), sigma).roll(shift, dims=2)

    return denoise


def roll_conditions(conditions: Any, latent_frames: int, shift: int) -> Any:
    """Roll every tensor `b ... c t h w` with that many latent frames, in nested dicts and lists; no others."""
    if isinstance(conditions, Tensor):
        along_time = conditions.ndim >= 5 and conditions.shape[-3] == latent_frames
        return conditions.roll(shift, dims=-3) if along_time else conditions
    if isinstance(conditions, dict):
        return {key: roll_conditions(value, latent_frames, shift) for key, value in conditions.items()}
    if isinstance(conditions, list):
        return [roll_conditions(value, latent_frames, shift) for value in conditions]
    return conditions


def wrapped(latent: Tensor, context: int = CONTEXT) -> Tensor:
    """A loop's latent `b c t h w` with its last `context` latent frames repeated before, and its first one after it."""
    check_loop(latent.shape[2])
    t = latent.shape[2]
    return latent[:, :, torch.arange(-context, t + 1, device=latent.device) % t]


def loop_frames(geometry: Geometry, latent_frames: int, context: int = CONTEXT) -> slice:
    """Which frames of what `wrapped` decodes to are the loop of `latent_frames`."""
    return slice(geometry.num_frames(context), geometry.num_frames(latent_frames + context))
